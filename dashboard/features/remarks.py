"""What people say of one feature: a star, labels and notes, under its head."""

from collections.abc import Sequence

import streamlit as st

from dashboard import gate
from dashboard.bundle.opening import Run
from dashboard.page import downloads, furniture
from dashboard.people import annotations
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Said
from dashboard.style import hints, markdown
from pipeline.annotations import MOST_NAME, MOST_NOTE

MOST_SHOWN = 20


@gate.fragment
def bar(run: Run, dictionary: Dictionary, feature_id: int) -> None:
    """A star, a label, a note and the files of the feature; only this part runs anew on a press."""
    at = (dictionary.dictionary_id, feature_id)
    keep_waiting(dictionary, feature_id)
    every = annotations.said([dictionary])
    said = every([at]).get(at, [])
    on = at in annotations.starred([dictionary])
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="remarks"):
        st.button(
            "★ Starred" if on else "☆ Star", key="star", help=hints.STAR,
            on_click=gate.allowed(annotations.star), args=(dictionary, feature_id, not on),
        )  # fmt: skip
        with st.popover("Label and note", help=hints.REMARKS, key="say"):
            write(dictionary, feature_id)
        downloads.feature_downloads(run, dictionary, feature_id, every)
        for one in [s for s in said if s.kind == "label"][:MOST_SHOWN]:
            furniture.badge(one.text, about=f"by {one.author or annotations.NOBODY}")
    notes(said)
    annotations.remember()
    annotations.notice()


def write(dictionary: Dictionary, feature_id: int) -> None:
    """The visitor's own label and note, kept as soon as the field is left."""
    annotations.name_box()
    note, label = annotations.mine(dictionary, feature_id)
    fields, waiting = _fields(dictionary, feature_id), _waiting()

    def changed(field: str) -> None:
        keep(field, dictionary, feature_id, st.session_state[field])

    for_label, for_note = fields
    st.text_input(
        "Your label", waiting.get(for_label, label), max_chars=MOST_NAME, key=for_label,
        help=hints.YOUR_LABEL, on_change=gate.allowed(changed), args=(for_label,),
    )  # fmt: skip
    st.text_area(
        "Your note", waiting.get(for_note, note), max_chars=MOST_NOTE, key=for_note,
        on_change=gate.allowed(changed), args=(for_note,),
    )  # fmt: skip
    if waiting.keys() & set(fields):
        st.caption(hints.WAITING)


def keep(field: str, dictionary: Dictionary, feature_id: int, text: str) -> None:
    """Write what a field says; where the store is away it waits in this visit."""
    for_label, _ = _fields(dictionary, feature_id)
    save = annotations.write_label if field == for_label else annotations.write_note
    save(dictionary, feature_id, text)
    if annotations.away():
        _waiting()[field] = text
    else:
        _waiting().pop(field, None)


def keep_waiting(dictionary: Dictionary, feature_id: int) -> None:
    """Write what waits for the store to answer again."""
    for field in _fields(dictionary, feature_id):
        if field in _waiting():
            keep(field, dictionary, feature_id, _waiting()[field])


def _waiting() -> dict[str, str]:
    """Field -> what was written in it and is not kept yet."""
    found: dict[str, str] = st.session_state.setdefault("remarks-waiting", {})
    return found


def _fields(dictionary: Dictionary, feature_id: int) -> tuple[str, str]:
    """The keys of the fields for the visitor's own label and note."""
    name = f"{annotations.author()}:{dictionary.dictionary_id}:{feature_id}"
    return f"label-{name}", f"note-{name}"


def notes(said: Sequence[Said]) -> None:
    """What everybody noted."""
    for one in [s for s in said if s.kind == "note"][:MOST_SHOWN]:
        st.caption(
            f"{markdown.plain(one.text)} ({markdown.plain(one.author or annotations.NOBODY)})"
        )
