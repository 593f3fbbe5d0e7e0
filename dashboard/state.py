"""What a page shows is in its address: reading it, and making the addresses of other pages.

Browse's choices are widgets bound to query parameters. Feature has no widget of its own: it reads
its parameters, and the links and keys of its components change the address in the browser (`visit`
in components/shared.js). Nothing here writes to the address but on an event, so that the browser's
Back works.
"""

import hashlib
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


def asked_page(of: str) -> int:
    """The page of Browse in the address, from 1, if it is a page of the choices `of`: a page stays
    in the address when a choice changes, and then means nothing."""
    text = st.query_params.get("page", "")
    known = text.isascii() and text.isdigit() and len(text) < 7
    return max(1, int(text)) if known and st.query_params.get("of", of) == of else 1


def name_of(*choices: object) -> str:
    """A short name of these choices, for `asked_page`."""
    return hashlib.blake2s(repr(choices).encode(), digest_size=4).hexdigest()


def _address(page: str, **parameters: str | int) -> str:
    run = st.session_state.get(RUN)
    return f"{page}?{urlencode(({RUN: run} if run else {}) | parameters)}"
