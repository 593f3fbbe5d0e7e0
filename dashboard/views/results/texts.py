"""Results of texts: what people say of each group, and of one group against another."""

import streamlit as st

from dashboard.components.table import table
from dashboard.page import furniture
from dashboard.study import charts, hints
from dashboard.study.charts import ROW, row
from pipeline.study import sentences
from pipeline.study.alone import HIGHEST, LOWEST
from pipeline.study.findings import Findings

NOBODY = "no group"
COLUMNS = [
    {"key": "scale", "title": "scale", "kind": "text", "help": hints.SCALE},
    {"key": "group", "title": "group", "kind": "text", "help": hints.GROUP},
    {"key": "other", "title": "less", "kind": "text", "help": hints.GROUP},
    {"key": "gap", "title": "difference", "kind": "number", "help": hints.DIFFERENCES},
    {"key": "count", "title": "matched", "kind": "number", "help": hints.MATCHED},
]


def show(found: Findings) -> None:
    """Each scale with its groups, then groups against each other."""
    choice = found.content.study.kind == "choice"
    for scale in dict.fromkeys(one.scale for one in found.groups):
        groups = [one for one in found.groups if one.scale == scale and one.estimate.known]
        furniture.section(scale.capitalize() or "What people choose", hints.GROUPS)
        if not groups:
            furniture.empty("Nobody has judged these texts yet.")
            continue
        rows = [row(one.group or NOBODY, one.estimate) for one in groups]
        st.altair_chart(
            charts.groups(
                rows, title="share of choices" if choice else f"mean rating, {LOWEST} to {HIGHEST}",
                ends=(0, 1) if choice else (LOWEST, HIGHEST),
                chance=groups[0].chance if choice else None,
            ),
            width="stretch", height=ROW * len(rows) + 70, key=f"groups-{scale}",
            alt=f"{scale}: " + "; ".join(f"{o.name} {o.value:.2f}" for o in rows),
        )  # fmt: skip
    if found.differences:
        furniture.section("One group against another", hints.DIFFERENCES)
        table(
            COLUMNS,
            [
                {
                    "scale": one.scale, "group": one.group or NOBODY, "other": one.other or NOBODY,
                    "gap": sentences.decimals(one.estimate) if one.estimate.known else "–",
                    "count": f"{one.estimate.count:,}", "first": False,
                }
                for one in found.differences
            ],
            key="differences",
        )  # fmt: skip
