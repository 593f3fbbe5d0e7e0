"""The style of Streamlit's own page, and word from the browser that it is there.

Streamlit's browser code loads piece by piece, and a page that comes before its style is laid out
twice, before the reader's eyes. So a session's first run shows nothing but this.
"""

import streamlit as st

from dashboard.components import HERE, Said, component, heard
from dashboard.style import palette

ACCENT = (
    f":root {{ --loupe-accent: light-dark({palette.ACCENT['light']}, {palette.ACCENT['dark']}); }}"
)

# What is said streams into the page itself, before the component that it becomes is there.
SAID = (HERE / "answers" / "style.css").read_text(encoding="utf-8")

THERE = "page-there"


class There(Said):
    """That the style is there."""

    there: bool


mount = component("page", isolate_styles=False, css=ACCENT + SAID)


def styled() -> bool:
    """Whether the browser has the style; always, where no browser looks on (in tests)."""
    with st.container(key="page-box", height=1, border=False):
        state = mount(key="page", default={"there": False}, on_there_change=lambda: None)
        if (said := heard(There, state)) and said.there:
            st.session_state[THERE] = True  # `st.switch_page` forgets what components said
        there = THERE in st.session_state or not st.context.headers
        if not there:
            st.html("<i></i>")  # so that the code for pieces of HTML is loaded with the style
    return there
