"""Annotate: what an invitation opens: instructions, practice, and trials of a user study."""

from typing import Any

import streamlit as st

from dashboard import judging, people, studies, widgets
from dashboard.components.annotate import annotate
from pipeline.annotations import AnnotationsError, Annotator
from pipeline.study.content import Content

KEY = "annotate"


def welcome(content: Content, who: Annotator) -> None:
    """Instructions and consent, before the first trial."""
    study = content.study
    with st.container(key="study-welcome"):
        st.title(widgets.plain(study.title or study.asked))
        st.markdown(widgets.plain(study.instructions or studies.INSTRUCTIONS[study.kind]))
        if study.consent:
            st.markdown(widgets.plain(study.consent))
        agreed = not study.consent or st.checkbox("I have read this, and I take part.")
        if st.button("Begin", disabled=not agreed, type="secondary"):
            people.ask(lambda store: store.consent(study.name, who.annotator), None)
            st.rerun()


def trial(content: Content, who: Annotator) -> None:
    """The trial to judge, or thanks at the end."""
    visit = st.session_state.setdefault(
        f"study-{who.annotator}", {"had": [], "turn": 0, "right": None}
    )
    at = studies.standing(content, who)
    if at is None:
        return
    if not at.open:
        widgets.empty("That is all. Thank you: every answer is kept, and you can close this page.")
        return
    try:
        pictures = studies.pictures(content, who, at)
    except studies.Missing as problem:
        widgets.refused(str(problem))
        return
    data = judging.data(
        content, who.annotator, at, pictures,
        had=visit["had"], turn=visit["turn"], was_right=visit["right"],
    )  # fmt: skip
    annotate(data, on_said=lambda said: answered(content, who, said), key=KEY)
    visit["had"] = [one.trial for one in at.open]


def answered(content: Content, who: Annotator, said: dict[str, Any]) -> None:
    """Keep an answer, or take the last one back."""
    visit = st.session_state[f"study-{who.annotator}"]
    kept = studies.keep(content, who, said)
    if kept is not None:
        visit["turn"] += 1
        visit["right"] = kept.right


found = studies.visitor()
if found is None:
    widgets.refused("This page needs an invitation: open it by the link that you were given.")
    st.stop()
try:
    content = studies.content(found.study)
except (AnnotationsError, ValueError) as problem:
    widgets.refused(str(problem))
    st.stop()
if found.consented is None:
    welcome(content, found)
else:
    trial(content, found)
people.notice()
