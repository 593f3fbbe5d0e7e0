"""User studies for the pages: who may see what, a study's pictures, keeping answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard import connection, judging, people, queries
from dashboard.sheets import data_uri
from pipeline.annotations import Annotations, AnnotationsError, Annotator
from pipeline.study.content import Content

INVITE, OWNER, STUDY = "invite", "owner", "study"
"""Query parameters: an annotator's token, the owner's, a study's name."""
INSTRUCTIONS = {
    "pairs": "You will see two groups of images. Say which group is more about one thing: an "
    "object, a colour, a pattern, a place, anything that its images have in common. There is no "
    "time limit. Press an image to enlarge it.",
    "rating": "You will see one group of images at a time. Say how much it is about one thing, "
    "from 1, not at all, to 5, entirely. Press an image to enlarge it.",
    "intruder": "You will see one group of images at a time. All but one have something in common. "
    "Press the one that does not belong.",
}
"""What is told where a study's file tells nothing else."""


class Missing(RuntimeError):
    """A study's pictures are not to be had; one line that names the remedy."""


@dataclass(frozen=True)
class Kept:
    """An answer that is kept. `right`: of a practice trial whether it was right, else None."""

    right: bool | None


def visitor() -> Annotator | None:
    """Whose invitation is in the address."""
    token = st.query_params.get(INVITE, "")
    return people.ask(lambda store: store.annotator_of(token), None) if token else None


@st.cache_resource(max_entries=8, show_spinner=False)
def _content(place: str, study: str, _store: Annotations) -> Content:
    return Content.model_validate_json(_store.study_content(study))


def content(study: str) -> Content:
    """What the study consists of.

    Raises:
        AnnotationsError: there is none of this name, or the store fails.
    """
    store = people.store()
    if store is None:
        raise AnnotationsError("the votes cannot be kept now; come back later")
    return _content(store.place, study, store)


def standing(of: Content, who: Annotator) -> judging.Standing | None:
    """Where the annotator is; None, with a notice, where the store fails."""
    return people.ask(lambda store: judging.standing(store, of, who.annotator), None)


def keep(of: Content, who: Annotator, said: Mapping[str, Any]) -> Kept | None:
    """Keep what the browser sends, before anything else is shown; None, with a notice, where it is
    no answer to a trial of the annotator's."""

    def do(store: Annotations) -> Kept:
        number, answer = said.get("trial"), str(said.get("answer", ""))
        request, ms = str(said.get("request", "")), said.get("ms")
        if not isinstance(number, int) or isinstance(number, bool):
            raise AnnotationsError("trial: not a number")
        study, name = of.study.name, who.annotator
        own = store.trials(study, name)
        if answer == judging.UNDO:
            last = next((one for one in reversed(own) if one.state != "open"), None)
            if last is None:
                raise AnnotationsError("there is no answer to take back")
            store.undo(study, name, last.trial, request=request)
            return Kept(None)
        if not 0 <= number < len(own):
            raise AnnotationsError(f"trial {number}: was not given to this annotator")
        meant = judging.meant(of, name, own[number], answer)
        time = ms if isinstance(ms, int) and not isinstance(ms, bool) else None
        store.vote(study, name, number, meant, request=request, response_ms=time)
        return Kept(judging.right(of, own[number], meant))

    return people.ask(do, None)


def pictures(of: Content, who: Annotator, at: judging.Standing) -> dict[int, str]:
    """Addresses of the images of the open trials, by id.

    Raises:
        Missing: the bundle is not at hand, or holds other pictures than when the study was made.
    """
    ids = sorted(
        {i for trial in at.open for side in judging.sides(of, who.annotator, trial) for i in side}
    )
    run = connection.current()
    known = queries.sha256s(run.connection, ids)
    for one in ids:
        if known.get(one) != of.images[one].sha256:
            raise Missing(
                f"{of.images[one].uri}: is not in this bundle as it was when the study was made; "
                f"open the dashboard on the bundle {of.study.bundle}"
            )
    found = queries.pictures(run.connection, ids)
    return {one: data_uri(found[one]) for one in ids if one in found}
