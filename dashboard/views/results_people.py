"""Results: the people who judged, when, and how fast."""

from datetime import timedelta

import streamlit as st

from dashboard import verdicts, votecharts, widgets
from dashboard import words_results as words
from dashboard.components.table import table
from dashboard.verdicts import Heard
from pipeline.study.findings import Findings

HIGH = 240
SPAN = timedelta(seconds=60)
"""Votes that come within this, as imported ones do, make no chart."""
MOST_PEOPLE = 200
COLUMNS = [
    {"key": "who", "title": "annotator", "kind": "text", "help": words.ANNOTATORS},
    {"key": "votes", "title": "votes", "kind": "number", "help": words.VOTES},
    {"key": "skips", "title": "skips", "kind": "number", "help": words.SKIPS},
    {"key": "failed", "title": "checks failed", "kind": "number", "help": words.FAILURES},
    {"key": "alike", "title": "repeats alike", "kind": "number", "help": words.REPEATS},
    {"key": "time", "title": "median time", "kind": "number", "help": words.MEDIAN},
]


def show(heard: Heard, found: Findings) -> None:
    """Votes over time and response times side by side, then everybody."""
    moments, times = verdicts.counted(heard, found.kept)
    left, right = st.columns(2, gap="medium")
    with left:
        widgets.section("Votes over time", words.TIME)
        first, last = moments[0], moments[-1]
        if last - first < SPAN:
            widgets.empty(f"All came within {SPAN.seconds} s, at {first:%Y-%m-%d %H:%M} UTC.")
        else:
            st.altair_chart(
                votecharts.over_time(moments), width="stretch", height=HIGH, key="over-time",
                alt=f"{len(moments):,} votes from {first:%Y-%m-%d %H:%M} to "
                f"{last:%Y-%m-%d %H:%M} UTC.",
            )  # fmt: skip
    with right:
        widgets.section("Response times", words.RESPONSE)
        if times:
            st.altair_chart(
                votecharts.times(times),
                width="stretch",
                height=HIGH,
                key="times",
                alt=f"Response times of {len(times):,} answers; the medians are in the table.",
            )
        else:
            widgets.empty("No response time is known: these votes were imported.")
    annotators(found)


def annotators(found: Findings) -> None:
    """Everybody who answered anything; those that do not count in brackets."""
    widgets.section("Annotators", words.ANNOTATORS)
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
