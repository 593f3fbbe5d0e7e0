"""Results: the people who judged, when, and how fast."""

from datetime import timedelta

import streamlit as st

from dashboard.components.table import table
from dashboard.page import furniture
from dashboard.study import charts, hints, results
from dashboard.study.results import Heard
from pipeline.study.findings import Findings

HIGH = 240
SPAN = timedelta(seconds=60)
"""Votes that come within this, as imported ones do, make no chart."""
MOST_PEOPLE = 200
COLUMNS = [
    {"key": "who", "title": "annotator", "kind": "text", "help": hints.ANNOTATORS},
    {"key": "votes", "title": "votes", "kind": "number", "help": hints.VOTES},
    {"key": "skips", "title": "skips", "kind": "number", "help": hints.SKIPS},
    {"key": "failed", "title": "checks failed", "kind": "number", "help": hints.FAILURES},
    {"key": "alike", "title": "repeats alike", "kind": "number", "help": hints.REPEATS},
    {"key": "time", "title": "median time", "kind": "number", "help": hints.MEDIAN},
]


def show(heard: Heard, found: Findings) -> None:
    """Votes over time and response times side by side, then everybody."""
    moments, times = results.counted(heard, found.kept)
    left, right = st.columns(2, gap="medium")
    with left:
        furniture.section("Votes over time", hints.TIME)
        first, last = moments[0], moments[-1]
        if last - first < SPAN:
            furniture.empty(f"All came within {SPAN.seconds} s, at {first:%Y-%m-%d %H:%M} UTC.")
        else:
            st.altair_chart(
                charts.over_time(moments), width="stretch", height=HIGH, key="over-time",
                alt=f"{len(moments):,} votes from {first:%Y-%m-%d %H:%M} to "
                f"{last:%Y-%m-%d %H:%M} UTC.",
            )  # fmt: skip
    with right:
        furniture.section("Response times", hints.RESPONSE)
        if times:
            st.altair_chart(
                charts.times(times),
                width="stretch",
                height=HIGH,
                key="times",
                alt=f"Response times of {len(times):,} answers; the medians are in the table.",
            )
        else:
            furniture.empty("No response time is known: these votes were imported.")
    annotators(found)


def annotators(found: Findings) -> None:
    """Everybody who answered anything; those that do not count in brackets."""
    furniture.section("Annotators", hints.ANNOTATORS)
    table(
        COLUMNS,
        [
            {
                "who": one.annotator if one.annotator in found.kept else f"({one.annotator})",
                "votes": f"{one.votes:,}", "skips": f"{one.skips:,}", "first": False,
                "failed": f"{one.caught} of {one.catches}" if one.catches else "–",
                "alike": f"{one.alike} of {one.repeats}" if one.repeats else "–",
                "time": "–" if one.median_ms is None else f"{one.median_ms / 1000:.1f} s",
            }
            for one in found.checks[:MOST_PEOPLE]
        ],
        key="annotators",
    )  # fmt: skip
    if len(found.checks) > MOST_PEOPLE:
        st.caption(f"The first {MOST_PEOPLE} of {len(found.checks):,}; the export has all.")
