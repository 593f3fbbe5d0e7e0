"""The ways of a panel: links with a count and a quiet line, the present one marked."""

from collections.abc import Sequence
from typing import Any

from dashboard.components import component

mount = component("roster")


def roster(entries: Sequence[dict[str, Any]], *, name: str, key: str) -> None:
    """Show `entries` of {href, title, count, about, here}; `name` is what they are together."""
    mount(key=key, data={"entries": list(entries), "name": name})
