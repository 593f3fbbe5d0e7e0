"""Charts of Modalities: shares, correlations and reconstruction through the layers."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from dashboard.records.dictionaries import Dictionary, Reconstruction
from dashboard.records.modalities import Correlations, Overlap
from dashboard.style import palette
from dashboard.style.numbers import percent

KINDS = {
    "image_only": ("pictures alone", palette.IMAGE), "shared": ("both", palette.BOTH),
    "text_only": ("words alone", palette.TEXT),
}  # fmt: skip
SHUFFLED = "both, shuffled"
TOKENS = {
    "patch": (palette.IMAGE, [1, 0]), "image": (palette.IMAGE, [1, 0]),
    "caption": (palette.TEXT, [1, 0]), "caption_alone": (palette.TEXT, [5, 3]),
    "text": (palette.NEURONS, [1, 0]),
}  # fmt: skip
"""Kinds of token that are compared, with colour and dashes."""
DASHES = [5, 3]
PAIRS, OTHERS = "image and its captions", "shuffled"
LEGEND = {
    "Shares": [
        *((name, colour, "solid") for name, colour in KINDS.values()),
        (SHUFFLED, palette.BOTH, "dashed"),
    ],
    "Correlation": [(PAIRS, palette.BOTH, "solid"), (OTHERS, palette.BOTH, "dashed")],
}
"""Once for several charts (see `furniture.line_legend`)."""


def shares_by_layer(
    layers: Sequence[Dictionary], overlaps: Mapping[str, Overlap]
) -> alt.LayerChart:
    """One line a kind of feature, through the layers, at one threshold."""
    rows = [
        row | {"at": d.place}
        for d in layers
        if d.dictionary_id in overlaps
        for row in _shares(overlaps[d.dictionary_id])
    ]
    return _lines(rows, _layers(layers), "share of live features")


def shares_by_threshold(curve: Sequence[Overlap], threshold: float) -> alt.LayerChart:
    """The same of one layer, through the thresholds, with the chosen one marked."""
    rows = [row | {"at": percent(one.threshold)} for one in curve for row in _shares(one)]
    order = [percent(one.threshold) for one in curve]
    x = alt.X("at:O", sort=order, title="fires above a density of",
              # Room at the ends, or the last label is cut.
              scale=alt.Scale(type="point", padding=0.9),
              axis=alt.Axis(labelAngle=0, labelOverlap="greedy", ticks=False))  # fmt: skip
    return alt.layer(
        _rule(percent(threshold)).encode(x=x), _lines(rows, x, "share of live features")
    )


def correlation_by_layer(
    layers: Sequence[Dictionary], spreads: Mapping[str, Correlations]
) -> alt.LayerChart:
    """Median and quartiles of pair correlation through the layers, with the shuffled ones."""
    rows = []
    for d in layers:
        if (one := spreads.get(d.dictionary_id)) is None:
            continue
        base = {"at": d.place, "known": one.known}
        rows.append(base | {"kind": PAIRS, "low": one.p25, "value": one.p50, "high": one.p75})
        rows.append(
            base | {"kind": OTHERS, "low": one.shuffled_p25, "value": one.shuffled_p50,
                    "high": one.shuffled_p75}
        )  # fmt: skip
    kinds = [PAIRS, OTHERS]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=_layers(layers),
        color=alt.Color("kind:N", legend=None, scale=alt.Scale(
            domain=kinds, range=[palette.BOTH, palette.BOTH])),
    )  # fmt: skip
    y = alt.Y("low:Q", title="pair correlation", axis=alt.Axis(tickCount=4))
    tooltip = [
        alt.Tooltip("at:N", title="layer"), alt.Tooltip("kind:N"),
        alt.Tooltip("value:Q", title="median", format=".3f"),
        alt.Tooltip("low:Q", title="25 %", format=".3f"),
        alt.Tooltip("high:Q", title="75 %", format=".3f"),
        alt.Tooltip("known:Q", title="features", format=","),
    ]  # fmt: skip
    dash = alt.StrokeDash(
        "kind:N", legend=None, scale=alt.Scale(domain=kinds, range=[[1, 0], DASHES])
    )
    return alt.layer(
        base.mark_area(opacity=0.18).encode(y=y, y2="high:Q"),
        base.mark_line(strokeWidth=2).encode(y="value:Q", strokeDash=dash),
        *_points(base.encode(y="value:Q", tooltip=tooltip), OTHERS),
    )


def by_token(
    layers: Sequence[Dictionary],
    measured: Sequence[Reconstruction],
    *,
    metric: str,
    title: str,
    names: Mapping[str, str],
    mark: str | None,
) -> alt.LayerChart:
    """One line a kind of token through the layers; `mark` is the place that a rule marks."""
    place = {d.dictionary_id: d.place for d in layers}
    rows = [
        {"at": place[r.dictionary_id], "kind": names[r.token_type], "tokens": r.tokens,
         "value": getattr(r, metric)}
        for r in measured
        if r.dictionary_id in place and r.token_type in TOKENS
    ]  # fmt: skip
    known = {names[kind]: look for kind, look in TOKENS.items()}
    kinds = [name for name in known if any(row["kind"] == name for row in rows)]
    colours, dashes = [known[k][0] for k in kinds], [known[k][1] for k in kinds]
    x = _layers(layers)
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=x,
        y=alt.Y("value:Q", title=title, axis=alt.Axis(tickCount=5), scale=alt.Scale(zero=True)),
        color=alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=colours), legend=_legend()),
    )
    dash = alt.StrokeDash("kind:N", scale=alt.Scale(domain=kinds, range=dashes), legend=_legend())
    tooltip = [
        alt.Tooltip("at:N", title="layer"), alt.Tooltip("kind:N", title="tokens"),
        alt.Tooltip("value:Q", title=title, format=".3f"),
        alt.Tooltip("tokens:Q", title="measured on", format=","),
    ]  # fmt: skip
    lines = [
        base.mark_line(strokeWidth=2).encode(strokeDash=dash),
        base.mark_circle(size=48, opacity=1).encode(tooltip=tooltip),
    ]
    return alt.layer(*([_rule(mark).encode(x=x)] if mark else []), *lines)


def _shares(one: Overlap) -> list[dict[str, Any]]:
    own = [
        {"kind": name, "share": getattr(one, field), "live": one.live}
        for field, (name, _) in KINDS.items()
    ]
    baseline = {"kind": SHUFFLED, "share": one.shared_shuffled, "live": one.live}
    return [*own, baseline]


def _lines(rows: Sequence[dict[str, Any]], x: alt.X, title: str) -> alt.LayerChart:
    looks = dict(KINDS.values()) | {SHUFFLED: palette.BOTH}
    scale = alt.Scale(domain=list(looks), range=list(looks.values()))
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=x,
        y=alt.Y("share:Q", title=title, scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%", tickCount=5)),
        color=alt.Color("kind:N", scale=scale, legend=None),
    )  # fmt: skip
    dash = alt.StrokeDash("kind:N", legend=None, scale=alt.Scale(
        domain=list(looks), range=[[1, 0]] * len(KINDS) + [DASHES]))  # fmt: skip
    tooltip = [
        alt.Tooltip("at:N", title="at"), alt.Tooltip("kind:N", title="fires on"),
        alt.Tooltip("share:Q", title="share", format=".1%"),
        alt.Tooltip("live:Q", title="live features", format=","),
    ]  # fmt: skip
    return alt.layer(
        base.mark_line(strokeWidth=2).encode(strokeDash=dash),
        *_points(base.encode(tooltip=tooltip), SHUFFLED),
    )


def _points(base: alt.Chart, hollow: str) -> tuple[alt.Chart, alt.Chart]:
    """A dot a value; those of the kind `hollow` are rings, larger, so that none hides another."""
    return (
        base.transform_filter(alt.datum.kind != hollow).mark_circle(size=40, opacity=1),
        base.transform_filter(alt.datum.kind == hollow).mark_point(
            size=90, opacity=1, filled=False, strokeWidth=1.75
        ),
    )


def _rule(at: str) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=[{"at": at}])).mark_rule(
        strokeWidth=6, opacity=0.28, color=palette.NEURONS
    )


def _layers(layers: Sequence[Dictionary]) -> alt.X:
    """The layers in order; where all are of one tower, it is named once."""
    order = [d.place for d in layers]
    starts = {place[: place.index(".") + 1] for place in order if "." in place}
    one = next(iter(starts)) if len(starts) == 1 and len(order) > 1 else ""
    return alt.X(
        "at:O", sort=order, scale=alt.Scale(domain=order), title=one.removesuffix(".") or None,
        axis=alt.Axis(
            labelAngle=0, labelOverlap="greedy", ticks=False,
            labelExpr=f"slice(datum.label, {len(one)})",
        ),
    )  # fmt: skip


def _legend() -> alt.Legend:
    return alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=2, offset=4)
