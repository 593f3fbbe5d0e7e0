"""What people say, for the pages: who speaks, what is kept of a bundle's features, writing it.

A bundle names features by its dictionaries' ids, the store by their fingerprints: here one becomes
the other. No function raises where the store fails: it answers with nothing, and `notice` says in
one line what is wrong: why, to who may look around here, and to people who take part in a study no
more than that nothing is lost.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

import streamlit as st

from dashboard import address, gate
from dashboard.components.kept import keep_name, kept_name
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Key, Said
from dashboard.style import hints, markdown
from pipeline.annotations import (
    MOST_NAME,
    Annotations,
    AnnotationsError,
    FeatureKey,
    FeatureList,
    Imported,
    Unreachable,
    default_place,
)

AUTHOR = "author"
"""Session key of the name that a visitor gave in this visit; empty once it is taken back."""
NOBODY = "me"
"""What visitors are called who have not said their name."""
UNSIGNED = " (not signed in)"
"""Behind a name that is given where names come from a login."""
CLAIMS = ("email", "preferred_username", "name", "sub")
"""What a login may say of a person, the surest first."""
RETRY_SECONDS = 10
"""After so long a store that could not be opened is tried again."""
_MOST_UNSIGNED = MOST_NAME - len(UNSIGNED)
_PROBLEM, _NAME_BOX, _TURN = "people-problem", "people-name", "people-turn"
_AWAY, _WHY = "people-away", "people-why"
_LOG = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class _Opened:
    store: Annotations | None
    problem: str
    at: float


@dataclass
class _Silence:
    """A store that did not answer: as long as that took it is not asked again, so that no page
    waits for it over and over."""

    until: float = 0.0
    problem: str = ""


@st.cache_resource(max_entries=4, show_spinner=False)
def _opened(place: str) -> _Opened:
    try:
        return _Opened(Annotations(place), "", time.monotonic())
    except AnnotationsError as error:
        _LOG.error("what people say cannot be kept: %s", error)
        return _Opened(None, f"Stars, notes and lists: {error}", time.monotonic())


@st.cache_resource(max_entries=4, show_spinner=False)
def _silence(place: str) -> _Silence:
    return _Silence()


def store() -> Annotations | None:
    """The store, opened once a server; None, with a notice, where it cannot be opened."""
    place = default_place()
    opened = _opened(place)
    if opened.store is None and time.monotonic() - opened.at > RETRY_SECONDS:
        _opened.clear(place)
        opened = _opened(place)
    if opened.store is None:
        _went_wrong(opened.problem, away=True)
    return opened.store


def ask(do: Callable[[Annotations], T], otherwise: T) -> T:
    """What `do` answers on the store; `otherwise`, with a notice, where that fails."""
    opened = store()
    if opened is None:
        return otherwise
    silence, begun = _silence(opened.place), time.monotonic()
    if begun < silence.until:
        _went_wrong(silence.problem, away=True)
        return otherwise
    try:
        found = do(opened)
    except Unreachable as error:
        if not silence.problem:
            _LOG.error("what people say cannot be kept: %s", error)
        silence.problem = str(error)
        silence.until = 2 * time.monotonic() - begun
        _went_wrong(str(error), away=True)
        return otherwise
    except AnnotationsError as error:
        _went_wrong(str(error), away=False)
        return otherwise
    silence.problem, st.session_state[_AWAY] = "", False
    return found


def away() -> bool:
    """Whether the store did not answer when it was asked last."""
    return bool(st.session_state.get(_AWAY))


def answers() -> bool:
    """Whether the store answers now."""
    return ask(lambda s: s.holds_studies(), None) is not None


def tell(*, why: bool) -> None:
    """Whether `notice` tells this visitor why the store does not answer, from now on."""
    st.session_state[_WHY] = why


def notice() -> bool:
    """Say what went wrong since the last notice, and whether anything did. A page that asks or
    writes anything here calls this after."""
    problem, gone = st.session_state.pop(_PROBLEM, ("", False))
    if problem:
        why = st.session_state.get(_WHY, True) or not gone
        st.warning(markdown.plain(problem) if why else hints.AWAY)
    return bool(problem)


def told_already() -> None:
    """The page itself says that the store does not answer: `notice` adds to it only why."""
    if not st.session_state.get(_WHY, True):
        st.session_state.pop(_PROBLEM, None)


def _went_wrong(problem: str, *, away: bool) -> None:
    st.session_state[_PROBLEM], st.session_state[_AWAY] = (problem, away), away


def by_login() -> bool:
    """Whether this server has a login, so that a name says who somebody is."""
    return "is_logged_in" in st.user


def signed_in() -> str | None:
    """The visitor as the login names them; None where there is no login, or nobody logged in. An
    address that the provider says it has not verified is nobody's name, and neither is NOBODY."""
    if not st.user.get("is_logged_in"):
        return None
    unproven = {"email"} if st.user.get("email_verified") in (False, "false") else set()
    said = (str(st.user.get(claim) or "") for claim in CLAIMS if claim not in unproven)
    return next((one[:MOST_NAME] for one in said if one.strip() and one != NOBODY), None)


def author() -> str:
    """Who is speaking: as the login says, else by the name given in this visit, else by the one
    that the browser kept from an earlier visit, else NOBODY. Where there is a login, a name that
    is only given says so: nobody speaks as one who signs in."""
    return signed_in() or (f"{_given()[:_MOST_UNSIGNED]}{UNSIGNED}" if by_login() else _given())


def _given() -> str:
    given = st.session_state[AUTHOR] if AUTHOR in st.session_state else kept_name(MOST_NAME)
    return str(given or NOBODY)


def name_box() -> None:
    """A field for the visitor's name; nothing where a login tells it, as the page's foot says."""
    if signed_in():
        return
    st.text_input(
        "Your name", max_chars=MOST_NAME, on_change=gate.allowed(_rename), help=hints.YOUR_NAME,
        **address.showing(_NAME_BOX, _given()),
    )  # fmt: skip
    if _given() == NOBODY:
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
    """Write the visitor's note on a feature; blank removes it. Where the store is `away` after it,
    it is not kept; of a label likewise."""
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


def bring_in(file: bytes) -> Imported | None:
    """Import what Lists exported, as the visitor: under a login nothing comes in as somebody
    else's; None, with a notice, where that fails."""
    who, alone = author(), by_login()
    return ask(lambda s: s.bring_in(file, author=who, alone=alone), None)


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
