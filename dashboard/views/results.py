"""Results: what a user study found, for its owner."""

from collections.abc import Callable

import pyarrow as pa
import streamlit as st

from dashboard import access, connection, downloads, gate, people, state, verdicts, widgets
from dashboard import words_results as words
from dashboard.exports import votes as tables
from dashboard.verdicts import NO_SCORES, Brought, Heard
from dashboard.views import results_people, results_scores, results_texts
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
            help=words.STUDY,
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
        "Checks failed, at most", choices, **state.own("failed"),
        format_func=lambda n: words.EVERYBODY if n == ALL else f"{n} %", help=words.FAILURES,
        width=190,
    )  # fmt: skip
    return None if chosen == ALL else int(chosen)


def choose_score(found: Findings) -> str:
    """The score that people are held against."""
    names = [name for name, _ in found.board] or list(found.scores) or ["ms"]
    first = findings.score_of(found, "ms")
    return str(
        st.selectbox(
            "Score", sorted(names, key=lambda name: name != first), **state.own("score"),
            help=words.SCORE, width=220,
        )
    )  # fmt: skip


def bring(heard: Heard) -> Brought:
    """A table of scores of the visitor's own."""
    with st.popover("Bring scores", help=words.BRING):
        file = st.file_uploader("Scores (CSV)", type="csv", help=words.BRING)
        if file is None:
            return NO_SCORES
        brought = verdicts.bring(heard.content, file.name, file.getvalue())
        if brought.problem:
            st.error(widgets.plain(brought.problem))
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
        ("votes", f"{heard.had:,} of {heard.wanted:,}", words.PROGRESS),
        ("that count", f"{found.votes:,}", words.VOTES),
        ("people", f"{len(found.of.annotators)} of {len(checks)}", words.PEOPLE),
        ("two say the same", _share(found.people.percent), words.PERCENT),
        ("alpha", _decimals(found.people.alpha), words.ALPHA),
        ("AC2", _decimals(found.people.ac2), words.AC2),
    ]
    alike = results.alike(checks)
    if alike.known:
        rows.append(("repeats alike", f"{_share(alike)} of {alike.count:,}", words.REPEATS))
    if catches:
        rows.append(("checks failed", f"{caught:,} of {catches:,}", words.CHECKS))
    widgets.figures(rows)


def _share(told: bootstrap.Estimate) -> str:
    return sentences.shares(told) if told.known else "–"


def _decimals(told: bootstrap.Estimate) -> str:
    return sentences.decimals(told) if told.known else "–"


def page(heard: Heard) -> None:
    """A study's results, below the choice of the study."""
    study = heard.content.study
    with choices:
        failed = choose_failed(heard)
        texts = study.kind in TEXTS
        brought = NO_SCORES if texts else bring(heard)
        found = verdicts.found(heard, failed=failed, brought=brought)
        score = "" if texts else choose_score(found)
        if heard.votes:
            export(heard, found)
    with head:
        widgets.heading(study.title or f"Results of {study.name}", study.asked)
    if not found.votes:
        message = words.NO_VOTES.format(study=study.name)
        if found.checks:
            message = words.NOTHING_COUNTS if failed is None else words.NONE_LEFT
        widgets.empty(message)
        if found.checks:
            results_people.annotators(found)
        return
    said = [one.replace(" %", "\u00a0%") for one in sentences.of(found, score, brief=True)]
    first, *more = map(widgets.plain, said)
    with st.container(key="verdict"):
        st.markdown(" ".join([f"**{first}**", *more]))
    figures(heard, found)
    if heard.content.imported:
        st.caption(words.PUBLISHED)
    if texts:
        results_texts.show(found)
    else:
        results_scores.show(connection.current(), found, score)
    results_people.show(heard, found)


owned = access.owned()
head = st.container(key="results-head")
if not owned:
    with head:
        widgets.heading("Results")
    if not people.notice():
        widgets.empty(words.NO_STUDY)
    st.stop()
choices = st.container(key="results-choices", horizontal=True, vertical_alignment="bottom")
with choices:
    chosen = choose_study(owned)
try:
    heard = verdicts.heard(chosen)
except (AnnotationsError, ValueError) as problem:
    widgets.refused(str(problem))
    people.notice()
    st.stop()
if heard is not None:
    page(heard)
people.notice()
