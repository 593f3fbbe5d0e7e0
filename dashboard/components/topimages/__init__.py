"""The top images of a feature, with the patches that made it fire drawn over them."""

from typing import Any

from dashboard.components import component
from dashboard.style import palette

mount = component("topimages", uses=("heat",))


def topimages(
    images: list[dict[str, Any]],
    *,
    grid: tuple[int, int] | None,
    note: str,
    unmapped: str,
    beside: bool = False,
    key: str,
) -> None:
    """Show `images` (see `images.top_images`); `grid` is the patches' rows and columns; `note`
    stands beside the heat map's switch, `unmapped` in its place where no image has a map.
    `beside`: they share the page's width with something else.

    Heat map on or off and its opacity are the viewer's taste: kept in the browser, not in the link.
    """
    data = {"images": images, "grid": grid, "note": note, "unmapped": unmapped, "beside": beside}
    mount(key=key, data=data | {"colours": list(palette.VIRIDIS)})
