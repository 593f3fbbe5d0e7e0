"""The head of Feature: its name and numbers, and the way to the previous, next or any feature."""

from collections.abc import Callable
from typing import Any

from dashboard.components import component

mount = component("featurebar")


def featurebar(data: dict[str, Any], *, key: str, on_go: Callable[[], None], on_open: Callable[[], None]) -> None:  # fmt: skip  # noqa: E501
    """Show `data` (see `widgets.feature_head`).

    The trigger `go` holds the feature id to show: presses are counted in the browser and the sum
    is sent, so that none is lost while a page is being made. The trigger `open` is a link's `go`.
    """
    mount(key=key, data=data, on_go_change=on_go, on_open_change=on_open)
