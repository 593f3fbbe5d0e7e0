"""A row of small links: other ways to look at the same thing."""

from collections.abc import Sequence

from dashboard.components import component

mount = component("chips")


def chips(links: Sequence[tuple[str, str, str]], *, name: str, key: str) -> None:
    """Links of (text, address, explanation) after the words `name`."""
    shown = [{"text": text, "href": href, "about": about} for text, href, about in links]
    mount(key=key, data={"name": name, "links": shown})
