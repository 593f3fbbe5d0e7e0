"""The monosemanticity score in one pass, from sums that merge.

Definition (Pach et al. 2025, as their published code computes it): a feature's activations over N
examples are min-max scaled, and

    MS = sum_{i<j} a_i a_j cos(e_i, e_j) / sum_{i<j} a_i a_j

with e_i the independent encoder's embedding of example i. The scale cancels, so with unit e and
a' = a - min it equals

    MS = (|sum a' e|^2 - sum a'^2) / ((sum a')^2 - sum a'^2)

which needs per feature only sum a, sum a^2, sum a e, min and how often min occurs, and over all
examples sum e. Sums are float64: the differences cancel.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import sparse

Doubles = NDArray[np.float64]
UNIT_TOLERANCE = 1e-4


@dataclass
class MonosemanticitySums:
    """What the score of s features needs of the examples seen so far.

    Attributes:
        count: examples seen.
        sum_e: [d], sum of the unit embeddings.
        sum_a, sum_a2: [s], sums of activations and of their squares.
        sum_ae: [s, d], activation-weighted sums of embeddings.
        low, at_low: [s], smallest activation and how many examples have it.
    """

    count: int
    sum_e: Doubles
    sum_a: Doubles
    sum_a2: Doubles
    sum_ae: Doubles
    low: Doubles
    at_low: NDArray[np.int64]

    @classmethod
    def empty(cls, features: int, width: int) -> "MonosemanticitySums":
        """Sums over no examples."""
        return cls(
            0,
            np.zeros(width),
            np.zeros(features),
            np.zeros(features),
            np.zeros((features, width)),
            np.full(features, np.inf),
            np.zeros(features, np.int64),
        )

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
        low, at_low = _lowest(a)
        squares = a.multiply(a) if sparse.issparse(a) else a * a
        self.merge(
            MonosemanticitySums(
                a.shape[0],
                e.sum(0),
                np.asarray(a.sum(0)).ravel(),
                np.asarray(squares.sum(0)).ravel(),
                np.asarray(a.T @ e),
                low,
                at_low,
            )
        )

    def merge(self, other: "MonosemanticitySums") -> None:
        """Add the sums over other examples; in a fixed order the result is the same to the bit."""
        self.count += other.count
        self.sum_e += other.sum_e
        self.sum_a += other.sum_a
        self.sum_a2 += other.sum_a2
        self.sum_ae += other.sum_ae
        low = np.minimum(self.low, other.low)
        self.at_low = self.at_low * (self.low == low) + other.at_low * (other.low == low)
        self.low = low

    def score(self) -> tuple[Float[np.ndarray, " s"], Int[np.ndarray, " s"]]:
        """The scores, -1 to 1, NaN where fewer than two examples lie above the feature's minimum;
        and how many examples do."""
        active = self.count - self.at_low
        low = np.where(np.isfinite(self.low), self.low, 0)
        total = self.sum_a - self.count * low
        squares = self.sum_a2 - 2 * low * self.sum_a + self.count * low**2
        vector = self.sum_ae - low[:, None] * self.sum_e
        pairs = total**2 - squares
        with np.errstate(divide="ignore", invalid="ignore"):
            ms = ((vector**2).sum(1) - squares) / pairs
        return np.where(active >= 2, np.clip(ms, -1, 1), np.nan), active


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
    order = np.argsort(-a, kind="stable")
    scores = np.full(len(counts), np.nan)
    vector, total, squares, done = np.zeros(embeddings_nd.shape[1]), 0.0, 0.0, 0
    for at in np.argsort(counts, kind="stable"):
        added = order[done : counts[at]]
        done = max(done, int(counts[at]))
        vector += a[added] @ embeddings_nd[added]
        total += a[added].sum()
        squares += (a[added] ** 2).sum()
        pairs = total**2 - squares
        if done >= 2 and pairs > 0:
            scores[at] = np.clip((vector @ vector - squares) / pairs, -1, 1)
    return scores


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
