"""Whether features fire on pictures, on words, or on both, and whether they mean the same in both.

Activations are of the n images that have captions: of the image, and of what is said of it (the
largest over its captions), each 0 or above. Sums are in float64.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import sparse

from pipeline.metrics import relations
from pipeline.metrics.largest import none, ranked, ranked_stored
from pipeline.metrics.relations import LIMIT

Activations: TypeAlias = Float[np.ndarray, "n s"] | sparse.csr_matrix
"""One row a pair of an image and what is said of it: sparse (CSR or CSC) or dense."""

THRESHOLDS = (0.0, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Densities above which a feature may be said to fire, for the curve."""
THRESHOLD = 0.05
"""The one that is shown first: a feature fires on pictures if it does on more than one in 20. At
low ones `shared_shuffled` is no baseline: live features fire on one side at least, so that at 0
`shared` is p + q - 1 of the shares p and q of the sides, never above p q."""
FIRST = 16
"""Partners of a feature that are tried first for its best bridge: those it fires with most."""


@dataclass(frozen=True)
class Bridges:
    """Bridge scores of each feature's image activations, in activation squared.

    Attributes:
        itself: [s], with its own text activations; 0 where the two never fire together.
        best: [s], the largest with another feature's; NaN where none is above 0.
        feature: [s], that other feature, -1 where there is none; of equal ones the lower.
    """

    itself: Float[np.ndarray, " s"]
    best: Float[np.ndarray, " s"]
    feature: Int[np.ndarray, " s"]


def modality_score(
    image_mean_s: Float[np.ndarray, " s"], text_mean_s: Float[np.ndarray, " s"]
) -> Float[np.ndarray, " s"]:
    """E_img / (E_img + E_txt), of mean activations (Papadimitriou et al. 2025, arXiv 2504.11695).

    Returns:
        0 (words alone) to 1 (pictures alone); NaN where both are 0.
    """
    image, text = (np.asarray(mean, np.float64) for mean in (image_mean_s, text_mean_s))
    total = image + text
    return np.where(total > 0, image / np.where(total > 0, total, 1), np.nan)


def pair_correlation(
    image_ns: Activations, text_ns: Activations, *, order: Int[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " s"]:
    """Pearson's correlation (1895) of each feature's activations on images and on their captions,

        r = sum_x (a_x - mean_a) (b_x - mean_b) / (|a - mean_a| |b - mean_b|)

    over all n pairs, zeros included, in float64.

    Args:
        order: the row of text that each image is paired with in place of its own; a `derangement`
            gives the shuffled control.

    Returns:
        -1 to 1; NaN where either is constant.

    Raises:
        ValueError: not the same pairs or features; `order` is of another length.
    """
    _same_shape(image_ns, text_ns)
    image, text = _rows(image_ns), _rows(text_ns)
    if order is not None:
        if len(order) != image.shape[0]:
            raise ValueError(f"order has {len(order)} rows, not {image.shape[0]}")
        text = text[order]
    if sparse.issparse(image) and sparse.issparse(text):
        return _sparse_correlation(image, text)
    correlation = np.full(image.shape[1], np.nan)
    for at in range(0, len(correlation), 64):
        (a, _, length_a), (b, _, length_b) = (
            relations.centred(part.toarray() if sparse.issparse(part) else part)
            for part in (image[:, at : at + 64], text[:, at : at + 64])
        )
        varies = ~np.isnan(length_a + length_b)
        correlation[at : at + 64] = np.where(varies, (a * b).sum(0), np.nan)
    return correlation.clip(-1, 1)


def _rows(acts_ns: Any) -> Any:
    """So that rows can be taken: in CSR, if sparse."""
    return acts_ns.tocsr() if sparse.issparse(acts_ns) else acts_ns


def _sparse_correlation(image_ns: Any, text_ns: Any) -> NDArray[np.float64]:
    """From what is stored: the sum of (a_x - A) (b_x - B), A and B the means, over the pairs where
    both fire, where one does ((a_x - A) sums up apart from -B) and where neither does (A B each).
    Unlike sum a_x b_x - n A B it loses no digits on what fires always and varies little."""
    image, text = relations.without_zeros(image_ns), relations.without_zeros(text_ns)
    n, s = image.shape
    (A, length_a), (B, length_b) = relations.moments(image), relations.moments(text)

    def sums(acts: Any, mean_s: NDArray[np.float64]) -> tuple[Any, Any]:
        feature = acts.indices
        centred = acts.data - mean_s[feature]
        return np.bincount(feature, minlength=s), np.bincount(feature, centred, s)

    # The two have the same pattern, in the same order: where both fire.
    a, b = image.multiply(text.astype(bool)).tocsr(), text.multiply(image.astype(bool)).tocsr()
    of = a.indices
    (on_image, of_image), (on_text, of_text) = sums(image, A), sums(text, B)
    (on_both, a_of_both), (_, b_of_both) = sums(a, A), sums(b, B)
    where_both = np.bincount(of, (a.data - A[of]) * (b.data - B[of]), s)
    where_one = -B * (of_image - a_of_both) - A * (of_text - b_of_both)
    where_neither = (n - on_image - on_text + on_both) * A * B
    return np.clip((where_both + where_one + where_neither) / length_a / length_b, -1, 1)


def derangement(n: int, seed: int) -> Int[np.ndarray, " n"]:
    """A seeded permutation of n rows that leaves none where it is, drawn from those of one cycle
    (Sattolo 1986): each row is as likely to get any other. One row alone stays."""
    cycle = np.random.default_rng(seed).permutation(n)
    order = np.empty(n, np.int64)
    order[cycle] = np.roll(cycle, 1)
    return order


def bridge_scores(
    image_ns: Activations,
    text_ns: Activations,
    W_dec_sd: Float[np.ndarray, "s d"],
    *,
    limit: int = LIMIT,
) -> Bridges:
    """How much each feature's image activations meet text activations along one direction: the
    bridge score of Papadimitriou et al. 2025 (arXiv 2504.11695),

        B_ij = mean over pairs of z_i^image z_j^text, times cos(D_i, D_j),

    D the decoder directions. On the diagonal the cosine is 1. Products are computed a block of
    features at a time, where both fire on a pair; cosines only of those that may be the best.

    Args:
        limit: bytes for a block's intermediates.

    Raises:
        ValueError: not the same pairs or features; a decoder direction is not finite.
    """
    _same_shape(image_ns, text_ns)
    if len(W_dec_sd) != image_ns.shape[1]:
        raise ValueError(f"{len(W_dec_sd)} decoder directions of {image_ns.shape[1]} features")
    image, text = (relations.without_zeros(sparse.csr_matrix(a)) for a in (image_ns, text_ns))
    (n, s), norm = image.shape, relations.lengths(W_dec_sd)
    itself = np.asarray(image.multiply(text).sum(0), np.float64).reshape(s) / max(1, n)
    feature, best = none(s, 1)
    across = image.T.tocsr()
    for some in relations.blocks(across, text, limit=limit):
        feature[some], best[some] = _best_bridges(across[some] @ text / n, some, W_dec_sd, norm)
    return Bridges(itself, best[:, 0].astype(np.float64), feature[:, 0])


def _best_bridges(
    product: Any, some: NDArray[np.int64], W_dec_sd: Any, norm: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of each row of `product`, the mean products of the features `some` with all, the column and
    the value of its best bridge, each [rows, 1].

    No cosine is above 1, so that a product bounds its bridge: the best of a few large products
    leaves few others that can be better.
    """
    row = np.repeat(np.arange(len(some)), np.diff(product.indptr))
    column, value = product.indices, product.data
    value[some[row] == column] = np.nan
    first, of_first = ranked_stored(product, value, count=FIRST)
    at, rank = np.nonzero(first >= 0)
    tried = np.zeros(first.shape)
    tried[at, rank] = relations.cosines(W_dec_sd, norm, some[at], first[at, rank])
    bound = (tried * np.nan_to_num(of_first)).max(1, initial=0) * (1 - 1e-6)
    able = np.flatnonzero(value >= bound[row])
    row, column = row[able], column[able]
    bridge = value[able] * relations.cosines(W_dec_sd, norm, some[row], column)
    above = bridge > 0
    return ranked(row[above], column[above], bridge[above], rows=len(some), count=1)


def top_overlap(
    top_images_sk: Int[np.ndarray, "s k"], top_caption_images_sk: Int[np.ndarray, "s z"]
) -> Float[np.ndarray, " s"]:
    """Jaccard index (1901) of each feature's top images and the images whose captions activate it
    most, -1 where there are fewer; an image that is named twice counts once.

    Returns:
        0 to 1; NaN where both are empty.

    Raises:
        ValueError: not the same number of features.
    """
    if len(top_images_sk) != len(top_caption_images_sk):
        raise ValueError(
            f"not the same features: {len(top_images_sk)} and {len(top_caption_images_sk)}"
        )
    images, of_captions = _distinct(top_images_sk), _distinct(top_caption_images_sk)
    own = np.arange(len(images))[:, None]
    return relations.top_overlap(own, images, of_captions)[:, 0]


def _distinct(rows_sk: Any) -> NDArray[np.int64]:
    """Each row sorted, with -1 in place of what repeats."""
    rows = np.sort(np.asarray(rows_sk, np.int64), axis=1)
    rows[:, 1:][rows[:, 1:] == rows[:, :-1]] = -1
    return rows


def _same_shape(image_ns: Any, text_ns: Any) -> None:
    """Raises ValueError if not."""
    if image_ns.shape != text_ns.shape:
        raise ValueError(f"not the same pairs or features: {image_ns.shape} and {text_ns.shape}")


def overlap_curve(
    image_density_s: Float[np.ndarray, " s"],
    text_density_s: Float[np.ndarray, " s"],
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """Shares of the live features (those that fire on either at all) that fire on pictures alone,
    on words alone and on both, for each threshold above which a density counts as firing; and the
    share of both expected if text densities were shuffled among live features: the product of the
    two shares, which is the mean over all permutations.

    Returns:
        Columns `threshold`, `live`, `image_only`, `text_only`, `shared`, `shared_shuffled`, one
        row a threshold; all shares NaN-free (0 without live features).
    """
    image, text = (np.asarray(d, np.float64) for d in (image_density_s, text_density_s))
    live = (image > 0) | (text > 0)
    count = int(live.sum())
    level = np.asarray(thresholds, np.float64)[:, None]
    on_image, on_text = image[None, live] > level, text[None, live] > level
    of = max(count, 1)

    def share(which: NDArray[np.bool_]) -> NDArray[np.float64]:
        return which.sum(1) / of

    return {
        "threshold": level[:, 0],
        "live": np.full(len(level), count, np.int64),
        "image_only": share(on_image & ~on_text),
        "text_only": share(on_text & ~on_image),
        "shared": share(on_image & on_text),
        "shared_shuffled": share(on_image) * share(on_text),
    }
