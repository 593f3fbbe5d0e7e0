"""The chart of a sweep: what becomes of the concept and of the language as strength grows."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from dashboard import palette
from dashboard.numbers import number


def over_strengths(
    strengths: Sequence[float],
    shows: Sequence[float | None],
    perplexities: Sequence[float],
    *,
    level: tuple[float | None, float],
    title: str,
    unit: str,
    accent: str,
) -> alt.VConcatChart:
    """How strongly the concept shows, by strength, above the perplexity; `level` holds both of the
    unsteered text, as dashed rules."""
    parts = [
        _line(strengths, values, rule, name, unit, accent, log=log, last=log)
        for values, rule, name, log in (
            (shows, level[0], title, False), (perplexities, level[1], "perplexity", True),
        )
    ]  # fmt: skip
    return alt.vconcat(*parts, spacing=6).resolve_scale(x="shared")


def _line(
    strengths: Sequence[float],
    values: Sequence[float | None],
    rule: float | None,
    name: str,
    unit: str,
    colour: str,
    *,
    log: bool,
    last: bool,
) -> alt.LayerChart:
    rows: list[dict[str, Any]] = [
        {"at": at, "value": value, "told": number(value, 3)}
        for at, value in zip(strengths, values, strict=True)
        if value is not None and value == value
    ]
    axis = alt.Axis(grid=False, tickCount=5, labels=last, ticks=last, title=unit if last else None)
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    base = alt.Chart(alt.InlineData(values=rows), width="container", height=120).encode(
        x=alt.X("at:Q", axis=axis),
        y=alt.Y("value:Q", title=name, scale=scale, axis=alt.Axis(tickCount=4)),
        tooltip=[alt.Tooltip("at:Q", title=unit), alt.Tooltip("told:N", title=name)],
    )  # fmt: skip
    line = base.mark_line(
        strokeWidth=2, color=colour, point=alt.OverlayMarkDef(color=colour, size=40)
    )
    if rule is None:
        return alt.layer(line)
    marked = alt.Chart(alt.InlineData(values=[{"level": rule}])).mark_rule(
        strokeDash=[5, 3], color=palette.NEURONS, strokeWidth=1.5
    )
    return alt.layer(marked.encode(y="level:Q"), line)
