"""What people say of one feature: a star, labels and notes, under its head."""

from collections.abc import Sequence

import streamlit as st

from dashboard import access, downloads, people, widgets, words
from dashboard.connection import Run
from dashboard.records import Dictionary, Said

MOST_SHOWN = 20


@access.fragment
def bar(run: Run, dictionary: Dictionary, feature_id: int) -> None:
    """A star, a label, a note and the files of the feature; only this part runs anew on a press."""
    at = (dictionary.dictionary_id, feature_id)
    every = people.said([dictionary])
    said = every([at]).get(at, [])
    on = at in people.starred([dictionary])
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="remarks"):
        st.button(
            "★ Starred" if on else "☆ Star", key="star", help=words.STAR,
            on_click=access.allowed(people.star), args=(dictionary, feature_id, not on),
        )  # fmt: skip
        with st.popover("Label and note", help=words.REMARKS, key="say"):
            write(dictionary, feature_id)
        downloads.feature_downloads(run, dictionary, feature_id, every)
        for one in [s for s in said if s.kind == "label"][:MOST_SHOWN]:
            widgets.badge(one.text, about=f"by {one.author or people.NOBODY}")
    notes(said)
    people.remember()
    people.notice()


def write(dictionary: Dictionary, feature_id: int) -> None:
    """The visitor's own label and note, kept as soon as the field is left."""
    people.name_box()
    note, label = people.mine(dictionary, feature_id)
    name = f"{people.author()}:{dictionary.dictionary_id}:{feature_id}"

    def labelled() -> None:
        people.write_label(dictionary, feature_id, st.session_state[f"label-{name}"])

    def noted() -> None:
        people.write_note(dictionary, feature_id, st.session_state[f"note-{name}"])

    st.text_input(
        "Your label", label, max_chars=people.MOST_NAME, key=f"label-{name}", help=words.YOUR_LABEL,
        on_change=access.allowed(labelled),
    )  # fmt: skip
    st.text_area(
        "Your note", note, max_chars=10_000, key=f"note-{name}", on_change=access.allowed(noted)
    )


def notes(said: Sequence[Said]) -> None:
    """What everybody noted."""
    for one in [s for s in said if s.kind == "note"][:MOST_SHOWN]:
        st.caption(f"{widgets.plain(one.text)} ({widgets.plain(one.author or people.NOBODY)})")
