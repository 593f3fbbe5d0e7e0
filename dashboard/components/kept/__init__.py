"""The visitor's name, kept by the browser in a cookie from one visit to the next."""

from urllib.parse import unquote

import streamlit as st

from dashboard.components import component

COOKIE = "loupe_name"

mount = component("kept")


def keep_name(name: str, turn: str) -> None:
    """Have the browser keep `name`, or forget the one it keeps if it is empty; once per `turn`, so
    that a tab left open does not bring back an older name."""
    with st.container(key="kept-box"):
        mount(key="kept", data={"cookie": COOKIE, "name": name, "turn": turn})


def kept_name(most: int) -> str:
    """The name that the browser sent when it came; empty where it keeps none, or what it sent is no
    text of one line of at most `most` characters."""
    try:
        name = unquote(st.context.cookies.to_dict().get(COOKIE, ""), errors="strict").strip()
    except UnicodeDecodeError:
        return ""
    return name if len(name) <= most and not any(c < " " or c == "\x7f" for c in name) else ""
