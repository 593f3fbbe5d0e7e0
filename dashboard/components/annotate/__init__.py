"""One trial of a user study: images to judge, by keyboard or mouse.

The browser takes the time from the first sight of all images to the press, and holds the next trial
ready, which it shows as soon as the answer to this one is kept. An answer that is not acknowledged
is sent again, under the same name, so that it is kept once.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard.components import component

mount = component("annotate")


def annotate(data: dict[str, Any], *, on_said: Callable[[dict[str, Any]], None], key: str) -> None:
    """Show the trial `data["trial"]`.

    Args:
        data: `trial`, its number; `kind`: `pairs`, `rating` or `intruder`; `sides`: of every trial
            that this visit has not had yet, number -> lists of image addresses, left first; `next`,
            the number of the trial after it, or None; `question`, `tie`, `skip`, `undo`, `done`,
            `of`, `note`, `feedback`: None, or whether the last practice answer was right.
        on_said: called with {"trial", "answer", "request", "ms"}; `answer` is `left`, `right`,
            `tie`, `skip`, `undo`, a rating, or the place of an image. Not checked.
    """

    def changed() -> None:
        said = (st.session_state.get(key) or {}).get("said")
        if isinstance(said, dict):
            on_said(said)

    mount(key=key, default={"said": None}, on_said_change=changed, data=data)
