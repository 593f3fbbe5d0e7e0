"""Charts of steering a contrastive model: labels before and after, and over strengths."""

from collections.abc import Sequence

import altair as alt
import numpy as np
from numpy.typing import NDArray

from dashboard.steering.joint_space import WAYS, Shift
from dashboard.style import palette

COLOURS = (palette.NEURONS, palette.CONTROL, palette.SAE_SHADES[0])
"""Of WAYS, in the charts and beside them."""
ROW = 38
"""Height of a label's bars, in pixels."""


def before_and_after(shifts: Sequence[Shift]) -> alt.Chart:
    """Bars of each label's probability, a way under the other."""
    rows = [
        {"label": one.name, "way": way, "chance": chance, "change": f"{one.change:+.3f}"}
        for one in shifts
        for way, chance in zip(WAYS, (one.unsteered, one.reconstruction, one.steered), strict=True)
        if chance is not None
    ]
    ways = [way for way in WAYS if any(row["way"] == way for row in rows)]
    colours = [COLOURS[WAYS.index(way)] for way in ways]
    return (
        alt.Chart(alt.InlineData(values=rows), height=ROW * len(shifts))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            y=alt.Y("label:N", sort=[one.name for one in shifts], title=None,
                    axis=alt.Axis(ticks=False, domain=False, labelLimit=150)),
            yOffset=alt.YOffset("way:N", sort=ways),
            x=alt.X("chance:Q", title="probability", scale=alt.Scale(domain=[0, 1]),
                    axis=alt.Axis(tickCount=5, format=".1f")),
            color=alt.Color("way:N", legend=None, scale=alt.Scale(domain=ways, range=colours)),
            tooltip=[
                alt.Tooltip("label:N"), alt.Tooltip("way:N"),
                alt.Tooltip("chance:Q", title="probability", format=".4f"),
                alt.Tooltip("change:N", title="steered less unsteered"),
            ],
        )
    )  # fmt: skip


def over_strengths(
    names: Sequence[str],
    at: Sequence[float],
    chances_an: NDArray[np.float64],
    *,
    title: str,
    chosen: float,
) -> alt.LayerChart:
    """One line a label, at most one a hue, with the chosen strength marked.

    Args:
        at: strengths.
        chances_an: probabilities of the labels at each.
    """
    names = list(names)[: len(palette.HUES)]
    rows = [
        {"at": strength, "label": name, "chance": float(chances[place])}
        for strength, chances in zip(at, chances_an, strict=True)
        for place, name in enumerate(names)
    ]
    x = alt.X("at:Q", title=title, scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=8))
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=x,
        y=alt.Y("chance:Q", title="probability", scale=alt.Scale(domain=[0, 1])),
        color=alt.Color(
            "label:N", scale=alt.Scale(domain=names, range=list(palette.HUES[: len(names)])),
            legend=alt.Legend(title=None, orient="top", columns=3),
        ),
        tooltip=[
            alt.Tooltip("label:N"), alt.Tooltip("at:Q", title="strength", format=".2f"),
            alt.Tooltip("chance:Q", title="probability", format=".4f"),
        ],
    )  # fmt: skip
    rule = (
        alt.Chart(alt.InlineData(values=[{"at": chosen}]))
        .mark_rule(strokeDash=[3, 3], color=palette.NEURONS)
        .encode(x=x)
    )
    return alt.layer(rule, base.mark_line(strokeWidth=2), base.mark_circle(size=40, opacity=1))
