"""Feature cards in columns, row by row: a feature and its best match in each other column."""

from collections.abc import Sequence
from typing import Any

from dashboard.components import component

mount = component("aligned", uses=("list", "card"))


def aligned(
    heads: Sequence[dict[str, str]],
    rows: Sequence[Sequence[dict[str, Any]]],
    *,
    tiles: tuple[int, int],
    said: str,
    page: int,
    pages: int,
    of: str,
    key: str,
) -> None:
    """Show `rows` below `heads` ({name, about, colour}), and links to the `pages`.

    A cell is a card (see `feature.card`), or {"none": what is said instead, "about": more of it}.
    The rest as of `grid`.
    """
    place = {"said": said, "page": page, "pages": pages, "of": of}
    mount(
        key=key,
        data={"heads": list(heads), "rows": [list(row) for row in rows], "tiles": list(tiles)}
        | place,
    )
