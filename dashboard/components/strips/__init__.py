"""Rows of small images, each row with its name."""

from typing import Any

from dashboard.components import component

mount = component("strips")


def strips(rows: list[dict[str, Any]], *, key: str) -> None:
    """Show `rows` of {name, images: [{src, text, caption}]} (see `images.strips`)."""
    mount(key=key, data={"rows": rows})
