"""Features on a plane, so that those that are alike lie together (UMAP, McInnes et al. 2018).

The same vectors and seed give the same map, to the bit, on one machine: everything that could add
up in another order runs on one thread, whatever the process is allowed.
"""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import sparse

from pipeline.metrics.largest import candidates, ranked

COMPONENTS = 50
FEWEST = 10
"""Of fewer vectors nearly all are neighbours: their map is their first two components."""
EXTENT = 10.0
"""Half the width of UMAP's start, as its own initialisations have it."""


def layout(
    vectors_sd: Float[np.ndarray, "s d"],
    *,
    seed: int,
    neighbors: int = 15,
    components: int = COMPONENTS,
    block: int = 1024,
) -> Float[np.ndarray, "s 2"]:
    """Coordinates of s vectors on a plane, without unit; only who is near whom has a meaning.

    Vectors are scaled to unit length, so that nearness is by cosine, and cut to `components` by an
    exact PCA. Their exact nearest neighbours by Euclidean distance there make UMAP's graph, and the
    first two components its start, which keeps the map's large shape from being chance (Kobak and
    Linderman 2021). `neighbors` counts the vector itself, as in umap-learn.

    Returns:
        float32; NaN where a vector is 0 or not finite. Fewer than `FEWEST` others, or vectors that
        all point one way, get their first two components.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    plane = np.full((len(vectors_sd), 2), np.nan, np.float32)
    with threadpool_limits(1):
        norm = np.sqrt(np.einsum("sd,sd->s", vectors_sd, vectors_sd, dtype=np.float64))
        known = np.flatnonzero(np.isfinite(norm) & (norm > 0))
        if not len(known):
            return plane
        unit = (vectors_sd[known] / norm[known, None]).astype(np.float32)
        reduced = principal(unit, count=components)
        start = np.zeros((len(known), 2))
        start[:, : reduced.shape[1]] = reduced[:, :2]
        spread = np.abs(start).max()
        # What is left of vectors that all point one way is rounding.
        if len(known) < FEWEST or spread < 1e-6:
            plane[known] = start
            return plane
        index, distance = neighborhood(reduced, count=min(neighbors, len(known)), block=block)
        # Noise, as umap-learn adds it: equal starts would never part.
        start = start * (EXTENT / spread)
        start += np.random.default_rng(seed).normal(scale=1e-4, size=start.shape)
        plane[known] = _umap(reduced, index, distance, start=start, seed=seed)
    return plane


def principal(
    vectors_sd: Float[np.ndarray, "s d"], *, count: int, block: int = 4096
) -> Float[np.ndarray, "s c"]:
    """The first `count` principal components, falling; fewer where the vectors have fewer.

    Exact, by the covariance in float64 (d up to a few thousand). A component's sign is the one that
    makes its axis's largest entry positive.
    """
    from scipy.linalg import eigh

    s, d = vectors_sd.shape
    mean = vectors_sd.mean(0, dtype=np.float64)
    covariance = np.zeros((d, d))
    for start in range(0, s, block):
        centred = vectors_sd[start : start + block] - mean
        covariance += centred.T @ centred
    count = min(count, d, s)
    axes = eigh(covariance, subset_by_index=[d - count, d - 1])[1][:, ::-1]
    axes = axes * np.where(axes[np.abs(axes).argmax(0), np.arange(count)] < 0, -1, 1)
    made = [(vectors_sd[at : at + block] - mean) @ axes for at in range(0, s, block)]
    return np.concatenate(made).astype(np.float32)


def neighborhood(
    vectors_sd: Float[np.ndarray, "s d"], *, count: int, block: int = 1024
) -> tuple[Int[np.ndarray, "s count"], Float[np.ndarray, "s count"]]:
    """Each vector's `count` nearest by Euclidean distance, rising: itself first, at 0; of equal
    ones the lower first.

    Products in float32, `block` rows at a time, find all that can be among them; their distances
    are then computed from differences.
    """
    s = len(vectors_sd)
    square = np.einsum("sd,sd->s", vectors_sd, vectors_sd)
    index = np.repeat(np.arange(s)[:, None], count, 1)
    distance = np.zeros((s, count), np.float32)
    slack = 1e-5 * float(square.max(initial=0))
    for start in range(0, s, block):
        some = np.arange(start, min(start + block, s))
        nearness = 2 * (vectors_sd[some] @ vectors_sd.T) - square  # less |x|^2, equal in a row
        nearness[np.arange(len(some)), some] = -np.inf
        row, other = candidates(nearness, count - 1, slack=slack)
        gap = np.empty(len(row))
        for part in range(0, len(row), 65_536):
            pairs = slice(part, part + 65_536)
            difference = vectors_sd[some[row[pairs]]] - vectors_sd[other[pairs]]
            gap[pairs] = np.sqrt(np.einsum("pd,pd->p", difference, difference, dtype=np.float64))
        nearest, minus = ranked(row, other, -gap, rows=len(some), count=count - 1)
        index[some, 1:], distance[some, 1:] = nearest, -minus
    return index, distance


def profiles(
    acts_ns: Float[np.ndarray, "n s"] | sparse.csr_matrix,
    *,
    width: int,
    seed: int,
    block: int = 4096,
) -> Float[np.ndarray, "s width"]:
    """Activation profiles of s features over n examples, randomly projected to `width`.

    A feature's activations, scaled to unit length, times a Gaussian [n, width] / sqrt(width): keeps
    the cosines of features to about `1 / sqrt(width)` (Johnson and Lindenstrauss 1984). The same n
    and seed give the same projection, so that dictionaries measured on the same examples share one
    space.

    Returns:
        float32; 0 for dead features.
    """
    n, features = acts_ns.shape
    acts: Any = acts_ns
    if sparse.issparse(acts):
        acts = acts.tocsr()
    rng = np.random.default_rng(seed)
    total, squares = np.zeros((features, width)), np.zeros(features)
    for start in range(0, n, block):
        some = acts[start : start + block].astype(np.float64)
        # Numbers come from one stream, row by row: `block` does not change them.
        total += some.T @ rng.standard_normal((some.shape[0], width))
        power = some.multiply(some) if sparse.issparse(some) else some * some
        squares += np.asarray(power.sum(0)).ravel()
    scale = np.sqrt(squares * width)
    made: NDArray[np.float32] = (total / np.where(scale > 0, scale, 1)[:, None]).astype(np.float32)
    return made


def _umap(
    vectors: NDArray[np.float32], index: Any, distance: Any, *, start: Any, seed: int
) -> NDArray[np.float32]:
    """umap-learn with a graph and a start that are given; with a seed it runs on one thread."""
    with warnings.catch_warnings():
        # On import: that TensorFlow is not there. On fitting: that it could not place new vectors.
        warnings.simplefilter("ignore")
        from umap import UMAP

        made: NDArray[np.float32] = UMAP(
            n_neighbors=index.shape[1],
            metric="euclidean",
            precomputed_knn=(index, distance),
            init=start.astype(np.float32),
            random_state=seed,
            n_jobs=1,
        ).fit_transform(vectors)
    return made
