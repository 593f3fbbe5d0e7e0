"""A short list of bars from 0 to 1, each with its number and marks to compare it with."""

from typing import Any

from dashboard.components import component

mount = component("bars")


def bars(rows: list[dict[str, Any]], *, title: str, help: str, empty: str, key: str) -> None:
    """Show `rows` of {name, value, text, marks: [{at, name, colour}]} below `title`.

    Marks of the same name share a legend; `empty` is said where there are no rows.
    """
    mount(key=key, data={"rows": rows, "title": title, "help": help, "empty": empty})
