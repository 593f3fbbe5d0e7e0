"""Results: what a user study found, for its owner."""

from collections.abc import Callable

import pyarrow as pa
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import address, gate
from dashboard.bundle import opening
from dashboard.exports import votes as tables
from dashboard.page import downloads, furniture
from dashboard.people import access, annotations
from dashboard.study import hints
from dashboard.study import results as study_results
from dashboard.study.results import NO_SCORES, Brought, Heard
from dashboard.style import markdown
from dashboard.views.results import people, scores
from dashboard.views.results import texts as results_texts
from pipeline.annotations import AnnotationsError
from pipeline.study import bootstrap, findings, ratings, results, sentences
from pipeline.study.files import TEXTS
from pipeline.study.findings import Findings

ALL = -1
SHARES = (50, 25, 10, 0)
"""Percent of their checks that people may have failed who count; ALL: any."""


def choose_study(names: list[str]) -> str:
    """Which of the visitor's studies. It stays in the address, also where it is the first one: the
    owner's link needs it."""
    asked = st.query_params.get(access.STUDY)
    place = names.index(asked) if asked in names else 0
    return str(
        st.selectbox(
            "Study",
            names,
            place,
            key="chosen-study",
            on_change=gate.allowed(_go),
            help=hints.STUDY,
            width=220,
        )
    )


def _go() -> None:
    st.query_params[access.STUDY] = st.session_state["chosen-study"]


def choose_failed(heard: Heard) -> int | None:
    """The largest share of their checks, in percent, that people may have failed who count; None
    for everybody, which is all there is where nobody was checked."""
    choices = [ALL, *SHARES] if any(one.catches for one in heard.checks) else [ALL]
    chosen = st.selectbox(
        "Checks failed, at most", choices, **address.own("failed"),
        format_func=lambda n: hints.EVERYBODY if n == ALL else f"{n} %", help=hints.FAILURES,
        width=190,
    )  # fmt: skip
    return None if chosen == ALL else int(chosen)


def choose_score(found: Findings) -> str:
    """The score that people are held against."""
    names = [name for name, _ in found.board] or list(found.scores) or ["ms"]
    first = findings.score_of(found, "ms")
    return str(
        st.selectbox(
            "Score", sorted(names, key=lambda name: name != first), **address.own("score"),
            help=hints.SCORE, width=220,
        )
    )  # fmt: skip


def bring(heard: Heard) -> Brought:
    """A table of scores of the visitor's own."""
    with st.popover("Bring scores", help=hints.BRING):
        file = st.file_uploader("Scores (CSV)", type="csv", help=hints.BRING)
        if file is None:
            return NO_SCORES
        brought = study_results.bring(heard.content, file.name, file.getvalue())
        if brought.problem:
            st.error(markdown.plain(brought.problem))
        return brought


def export(heard: Heard, found: Findings) -> None:
    """The tables that the page rests on."""
    content = heard.content
    made: dict[str, Callable[[], pa.Table | str]] = {
        "votes": lambda: tables.votes_table(content, heard.votes),
        "annotators": lambda: tables.annotators_table(found),
    }
    if content.study.kind in TEXTS:
        made["ratings"] = lambda: ratings.ratings_csv(
            content, [vote for vote in heard.votes if vote.annotator in found.kept]
        )
    else:
        what = "pairs" if content.study.kind == "pairs" else "judged"
        made[what] = lambda: tables.items_table(found)
        made["features"] = lambda: tables.features_table(found)
    downloads.tables_downloads(
        made,
        name=heard.content.study.name,
        key="export-study",
    )


def figures(heard: Heard, found: Findings) -> None:
    """The study in numbers."""
    checks = found.checks
    caught, catches = sum(c.caught for c in checks), sum(c.catches for c in checks)
    rows = [
        ("votes", f"{heard.had:,} of {heard.wanted:,}", hints.PROGRESS),
        ("that count", f"{found.votes:,}", hints.VOTES),
        ("people", f"{len(found.of.annotators)} of {len(checks)}", hints.PEOPLE),
        ("two say the same", _share(found.people.percent), hints.PERCENT),
        ("alpha", _decimals(found.people.alpha), hints.ALPHA),
        ("AC2", _decimals(found.people.ac2), hints.AC2),
    ]
    alike = results.alike(checks)
    if alike.known:
        rows.append(("repeats alike", f"{_share(alike)} of {alike.count:,}", hints.REPEATS))
    if catches:
        rows.append(("checks failed", f"{caught:,} of {catches:,}", hints.CHECKS))
    furniture.figures(rows)


def _share(told: bootstrap.Estimate) -> str:
    return sentences.shares(told) if told.known else "–"


def _decimals(told: bootstrap.Estimate) -> str:
    return sentences.decimals(told) if told.known else "–"


def page(heard: Heard, head: DeltaGenerator, choices: DeltaGenerator) -> None:
    """A study's results, below the choice of the study: with its `head`, and what else there is to
    choose (`choices`)."""
    study = heard.content.study
    with choices:
        failed = choose_failed(heard)
        texts = study.kind in TEXTS
        brought = NO_SCORES if texts else bring(heard)
        found = study_results.found(heard, failed=failed, brought=brought)
        score = "" if texts else choose_score(found)
        if heard.votes:
            export(heard, found)
    with head:
        furniture.heading(study.title or f"Results of {study.name}", study.asked)
    if not found.votes:
        message = hints.NO_VOTES.format(study=study.name)
        if found.checks:
            message = hints.NOTHING_COUNTS if failed is None else hints.NONE_LEFT
        furniture.empty(message)
        if found.checks:
            people.annotators(found)
        return
    said = [one.replace(" %", "\u00a0%") for one in sentences.of(found, score, brief=True)]
    first, *more = map(markdown.plain, said)
    with st.container(key="verdict"):
        st.markdown(" ".join([f"**{first}**", *more]))
    figures(heard, found)
    if heard.content.imported:
        st.caption(hints.PUBLISHED)
    if texts:
        results_texts.show(found)
    else:
        scores.show(opening.current(), found, score)
    people.show(heard, found)


owned = access.owned()
head = st.container(key="results-head")
if not owned:
    with head:
        furniture.heading("Results")
    if not annotations.notice():
        furniture.empty(hints.NO_STUDY)
    st.stop()
choices = st.container(key="results-choices", horizontal=True, vertical_alignment="bottom")
with choices:
    chosen = choose_study(owned)
try:
    heard = study_results.heard(chosen)
except (AnnotationsError, ValueError) as problem:
    furniture.refused(str(problem))
    annotations.notice()
    st.stop()
if heard is not None:
    page(heard, head, choices)
annotations.notice()
