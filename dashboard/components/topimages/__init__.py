"""The top images of a feature, with the patches that made it fire drawn over them."""

from typing import Any

from dashboard import palette
from dashboard.components import component

mount = component("topimages")


def topimages(images: list[dict[str, Any]], *, grid: tuple[int, int] | None, key: str) -> None:
    """Show `images` (see `widgets.top_images`); `grid` is the patches' rows and columns.

    Heat map on or off and its opacity are the viewer's taste: kept in the browser, not in the link.
    """
    mount(key=key, data={"images": images, "grid": grid, "colours": list(palette.VIRIDIS)})
