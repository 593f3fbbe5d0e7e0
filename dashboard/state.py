"""What a page shows is in its address: reading it, and making the addresses of other pages.

Browse's choices are widgets bound to query parameters. Feature has no widget of its own: it reads
its parameters, and the links and keys of its components change the address in the browser (`visit`
in components/shared.js). Nothing here writes to the address but on an event, so that the browser's
Back works.
"""

from urllib.parse import urlencode

import streamlit as st

from dashboard.records import Dictionary

RUN = "run"
"""Query parameter and session key of the run picker."""


def to_browse(dictionary: Dictionary) -> str:
    """The address of Browse on one dictionary."""
    return _address("browse", hook=dictionary.place, name=dictionary.name)


def to_feature(dictionary_id: str, feature_id: int) -> str:
    """The address of one feature."""
    return _address("feature", dictionary=dictionary_id, feature=feature_id)


def asked_feature() -> tuple[str | None, int | None]:
    """The dictionary and feature in the address; None for what is missing or no number."""
    text = st.query_params.get("feature", "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    return st.query_params.get("dictionary"), number


def asked_page() -> int:
    """The page of Browse in the address, from 1."""
    text = st.query_params.get("page", "")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


def first_page() -> None:
    """A callback: another choice shows its first page."""
    st.query_params.pop("page", None)


def _address(page: str, **parameters: str | int) -> str:
    run = st.session_state.get(RUN)
    return f"{page}?{urlencode(({RUN: run} if run else {}) | parameters)}"
