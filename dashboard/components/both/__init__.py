"""Cards of features with both their sides: top images and top captions next to each other."""

from collections.abc import Sequence
from typing import Any

from dashboard.components import component
from dashboard.style import palette

COLOURS = f".root {{ --image: {palette.IMAGE}; --text: {palette.TEXT}; }}"

mount = component("both", uses=("list", "heat", "tokens", "facts"), css=COLOURS)


def both(
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

    Each has also `image` and `text` ({density, about, help, fires}), `captions` (see
    `captions.rows`) and `numbers` (see `captions.facts`). Pages are as in `grid`.
    """
    data = {"cards": list(cards), "tiles": list(tiles), "said": said, "page": page}
    mount(key=key, data=data | {"pages": pages, "of": of, "colours": list(palette.VIRIDIS)})
