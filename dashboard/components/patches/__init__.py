"""A picture with its patches, or two side by side, and the features that fire on them."""

from typing import Any

from dashboard.components import component
from dashboard.style import palette

mount = component("patches", uses=("heat",))


def patches(data: dict[str, Any], *, of: str, key: str) -> None:
    """Show `data` (see `dashboard.sight.data`).

    What one hovers over and chooses is done in the browser; the feature chosen is in the address as
    `pick`. `of` names what is shown: while it stays, so does what one looks at.
    """
    mount(key=key, data=data | {"colours": list(palette.VIRIDIS), "of": of})
