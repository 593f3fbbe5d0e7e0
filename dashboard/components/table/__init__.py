"""A small table of numbers whose first column leads on."""

from typing import Any

from dashboard.components import component

mount = component("table")


def table(columns: list[dict[str, Any]], rows: list[dict[str, Any]], *, key: str) -> None:
    """Show `rows` below `columns` of {key, title, help, kind: `link`, `text`, `number` or `meter`}.

    A cell is its text, or {value, text} for a meter; a row's link leads to its `href`.
    """
    mount(key=key, data={"columns": columns, "rows": rows})
