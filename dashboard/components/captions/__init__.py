"""Captions with each token's background by its activation."""

from typing import Any

from dashboard.components import component
from dashboard.style import palette

mount = component("captions", uses=("heat", "tokens"))


def captions(
    rows: list[dict[str, Any]], *, title: str, help: str, note: str = "", key: str
) -> None:
    """Show `rows` (see `captions.rows`) below `title`; `note` stands behind the colours' scale.

    Whether the pictures are shown is the viewer's taste: kept in the browser, not in the link.
    """
    data = {"rows": rows, "title": title, "help": help, "note": note}
    mount(key=key, data=data | {"colours": list(palette.VIRIDIS)})
