"""The map of features: who is near whom, what has no place on it, and that it never differs."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.manifold import trustworthiness

from pipeline.metrics import maps

ROOT = Path(__file__).parents[1]
CENTRES, EACH, WIDTH = 12, 25, 80


def clustered(seed: int = 0) -> np.ndarray:
    """Twelve clusters in a space where two components show few of them apart."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((CENTRES, WIDTH))
    vectors = np.repeat(centres, EACH, 0) + 0.5 * rng.standard_normal((CENTRES * EACH, WIDTH))
    return vectors.astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Clustered, with what has no place, equal ones, and lengths that say nothing."""
    made = clustered()
    made[5] = 0
    made[60, 3] = np.nan
    made[100:104] = made[100]
    made *= np.random.default_rng(9).uniform(0.1, 10, (len(made), 1)).astype(np.float32)
    return made


@pytest.fixture(scope="module")
def plane(vectors: np.ndarray) -> np.ndarray:
    return maps.layout(vectors, seed=3)


def test_what_has_no_direction_has_no_place(vectors: np.ndarray, plane: np.ndarray) -> None:
    assert plane.shape == (len(vectors), 2) and plane.dtype == np.float32
    placeless = [5, 60]
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(plane).any(1)), placeless)
    assert np.isnan(plane[placeless]).all()


def test_neighbours_stay_neighbours(vectors: np.ndarray, plane: np.ndarray) -> None:
    """Better than on the first two components, and clusters lie apart."""
    known = ~np.isnan(plane).any(1)
    unit = vectors[known] / np.linalg.norm(vectors[known], axis=1, keepdims=True)
    ours = trustworthiness(unit, plane[known], n_neighbors=10)
    components = trustworthiness(unit, maps.principal(unit, count=2), n_neighbors=10)
    shuffled = np.random.default_rng(0).permutation(plane[known])
    chance = trustworthiness(unit, shuffled, n_neighbors=10)
    # Within a cluster of equals order is noise, so that no map of these reaches 1.
    assert ours > 0.95 > components > 0.55 > chance
    cluster = np.repeat(np.arange(CENTRES), EACH)[known]
    near, _ = maps.neighborhood(plane[known], count=11)
    assert (cluster[near[:, 1:]] == cluster[:, None]).mean() > 0.99


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_fresh_process_makes_the_same_map(
    vectors: np.ndarray, plane: np.ndarray, tmp_path: Path, threads: str
) -> None:
    np.save(tmp_path / "vectors.npy", vectors)
    code = (
        "import sys, numpy as np; from pipeline.metrics import maps; folder = sys.argv[1];"
        "plane = maps.layout(np.load(folder + '/vectors.npy'), seed=3);"
        "np.save(folder + '/plane.npy', plane)"
    )
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code, str(tmp_path)],
        check=True,
        cwd=ROOT,
        env=os.environ | dict.fromkeys(names, threads),
    )
    assert np.load(tmp_path / "plane.npy").tobytes() == plane.tobytes()


def test_the_seed_and_nothing_else_decides(vectors: np.ndarray, plane: np.ndarray) -> None:
    np.random.seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = maps.layout(vectors, seed=3, block=37)
    np.testing.assert_array_equal(plane, again)
    assert not np.array_equal(plane, maps.layout(vectors, seed=4), equal_nan=True)


@pytest.mark.parametrize("number", [0, 1, 2, 9, 10, 12])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_few_vectors_of_few_dimensions(number: int, width: int) -> None:
    few = np.random.default_rng(number).standard_normal((number, width)).astype(np.float32)
    plane = maps.layout(few, seed=0)
    assert plane.shape == (number, 2) and np.isfinite(plane).all()


def test_vectors_that_all_point_one_way_lie_on_one_spot() -> None:
    same = np.arange(1, 31)[:, None] * np.array([[1.0, 2, 3]])
    plane = maps.layout(same, seed=0)
    np.testing.assert_allclose(plane, 0, atol=1e-6)
    assert np.isnan(maps.layout(np.zeros((20, 3)), seed=0)).all()


def test_principal_components_are_those_of_the_singular_values() -> None:
    x = clustered()[:90].astype(np.float64)
    centred = x - x.mean(0)
    u, size, _ = np.linalg.svd(centred, full_matrices=False)
    for block in (7, 4096):
        got = maps.principal(x, count=6, block=block)
        np.testing.assert_allclose(np.abs(got), np.abs(u[:, :6] * size[:6]), rtol=0, atol=1e-5)
        axes = centred.T @ got  # along the axes, whose largest entry is positive
        assert (axes[np.abs(axes).argmax(0), np.arange(6)] > 0).all()
    assert maps.principal(x[:4], count=6).shape == (4, 4)
    assert maps.principal(x[:, :3], count=6).shape == (90, 3)


@pytest.mark.parametrize("count", [1, 2, 15])
@pytest.mark.parametrize("block", [13, 1024])
def test_neighbourhoods(count: int, block: int) -> None:
    x = clustered()[:, :7]
    x[20:23] = x[20]  # equal
    x[30] = x[31] + 1e-5  # nearer than products in single precision can tell
    index, distance = maps.neighborhood(x, count=count, block=block)
    for i, row in enumerate(x.astype(np.float64)):
        gaps = [np.sqrt(sum((row - other) ** 2)).astype(np.float32) for other in x]
        others = sorted((gap, j) for j, gap in enumerate(gaps) if j != i)[: count - 1]
        assert index[i].tolist() == [i, *(j for _, j in others)]
        np.testing.assert_allclose(distance[i], [0, *(gap for gap, _ in others)], rtol=1e-6)


def test_neighbours_that_single_precision_cannot_tell_apart() -> None:
    """A small crowd far from the origin: products leave errors as large as the gaps."""
    rng = np.random.default_rng(5)
    x = (rng.standard_normal(30) + 1e-4 * rng.standard_normal((400, 30))).astype(np.float32)
    index, _ = maps.neighborhood(x, count=6)
    exact = np.linalg.norm(x[:, None].astype(np.float64) - x[None], axis=2)
    np.testing.assert_array_equal(index, np.argsort(exact, axis=1)[:, :6])


def activations(n: int = 500, features: int = 40) -> np.ndarray:
    rng = np.random.default_rng(1)
    acts = np.where(rng.random((n, features)) < 0.1, rng.gamma(2, size=(n, features)), 0)
    acts[:, 4] = 0
    acts[:, 6] = 5 * acts[:, 7]
    return acts


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("block", [1, 64, 4096])
def test_profiles_are_the_projection_of_unit_activations(form: type, block: int) -> None:
    acts, width = activations(), 16
    got = maps.profiles(form(acts), width=width, seed=7, block=block)
    projection = np.random.default_rng(7).standard_normal((len(acts), width))
    for i, column in enumerate(acts.T):
        length = np.sqrt(sum(column**2)) or 1
        wanted = [sum(column / length * p) / np.sqrt(width) for p in projection.T]
        np.testing.assert_allclose(got[i], wanted, rtol=0, atol=1e-6)
    assert got.dtype == np.float32 and not got[4].any()
    np.testing.assert_allclose(got[6], got[7], rtol=1e-6)


def test_profiles_keep_cosines_and_share_one_space() -> None:
    acts, width = activations(), 2048
    unit = acts / np.maximum(np.linalg.norm(acts, axis=0), 1e-12)
    left = maps.profiles(acts[:, :25], width=width, seed=0).astype(np.float64)
    right = maps.profiles(sparse.csr_matrix(acts[:, 15:]), width=width, seed=0)
    wanted = unit[:, :25].T @ unit[:, 15:]
    assert np.abs(left @ right.T - wanted).max() < 5 / np.sqrt(width)
    other = maps.profiles(acts[:, 15:], width=width, seed=1)
    assert np.abs(left @ other.T - wanted).max() > 0.5


def test_profiles_of_no_examples() -> None:
    assert not maps.profiles(np.zeros((0, 3)), width=4, seed=0).any()
