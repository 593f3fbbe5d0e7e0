"""What the browser keeps of an invitation or of an owner's token: cookies of this site alone."""

from collections.abc import Mapping
from urllib.parse import unquote

import streamlit as st

from dashboard.components import component

mount = component("badge")


def remember(kept: Mapping[str, tuple[str, int | None]], *, key: str) -> None:
    """Have the browser keep cookies.

    Args:
        kept: name -> value, and for how many days; None: until the browser is closed.
    """
    with st.container(key=f"{key}-box"):
        mount(key=key, data=kept)


def cookies() -> dict[str, str]:
    """The cookies that the browser sent when this visit began."""
    return {name: unquote(value) for name, value in st.context.cookies.to_dict().items()}
