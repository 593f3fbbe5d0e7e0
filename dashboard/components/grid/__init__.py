"""The gallery: feature cards, each a link with its contact sheet in one picture."""

from collections.abc import Callable, Sequence
from typing import Any

from dashboard.components import component

mount = component("grid")


def grid(cards: Sequence[dict[str, Any]], *, tiles: tuple[int, int], key: str, on_open: Callable[[], None]) -> None:  # fmt: skip  # noqa: E501
    """Show `cards` (see `widgets.card`); `tiles` is a contact sheet's columns and rows.

    A click or Enter on a card sets the trigger `open` to the card's `go`, then calls `on_open`.
    """
    mount(key=key, data={"cards": list(cards), "tiles": list(tiles)}, on_open_change=on_open)
