"""Charts of Results: agreement, scores, rankings, votes over time, response times."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import altair as alt
import numpy as np

from dashboard.style import palette
from pipeline.study.agreement import Step
from pipeline.study.bootstrap import Estimate

MARK = palette.SAE_SHADES[0]
ROW = 24
"""Height of a row with a name."""
TIMES = [100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000]
"""Milliseconds that the axis of response times names."""
MOST_MOMENTS = 200
BINS = 30
INTERVAL = alt.Tooltip("told:N", title="95 % interval")


@dataclass(frozen=True)
class Row:
    """A figure with its interval beside a name."""

    name: str
    value: float
    low: float
    high: float
    count: int


def by_difference(steps: Sequence[Step], *, score: str) -> alt.LayerChart:
    """Agreement with the majority, against how far the scores of a pair lie apart: a point for each
    step of about as many pairs, the interval upright, the step's reach across."""
    rows = [
        _row(step.agreement)
        | {"low at": step.low, "at": (step.low + step.high) / 2, "high at": step.high}
        for step in steps
        if step.agreement.known
    ]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        tooltip=[
            alt.Tooltip("value:Q", title="agreement", format=".0%"), INTERVAL,
            alt.Tooltip("count:Q", title="pairs"),
            alt.Tooltip("low at:Q", title="difference from", format=".3g"),
            alt.Tooltip("high at:Q", title="to", format=".3g"),
        ]
    )  # fmt: skip
    title = f"difference of {score} between the two of a pair"
    x = alt.X("at:Q", title=title, axis=alt.Axis(grid=False, tickCount=5))
    y = _shares("value", "agreement with most people")
    return alt.layer(
        _level(0.5, "y"),
        base.mark_rule(strokeWidth=1.5, color=MARK).encode(x=x, y=_shares("low"), y2="high:Q"),
        base.mark_rule(strokeWidth=1, color=MARK, opacity=0.45).encode(
            x=alt.X("low at:Q"), x2="high at:Q", y=y
        ),
        base.mark_line(strokeWidth=2, color=MARK).encode(x=x, y=y),
        base.mark_circle(size=70, opacity=1, color=MARK).encode(x=x, y=y),
    )


def board(rows: Sequence[Row], *, title: str, chance: float, shares: bool) -> alt.LayerChart:
    """Figures below each other with their intervals; the dashed line is chance."""
    x = alt.X("value:Q", title=title, scale=alt.Scale(domain=[0, 1] if shares else [-1, 1]),
              axis=alt.Axis(format="%" if shares else "", tickCount=5))  # fmt: skip
    return alt.layer(
        _level(chance, "x"), *_intervals(rows, x, ".0%" if shares else ".2f", "judged")
    )


def forest(rows: Sequence[Row], *, reach: tuple[float, float]) -> alt.LayerChart:
    """Bradley-Terry strengths with their intervals, in the order given, on an axis that reaches so
    far: charts beside each other have the same."""
    scale = alt.Scale(domain=list(reach), nice=True)
    x = alt.X("value:Q", title="strength", scale=scale, axis=alt.Axis(tickCount=5))
    return alt.layer(_level(0, "x"), *_intervals(rows, x, ".2f", "pairs"))


def groups(
    rows: Sequence[Row], *, title: str, ends: tuple[float, float], chance: float | None
) -> alt.LayerChart:
    """Groups of texts below each other; the dashed line is chance, where there is any."""
    shares = ends == (0, 1)
    x = alt.X("value:Q", title=title, scale=alt.Scale(domain=list(ends), zero=False, nice=False),
              axis=alt.Axis(format="%" if shares else "", tickCount=5))  # fmt: skip
    drawn = _intervals(rows, x, ".0%" if shares else ".2f", "texts")
    return alt.layer(*([] if chance is None else [_level(chance, "x")]), *drawn)


def over_time(moments: Sequence[datetime]) -> alt.Chart:
    """How many votes there were by when; `moments` are in order."""
    count = len(moments)
    at = np.unique(np.linspace(0, count - 1, min(count, MOST_MOMENTS)).round().astype(int))
    rows = [{"at": moments[i].isoformat(), "votes": int(i) + 1} for i in at]
    mark = {"line": {"strokeWidth": 2, "color": MARK}, "interpolate": "step-after", "opacity": 0.25}
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_area(color=MARK, **mark)
        .encode(
            x=alt.X("at:T", title=None, axis=alt.Axis(grid=False, tickCount=5, labelOverlap=True)),
            y=alt.Y(
                "votes:Q", title="votes so far", stack=None, axis=alt.Axis(tickCount=4, format="~s")
            ),
            tooltip=[
                alt.Tooltip("at:T", title="by", format="%Y-%m-%d %H:%M"),
                alt.Tooltip("votes:Q", format=","),
            ],
        )
    )


def times(milliseconds: Sequence[int]) -> alt.Chart:
    """Answers by how long people took, on a logarithmic scale."""
    values = np.maximum(np.asarray(milliseconds, float), TIMES[0])
    edges = np.geomspace(values.min() * 0.98, values.max() * 1.02, BINS + 1)
    counts = np.histogram(values, edges)[0]
    ticks = [t / 1000 for t in TIMES if edges[0] <= t <= edges[-1]]
    if len(ticks) < 2:
        ticks = [float(f"{t / 1000:.2g}") for t in (values.min(), values.max())]
    rows = [
        {"low": low / 1000, "high": high / 1000, "answers": int(count)}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(color=MARK, binSpacing=1)
        .encode(
            x=alt.X("low:Q", bin="binned", title="seconds from first sight to answer, log scale",
                    scale=alt.Scale(type="log", nice=False),
                    axis=alt.Axis(values=ticks, format="~g", grid=False)),
            x2="high:Q",
            y=alt.Y("answers:Q", axis=alt.Axis(tickCount=4, format="d")),
            tooltip=[
                alt.Tooltip("low:Q", title="from", format=".2f"),
                alt.Tooltip("high:Q", title="to", format=".2f"), alt.Tooltip("answers:Q"),
            ],
        )
    )  # fmt: skip


def row(name: str, told: Estimate) -> Row:
    """An estimate beside a name."""
    return Row(name, told.value, told.low, told.high, told.count)


def _intervals(rows: Sequence[Row], x: alt.X, digits: str, unit: str) -> list[alt.Chart]:
    values = [{"name": one.name} | _row(one) for one in rows]
    base = alt.Chart(alt.InlineData(values=values)).encode(
        y=alt.Y("name:N", title=None, sort=[one.name for one in rows],
                scale=alt.Scale(type="point", padding=0.6),
                axis=alt.Axis(ticks=False, domain=False, labelLimit=230)),
        tooltip=[
            alt.Tooltip("name:N", title=" "), alt.Tooltip("value:Q", title=" ", format=digits),
            INTERVAL, alt.Tooltip("count:Q", title=unit, format=","),
        ],
    )  # fmt: skip
    points = base.mark_circle(size=70, opacity=1, color=MARK).encode(x=x)
    if all(np.isnan(one.low) for one in rows):  # marks of nothing have no name for who listens
        return [points]
    return [base.mark_rule(strokeWidth=1.5, color=MARK).encode(x="low:Q", x2="high:Q"), points]


def _row(told: Row | Estimate) -> dict[str, Any]:
    known = not np.isnan(told.low)
    return {
        "value": told.value, "count": told.count, "low": told.low if known else None,
        "high": told.high if known else None,
        "told": f"{told.low:.2f} to {told.high:.2f}" if known else "too few to tell",
    }  # fmt: skip


def _shares(name: str, title: str | None = None) -> alt.Y:
    return alt.Y(f"{name}:Q", title=title, scale=alt.Scale(domain=[0, 1]),
                 axis=alt.Axis(format="%", tickCount=5))  # fmt: skip


def _level(at: float, axis: str) -> alt.Chart:
    """What chance alone gives."""
    rule = alt.Chart(alt.InlineData(values=[{"chance": at}])).mark_rule(
        strokeDash=[5, 3], color=palette.NEURONS, strokeWidth=1.5
    )
    return rule.encode(y="chance:Q") if axis == "y" else rule.encode(x="chance:Q")
