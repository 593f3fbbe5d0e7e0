"""A small table of every two: shades and numbers."""

from collections.abc import Sequence
from typing import Any

from dashboard.components import component

mount = component("matrix")


def matrix(
    names: Sequence[str],
    cells: Sequence[Sequence[dict[str, Any]]],
    *,
    said: str,
    colours: Sequence[str],
    key: str,
) -> None:
    """Show what each of `names` (rows) is to each (columns).

    Args:
        cells: {text, about, and shade from 0 to 1 or None}, row by row.
        said: what the rows and columns are.
        colours: a dot before each name.
    """
    heads = [{"name": n, "colour": c} for n, c in zip(names, colours, strict=True)]
    mount(key=key, data={"heads": heads, "cells": [list(row) for row in cells], "said": said})
