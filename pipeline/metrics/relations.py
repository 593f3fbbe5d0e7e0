"""Which features lie near one another: by decoder direction, by firing together, by matching.

Of equal values the lower feature comes first. Correlation is Pearson's (1895), over all n examples,
zeros included,

    r_ij = sum_x (a_xi - mean_i) (b_xj - mean_j) / (|a_i - mean_i| |b_j - mean_j|)

with sums in float64. Sparse activations are never centred: sum_x a_xi b_xj - n mean_i mean_j has
terms only where both fire. Of two sparse dictionaries only pairs that fire together at least once
are compared; any other pair's correlation is below 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy import sparse

from pipeline.metrics.largest import candidates, none, ranked, ranked_rows, ranked_stored

Doubles = NDArray[np.float64]

LIMIT = 2**28
"""Bytes that one block's intermediates may take, about; one feature's are always held."""

PAIR_BYTES = 64
"""What a pair of features that fire together takes, about: two products with their indices, the
pair, its values and their ranks."""

COSINE_SLACK = 1e-5
"""More than a cosine of two unit float32 vectors can be off: 4096 products of eps 6e-8 add up to
less than 4e-6, as their errors differ in sign."""

MATCH_THRESHOLD = 0.5
"""A best match that correlates less is none: Gurnee et al. 2024 ask as much of a neuron that they
call universal (above their baseline, which for sparse features is near 0), and below it less than
a quarter of the variance is shared."""


@dataclass(frozen=True)
class Ranked:
    """Each feature's best others, best first.

    Attributes:
        feature: [s, count], -1 where there are fewer.
        value: [s, count], falling; NaN where there are fewer.
    """

    feature: Int[np.ndarray, "s count"]
    value: Float[np.ndarray, "s count"]


@dataclass(frozen=True)
class Matches:
    """Each feature's best counterparts in another dictionary, best first.

    Attributes:
        feature: [s, count], in the other dictionary; -1 where there are fewer.
        correlation: [s, count], -1 to 1, falling; NaN where there are fewer.
        jaccard: [s, count], of the sets of top examples, 0 to 1; NaN where both are empty.
        unmatched: [s], of those that are neither dead nor constant, the ones whose best
            correlation is below `MATCH_THRESHOLD` or that fire together with none.
    """

    feature: Int[np.ndarray, "s count"]
    correlation: Float[np.ndarray, "s count"]
    jaccard: Float[np.ndarray, "s count"]
    unmatched: Bool[np.ndarray, " s"]


def nearest_directions(
    W_dec_sd: Float[np.ndarray, "s d"], *, count: int, block: int = 1024
) -> tuple[Int[np.ndarray, "s count"], Float[np.ndarray, "s count"]]:
    """Each feature's nearest decoder directions by cosine, itself left out.

    Products in float32, `block` rows at a time, find all that can be among the nearest; their
    cosines are then computed in float64.

    Returns:
        (feature, -1 where there are fewer; cosine, -1 to 1, falling, NaN where there are fewer).
        Rows of zeros are near nothing.

    Raises:
        ValueError: a value is not finite.
    """
    norm = lengths(W_dec_sd)
    unit = (W_dec_sd / np.where(norm > 0, norm, 1)[:, None]).astype(np.float32)
    near = Ranked(*none(len(unit), count))
    for start in range(0, len(unit), block):
        some = np.arange(start, min(start + block, len(unit)))
        cosine = unit[some] @ unit.T
        cosine[:, norm == 0] = cosine[norm[some] == 0] = -np.inf
        cosine[np.arange(len(some)), some] = -np.inf
        row, other = candidates(cosine, count, slack=COSINE_SLACK)
        value = cosines(W_dec_sd, norm, some[row], other)
        near.feature[some], near.value[some] = ranked(
            row, other, value, rows=len(some), count=count
        )
    return near.feature, near.value


def lengths(W_dec_sd: Float[np.ndarray, "s d"]) -> Doubles:
    """Euclidean lengths of decoder directions, in float64.

    Raises:
        ValueError: a value is not finite.
    """
    norm: Doubles = np.sqrt(np.einsum("sd,sd->s", W_dec_sd, W_dec_sd, dtype=np.float64))
    if not np.isfinite(norm).all():
        raise ValueError("decoder directions must be finite")
    return norm


def cosines(
    W_dec_sd: Float[np.ndarray, "s d"],
    length_s: Doubles,
    left: Int[np.ndarray, " p"],
    right: Int[np.ndarray, " p"],
) -> Doubles:
    """The cosine of the decoder directions of each of p pairs of features, in float64, -1 to 1; 0
    where one is all zeros. `length_s` is `lengths(W_dec_sd)`."""
    value = np.zeros(len(left))
    for part in range(0, len(left), 4096):
        a, b = left[part : part + 4096], right[part : part + 4096]
        dot = np.einsum("pd,pd->p", W_dec_sd[a], W_dec_sd[b], dtype=np.float64)
        of = length_s[a] * length_s[b]
        value[part : part + 4096] = dot / np.where(of > 0, of, 1)
    return value.clip(-1, 1)


def coactivation(
    acts_ns: Float[np.ndarray, "n s"] | sparse.csr_matrix, *, count: int, limit: int = LIMIT
) -> tuple[Ranked | None, Ranked]:
    """The features that fire together most with each.

    Args:
        acts_ns: pooled activations, sparse (CSR or CSC) and above 0 where a feature fires, or
            dense (neurons).
        limit: bytes for a block's intermediates.

    Returns:
        (by the index |both| / |either| of the sets of examples on which two fire, 0 to 1 (Jaccard
        1901), None for dense activations, whose sign says little; by correlation, -1 to 1). Dead
        features fire with nothing, constant ones correlate with nothing.
    """
    features = acts_ns.shape[1]
    by_correlation = Ranked(*none(features, count))
    if not sparse.issparse(acts_ns):
        for some, correlation in _correlations(acts_ns, acts_ns, limit=limit):
            correlation[np.arange(len(some)), some] = -np.inf
            by_correlation.feature[some], by_correlation.value[some] = ranked_rows(
                correlation, count=count
            )
        return None, by_correlation
    by_jaccard = Ranked(*none(features, count))
    acts = without_zeros(acts_ns)
    fires = acts.astype(bool).astype(np.int32)
    fired = np.diff(acts.tocsc().indptr)
    mean, length = moments(acts)
    across, fires_across = acts.T.tocsr(), fires.T.tocsr()
    for some in blocks(across, acts, limit=limit):
        # Both products walk the same pattern in the same order: one set of pairs serves both.
        dot, both = across[some] @ acts, fires_across[some] @ fires
        row = np.repeat(np.arange(len(some)), np.diff(dot.indptr))
        left, right = some[row], dot.indices
        r = (dot.data - acts.shape[0] * mean[left] * mean[right]) / length[left] / length[right]
        jaccard = both.data / (fired[left] + fired[right] - both.data)
        for result, value in ((by_correlation, r), (by_jaccard, jaccard)):
            value = np.where(left == right, np.nan, value.clip(-1, 1))
            result.feature[some], result.value[some] = ranked_stored(dot, value, count=count)
    return by_jaccard, by_correlation


def matches(
    a_ns: Float[np.ndarray, "n s"] | sparse.csr_matrix,
    b_ns: Float[np.ndarray, "n z"] | sparse.csr_matrix,
    *,
    count: int,
    top_a: Int[np.ndarray, "s k"],
    top_b: Int[np.ndarray, "z k"],
    limit: int = LIMIT,
) -> Matches:
    """For each feature of one dictionary its best counterparts in another, by correlation over the
    same n examples (as Bricken et al. 2023 and Gurnee et al. 2024 do across models).

    Args:
        a_ns, b_ns: pooled activations, each sparse (above 0 where a feature fires) or dense.
        top_a, top_b: rows of each feature's strongest examples, -1 where there are fewer.
        limit: bytes for a block's intermediates.

    Raises:
        ValueError: not the same examples.
    """
    if a_ns.shape[0] != b_ns.shape[0]:
        raise ValueError(f"not the same examples: {a_ns.shape[0]} and {b_ns.shape[0]}")
    best = Ranked(*none(a_ns.shape[1], count))
    mean, length = moments(a_ns)
    if sparse.issparse(a_ns) and sparse.issparse(b_ns):
        b, across = without_zeros(b_ns), without_zeros(a_ns).T.tocsr()
        mean_b, length_b = moments(b)
        for some in blocks(across, b, limit=limit):
            dot = across[some] @ b
            left = some[np.repeat(np.arange(len(some)), np.diff(dot.indptr))]
            r = dot.data - b.shape[0] * mean[left] * mean_b[dot.indices]
            r /= length[left] * length_b[dot.indices]
            best.feature[some], best.value[some] = ranked_stored(dot, r.clip(-1, 1), count=count)
    else:
        for some, correlation in _correlations(a_ns, b_ns, limit=limit):
            best.feature[some], best.value[some] = ranked_rows(correlation, count=count)
    unmatched = ~np.isnan(length) & ~(best.value[:, :1] >= MATCH_THRESHOLD).any(1)
    return Matches(best.feature, best.value, top_overlap(best.feature, top_a, top_b), unmatched)


def top_overlap(
    match_sc: Int[np.ndarray, "s c"], top_a: Int[np.ndarray, "s k"], top_b: Int[np.ndarray, "z k"]
) -> Float[np.ndarray, "s c"]:
    """Jaccard index of each feature's top examples and those of its matches; rows of `top_a` and
    `top_b` hold no example twice. NaN where there is no match or neither has an example."""
    jaccard = np.full(match_sc.shape, np.nan, np.float32)
    held_a, held_b = (top_a >= 0).sum(1), (top_b >= 0).sum(1)
    row, rank = np.nonzero(match_sc >= 0)
    for part in range(0, len(row), 65_536):
        at = (row[part : part + 65_536], rank[part : part + 65_536])
        a, other = top_a[at[0]], match_sc[at]
        both = ((a[:, :, None] == top_b[other][:, None, :]) & (a >= 0)[:, :, None]).sum((1, 2))
        either = held_a[at[0]] + held_b[other] - both
        jaccard[at] = np.where(either > 0, both / np.maximum(either, 1), np.nan)
    return jaccard


def moments(acts_ns: Any) -> tuple[Doubles, Doubles]:
    """Each feature's mean and the length of what is left without it, `sqrt(sum (a - mean)^2)`, over
    all n examples; the length is NaN where all activations are equal."""
    n, features = acts_ns.shape
    if not sparse.issparse(acts_ns):
        parts = [centred(acts_ns[:, at : at + 64])[1:] for at in range(0, features, 64)]
        mean, length = (
            np.concatenate([part[i] for part in parts] or [np.zeros(0)]) for i in (0, 1)
        )
        return mean, length
    a = without_zeros(acts_ns).tocsc()
    stored = np.diff(a.indptr)
    of = np.repeat(np.arange(features), stored)
    mean = np.bincount(of, a.data, features) / max(1, n)
    squares = np.bincount(of, (a.data - mean[of]) ** 2, features) + (n - stored) * mean**2
    high, low = np.full(features, -np.inf), np.full(features, np.inf)
    np.maximum.at(high, of, a.data)
    np.minimum.at(low, of, a.data)
    constant = (stored == 0) | ((stored == n) & (high == low))
    return mean, np.where(constant, np.nan, np.sqrt(squares))


def without_zeros(acts_ns: Any) -> Any:
    """In float64 and CSR, without stored zeros."""
    acts = acts_ns.tocsr().astype(np.float64)  # a copy: the caller's keeps its zeros
    acts.sum_duplicates()
    acts.eliminate_zeros()
    return acts


def centred(acts_ns: Any) -> tuple[Doubles, Doubles, Doubles]:
    """Dense activations less their mean, scaled to unit length (0 where constant); the mean; the
    length (NaN where constant)."""
    a = np.asarray(acts_ns, np.float64)
    if not len(a):
        nothing = np.zeros(a.shape[1])
        return a, nothing, np.full(a.shape[1], np.nan)
    mean = a.mean(0)
    length = np.where(a.max(0) > a.min(0), np.sqrt(((a - mean) ** 2).sum(0)), np.nan)
    return np.nan_to_num((a - mean) / length), mean, length


def blocks(across_sn: Any, b_nz: Any, *, limit: int) -> Iterator[NDArray[np.int64]]:
    """Features in blocks whose product with `b_nz` fits `limit` bytes, those with few partners
    first, so that the rows of a block are about as long as one another."""
    in_example = np.diff(b_nz.indptr)
    ends = np.concatenate([[0], np.cumsum(in_example[across_sn.indices], dtype=np.int64)])
    partners = np.minimum(ends[across_sn.indptr[1:]] - ends[across_sn.indptr[:-1]], b_nz.shape[1])
    order = np.argsort(partners, kind="stable")
    order = order[np.searchsorted(partners[order], 1) :]  # what never fires has no product
    start = 0
    while start < len(order):
        size = np.arange(1, len(order) - start + 1) * partners[order[start:]]
        some = max(1, int(np.searchsorted(size, limit // PAIR_BYTES, side="right")))
        yield order[start : start + some]
        start += some


def _correlations(
    a_ns: Any, b_nz: Any, *, limit: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Blocks of features of `a_ns`, and their correlations [block, z]; NaN where one is constant.
    At least one of the two is dense."""
    n, features = a_ns.shape
    width = max(1, limit // (32 * max(1, n)))  # columns of a dense block in float64, with copies
    block = max(1, limit // (24 * max(1, b_nz.shape[1])))
    (_, length_a), (_, length_b) = moments(a_ns), moments(b_nz)
    a = without_zeros(a_ns).tocsc() if sparse.issparse(a_ns) else a_ns
    b = without_zeros(b_nz).T.tocsr() if sparse.issparse(b_nz) else b_nz
    if not sparse.issparse(a):
        block = min(block, width)
    for start in range(0, features, block):
        some = np.arange(start, min(start + block, features))
        left = a[:, some] if sparse.issparse(a) else centred(a[:, some])[0]
        if sparse.issparse(b):
            r = (b @ left).T / length_b
        else:
            r = np.empty((len(some), b.shape[1]))
            for at in range(0, b.shape[1], width):
                r[:, at : at + width] = left.T @ centred(b[:, at : at + width])[0]
            r = r / length_a[some, None] if sparse.issparse(a) else r
        r[np.isnan(length_a[some])] = r[:, np.isnan(length_b)] = np.nan
        yield some, r.clip(-1, 1).astype(np.float32)
