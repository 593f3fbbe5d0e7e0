"""The head of Feature: its name and numbers, and the way to the previous, next or any feature."""

from typing import Any

from dashboard.components import component

mount = component("featurebar")


def featurebar(data: dict[str, Any], *, key: str) -> None:
    """Show `data` (see `feature.feature_head`).

    Presses are counted in the browser, which asks for the feature that they add up to, so that
    none is lost while a page is being made.
    """
    mount(key=key, data=data)
