"""Examples of a feature beyond its strongest: from its whole range, at random, and of its silence.

The strongest examples alone make a feature look cleaner than it is (Bolukbasi et al. 2021, Bills et
al. 2023). Each choice depends on (seed, feature, example) alone, by a hash: not on the order of the
rows or on what other features there are.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

BINS = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.95))
"""Of the quantiles of a feature's activations; above the last are its strongest examples."""
KINDS = (*(f"{100 * low:.0f}-{100 * high:.0f} %" for low, high in BINS), "random", "silent")
RANDOM, SILENT = len(BINS), len(BINS) + 1

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Chosen examples, by feature, then kind, then example.

    Attributes:
        feature, example: which, [m].
        kind: place in `KINDS`, [m].
        at: the row of the input that was chosen, [m]; -1 for the silent.
    """

    feature: Int[np.ndarray, " m"]
    kind: Int[np.ndarray, " m"]
    example: Int[np.ndarray, " m"]
    at: Int[np.ndarray, " m"]


def draw(
    start: Int[np.ndarray, " s+1"],
    example: Int[np.ndarray, " p"],
    value: Float[np.ndarray, " p"],
    *,
    examples: int,
    seed: int,
    per_bin: int,
    random: int,
    silent: int = 0,
) -> Samples:
    """Draw examples of each of s features, without replacement within a kind.

    The quantile of an activation is `(rank + 1/2) / c` among the feature's c, from rank 0, of equal
    ones the earlier example first (Hazen 1914). An example may be drawn for its bin and at random.

    Args:
        start: rows `start[i]` to `start[i + 1]` are feature i's, as in a CSC matrix.
        example: numbers from 0 to `examples`, each at most once a feature.
        value: activations, above 0.
        examples: how many there are, silent ones included.
        per_bin: how many to draw from each of `BINS`.
        random: how many of all on which the feature fires.
        silent: how many on which it does not.

    Returns:
        As many as asked, or all where there are fewer.

    Raises:
        ValueError: an activation is not above 0, or an example is out of range.
    """
    if not (value > 0).all():
        raise ValueError("activations must be above 0")
    if len(example) and not (example.min() >= 0 and example.max() < examples):
        raise ValueError(f"examples must be 0 to {examples - 1}")
    fired = np.diff(start)
    feature = np.repeat(np.arange(len(fired)), fired)
    kind = _bins(start, example, value, feature=feature)
    inner = np.flatnonzero(kind < len(BINS))
    keys = _hash(seed, 0, feature[inner], example[inner])
    in_bins = inner[_lowest(feature[inner] * len(BINS) + kind[inner], per_bin, keys)]
    at_random = _lowest(feature, random, _hash(seed, 1, feature, example))
    quiet, quiet_example = _silent(start, example, feature, examples, count=silent, seed=seed)
    parts = [
        (feature[in_bins], kind[in_bins], example[in_bins], in_bins),
        (feature[at_random], np.full(len(at_random), RANDOM), example[at_random], at_random),
        (quiet, np.full(len(quiet), SILENT), quiet_example, np.full(len(quiet), -1)),
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[2], columns[1], columns[0]))
    return Samples(*(column[order] for column in columns))


def _bins(start: Whole, example: Whole, value: NDArray[np.floating], *, feature: Whole) -> Whole:
    """Each row's place in `BINS`; above them `len(BINS)`."""
    order = np.lexsort((example, value, feature))
    quantile = np.empty(len(order))
    fired = np.diff(start)[feature]
    quantile[order] = (np.arange(len(order)) - start[feature] + 0.5) / fired
    return np.searchsorted([high for _, high in BINS], quantile, side="right")


def _lowest(group: Whole, count: int, key: NDArray[np.uint64]) -> Whole:
    """Rows of the `count` lowest keys of each group."""
    order = np.lexsort((key, group))
    by_group = group[order]
    rank = np.arange(len(order)) - np.searchsorted(by_group, by_group)
    return order[rank < count]


def _silent(
    start: Whole, example: Whole, feature: Whole, examples: int, *, count: int, seed: int
) -> tuple[Whole, Whole]:
    """(feature, example) of `count` examples on which each feature does not fire.

    Chooses places among a feature's silent examples (Floyd's sampling, Bentley and Floyd 1987, a
    step for all features at once), then finds who is there: before the place-th silent example lie
    all firing ones of which at most `place` silent ones come earlier.
    """
    features = np.arange(len(start) - 1)
    quiet = examples - np.diff(start)
    place = np.full((len(features), count), -1)
    for step in range(count):
        # The step's highest place; where a feature has fewer silent examples, steps fall away.
        top = quiet - np.minimum(count, quiet) + step
        live = top < quiet
        drawn = (_hash(seed, 2 + step, features, top) % (top + 1).astype(np.uint64)).astype(int)
        taken = (place == drawn[:, None]).any(1)
        place[:, step] = np.where(live, np.where(taken, top, drawn), -1)
    row, step_of = np.nonzero(place >= 0)
    chosen = place[row, step_of]
    order = np.lexsort((example, feature))
    earlier = example[order] - (np.arange(len(order)) - start[feature])
    stride = np.int64(examples + 1)
    firing = np.searchsorted(feature * stride + earlier, row * stride + chosen, side="right")
    return row, chosen + firing - start[row]


def _hash(seed: int, purpose: int, *numbers: Whole) -> NDArray[np.uint64]:
    """64 well-mixed bits of the numbers (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = _mix(np.array([seed, purpose], np.int64).astype(np.uint64))
    bits = _mix(mixed[:1] + np.uint64(0x9E3779B97F4A7C15) * mixed[1:])
    for number in numbers:
        bits = _mix(bits ^ (number.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)))
    return bits


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
