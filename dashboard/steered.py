"""Records of the steering score: each steered feature, and dictionaries in sum."""

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
