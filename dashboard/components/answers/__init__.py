"""What a model says in several ways, side by side, with what it might have said at each token."""

from typing import Any

from dashboard.components import component

mount = component("answers", isolate_styles=False)


def answers(data: dict[str, Any], *, key: str) -> None:
    """Show `data` (see `telling.columns`).

    While the columns are being said the page draws them as HTML of the same form (see
    `telling.streaming`): the styles are the page's own, so that nothing moves when this takes over.
    """
    mount(key=key, data=data)
