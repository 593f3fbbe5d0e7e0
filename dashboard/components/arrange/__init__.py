"""Rows that can be moved and taken out, by button and keyboard.

The browser changes the order at once and sends all of it, numbered, so that quick presses lose
nothing: what comes back for an earlier number is not drawn.
"""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboard.components import component

mount = component("arrange")


def arrange(
    rows: Sequence[dict[str, Any]],
    *,
    movable: bool,
    on_change: Callable[[list[str], list[str]], None],
    key: str,
) -> None:
    """Show `rows` of {key, title, about, sheet, href, sides}, each with its buttons.

    Args:
        rows: `sheet`, `href` and `sides` (see `widgets.sides`) may be None.
        movable: whether their order is the visitor's to choose.
        on_change: called with the keys in their new order, and those that were taken out.
    """

    def changed() -> None:
        said = st.session_state[key]["said"]
        on_change([str(each) for each in said["order"]], [str(each) for each in said["gone"]])

    before = (st.session_state.get(key) or {}).get("said") or {}
    mount(
        key=key, default={"said": None}, on_said_change=changed,
        data={"rows": list(rows), "movable": movable, "seen": before.get("number", 0)},
    )  # fmt: skip
