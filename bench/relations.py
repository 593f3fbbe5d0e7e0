"""What relating the features of large dictionaries costs, in time and memory, on made-up data.

    python bench/relations.py                 every part
    python bench/relations.py layout matches  only these

Each line is a process of its own, limited to one thread by OMP_NUM_THREADS: wall and processor
seconds of the function alone, and the peak of memory of the whole process, its data included. Below
each part stands its peer on a smaller size, and ours on that size: umap-learn as it comes, or the
formula taken literally. UMAP's lines include the compilation of its code (some seconds).
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from scipy import sparse  # noqa: E402

from pipeline.metrics import maps, relations, samples  # noqa: E402

WIDTH, COUNT, L0 = 768, 8, 32
LARGE, SMALL_MAP, SMALL = 65_536, 8192, 512
EXAMPLES, FEW_EXAMPLES = 50_000, 2000


def clustered(number: int) -> np.ndarray:
    """Unit vectors around `number / 64` centres, in sizes that differ."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(1, number // 64), WIDTH))
    of = (len(centres) * rng.random(number) ** 2).astype(int)
    vectors = centres[of] + 0.7 * rng.standard_normal((number, WIDTH))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def activations(
    features: int, *, seed: int = 0, skewed: bool = False, examples: int = EXAMPLES
) -> sparse.csr_matrix:
    """L0 features an example, each as often, or the n-th `n^-0.7` times as often as the first."""
    rng = np.random.default_rng(seed)
    draws = rng.random((examples, L0))
    feature = (features * (draws ** (1 / 0.3) if skewed else draws)).astype(int)
    example = np.repeat(np.arange(examples), L0)
    pairs = np.unique(example * features + feature.ravel())
    value = rng.gamma(2, size=len(pairs)).astype(np.float32)
    shape = (examples, features)
    return sparse.csr_matrix((value, (pairs // features, pairs % features)), shape=shape)


def tops(features: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, EXAMPLES, (features, 16))


def literal_coactivation(acts: sparse.csr_matrix) -> list[Any]:
    """Every pair of features in turn, by both formulas."""
    a = acts.toarray().astype(np.float64)
    best = []
    for i in range(a.shape[1]):
        values = []
        for j in range(a.shape[1]):
            both, either = ((a[:, i] > 0) & (a[:, j] > 0)), ((a[:, i] > 0) | (a[:, j] > 0))
            r = np.corrcoef(a[:, i], a[:, j])[0, 1]
            values.append((both.sum() / max(1, either.sum()), r))
        best.append(np.argsort(np.array(values), axis=0)[-COUNT:])
    return best


def umap_default(vectors: np.ndarray) -> np.ndarray:
    from umap import UMAP

    return UMAP(metric="cosine", random_state=0).fit_transform(vectors)


def full_sort(vectors: np.ndarray) -> np.ndarray:
    """The nearest directions from a whole matrix of cosines, each row sorted."""
    return np.argsort(-(vectors @ vectors.T), axis=1)[:, 1 : COUNT + 1]


def ours(a: sparse.csr_matrix, b: Any) -> Any:
    shapes = tops(a.shape[1]), tops(b.shape[1])
    return relations.matches(a, b, count=COUNT, top_a=shapes[0], top_b=shapes[1])


def draw(acts: sparse.csr_matrix) -> Any:
    a = acts.tocsc()
    return samples.draw(
        a.indptr, a.indices, a.data, examples=a.shape[0], seed=0, per_bin=4, random=8, silent=8
    )


def literal_draw(acts: sparse.csr_matrix) -> list[Any]:
    """Feature by feature."""
    a, chosen = acts.tocsc(), []
    for i in range(a.shape[1]):
        rng = np.random.default_rng((0, i))
        example, value = (x[a.indptr[i] : a.indptr[i + 1]] for x in (a.indices, a.data))
        edges = np.quantile(value, [0, 0.25, 0.5, 0.75, 0.95]) if len(value) else []
        for low, high in pairwise(edges):
            within = example[(value >= low) & (value < high)]
            chosen.append(rng.permutation(within)[:4])
        chosen.append(rng.permutation(example)[:8])
        chosen.append(rng.permutation(np.setdiff1d(np.arange(a.shape[0]), example))[:8])
    return chosen


Case = tuple[Callable[[], tuple[Any, ...]], Callable[..., Any]]
few = FEW_EXAMPLES
CASES: dict[str, dict[str, Case]] = {
    "layout": {
        f"{LARGE:,} x {WIDTH}": (lambda: (clustered(LARGE),), lambda v: maps.layout(v, seed=0)),
        f"{SMALL_MAP:,}": (lambda: (clustered(SMALL_MAP),), lambda v: maps.layout(v, seed=0)),
        f"{SMALL_MAP:,}, umap-learn's default, cosine": (
            lambda: (clustered(SMALL_MAP),),
            umap_default,
        ),
    },
    "profiles": {
        f"{EXAMPLES:,} x {LARGE:,} to 64": (
            lambda: (activations(LARGE),),
            lambda a: maps.profiles(a, width=64, seed=0),
        ),
    },
    "nearest_directions": {
        f"{LARGE:,} x {WIDTH}": (
            lambda: (clustered(LARGE),),
            lambda v: relations.nearest_directions(v, count=COUNT),
        ),
        f"{SMALL_MAP:,}": (
            lambda: (clustered(SMALL_MAP),),
            lambda v: relations.nearest_directions(v, count=COUNT),
        ),
        f"{SMALL_MAP:,}, all cosines sorted": (lambda: (clustered(SMALL_MAP),), full_sort),
    },
    "coactivation": {
        f"{EXAMPLES:,} x {LARGE:,}": (
            lambda: (activations(LARGE),),
            lambda a: relations.coactivation(a, count=COUNT),
        ),
        f"{EXAMPLES:,} x {LARGE:,}, skewed": (
            lambda: (activations(LARGE, skewed=True),),
            lambda a: relations.coactivation(a, count=COUNT),
        ),
        f"{EXAMPLES:,} x {WIDTH}, dense": (
            lambda: (np.random.default_rng(0).standard_normal((EXAMPLES, WIDTH), np.float32),),
            lambda a: relations.coactivation(a, count=COUNT),
        ),
        f"{few:,} x {SMALL}": (
            lambda: (activations(SMALL, examples=few),),
            lambda a: relations.coactivation(a, count=COUNT),
        ),
        f"{few:,} x {SMALL}, literal": (
            lambda: (activations(SMALL, examples=few),),
            literal_coactivation,
        ),
    },
    "matches": {
        f"{EXAMPLES:,} x {LARGE:,} in as many": (
            lambda: (activations(LARGE), activations(LARGE, seed=1)),
            ours,
        ),
        f"{EXAMPLES:,} x {LARGE:,} in {WIDTH} dense": (
            lambda: (
                activations(LARGE),
                np.random.default_rng(0).standard_normal((EXAMPLES, WIDTH), np.float32),
            ),
            ours,
        ),
    },
    "draw": {
        f"{EXAMPLES:,} x {LARGE:,}": (lambda: (activations(LARGE),), draw),
        f"{EXAMPLES:,} x {SMALL_MAP // 8:,}": (lambda: (activations(SMALL_MAP // 8),), draw),
        f"{EXAMPLES:,} x {SMALL_MAP // 8:,}, literal": (
            lambda: (activations(SMALL_MAP // 8),),
            literal_draw,
        ),
    },
}


def measure(part: str, name: str) -> str:
    """One case in this process: wall seconds, processor seconds, peak memory, as cells."""
    make, function = CASES[part][name]
    given = make()
    wall, processor = time.monotonic(), time.process_time()
    function(*given)
    wall, processor = time.monotonic() - wall, time.process_time() - processor
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return f"{wall:.2f} | {processor:.2f} | {peak / 2**30:.2f}"


def main(parts: list[str]) -> None:
    print("| function | size | wall s | processor s | peak memory GiB |\n|---|---|---|---|---|")
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    for part in parts:
        for name in CASES[part]:
            command = [sys.executable, __file__, "--case", part, name]
            made = subprocess.run(
                command, check=True, env=os.environ | single, stdout=subprocess.PIPE, text=True
            )
            print(f"| {part} | {name} | {made.stdout.strip().splitlines()[-1]} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(CASES)}")
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(measure(*arguments.case))
    elif unknown := set(arguments.parts) - CASES.keys():
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    else:
        main(arguments.parts or list(CASES))
