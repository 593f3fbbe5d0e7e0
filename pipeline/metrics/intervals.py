"""Intervals: of means and of ratios by the bootstrap, of shares by Wilson."""

import math
from statistics import NormalDist

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


def mean_intervals(
    values_nf: Float[np.ndarray, "n f"],
    *,
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Float[np.ndarray, "3 f"]:
    """The mean of each column with its percentile bootstrap interval (Efron 1979), in the columns'
    unit.

    Rows are resampled, the same for all columns, so that many columns cost little more than one.

    Returns:
        Means, lower and upper ends.

    Raises:
        ValueError: there are no rows.
    """
    n = len(values_nf)
    if not n:
        raise ValueError("no rows to resample")
    rng = np.random.default_rng(seed)
    step = max(1, _DRAWN // n)
    means = np.empty((resamples, values_nf.shape[1]))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n) / n
        means[start : start + rows] = weights @ values_nf
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.stack([values_nf.mean(0), low, high])


_DRAWN = 2**20
"""Rows drawn at once."""


def wilson(some: int, of: int, *, level: float = 0.95) -> tuple[float, float]:
    """The interval of a share `some / of` (Wilson 1927): lower and upper, within 0 to 1.

    Raises:
        ValueError: of nothing, or more than all.
    """
    if not 0 <= some <= of or not of:
        raise ValueError(f"no share: {some} of {of}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (some + z**2 / 2) / (of + z**2)
    half = z * math.sqrt(some * (of - some) / of + z**2 / 4) / (of + z**2)
    return max(0.0, middle - half), min(1.0, middle + half)


def ratio(
    part: Float[np.ndarray, " n"],
    whole: Float[np.ndarray, " n"],
    *,
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
) -> tuple[float, float]:
    """The percentile bootstrap interval of `sum(part) / sum(whole)`, over examples: what comes from
    one example is drawn together.

    Raises:
        ValueError: there is nothing, or nothing to be part of.
    """
    if len(part) != len(whole) or not np.sum(whole):
        raise ValueError("no values to compare")
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, 2))
    for i in range(resamples):
        drawn = rng.integers(len(part), size=len(part))
        sums[i] = part[drawn].sum(), whole[drawn].sum()
    found = sums[sums[:, 1] > 0]
    low, high = np.quantile(found[:, 0] / found[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
