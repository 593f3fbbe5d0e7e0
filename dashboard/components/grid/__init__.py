"""The gallery: feature cards, each a link with its contact sheet in one picture."""

from collections.abc import Sequence
from typing import Any

from dashboard.components import component

mount = component("grid", uses=("list", "card"))


def grid(
    cards: Sequence[dict[str, Any]],
    *,
    tiles: tuple[int, int],
    said: str,
    page: int,
    pages: int,
    of: str,
    key: str,
) -> None:
    """Show `cards` (see `feature.card`) below what is `said` of them and links to the `pages`.

    `tiles` is a contact sheet's columns and rows; pages count from 1 and are those `of` the choices
    that the address names so (`state.name_of`).
    """
    place = {"page": page, "pages": pages, "of": of}
    mount(
        key=key,
        data={"cards": list(cards), "tiles": list(tiles), "said": said, **place},
    )
