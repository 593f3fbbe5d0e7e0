"""The flow of features through the layers: a bar a layer, a ribbon between every two."""

from collections.abc import Sequence
from typing import Any

from dashboard.components import component

mount = component("flow")


def flow(
    layers: Sequence[dict[str, Any]],
    links: Sequence[dict[str, Any]],
    *,
    said: str,
    chosen: str,
    key: str,
) -> None:
    """Draw the layers from left to right; a press on a part puts its key into the address (`part`).

    Args:
        layers: {name, live, bands: from the top, each {key, kind, colour, count, about}};
            the kinds, and the colours, are `starts`, `through`, `ends` and `alone`.
        links: between a layer and the next, each {key, out, in, about, merged: {key, text,
            about} or None}: features that leave the bands starts and through, and that arrive in
            through and ends.
        said: what the drawing is, for those who do not see it.
        chosen: the key of the part that is listed.
    """
    mount(
        key=key,
        data={"layers": list(layers), "links": list(links), "said": said, "chosen": chosen},
    )
