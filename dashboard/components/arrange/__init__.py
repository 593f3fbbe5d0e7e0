"""Rows that can be moved and taken out, by button and keyboard.

The browser changes the order at once and sends all of it, numbered, so that quick presses lose
nothing: what comes back for an earlier number is not drawn.
"""

from collections.abc import Callable, Sequence
from typing import Any

from dashboard import gate
from dashboard.components import Number, Said, Text, component, last_said

mount = component("arrange")


class Arranged(Said):
    """The keys of the rows in their order, and of those taken out, as of the message `number`."""

    number: Number
    order: list[Text]
    gone: list[Text]


def arrange(
    rows: Sequence[dict[str, Any]],
    *,
    movable: bool,
    changed: Callable[[list[str], list[str]], None],
    key: str,
) -> None:
    """Show `rows` of {key, title, about, sheet, href, sides}, each with its buttons.

    Args:
        rows: `sheet`, `href` and `sides` (see `feature.sides`) may be None.
        movable: whether their order is the visitor's to choose.
        changed: called with the keys of rows in their new order, and those that were taken out.
    """

    def heard() -> None:
        if said := last_said(key, "said", Arranged):
            order, gone = ([k for k in some if k in known] for some in (said.order, said.gone))
            changed(list(dict.fromkeys(order)), gone)

    known = {row["key"] for row in rows}
    before = last_said(key, "said", Arranged)
    mount(
        key=key, default={"said": None}, on_said_change=gate.allowed(heard),
        data={"rows": list(rows), "movable": movable, "seen": before.number if before else 0},
    )  # fmt: skip
