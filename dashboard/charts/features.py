"""Records -> Altair charts. Streamlit's theme gives text and grid their colours."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import altair as alt

from dashboard.records.dictionaries import Dictionary, Summary
from dashboard.records.steering import Steered
from dashboard.style import palette

Z95 = 1.96
"""Half the width of a 95 % interval of a mean, in standard errors."""
WIDTH = 14
STEERS, STEERS_NOT = "steers", "does not"


def ms_by_hook(dictionaries: Sequence[Dictionary], summaries: Sequence[Summary]) -> alt.LayerChart:
    """The spread of MS in each dictionary, hook point by hook point, with the controls' means.

    Thin line: 5th to 95th percentile; bar: quartiles; dot: the mean with its 95 % interval.
    """
    spread = {s.dictionary_id: s for s in summaries}
    rows = [_spread(d, spread[d.dictionary_id]) for d in dictionaries if _scored(d, spread)]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("place:N", sort=_unique(r["place"] for r in rows), title=None,
                axis=alt.Axis(labelAngle=0, ticks=False, domain=False)),
        xOffset=alt.XOffset("name:N", sort=_unique(r["name"] for r in rows)),
        color=_colour(dictionaries),
        tooltip=[
            alt.Tooltip("dictionary:N"), alt.Tooltip("scored:Q", title="features", format=","),
            alt.Tooltip("mean:Q", title="mean MS", format=".3f"),
            alt.Tooltip("interval:N", title="95 % interval"),
            alt.Tooltip("p50:Q", title="median", format=".3f"),
            alt.Tooltip("control_neuron:Q", title="control, neurons", format=".3f"),
            alt.Tooltip("control_direction:Q", title="control, directions", format=".3f"),
        ],
    )  # fmt: skip
    y = alt.Y("p05:Q", title="monosemanticity score (MS)", scale=alt.Scale(zero=False, nice=True))
    control = base.transform_filter("datum.basis == 'sae'")
    tick = {"size": WIDTH + 14, "thickness": 2.5, "color": palette.CONTROL}
    return alt.layer(
        base.mark_rule(strokeWidth=1.5).encode(y=y, y2="p95:Q"),
        base.mark_bar(width=WIDTH, cornerRadius=3).encode(y="p25:Q", y2="p75:Q"),
        control.mark_tick(**tick).encode(y="control_neuron:Q", color=alt.value(palette.CONTROL)),
        base.mark_rule(strokeWidth=2).encode(y="low:Q", y2="high:Q", color=alt.value("#ffffff")),
        base.mark_circle(size=44, opacity=1, stroke="#1f2326", strokeWidth=1).encode(
            y="mean:Q", color=alt.value("#ffffff")
        ),
    )


def overlaid(
    counts: dict[str, list[int]],
    colours: dict[str, str],
    *,
    title: str,
    ends: tuple[float, float] = (0, 1),
    log: bool = False,
) -> alt.Chart:
    """Histograms of equal bins, one on the other, each as shares of its own total.

    It has no legend: what stands beside it wears the same `colours`. `ends` are the least and the
    greatest value; with `log` the bins are equal in its logarithm.
    """
    held = [i for values in counts.values() for i, n in enumerate(values) if n]
    seen = range(max(0, min(held, default=0) - 1), max(held, default=0) + 2)
    rows = [
        {"name": name, "at": _between(ends, (i + 0.5) / len(values), log=log),
         "share": n / max(1, sum(values)), "count": n}
        for name, values in counts.items()
        for i, n in enumerate(values)
        if i in seen
    ]  # fmt: skip
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    axis = alt.Axis(format="~%", tickCount=6) if log else alt.Axis()
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_area(opacity=0.25, interpolate="step", line={"strokeWidth": 2})
        .encode(
            x=alt.X("at:Q", title=title, scale=scale, axis=axis),
            y=alt.Y("share:Q", title="share of features, √ scale", stack=None,
                    scale=alt.Scale(type="sqrt"), axis=alt.Axis(format="%", tickCount=4)),
            color=alt.Color(
                "name:N", legend=None,  # the page names them beside it
                scale=alt.Scale(domain=list(colours), range=list(colours.values())),
            ),
            tooltip=[alt.Tooltip("name:N"), alt.Tooltip("count:Q", title="features")],
        )
    )  # fmt: skip


PRESSED = "pressed"
"""The selection of a point in `steering_scores`: its row has `feature`."""


def steering_scores(found: Sequence[Steered]) -> alt.LayerChart:
    """Each feature's steering score against that of the unsteered answers, with the interval of the
    difference; on the dashed line the two are equal."""
    rows = [
        {
            "feature": one.feature_id, "name": f"#{one.feature_id} {one.label or ''}".strip(),
            "answer": one.answer, "score": one.score, "unsteered": one.score_unsteered,
            "shuffled": one.score_shuffled, "low": one.score_unsteered + one.gain_low,
            "high": one.score_unsteered + one.gain_high,
            "steers": STEERS if one.steers else STEERS_NOT,
        }
        for one in found
    ]  # fmt: skip
    starts = [one.score_unsteered for one in found]
    least = min((s + min(0, one.gain_low) for s, one in zip(starts, found, strict=True)), default=0)
    most = max((s + max(0, one.gain_high) for s, one in zip(starts, found, strict=True)), default=1)
    line = [{"unsteered": at, "low": at} for at in (least, most)]
    x = alt.X("unsteered:Q", title="score of the unsteered answers", axis=alt.Axis(tickCount=6),
              scale=alt.Scale(zero=False))  # fmt: skip
    y = alt.Y("low:Q", title="steering score", scale=alt.Scale(zero=False))
    colours = {STEERS: palette.SAE_SHADES[0], STEERS_NOT: palette.NEURONS}
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=x,
        color=alt.Color(
            "steers:N", scale=alt.Scale(domain=list(colours), range=list(colours.values())),
            legend=alt.Legend(title=None, orient="top", symbolType="circle", symbolOpacity=1),
        ),
    )  # fmt: skip
    tooltip = [
        alt.Tooltip("name:N", title="feature"), alt.Tooltip("answer:N"),
        alt.Tooltip("score:Q", format=".3f"), alt.Tooltip("unsteered:Q", format=".3f"),
        alt.Tooltip("shuffled:Q", format=".3f"), alt.Tooltip("low:Q", format=".3f"),
        alt.Tooltip("high:Q", format=".3f"), alt.Tooltip("steers:N", title=" "),
    ]  # fmt: skip
    press = alt.selection_point(name=PRESSED, fields=["feature"], empty=False, toggle=False)
    equal = alt.Chart(alt.InlineData(values=line)).mark_line(
        strokeDash=[4, 4], color=palette.NEURONS, strokeWidth=1
    )
    return alt.layer(
        equal.encode(x=x, y=y),
        base.mark_rule(strokeWidth=1.5, opacity=0.5).encode(y=y, y2="high:Q"),
        base.mark_circle(size=80, opacity=1, cursor="pointer")
        .encode(y=alt.Y("score:Q"), tooltip=tooltip)
        .add_params(press),
    )


def _between(ends: tuple[float, float], share: float, *, log: bool) -> float:
    low, high = ends
    return float(low * (high / low) ** share if log else low + (high - low) * share)


def l0_fvu(dictionaries: Sequence[Dictionary]) -> alt.LayerChart:
    """Sparsity against what the reconstruction misses, one point an SAE."""
    saes = [d for d in dictionaries if d.basis == "sae"]
    names = _unique(d.name for d in saes)
    every = [d.l0 for d in saes if d.l0 is not None]
    rows = [
        {
            "name": d.name, "dictionary": d.short, "l0": d.l0, "fvu": d.fvu, "place": d.place,
            "right": names.index(d.name) % 2 == 1,
        }
        for d in saes
    ]  # fmt: skip
    # A fifth on either side: equal sparsity looks equal, and names have room.
    across = [0.8 * min(every), 1.2 * max(every)] if every else [0, 1]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("l0:Q", title="l0, features a token", scale=alt.Scale(domain=across, nice=False)),
        y=alt.Y("fvu:Q", title="fvu", scale=alt.Scale(zero=False, padding=24)),
        color=_colour(saes),
        tooltip=[
            alt.Tooltip("dictionary:N"),
            alt.Tooltip("l0:Q", format=".1f"),
            alt.Tooltip("fvu:Q", format=".3f"),
        ],
    )
    quiet = base.encode(text="place:N", color=alt.value(palette.NEURONS))
    return alt.layer(
        base.mark_circle(size=90, opacity=1),
        quiet.transform_filter("datum.right").mark_text(align="left", dx=9, fontSize=11),
        quiet.transform_filter("!datum.right").mark_text(align="right", dx=-9, fontSize=11),
    )


def histogram(
    edges: Sequence[float],
    counts: Sequence[int],
    *,
    accent: str,
    marks: Sequence[tuple[float, float]] = (),
    small: bool = False,
) -> dict[str, Any]:
    """Val images by activation, as a Vega-Lite specification; the square-root scale keeps the few
    strong ones in sight.

    Args:
        marks: (share, activation) of the quantiles, drawn as lines.
        small: for little room: without the axes' titles.
    """
    rows = [
        {"low": low, "high": high, "images": count}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    drawn = _histogram(accent, small)
    bars, *lines = drawn["layer"]
    layers = [bars | {"data": {"values": rows}}]
    if marks:
        named = {"values": _quantile_rows(marks, edges[-1])}
        layers += [line | {"data": named} for line in lines]
    return drawn | {"layer": layers}


@lru_cache(maxsize=4)
def _histogram(accent: str, small: bool) -> dict[str, Any]:
    """The histogram without its data: every Feature shows one, and Altair takes a twentieth of a
    second to make and check it."""
    bars = (
        alt.Chart()
        .mark_bar(color=accent, binSpacing=1)
        .encode(
            x=alt.X("low:Q", bin="binned", title=None if small else "activation",
                    axis=alt.Axis(tickCount=6)),
            x2="high:Q",
            y=alt.Y("images:Q", title=None if small else "images, √ scale",
                    scale=alt.Scale(type="sqrt"),
                    axis=alt.Axis(tickCount=2 if small else 4, format="d")),
            tooltip=[
                alt.Tooltip("low:Q", title="from", format=".3f"),
                alt.Tooltip("high:Q", title="to", format=".3f"),
                alt.Tooltip("images:Q", format=","),
            ],
        )
    )  # fmt: skip
    lines = alt.Chart().encode(
        x="at:Q",
        tooltip=[
            alt.Tooltip("share:N", title="share of its activations below"),
            alt.Tooltip("at:Q", title="activation", format=".3f"),
        ],
    )
    rule = lines.mark_rule(strokeDash=[3, 3], color=palette.CONTROL, strokeWidth=1.5)
    name = lines.mark_text(y=-6, fontSize=10, color=palette.CONTROL).encode(text="name:N")
    made: dict[str, Any] = alt.layer(bars, rule, name).to_dict()
    return made


def _quantile_rows(marks: Sequence[tuple[float, float]], most: float) -> list[dict[str, Any]]:
    """The quantiles from the highest on; where two lie close, only one of them has room for its
    name."""
    rows: list[dict[str, Any]] = []
    free = math.inf
    for share, at in reversed(marks):
        named = at < free
        free = at - 0.1 * most if named else free
        text = f"{share:.0%}"
        rows.append({"at": at, "share": text, "name": text if named else ""})
    return rows


def _scored(dictionary: Dictionary, spread: dict[str, Summary]) -> bool:
    summary = spread.get(dictionary.dictionary_id)
    return summary is not None and summary.mean is not None


def _spread(dictionary: Dictionary, summary: Summary) -> dict[str, Any]:
    mean, half = summary.mean or 0.0, Z95 * (summary.error or 0.0)
    return {
        "name": dictionary.name, "place": dictionary.place, "basis": dictionary.basis,
        "dictionary": dictionary.short, "scored": summary.scored, "mean": mean,
        "low": mean - half, "high": mean + half,
        "interval": f"{mean - half:.3f} to {mean + half:.3f}",
        "p05": summary.p05, "p25": summary.p25, "p50": summary.p50, "p75": summary.p75,
        "p95": summary.p95, "control_neuron": summary.control_neuron,
        "control_direction": summary.control_direction,
    }  # fmt: skip


def _colour(dictionaries: Sequence[Dictionary]) -> alt.Color:
    colours = dictionary_colours(dictionaries)
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    legend = alt.Legend(title=None, orient="top", symbolType="circle")
    return alt.Color("name:N", scale=scale, legend=legend)


def dictionary_colours(dictionaries: Sequence[Dictionary]) -> dict[str, str]:
    """The colour of each dictionary name: grey for neurons, shades of the accent for SAEs."""
    neurons = {d.name for d in dictionaries if d.basis == "neurons"}
    return palette.by_name(_unique(d.name for d in dictionaries), neurons)


def _unique(names: Any) -> list[str]:
    return list(dict.fromkeys(names))
