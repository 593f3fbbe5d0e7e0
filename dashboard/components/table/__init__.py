"""A table of numbers whose first column leads on."""

from typing import Any

from dashboard.components import component

mount = component("table", uses=("list",))


def table(
    columns: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    *,
    key: str,
    order: dict[str, Any] | None = None,
    said: str = "",
    page: int = 1,
    pages: int = 1,
    of: str = "",
) -> None:
    """Show `rows` below `columns` of {key, title, help, kind: `link`, `text`, `number`, `meter`
    or `balance`}.

    A cell is its text ({text, help} with its own hover), or {value, text} for a meter, and what
    `feature.sides` gives, or nothing, for a balance; a row's link leads to its `href`. Rows that
    name their feature in `key` can be chosen, and show their `sheet`, or what is `spoken`.

    Args:
        order: {by, descending}: a press on the head of a column that has a `sort` puts that into
            the address as `sort`, and `order` as `high first` or `low first`.
        said, page, pages, of: as of `grid`.
    """
    place = {"said": said, "page": page, "pages": pages, "of": of}
    mount(key=key, data={"columns": columns, "rows": rows, "order": order, **place})
