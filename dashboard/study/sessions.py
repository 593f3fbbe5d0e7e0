"""User studies for the pages: what a study tells, its pictures, keeping answers."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.bundle import opening
from dashboard.cards.contact_sheets import data_uri
from dashboard.people import annotations
from pipeline.annotations import (
    MOST_NAME,
    Annotations,
    AnnotationsError,
    Annotator,
    Trial,
    Unreachable,
)
from pipeline.study import judging, presentation
from pipeline.study.content import Content

INSTRUCTIONS = {
    "pairs": "You will see two groups of images. Say which group is more about one thing: an "
    "object, a colour, a pattern, a place, anything that its images have in common. There is no "
    "time limit. Press an image to enlarge it.",
    "rating": "You will see one group of images at a time. Say how much it is about one thing, "
    "from 1, not at all, to 5, entirely. Press an image to enlarge it.",
    "intruder": "You will see one group of images at a time. All but one have something in common. "
    "Press the one that does not belong.",
    "outputs": "You will see one text at a time, beside the image that it is about where there is "
    "one. Answer the question above it, from 1, not at all, to 5, entirely.",
    "choice": "You will see several texts at a time. Press the one that fits the image best.",
}
"""What is told where a study's file tells nothing else."""


_SIGNED_IN = "study-signed-in"
"""Session key of the login that was looked up last, for which study, and who it is there."""


class Missing(RuntimeError):
    """A study's pictures are not to be had; one line for who judges."""


@st.cache_resource(max_entries=8, show_spinner=False)
def _content(place: str, study: str, _store: Annotations) -> Content:
    return Content.model_validate_json(_store.study_content(study))


def content(study: str) -> Content:
    """What the study consists of.

    Raises:
        Unreachable: the store fails.
        AnnotationsError: there is none of this name.
    """
    store = annotations.store()
    if store is None:
        raise Unreachable("the votes cannot be kept now; come back later")
    return _content(store.place, study, store)


def standing(of: Content, who: Annotator) -> judging.Standing | None:
    """Where the annotator is; None, with a notice, where the store fails."""
    return annotations.ask(lambda store: judging.standing(store, of, who.annotator), None)


def keep(of: Content, who: Annotator, said: Mapping[str, Any]) -> judging.Outcome | None:
    """Keep what the browser sends, before anything else is shown; None, with a notice, where the
    store fails."""
    return annotations.ask(lambda store: judging.keep(store, of, who.annotator, said), None)


def join(of: Content, name: str) -> str | None:
    """A link's token for someone who takes part under a name of their own; None, with a notice,
    where the name or the store is refused."""

    def do(store: Annotations) -> str:
        if not name.strip():
            raise AnnotationsError("name: empty; any name will do")
        return store.invite(of.study.name, name.strip(), most=of.study.people)

    return annotations.ask(do, None)


def signed_in(of: Content) -> Annotator | None:
    """Who signed in, as an annotator of the study; None, with a notice, where that fails. Where the
    store does not answer, as this visit knew them."""
    issuer, subject = _login()
    verified = st.user.get("email_verified") in (True, "true")
    name = str(st.user.get("email") or "") if of.study.emails and verified else ""

    def do(store: Annotations) -> Annotator:
        return store.annotator_by_login(
            of.study.name, issuer, subject, name[:MOST_NAME], most=of.study.people
        )

    found = annotations.ask(do, None)
    if found is None and annotations.away():
        return known(of.study.name)
    if found is not None:
        st.session_state[_SIGNED_IN] = (of.study.name, issuer, subject), found
    return found


def known(study: str) -> Annotator | None:
    """Who signed in to the study before in this visit, and still is."""
    key, found = st.session_state.get(_SIGNED_IN, ((), None))
    return found if key == (study, *_login()) else None


def _login() -> tuple[str, str]:
    """Who vouches for the visitor, and what it calls them; empty where nobody is signed in."""
    if not st.user.get("is_logged_in"):
        return "", ""
    return str(st.user.get("iss") or ""), str(st.user.get("sub") or "")


def pictures(of: Content, who: Annotator, trials: Sequence[Trial]) -> dict[int, str]:
    """Addresses of the images of these trials, by id.

    Raises:
        Missing: no bundle at hand holds them as they were when the study was made.
    """
    ids = sorted(
        {i for one in trials for side in presentation.sides(of, who.annotator, one) for i in side}
    )
    if not ids:
        return {}
    for run in opening.named([of.run, of.study.bundle.name]):
        known = queries.sha256s(run.connection, ids)
        if all(known.get(one) == of.images[one].sha256 for one in ids):
            found = queries.pictures(run.connection, ids)
            return {one: data_uri(picture) for one, picture in found.items()}
    logging.getLogger(__name__).error(
        "study %s: no bundle at hand holds its images as they were when it was made; "
        "start the dashboard on %s", of.study.name, of.study.bundle,
    )  # fmt: skip
    raise Missing(
        "The study's images are not at hand just now. Nothing of yours is lost: tell the person "
        "who invited you, and come back by your link."
    )
