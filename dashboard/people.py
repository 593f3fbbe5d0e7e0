"""What people say, for the pages: who speaks, what is kept of a bundle's features, writing it.

A bundle names features by its dictionaries' ids, the store by their fingerprints: here one becomes
the other. No function raises where the store fails: it answers with nothing, and `notice` says in
one line what is wrong.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

import streamlit as st

from dashboard import state, widgets, words
from dashboard.components.kept import keep_name, kept_name
from dashboard.records import Dictionary, Key, Said
from pipeline.annotations import (
    MOST_NAME,
    Annotations,
    AnnotationsError,
    FeatureKey,
    FeatureList,
    default_place,
)

AUTHOR = "author"
"""Session key of the name that a visitor gave in this visit; empty once it is taken back."""
NOBODY = "me"
"""What visitors are called who have not said their name."""
CLAIMS = ("email", "preferred_username", "name", "sub")
"""What a login may say of a person, the surest first."""
RETRY_SECONDS = 10
"""After so long a store that could not be opened is tried again."""
_PROBLEM, _NAME_BOX, _TURN = "people-problem", "people-name", "people-turn"

T = TypeVar("T")


@dataclass(frozen=True)
class _Opened:
    store: Annotations | None
    problem: str
    at: float


@st.cache_resource(max_entries=4, show_spinner=False)
def _opened(place: str) -> _Opened:
    try:
        return _Opened(Annotations(place), "", time.monotonic())
    except AnnotationsError as error:
        return _Opened(None, f"Stars, notes and lists: {error}", time.monotonic())


def store() -> Annotations | None:
    """The store, opened once a server; None, with a notice, where it cannot be opened."""
    place = default_place()
    opened = _opened(place)
    if opened.store is None and time.monotonic() - opened.at > RETRY_SECONDS:
        _opened.clear(place)
        opened = _opened(place)
    if opened.store is None:
        st.session_state[_PROBLEM] = opened.problem
    return opened.store


def ask(do: Callable[[Annotations], T], otherwise: T) -> T:
    """What `do` answers on the store; `otherwise`, with a notice, where that fails."""
    opened = store()
    if opened is None:
        return otherwise
    try:
        return do(opened)
    except AnnotationsError as error:
        st.session_state[_PROBLEM] = str(error)
        return otherwise


def notice() -> bool:
    """Say what went wrong since the last notice, and whether anything did. A page that asks or
    writes anything here calls this after."""
    problem = st.session_state.pop(_PROBLEM, "")
    if problem:
        st.warning(widgets.plain(problem))
    return bool(problem)


def signed_in() -> str | None:
    """The visitor as the login names them; None where there is no login, or nobody logged in."""
    if not st.user.get("is_logged_in"):
        return None
    claims = (st.user.get(claim) for claim in CLAIMS)
    return next((str(claim)[:MOST_NAME] for claim in claims if claim), None)


def author() -> str:
    """Who is speaking: as the login says, else by the name given in this visit, else by the one
    that the browser kept from an earlier visit, else NOBODY."""
    given = st.session_state[AUTHOR] if AUTHOR in st.session_state else kept_name(MOST_NAME)
    return signed_in() or given or NOBODY


def name_box() -> None:
    """A field for the visitor's name; nothing where a login tells it, as the page's foot says."""
    if signed_in():
        return
    st.text_input(
        "Your name", max_chars=MOST_NAME, on_change=_rename, help=words.YOUR_NAME,
        **state.showing(_NAME_BOX, author()),
    )  # fmt: skip
    if author() == NOBODY:
        st.caption(f"“{NOBODY}” is everybody who gives no name.")


def remember() -> None:
    """Have the browser keep the name that the visitor gave. A page that shows `name_box` calls this
    where its output is always in the page, not in what can be folded away."""
    keep_name(st.session_state.get(AUTHOR, ""), st.session_state.get(_TURN, ""))


def _rename() -> None:
    st.session_state[AUTHOR] = str(st.session_state[_NAME_BOX]).strip()[:MOST_NAME]
    st.session_state[_TURN] = str(uuid4())


def key(dictionary: Dictionary, feature_id: int) -> FeatureKey:
    """The feature as the store knows it.

    Raises:
        AnnotationsError: the dictionary has no fingerprint.
    """
    return FeatureKey(dictionary.fingerprint, feature_id)


def by_fingerprint(dictionaries: Sequence[Dictionary]) -> dict[str, Dictionary]:
    """The dictionaries by fingerprint; of two that are the same, the first."""
    return {d.fingerprint: d for d in reversed(dictionaries) if d.fingerprint}


def starred(dictionaries: Sequence[Dictionary]) -> set[Key]:
    """The features of these dictionaries that the visitor has starred."""
    who, known = author(), by_fingerprint(dictionaries)
    nothing: set[FeatureKey] = set()
    found = ask(lambda s: s.starred(who, list(known)), nothing)
    return _here(found, dictionaries)


def annotated(dictionaries: Sequence[Dictionary]) -> set[Key]:
    """The features of these dictionaries with anybody's star, note or label."""
    known = by_fingerprint(dictionaries)
    nothing: set[FeatureKey] = set()
    return _here(ask(lambda s: s.annotated(list(known)), nothing), dictionaries)


def labelled(dictionaries: Sequence[Dictionary], text: str) -> set[Key]:
    """The features of these dictionaries that somebody gave a label with this text in it."""
    known = by_fingerprint(dictionaries)
    nothing: set[FeatureKey] = set()
    return _here(ask(lambda s: s.labelled(text, list(known)), nothing), dictionaries)


def _here(found: set[FeatureKey], dictionaries: Sequence[Dictionary]) -> set[Key]:
    ids: dict[str, list[int]] = {}
    for each in found:
        ids.setdefault(each.fingerprint, []).append(each.feature_id)
    return {(d.dictionary_id, i) for d in dictionaries for i in ids.get(d.fingerprint, ())}


def star(dictionary: Dictionary, feature_id: int, on: bool) -> None:
    """Star a feature for the visitor, or take the star away."""
    who = author()

    def do(opened: Annotations) -> None:
        feature = key(dictionary, feature_id)
        if on:
            opened.star(who, feature, dictionary.dictionary_id)
        else:
            opened.unstar(who, feature)

    ask(do, None)


def write_note(dictionary: Dictionary, feature_id: int, text: str) -> None:
    """Write the visitor's note on a feature; blank removes it."""
    who, name = author(), dictionary.dictionary_id
    ask(lambda s: s.write_note(who, key(dictionary, feature_id), name, text), None)


def write_label(dictionary: Dictionary, feature_id: int, text: str) -> None:
    """Write the visitor's label of a feature; blank removes it."""
    who, name = author(), dictionary.dictionary_id
    ask(lambda s: s.write_label(who, key(dictionary, feature_id), name, text), None)


def mine(dictionary: Dictionary, feature_id: int) -> tuple[str, str]:
    """The visitor's own note on a feature and label of it; empty where there is none."""
    who = author()

    def do(opened: Annotations) -> tuple[str, str]:
        feature = key(dictionary, feature_id)
        notes, labels = opened.notes_of(feature), opened.labels_of(feature)
        note = next((n.text for n in notes if n.author == who), "")
        return note, next((n.text for n in labels if n.author == who), "")

    return ask(do, ("", ""))


Asked = Callable[[Sequence[Key]], Mapping[Key, Sequence[Said]]]


def said(dictionaries: Sequence[Dictionary]) -> Asked:
    """A function that gives what people said of features of these dictionaries: labels, then notes.
    It may be called later and on another thread, and then answers with nothing where it fails."""
    opened = store()
    prints = {d.dictionary_id: d.fingerprint for d in dictionaries if d.fingerprint}

    def asked(keys: Sequence[Key]) -> dict[Key, list[Said]]:
        wanted = {each: FeatureKey(prints[each[0]], each[1]) for each in keys if each[0] in prints}
        if opened is None or not wanted:
            return {}
        try:
            labels = opened.labels_of_many(list(wanted.values()))
            notes = opened.notes_of_many(list(wanted.values()))
        except AnnotationsError:
            return {}
        found = {
            each: [Said("label", one.text, one.author) for one in labels.get(feature, ())]
            + [Said("note", one.text, one.author) for one in notes.get(feature, ())]
            for each, feature in wanted.items()
        }
        return {each: words for each, words in found.items() if words}

    return asked


def lists() -> list[FeatureList]:
    """Every named list."""
    return ask(lambda s: s.lists(), [])


def create_list(name: str) -> str | None:
    """Make an empty list of the visitor's; its uuid, or None, with a notice, where that fails."""
    who = author()
    return ask(lambda s: s.create_list(name, who), None)


def add_to_list(uuid: str, keys: Sequence[Key], dictionaries: Sequence[Dictionary]) -> int | None:
    """Put features at the end of a list; how many were new to it, or None where that fails."""
    known = {d.dictionary_id: d for d in dictionaries}

    def do(opened: Annotations) -> int:
        found = [(key(known[name], i), name) for name, i in keys if name in known]
        return opened.add(uuid, found)

    return ask(do, None)
