"""Means with bootstrap intervals."""

import numpy as np
from jaxtyping import Float


def mean_difference(
    a: Float[np.ndarray, " n"],
    b: Float[np.ndarray, " m"],
    *,
    seed: int,
    paired: bool = False,
    resamples: int = 10_000,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """`mean(a) - mean(b)` with its percentile bootstrap interval (Efron 1979).

    NaNs are left out (pairs with one, where `paired`). Resamples values, or pairs.

    Returns:
        (difference, lower, upper).

    Raises:
        ValueError: nothing is left, or paired samples differ in length.
    """
    if paired:
        both = ~(np.isnan(a) | np.isnan(b))
        a, b = a[both] - b[both], np.zeros(1)
    else:
        a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    if not len(a) or not len(b):
        raise ValueError("no values to compare")
    rng = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for i in range(resamples):  # one resample at a time: a matrix of them would not fit
        draws[i] = (
            a[rng.integers(len(a), size=len(a))].mean()
            - b[rng.integers(len(b), size=len(b))].mean()
        )
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(a.mean() - b.mean()), float(low), float(high)
