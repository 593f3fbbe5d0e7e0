"""What studies found, for the page Results: worked out once for each state of the votes."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import streamlit as st

from dashboard import address, queries
from dashboard.bundle import cached
from dashboard.bundle.opening import Run
from dashboard.cards import feature
from dashboard.people import annotations
from dashboard.records.features import Key
from dashboard.study import sessions
from pipeline.annotations import Annotations, Vote
from pipeline.annotations.trials import SKIP
from pipeline.study import exchange, findings, results
from pipeline.study.assignment import TRIAL
from pipeline.study.content import Content, Item
from pipeline.study.draw import StudyError
from pipeline.study.findings import Findings, Scores
from pipeline.study.results import Checked, standing

MOST_BROUGHT = 8 * 2**20
"""Bytes of a table of scores."""
TILES, TILE = (4, 4), 64


@dataclass(frozen=True, eq=False)
class Heard:
    """A study with its votes as they are now.

    Attributes:
        votes: every row, undone ones among them.
        state: changes when the votes do.
        checks: of every annotator.
        had, wanted: votes that the study has of those that it wants, and how many it wants.
    """

    content: Content
    votes: list[Vote]
    state: tuple[str, int, str]
    checks: list[Checked]
    had: int
    wanted: int


@dataclass(frozen=True)
class Brought:
    """Scores that a visitor brings; `problem` says in one line why there are none."""

    scores: Scores
    name: str = ""
    problem: str = ""


NO_SCORES = Brought({})


def heard(study: str) -> Heard | None:
    """The study's votes; None, with a notice, where the store fails.

    Raises:
        AnnotationsError: there is none of this name, or the store fails.
    """
    content = sessions.content(study)

    def do(store: Annotations) -> Heard:
        count, last = store.newest(study)
        return _heard(store.place, study, count, last, content, store)

    return annotations.ask(do, None)


@st.cache_resource(max_entries=4, show_spinner="Reading the votes")
def _heard(
    place: str, study: str, count: int, last: str, _content: Content, _store: Annotations
) -> Heard:
    votes = _store.votes(study)
    checks, far = results.checked(_content, votes), results.progress(_content, votes)
    return Heard(_content, votes, (f"{place} {study}", count, last), checks, *far)


def found(of: Heard, *, failed: int | None, brought: Brought) -> Findings:
    """All figures, of the annotators who failed at most so many percent of their checks."""
    return _found(of.state, failed, brought.name, of, brought)


@st.cache_resource(max_entries=16, show_spinner="Working out the figures")
def _found(
    state: tuple[str, int, str], failed: int | None, brought: str, _of: Heard, _brought: Brought
) -> Findings:
    return findings.find(_of.content, _of.votes, failed=failed, brought=_brought.scores)


def counted(of: Heard, kept: frozenset[str]) -> tuple[list[datetime], list[int]]:
    """Of the votes that count, of these annotators: when they came, in order, and the response
    times that are known, in milliseconds."""
    return _counted(of.state, kept, of)


@st.cache_resource(max_entries=16, show_spinner=False)
def _counted(
    state: tuple[str, int, str], kept: frozenset[str], _of: Heard
) -> tuple[list[datetime], list[int]]:
    votes = [
        vote
        for vote in standing(_of.votes)
        if vote.trial.role == TRIAL and vote.answer != SKIP and vote.annotator in kept
    ]
    times = [vote.response_ms for vote in votes if vote.response_ms is not None]
    return sorted(vote.created for vote in votes), times


def bring(content: Content, name: str, data: bytes) -> Brought:
    """Scores from a CSV that a visitor gives (see `exchange.read_scores`)."""
    if len(data) > MOST_BROUGHT:
        return Brought({}, problem=f"{name}: larger than {MOST_BROUGHT // 2**20} MB")
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    try:
        scores = exchange.read_scores(Path(name), content, opened=text)
    except StudyError as problem:
        return Brought({}, problem=str(problem))
    return Brought(scores, hashlib.blake2s(name.encode() + b"\0" + data).hexdigest())


# --- A study's features in the bundle that is open ---


def here(run: Run, content: Content) -> dict[int, Key]:
    """Place among the study's features -> the same feature of the open bundle; those of other
    weights are left out."""
    known = annotations.by_fingerprint(cached.dictionaries(run))
    found = {}
    for place, one in enumerate(content.features):
        dictionary = known.get(one.fingerprint)
        if dictionary is not None and one.feature_id < dictionary.d_sae:
            found[place] = (dictionary.dictionary_id, one.feature_id)
    return found


def named(content: Content, place: int | None) -> str:
    """A feature as pages name it, also where the open bundle lacks it: `vision.3 / sae #12`."""
    if place is None:
        return "unrelated images"
    one = content.features[place]
    *_, hook, name = ["", *one.dictionary_id.split("/")]
    where = f"{hook.removesuffix('.resid_post')} / {name}" if hook else name
    return f"{where} #{one.feature_id}"


def cards(
    run: Run, content: Content, items: Sequence[Item], notes: Sequence[Sequence[str]]
) -> list[list[dict[str, object]]]:
    """For each item the cards of its sides, with the images that people saw and a note; empty where
    the open bundle does not hold them all as they were then."""
    keys = here(run, content)
    dictionaries = {d.dictionary_id: d for d in cached.dictionaries(run)}
    sides = [(item, at, side) for item in items for at, side in enumerate(item.sides)]
    ids = sorted({i for _, _, side in sides for i in side.images})
    known = queries.sha256s(run.connection, ids)
    lacking = {i for i in ids if known.get(i) != content.images[i].sha256}
    shown = [one for one in sides if one[2].feature in keys and not lacking & {*one[2].images}]
    drawn = queries.cards_at(
        run.connection, [keys[s.feature] for _, _, s in shown if s.feature is not None], examples=1
    )
    wanted = {(run.key, f"shown {side.images}", 0): side.images for _, _, side in shown}
    sheets = run.sheets.get(
        wanted, lambda some: queries.pictures(run.connection, some), tile=TILE, tiles=TILES
    )
    sheet = dict(zip(wanted, sheets, strict=True))
    by_key = {(card.dictionary_id, card.feature_id): card for card in drawn}
    made: dict[int, list[dict[str, object]]] = {}
    for item, at, side in shown:
        card = by_key.get(keys[side.feature]) if side.feature is not None else None
        if card is not None:
            picture = sheet[run.key, f"shown {side.images}", 0]
            one = feature.card(card, dictionaries[card.dictionary_id], picture)
            made.setdefault(item.item, []).append(one | {"note": notes[items.index(item)][at]})
    return [
        made[item.item] if len(made.get(item.item, ())) == len(item.sides) else [] for item in items
    ]


def to_compare(keys: Mapping[int, Key], item: Item) -> str:
    """The address of Compare on an item's features; empty where the open bundle lacks one."""
    places = [side.feature for side in item.sides]
    if any(place is None or place not in keys for place in places):
        return ""
    return address.to_compare([keys[place] for place in places if place is not None])
