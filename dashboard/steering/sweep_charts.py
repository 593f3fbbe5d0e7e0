"""The charts of a sweep: what becomes of the concept and of the language as strength grows."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from dashboard.style import palette
from dashboard.style.numbers import number


def over_strengths(
    strengths: Sequence[float],
    values: Sequence[float | None],
    *,
    level: float | None,
    name: str,
    unit: str,
    accent: str,
    log: bool = False,
) -> alt.LayerChart:
    """One measure of what is said, by strength; `level` is the unsteered text's, a dashed rule."""
    rows: list[dict[str, Any]] = [
        {"at": at, "value": value, "told": number(value, 3)}
        for at, value in zip(strengths, values, strict=True)
        if value is not None and not math.isnan(value)
    ]
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    axis = alt.Axis(tickCount=4, format=".3~s" if log else ".3~g")
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("at:Q", axis=alt.Axis(grid=False, tickCount=5, title=unit)),
        y=alt.Y("value:Q", title=name, scale=scale, axis=axis),
        tooltip=[alt.Tooltip("at:Q", title=unit), alt.Tooltip("told:N", title=name)],
    )
    points = alt.OverlayMarkDef(color=accent, size=40)
    line = base.mark_line(strokeWidth=2, color=accent, point=points)
    if level is None or math.isnan(level):
        return alt.layer(line)
    rule = alt.Chart(alt.InlineData(values=[{"level": level}])).mark_rule(
        strokeDash=[5, 3], color=palette.NEURONS, strokeWidth=1.5
    )
    return alt.layer(rule.encode(y="level:Q"), line)
