"""Who may open which page: docs/study.md, "Who sees what", states the rule and why.

Each run of the script decides anew, before a page runs: nothing is only hidden. What a page that
stays open can still ask for is decided anew too, as `gate` has it ask. Tokens come in the address;
cookies of this browser bring them again to typed addresses and new tabs.
"""

import os
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TypeVar

import streamlit as st

from dashboard import address, gate
from dashboard.components.badge import cookies, remember
from dashboard.pages import ANNOTATE, RESULTS
from dashboard.people import annotations, login
from dashboard.style import hints
from pipeline.annotations import Annotations, AnnotationsError, Annotator, default_place
from pipeline.errors import LoupeError

INVITE, OWNER, STUDY = "invite", "owner", "study"
"""Query parameters: an annotator's token, the owner's, a study's name."""
OPEN, OWNERS = "LOUPE_OPEN", "LOUPE_OWNERS"
"""Variables of the server: 1 opens the pages to everybody; e-mail addresses that own every
study."""
OWNER_COOKIE, INVITED_COOKIE, JOINING_COOKIE = "loupe_owner.", "loupe_invited", "loupe_joining"
OWNER_DAYS = 90
MOST_COOKIES = 20
_OWNED, _INVITED, _CAME_BACK = "access-owned", "access-invited", "access-came-back"
_KNOWN = "access-known"
"""Session key of the invitation that was looked up last, and whose it is."""
_WHO = "access-who"

T = TypeVar("T")

CLOSED = (
    "A study is kept here, so this page opens only for its owner: by the link that `study create` "
    "printed. If nobody else can reach this server, start it with LOUPE_OPEN=1 to open every page."
)
NO_PART = "This page is no part of the study. Go on by the link that you were given."
HOW_ALONE = (
    " This browser came by an invitation: the owner's link, or a private window, opens every page."
)
NOT_OWNED = "This owner's link opens nothing here. Use the whole link that `study create` printed."
NO_RESULTS = "Results open for the study's owner: by the link that `study create` printed."

_holding: set[str] = set()
"""Stores that were seen to hold a study: they stay so while this server runs."""


class Visitor(Enum):
    """Who looks on: `ANYBODY` where the pages are open, `STRANGER` where they are not."""

    OWNER = "owner"
    ANNOTATOR = "annotator"
    ANYBODY = "anybody"
    STRANGER = "stranger"


class Closed(LoupeError):
    """A file of a page that is not open to the visitor any more."""


def visitor() -> Visitor:
    """Who looks on, as the address, this visit, the browser and the login tell."""
    who = _visitor()
    st.session_state[_WHO] = who
    return who


def _visitor() -> Visitor:
    if INVITE in st.query_params:
        invited()
        return Visitor.ANNOTATOR
    holds = _holds_studies()
    if not holds:
        return Visitor.ANNOTATOR if holds is None and _came_invited() else Visitor.ANYBODY
    if _owns_every() or owned():
        return Visitor.OWNER
    if st.session_state.get(_INVITED) or invited() is not None:
        return Visitor.ANNOTATOR
    return Visitor.ANYBODY if os.environ.get(OPEN) == "1" else Visitor.STRANGER


def refusal(page: str, who: Visitor) -> str:
    """Why this visitor does not see the page of this address; empty where it opens."""
    if page == ANNOTATE.address:
        return ""
    if who is Visitor.STRANGER and annotations.away():
        return hints.AWAY_TO_OWN
    if who is Visitor.ANNOTATOR:
        alone = os.environ.get(OPEN) == "1" and INVITE not in st.query_params
        return NO_PART + (HOW_ALONE if alone else "")
    if who is not Visitor.OWNER and OWNER in st.query_params:
        return NOT_OWNED
    if who is Visitor.STRANGER:
        return CLOSED
    if page == RESULTS.address:
        asked, names = st.query_params.get(STUDY), owned()
        if _owns_every() and annotations.away():
            return ""  # and the page says why it has nothing
        if not names or (asked is not None and asked not in names):
            return NO_RESULTS
    return ""


class _Rule:
    """The rule as open pages ask it."""

    def refuses(self) -> bool:
        return bool(refusal(address.here(), visitor()))

    def while_open(self, make: Callable[[], T]) -> Callable[[], T]:
        """Raises `Closed`. What is to be known of the visitor is taken along, since it is called
        outside any run of the script."""
        who, tokens, opened = st.session_state.get(_WHO), _owned(), annotations.store()

        def open_still() -> bool:
            if who is Visitor.OWNER:
                gone = tokens and opened and not any(opened.owns(*each) for each in tokens.items())
                return not gone
            return os.environ.get(OPEN) == "1" or not (opened and opened.holds_studies())

        def made() -> T:
            try:
                still = open_still()
            except AnnotationsError as error:
                raise Closed(f"who may have this file cannot be asked now: {error}") from error
            if not still:
                raise Closed(CLOSED)
            return make()

        return made


gate.keep_by(_Rule())


def owned() -> list[str]:
    """Names of the studies that the visitor owns; where the store does not answer, of those that
    this visit has proved."""
    if _owns_every():
        nothing: list[str] = []
        return annotations.ask(lambda store: store.studies(), nothing)
    tokens = _owners_tokens()

    def proven(store: Annotations) -> list[str]:
        return [study for study, token in tokens.items() if store.owns(study, token)]

    found = annotations.ask(proven, None) if tokens else []
    if found is not None:
        st.session_state[_OWNED] = {study: tokens[study] for study in found}
    return list(_owned()) if found is None else found


def _owns_every() -> bool:
    """Whether the visitor signed in as one of the owners listed."""
    return login.offered() and owner_by(st.user.to_dict(), os.environ.get(OWNERS, ""))


def owner_by(claims: Mapping[str, object], listed: str) -> bool:
    """Whether a login is one of the owners listed, as its provider vouches for the address."""
    owners = {one.strip().casefold() for one in listed.split(",")} - {""}
    verified = claims.get("email_verified") in (True, "true")
    known = str(claims.get("email", "")).strip().casefold() in owners
    return claims.get("is_logged_in") is True and verified and known


def invited() -> Annotator | None:
    """Whose invitation this is: of the address, else of this visit, else of this browser. Where the
    store does not answer, as this visit knew it last."""
    token = st.query_params.get(INVITE) or st.session_state.get(_INVITED)
    token = token or cookies().get(INVITED_COOKIE, "")
    if not token:
        return None
    found = annotations.ask(lambda store: store.annotator_of(token), None)
    if found is None and annotations.away():
        known, who = st.session_state.get(_KNOWN, ("", None))
        return who if known == token else None
    if found is not None:
        st.session_state[_INVITED], st.session_state[_KNOWN] = token, (token, found)
    return found


def here_before(study: str) -> str:
    """The token by which this visit or browser took part in the study; empty where it did not."""
    token = st.session_state.get(_INVITED) or cookies().get(INVITED_COOKIE, "")
    found = annotations.ask(lambda store: store.annotator_of(token), None) if token else None
    return token if found is not None and found.study == study else ""


def enter(token: str) -> None:
    """Go on by this invitation."""
    st.session_state[_INVITED] = token
    st.query_params.from_dict({INVITE: token})


def joining(study: str) -> None:
    """Have the browser come back to this study from the login, which leads to the first page."""
    remember({JOINING_COOKIE: (study, None)}, key="joining")


def came_to_join(who: Visitor) -> str:
    """The study that the visitor went to sign in for, whether they did or not; empty where there
    is none. Who may see more than that study is led there once, and only if signed in."""
    if who is not Visitor.STRANGER and (came_back() or not login.signed_in()):
        return ""
    study, nothing = cookies().get(JOINING_COOKIE, ""), list[str]()
    if not study or study not in annotations.ask(lambda store: store.studies(), nothing):
        return ""
    st.session_state[_CAME_BACK] = who
    return study


def came_back() -> bool:
    """Whether the visitor was led from the login to the study that it was for."""
    return _CAME_BACK in st.session_state


def keep() -> None:
    """Have the browser keep what proved good, and take an owner's token out of the address."""
    owners = {f"{OWNER_COOKIE}{study}": (token, OWNER_DAYS) for study, token in _owned().items()}
    token = st.session_state.get(_INVITED, "")
    kept = owners | ({INVITED_COOKIE: (token, None)} if token else {})
    if st.session_state.get(_CAME_BACK) in (Visitor.OWNER, Visitor.ANYBODY):
        kept[JOINING_COOKIE] = ("", 0)  # else every new tab would lead to the study
    if kept:
        remember(kept, key="badge")
    if _owned() and OWNER in st.query_params:
        del st.query_params[OWNER]


def _holds_studies() -> bool | None:
    """None where the store, of which nothing is known yet, does not answer."""
    place = default_place()
    if place in _holding:
        return True
    found = annotations.ask(lambda store: store.holds_studies(), None)
    if found:
        _holding.add(place)
    return found


def _came_invited() -> bool:
    """Whether this visit or browser came to take part in a study, as far as it says itself."""
    kept = cookies()
    return (
        bool(st.session_state.get(_INVITED) or kept.get(INVITED_COOKIE)) or JOINING_COOKIE in kept
    )


def _owned() -> dict[str, str]:
    found: dict[str, str] = st.session_state.get(_OWNED, {})
    return found


def _owners_tokens() -> dict[str, str]:
    """Study -> token that is to prove it owned."""
    study, token = st.query_params.get(STUDY), st.query_params.get(OWNER)
    kept = {
        name.removeprefix(OWNER_COOKIE): token
        for name, token in cookies().items()
        if name.startswith(OWNER_COOKIE)
    }
    first = sorted(kept, key=lambda name: name != study)[:MOST_COOKIES]
    tokens = {name: kept[name] for name in first} | _owned()
    return tokens | ({study: token} if study and token and study not in _owned() else {})
