"""What a page shows is in its address: reading it, and going from one page to another.

Browse's choices are widgets bound to query parameters. Feature has no widget of its own: it reads
its parameters, and its component's events set them. Nothing is written to the address but by an
event, so that the browser's Back works.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import streamlit as st

PAGES = {name: f"views/{name}.py" for name in ("overview", "browse", "feature")}
RUN = "run"
"""Query parameter and session key of the run picker."""
_NEXT = "_next"

Go = dict[str, Any]
"""Where a link leads: {page, and its query parameters}."""


def to(page: str, **parameters: str | int) -> tuple[str, Go]:
    """The address of a page in this state, and the same as what `follow` understands."""
    run = st.session_state.get(RUN)
    every = ({RUN: run} if run else {}) | parameters
    return f"{page}?{urlencode(every)}", {"page": page, **{k: str(v) for k, v in every.items()}}


def to_browse(hook: str, name: str) -> tuple[str, Go]:
    """Browse on one dictionary: `hook` is `MODEL/HOOK`."""
    return to("browse", hook=hook, dictionary=name)


def to_feature(dictionary_id: str, feature_id: int) -> tuple[str, Go]:
    """One feature."""
    return to("feature", dictionary=dictionary_id, feature=feature_id)


def opener(key: str) -> Callable[[], None]:
    """A callback for the component `key`: where its `open` leads, the next `follow` goes."""

    def note() -> None:
        st.session_state[_NEXT] = st.session_state[key].open

    return note


def follow() -> None:
    """Go where a link that was clicked leads; call it before the page is made."""
    go = st.session_state.pop(_NEXT, None)
    if isinstance(go, dict) and go.get("page") in PAGES:
        parameters = {k: str(v) for k, v in go.items() if k != "page"}
        st.switch_page(PAGES[go["page"]], query_params=parameters)


def asked_feature() -> tuple[str | None, int | None]:
    """The dictionary and feature in the address; None for what is missing or no number."""
    text = st.query_params.get("feature", "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    return st.query_params.get("dictionary"), number


def show_feature(key: str) -> Callable[[], None]:
    """A callback for the component `key`: its `go` becomes the feature in the address."""

    def note() -> None:
        st.query_params["feature"] = str(int(st.session_state[key].go))

    return note
