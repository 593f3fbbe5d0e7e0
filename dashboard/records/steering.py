"""Records of the steering score: each steered feature, and dictionaries in sum."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Steered:
    """A row of `steering`, with the feature's label."""

    dictionary_id: str
    feature_id: int
    encoder: str
    images: int
    mode: str
    strength: float
    scope: str
    form: str
    score: float
    score_unsteered: float
    score_shuffled: float | None
    gain: float
    gain_low: float
    gain_high: float
    over_shuffled: float | None
    over_shuffled_low: float | None
    over_shuffled_high: float | None
    changed: float
    answer: str
    answer_unsteered: str
    steers: bool | None
    label: str | None = None


@dataclass(frozen=True)
class SteeredSum:
    """How the steered features of a dictionary do together."""

    dictionary_id: str
    features: int
    steer: int
    """Those of which both intervals lie above 0."""
    score: float
    score_unsteered: float
    score_shuffled: float | None
    gain: float
    gain_error: float | None
    """Standard error of the mean gain, over features."""
    over_shuffled: float | None
    over_shuffled_error: float | None
    changed: float
    """Mean share of answers that the edits changed; 0 where they reach nothing."""


def steering_best(found: Iterable[Steered]) -> list[tuple[str, int]]:
    """Of those that steer and have a label the first of each label, the one that gains most:
    (dictionary, feature id), by gain."""
    best: dict[str, tuple[str, int]] = {}
    for row in sorted(found, key=lambda row: (-row.gain, row.dictionary_id, row.feature_id)):
        if row.steers and row.label:
            best.setdefault(row.label, (row.dictionary_id, row.feature_id))
    return list(best.values())
