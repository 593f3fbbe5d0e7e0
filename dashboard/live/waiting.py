"""What a visitor reads while a model is loading, or works for somebody else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from dashboard.style import markdown

Say = Callable[[str], None]


@contextmanager
def line() -> Iterator[Say]:
    """A line on the page while one waits, which is gone afterwards."""
    place: Any = None

    def say(text: str) -> None:
        nonlocal place
        place = place or st.empty()
        place.caption(markdown.plain(text))

    yield say
    if place is not None:
        place.empty()


def place(before: int) -> str:
    """What is said of the place in the queue."""
    return f"Waiting for the model: {before} before you …"
