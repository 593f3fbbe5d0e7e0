"""A small table of numbers whose first column leads on."""

from collections.abc import Callable
from typing import Any

from dashboard.components import component

mount = component("table")


def table(columns: list[dict[str, Any]], rows: list[dict[str, Any]], *, key: str, on_open: Callable[[], None]) -> None:  # fmt: skip  # noqa: E501
    """Show `rows` below `columns` of {key, title, help, kind: `link`, `text`, `number` or `meter`}.

    A cell is its text, or {value, text} for a meter; a row's `href` and `go` are its link's.
    """
    mount(key=key, data={"columns": columns, "rows": rows}, on_open_change=on_open)
