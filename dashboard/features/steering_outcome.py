"""What came of turning a feature up, in numbers: the line on its page."""

from typing import Any

from dashboard import address
from dashboard.records.steering import Steered
from dashboard.style import hints
from dashboard.style.numbers import number, percent


def facts(one: Steered) -> list[dict[str, Any]]:
    """The steering score as the component `factline` takes facts, with the way to steer it."""
    steers = "" if one.steers is None else " ✓" if one.steers else " ✗"
    shuffled = "" if one.score_shuffled is None else f", shuffled {number(one.score_shuffled)}"
    key = (one.dictionary_id, one.feature_id)
    way = {"text": "Steer it", "href": address.to_steering([key])}
    return [
        {"name": "steering score", "help": f"{hints.STEERING_SCORE} {hints.STEERS}",
         "text": f"{number(one.score)}{steers}",
         "beside": f"unsteered {number(one.score_unsteered)}{shuffled}"},
        {"name": "gain", "help": hints.STEERING_GAIN, "text": f"{one.gain:+.3f}",
         "beside": interval(one.gain_low, one.gain_high)},
        {"name": "answers changed", "help": hints.CHANGED, "text": percent(one.changed),
         "beside": f"of {one.images:,}"},
        {"name": "commonest answer", "help": f"Unsteered: {one.answer_unsteered}",
         "text": f"“{cut(one.answer)}”", "beside": f"unsteered “{cut(one.answer_unsteered)}”"},
        {"name": how(one), "help": hints.STEERING_SCORE, "link": way},
    ]  # fmt: skip


def how(one: Steered) -> str:
    """`clamp to 12.3, all tokens, delta`."""
    unit = {"clamp": "clamp to", "add": "add", "scale": "scale by"}.get(one.mode, one.mode)
    return f"{unit} {one.strength:.3g}, {one.scope} tokens, {one.form}"


def interval(low: float, high: float) -> str:
    """The ends of an interval of differences."""
    return f"{low:+.3f} to {high:+.3f}"


def cut(text: str, most: int = 40) -> str:
    """An answer, no longer than a line holds."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
