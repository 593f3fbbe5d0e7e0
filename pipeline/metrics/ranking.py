"""Orders and shares: a feature's strongest examples, and where a score stands among others."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray


def strongest(
    feature: Int[np.ndarray, " n"],
    value: Float[np.ndarray, " n"],
    *,
    tie: Int[np.ndarray, " n"],
    count: int,
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Each feature's `count` largest values; of equal values the lower `tie` comes first.

    Returns:
        (indices by feature then falling value, their ranks from 1).
    """
    order = np.lexsort((tie, -value, feature))
    by_feature = feature[order]
    rank = np.arange(len(order)) - np.searchsorted(by_feature, by_feature) + 1
    return order[rank <= count], rank[rank <= count]


def percentile(scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Share of the scores that are lower or equal, 0 to 1; NaNs stay NaN and do not count."""
    known = np.sort(scores[~np.isnan(scores)])
    share = np.searchsorted(known, scores, side="right") / max(1, len(known))
    return np.where(np.isnan(scores), np.nan, share)


def add_to_histogram(
    counts_sk: NDArray[np.int64],
    feature: Int[np.ndarray, " n"],
    value: Float[np.ndarray, " n"],
    *,
    low_s: Float[np.ndarray, " s"],
    span_s: Float[np.ndarray, " s"],
) -> None:
    """Count values into k even bins from low to low + span of their feature, in place; what lies
    outside falls into the first or last bin."""
    bins = counts_sk.shape[1]
    at = ((value - low_s[feature]) / span_s[feature] * bins).astype(np.int64).clip(0, bins - 1)
    counts_sk += np.bincount(feature * np.int64(bins) + at, minlength=counts_sk.size).reshape(
        counts_sk.shape
    )
