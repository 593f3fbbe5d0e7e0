"""Chosen features side by side: a column each, shared images marked."""

from collections.abc import Sequence
from typing import Any

from dashboard.components import component

mount = component("chosen")


def chosen(features: Sequence[dict[str, Any]], *, name: str, key: str) -> None:
    """Show a column a feature.

    Each is a `feature.card` without its sheet, with `facts` (name, text, help), `images` ({id,
    src, text, caption, shared: the other columns that show it}) and `bars` ({share, text}: the
    histogram). `name` says what the whole is.
    """
    mount(key=key, data={"features": list(features), "name": name})
