"""Numbers as text, the same on pages and in the files that leave them."""

import math

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
