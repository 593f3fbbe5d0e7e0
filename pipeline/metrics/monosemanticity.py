"""The monosemanticity score in one pass, from sums that merge.

Definition (Pach et al. 2025, as their published code computes it): a feature's activations over N
examples are min-max scaled, and

    MS = sum_{i<j} a_i a_j cos(e_i, e_j) / sum_{i<j} a_i a_j

with e_i the independent encoder's embedding of example i. The scale cancels, so that a' = a - min
stands for the scaled activation.

Both sums over pairs are kept as such. Two lots of examples merge by

    sum over pairs of both = that of one + that of the other + (sum a' of one) (sum a' of the other)

and likewise with the sums of a' e in the upper one. Where a lot's minimum lies d above that of
both, its a' grow by d, which adds multiples of d and d^2, of sums that are kept too. No term of the
lower sum is below 0 and nothing is taken from it, so that no digits cancel, however far the
activations differ in size: the score is right to about 1e-12. (The shorter
`((sum a')^2 - sum a'^2) / 2` loses all digits where one activation is 1e16 times the others.) Sums
are float64.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import sparse

Doubles = NDArray[np.float64]
UNIT_TOLERANCE = 1e-4
SMALLEST = 1e-290
"""Sums of products below this may lack some that are too small for float64; no float32 activations
make one: the smallest have a product of 2e-90."""
_AT_ONCE = 512
"""Examples of which all pairs are held at once."""


@dataclass
class MonosemanticitySums:
    """What the score of s features needs of the examples seen so far; a' is a - low.

    Attributes:
        count: examples seen.
        sum_e: [d], sum of the unit embeddings.
        sum_a: [s], sum of activations.
        above: [s], sum of a'.
        vector: [s, d], sum of a' e.
        pairs: [s], sum over pairs of a'_i a'_j.
        alike: [s], sum over pairs of a'_i a'_j cos(e_i, e_j).
        once: [s], sum over pairs of (a'_i + a'_j) cos(e_i, e_j).
        cosines: sum over pairs of cos(e_i, e_j).
        low, at_low: [s], smallest activation and how many examples have it.
    """

    count: int
    sum_e: Doubles
    sum_a: Doubles
    above: Doubles
    vector: Doubles
    pairs: Doubles
    alike: Doubles
    once: Doubles
    cosines: float
    low: Doubles
    at_low: NDArray[np.int64]

    @classmethod
    def empty(cls, features: int, width: int) -> "MonosemanticitySums":
        """Sums over no examples."""
        sum_a, above, pairs, alike, once = np.zeros((5, features))
        vector, low = np.zeros((features, width)), np.full(features, np.inf)
        at_low = np.zeros(features, np.int64)
        return cls(0, np.zeros(width), sum_a, above, vector, pairs, alike, once, 0.0, low, at_low)

    def add(
        self,
        acts_bs: Float[np.ndarray, "b s"] | sparse.csr_matrix,
        embeddings_bd: Float[np.ndarray, "b d"],
    ) -> None:
        """Add b examples; absent entries of a sparse matrix are activations of 0.

        Raises:
            ValueError: an embedding is not of unit length.
        """
        e = np.asarray(embeddings_bd, np.float64)
        length = np.sqrt((e * e).sum(1))
        if not (np.abs(length - 1) <= UNIT_TOLERANCE).all():  # NaN is refused too
            raise ValueError(
                f"embeddings must be of unit length; found {length.min():g} to {length.max():g}"
            )
        e = e / length[:, None]
        a: Any = acts_bs.astype(np.float64)
        for start in range(0, len(e), _AT_ONCE):
            self.merge(_sums_of(a[start : start + _AT_ONCE], e[start : start + _AT_ONCE]))

    def merge(self, other: "MonosemanticitySums") -> None:
        """Add the sums over other examples; in a fixed order the result is the same to the bit."""
        low = np.minimum(self.low, other.low)
        self.at_low = self.at_low * (self.low == low) + other.at_low * (other.low == low)
        self._lower(low)
        if other.count and (other.low != low).any():
            other = replace(other, vector=other.vector.copy())
            other._lower(low)
        with np.errstate(over="ignore", invalid="ignore"):
            self.pairs = self.pairs + other.pairs + self.above * other.above
            met = np.einsum("sd,sd->s", self.vector, other.vector)
            self.alike = self.alike + other.alike + met
            met = self.vector @ other.sum_e + other.vector @ self.sum_e
            self.once = self.once + other.once + met
            self.cosines += other.cosines + float(self.sum_e @ other.sum_e)
            self.above = self.above + other.above
            self.vector += other.vector
        self.count += other.count
        self.sum_e = self.sum_e + other.sum_e
        self.sum_a = self.sum_a + other.sum_a

    def score(self) -> tuple[Float[np.ndarray, " s"], Int[np.ndarray, " s"]]:
        """The scores, -1 to 1, NaN where fewer than two examples lie above the feature's minimum or
        products of its activations leave float64's range; and how many examples do."""
        active = self.count - self.at_low
        return np.where(active >= 2, _ratio(self.alike, self.pairs), np.nan), active

    def _lower(self, low: Doubles) -> None:
        """Measure the activations from `low`, at or below where they are measured from."""
        if not self.count or (self.low == low).all():
            self.low = low
            return
        n = self.count
        with np.errstate(over="ignore", invalid="ignore"):
            d = self.low - low
            # Of a pair e_i e_j comes with d (a_i + a_j) + d^2.
            self.alike = self.alike + d * self.once + d * d * self.cosines
            self.pairs = self.pairs + d * self.above * (n - 1) + d * d * (n * (n - 1) / 2)
            self.once = self.once + 2 * d * self.cosines
            self.above = self.above + n * d
            self.vector += d[:, None] * self.sum_e
        self.low = low


def _sums_of(a: Any, e: Doubles) -> MonosemanticitySums:
    """The sums over the few examples with activations `a` [b, s] and unit embeddings `e` [b, d]."""
    low, at_low = _lowest(a)
    summed = np.asarray(a.sum(0)).ravel()
    if sparse.issparse(a) and (low < 0).any():
        a = a.toarray()  # an SAE's codes are never negative
    with np.errstate(over="ignore", invalid="ignore"):
        if sparse.issparse(a):
            # A column whose minimum is above 0 stores every row.
            a = a.tocsc(copy=True)
            a.data -= np.repeat(low, np.diff(a.indptr))
        else:
            a = a - low
        others = 1 - np.eye(len(e))
        cosines = others * (e @ e.T)
        pairs, alike = _over_pairs(a, others), _over_pairs(a, cosines)
        once = np.asarray(a.T @ cosines.sum(1))
        above = np.asarray(a.sum(0)).ravel()
        vector = np.asarray(a.T @ e)
    return MonosemanticitySums(
        len(e), e.sum(0), summed, above, vector, pairs, alike, once, cosines.sum() / 2, low, at_low
    )


def _over_pairs(a: Any, weights: Doubles) -> Doubles:
    """`sum_{i<j} w_ij a_i a_j` of each column of `a`; w is symmetric, its diagonal 0."""
    met = weights @ a
    products = a.multiply(met) if sparse.issparse(a) else a * met
    return np.asarray(products.sum(0)).ravel() / 2


def _ratio(alike: Doubles, pairs: Doubles) -> Doubles:
    """The score from both sums; NaN where they are not to be trusted."""
    sound = np.isfinite(alike) & np.isfinite(pairs) & (pairs >= SMALLEST)
    ratio = np.divide(alike, pairs, out=np.full(len(pairs), np.nan), where=sound)
    return np.clip(ratio, -1, 1)


def density_matched(
    acts_n: Float[np.ndarray, " n"],
    embeddings_nd: Float[np.ndarray, "n d"],
    *,
    counts: Int[np.ndarray, " c"],
) -> Float[np.ndarray, " c"]:
    """The score that one neuron or direction has when it is made as sparse as a feature.

    Sparsity alone raises the score: a feature that fires on few images is compared with a neuron of
    which only as many images stay, its strongest (ties: the earlier), everything else set to the
    minimum. One pass over the images in falling order serves all counts.

    Args:
        acts_n: the neuron's activations.
        embeddings_nd: unit embeddings of the same images.
        counts: how many images to keep, each 0 to n.

    Returns:
        A score for each count; NaN below two.
    """
    a = np.asarray(acts_n, np.float64) - np.min(acts_n)
    order = np.argsort(-a, kind="stable")[: max(counts, default=0)]
    a = a[order]
    # Of each image the pairs that it makes with those before it.
    before = np.concatenate([[0.0], np.cumsum(a)])[:-1]
    alike, vector = np.zeros(len(a)), np.zeros(embeddings_nd.shape[1])
    for start in range(0, len(a), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        weighted = a[part, None] * embeddings_nd[order[part]]
        reached = np.cumsum(np.concatenate([vector[None], weighted]), 0)
        alike[part] = np.einsum("nd,nd->n", weighted, reached[:-1])
        vector = reached[-1]
    sums = (np.concatenate([[0.0], np.cumsum(each)]) for each in (alike, a * before))
    scores = _ratio(*sums)[counts]
    return np.where(np.asarray(counts) >= 2, scores, np.nan)


def _lowest(a: Any) -> tuple[Doubles, NDArray[np.int64]]:
    """Each column's minimum and how many rows have it."""
    if not a.shape[0]:
        return np.full(a.shape[1], np.inf), np.zeros(a.shape[1], np.int64)
    if not sparse.issparse(a):
        low = a.min(0)
        return low, (a == low).sum(0)
    columns = a.tocsc()
    columns.eliminate_zeros()
    stored = np.diff(columns.indptr)
    low = np.asarray(columns.min(0).todense()).ravel()
    of_column = np.repeat(np.arange(a.shape[1]), stored)
    at_low = np.bincount(of_column[columns.data == low[of_column]], minlength=a.shape[1])
    # Where the minimum is 0, the rows that store nothing have it.
    return low, np.where(low == 0, a.shape[0] - stored, at_low).astype(np.int64)
