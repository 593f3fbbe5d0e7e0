"""Numbers as text, the same on pages and in the files that leave them."""

import math
from collections.abc import Callable
from typing import Any

from dashboard.records.columns import Column, Form
from dashboard.records.features import Card


def number(value: float | None, digits: int = 2) -> str:
    """`value` with so many decimals; a dash for what is not known."""
    return "–" if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def unlabelled(card: Card, *, spoken: bool = False) -> str:
    """What stands in place of a label: of the features that no image activates, some fire on
    words. `spoken`: a caption is known to activate it, also where there is no modality score."""
    if card.n_active:
        return "no label"
    return "words only" if spoken or card.modality_score is not None else "dead"


def steering_text(card: Card) -> str:
    """A steering score, with a tick where the feature steers and a cross where it does not; empty
    where that was not tried."""
    if card.steering_score is None:
        return ""
    said = {True: " ✓", False: " ✗", None: ""}[card.steers]
    return f"{number(card.steering_score)}{said}"


def percent(share: float | None) -> str:
    """A share as per cent with two significant digits: 12 %, 1.2 %, 0.012 %."""
    if share is None or math.isnan(share):
        return "–"
    if share <= 0 or share >= 0.0995:
        return f"{share * 100:.0f} %"
    digits = min(6, 1 - math.floor(math.log10(share * 100) + 1e-9))
    return f"{share * 100:.{digits}f}".rstrip("0").rstrip(".") + " %"


_FORMS: dict[Form, Callable[[Any], str]] = {
    "link": str, "text": str, "meter": number, "balance": number, "number": number,
    "percent": percent, "images": "{:,}".format, "level": lambda level: str(level + 1),
}  # fmt: skip


def text_of(column: Column, card: Card) -> str:
    """What the feature has in this column, as text; empty where nothing is known."""
    if column.form == "steers":
        return steering_text(card)
    value = card.value(column.name)
    return "" if value is None else _FORMS[column.form](value)


def fact_of(column: Column, card: Card, *, of: int) -> str:
    """The same as a fact about the feature, with what images are counted among: `of` val ones."""
    text = text_of(column, card)
    return f"{text} of {of:,} val images" if text and column.form == "images" else text
