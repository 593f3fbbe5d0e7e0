"""Annotate: what an invitation opens: instructions, practice, and trials of a user study."""

from functools import partial
from typing import Any
from uuid import uuid4

import streamlit as st

from dashboard import gate
from dashboard.components.annotate import annotate
from dashboard.components.mylink import my_link
from dashboard.page import furniture
from dashboard.people import access, annotations, login
from dashboard.study import sessions
from dashboard.style import hints
from pipeline.annotations import MOST_NAME, AnnotationsError, Annotator, Unreachable
from pipeline.study import judging
from pipeline.study.content import Content

NEEDED = "This page needs an invitation: open it by the link that you were given."
NO_LOGIN = (
    "People sign in to take part in this study, and this server has no login just now. Tell the "
    "person who gave you this link."
)
NOT_SIGNED_IN = "You are not signed in."
UNKNOWN = "This link opens no study: use the whole link that you were given, or ask for a new one."


def welcome(content: Content, who: Annotator) -> None:
    """Instructions and consent, before the first trial."""
    study = content.study
    with st.container(key="study-welcome"):
        furniture.heading(study.title or study.asked)
        furniture.paragraphs(study.instructions or sessions.INSTRUCTIONS[study.kind])
        if study.consent:
            furniture.paragraphs(study.consent)
        if access.INVITE in st.query_params:
            st.caption("Your link brings you back to where you stopped: keep it.")
            my_link()
        agreed = not study.consent or st.checkbox("I have read this, and I take part.")
        if st.button("Begin", disabled=not agreed):
            annotations.ask(lambda store: store.consent(study.name, who.annotator), None)
            st.rerun()


def trial(content: Content, who: Annotator) -> None:
    """The trial to judge, or thanks at the end."""
    visit = st.session_state.setdefault(
        f"study-{who.annotator}", {"had": [], "heard": None, "data": None}
    )
    at = sessions.standing(content, who)
    if at is None:
        held(visit, content, who)
        return
    had, visit["had"], visit["data"] = visit["had"], [], None
    if not at.open:
        end(content, who, at)
        return
    unseen = [one for one in at.open if one.trial not in had]
    try:
        pictures = sessions.pictures(content, who, unseen)
    except sessions.Missing as problem:
        furniture.refused(str(problem))
        return
    data = judging.data(
        content, who.annotator, at, pictures, unseen=unseen, heard=visit["heard"]
    )  # fmt: skip
    annotate(data, on_said=lambda said: answered(content, who, said), key="annotate")
    visit["had"], visit["data"] = [one.trial for one in at.open], data


def held(visit: dict[str, Any], content: Content, who: Annotator) -> None:
    """The trial as it was shown last, where the store does not answer: what was pressed waits in
    the page, which sends it again until it is kept."""
    data = visit["data"]
    if data is None:
        wait()
        return
    annotate(
        data | {"note": hints.AWAY_JUDGING},
        on_said=lambda said: answered(content, who, said), key="annotate",
    )  # fmt: skip
    annotations.told_already()


def wait() -> None:
    """That answers cannot be kept; goes on by itself once they can."""
    furniture.refused(hints.AWAY_TO_JUDGE)
    again()
    annotations.told_already()


@partial(gate.fragment, every=annotations.RETRY_SECONDS)
def again() -> None:
    """Look whether the store answers."""
    if annotations.answers():
        st.rerun()


def answered(content: Content, who: Annotator, said: dict[str, Any]) -> None:
    """Keep an answer, or take the last one back; or show the images again that a page lacks."""
    visit = st.session_state[f"study-{who.annotator}"]
    if said.get("answer") == "lost":
        visit["had"] = []
        return
    visit["heard"] = sessions.keep(content, who, said) or visit["heard"]


def end(content: Content, who: Annotator, at: judging.Standing) -> None:
    """Thanks, and whom to ask."""
    with st.container(key="study-welcome"):
        furniture.heading("That is all. Thank you.")
        asked = content.study.contact or "the person who invited you"
        furniture.paragraphs(
            "Every answer is kept, and you can close this page.\n\nIf you want to know more, or "
            f"have your answers erased, ask {asked}, and give this code: {who.annotator}"
        )
        last = at.last
        if last and st.button("Take my last answer back"):
            annotations.ask(
                lambda store: store.undo(
                    content.study.name, who.annotator, last.trial, request=uuid4().hex
                ),
                None,
            )
            st.rerun()


def arrival(study: str) -> Annotator | None:
    """Someone who comes by the study's address: by a name of their own, or by the login."""
    if not annotations.answers():
        known = sessions.known(study)
        if known is None:
            wait()
        return known
    try:
        content = sessions.content(study)
    except Unreachable:
        wait()
        return None
    except (AnnotationsError, ValueError):
        furniture.refused(UNKNOWN)
        return None
    of = content.study
    if of.login and login.signed_in():
        return sessions.signed_in(content)
    by_login = of.login and login.offered()
    with st.container(key="study-welcome"):
        if not of.names and not by_login:
            furniture.refused(NO_LOGIN if of.login else NEEDED)
            return None
        furniture.heading(of.title or of.asked)
        before = access.here_before(study)
        if before and st.button("Go on where this browser stopped"):
            access.enter(before)
            st.rerun()
        if of.names:
            named(content)
        if by_login:
            access.joining(study)
            if access.came_back():
                furniture.paragraphs(NOT_SIGNED_IN)
            login.sign_in()
    return None


def named(content: Content) -> None:
    """Asks for a name; the link that comes of it is in the address from then on."""
    with st.form("study-name", border=False):
        name = st.text_input(
            "A name for you in this study", max_chars=MOST_NAME,
            help="It need not be your own. It is kept with the study and is in no export.",
        )  # fmt: skip
        if st.form_submit_button("Take part"):
            token = sessions.join(content, name)
            if token is not None:
                access.enter(token)
                st.rerun()


asked = st.query_params.get(access.STUDY, "")
if asked and access.INVITE not in st.query_params:
    found = arrival(asked)
else:
    found = access.invited()
    if found is None and annotations.away():
        wait()
    elif found is None:
        furniture.refused(UNKNOWN if access.INVITE in st.query_params else NEEDED)
if found is not None:
    try:
        content = sessions.content(found.study)
    except Unreachable:
        wait()
    except (AnnotationsError, ValueError) as problem:
        furniture.refused(str(problem))
    else:
        (welcome if found.consented is None else trial)(content, found)
annotations.notice()
