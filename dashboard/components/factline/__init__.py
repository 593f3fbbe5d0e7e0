"""One line of numbers about a feature: of its two sides, pictures and words, or of steering it."""

from typing import Any

from dashboard.components import component

mount = component("factline", uses=("facts",))


def factline(facts: list[dict[str, Any]], *, title: str, help: str, key: str) -> None:
    """Show `facts` of {name, help, and what is known}: `text`, a `balance` (see `feature.sides`),
    and a `link` of {text, href} behind the text (see `captions.facts`)."""
    mount(key=key, data={"facts": facts, "title": title, "help": help})
