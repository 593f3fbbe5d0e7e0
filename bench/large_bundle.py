"""A made-up bundle as large as a real run's: 6 layers x 65,536 features x 50,000 distinct images.

    python bench/large_bundle.py                    into data/runs/bench-large, minutes
    python bench/large_bundle.py --bundle FOLDER --features 4096 --images 5000

All tables of the contract are there, with as many rows a feature as a run leaves; one that is not
known here is left empty. What is there already with the same sizes is kept.
"""

import argparse
import inspect
import io
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from pipeline import contract
from pipeline.bundle import database
from pipeline.bundle.tables import TableWriter, write_table
from pipeline.contract.tables import (
    ACTIVATIONS,
    ARTEFACTS,
    CAPTION_TOKENS,
    CAPTIONS,
    DICTIONARIES,
    EMBEDDINGS,
    ENCODERS,
    EXAMPLES,
    FEATURES,
    HISTOGRAM_BINS,
    HISTOGRAMS,
    LABELS,
    MAPS,
    MATCHES,
    MODALITY,
    MONOSEMANTICITY,
    NEIGHBORS,
    OVERLAP,
    RECONSTRUCTION,
    SAMPLE_EXAMPLES,
    STEERING,
    TABLES,
    THUMBNAILS,
    TOP_CAPTIONS,
    TOP_EXAMPLES,
    TOP_K,
    Table,
    as_markdown,
)
from pipeline.fingerprints.keys import content_key
from pipeline.metrics import modality
from pipeline.run.workspace import Workspace

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "data/runs/bench-large"
RECIPE = 3
"""Raised when what is written changes."""
MODEL, HOOK, NAME, ENCODER = "clip-bench", "vision.{}.resid_post", "batchtopk", "judge"
WORDS = [
    f"{size} {colour} {thing}"
    for size in ("small", "large", "striped", "dotted", "pale")
    for colour in ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
    for thing in ("circle", "square", "heart", "cross", "arrow", "window", "wheel", "leaf")
]
SIDE, GRID, D_IN, D_ENCODER = 128, 14, 768, 512
PATCHES, ACTIVE, RANKS, MATCHED, SAMPLES = 16, 100, 8, 3, 4
"""A feature's patches in a top image, images on average, neighbours a kind, matches in each other
dictionary, and samples a kind."""
KINDS = ("0-25 %", "25-50 %", "50-75 %", "75-95 %", "random", "silent")

Columns = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    layers: int = 6
    features: int = 65_536
    images: int = 50_000
    recipe: int = RECIPE


def ensure(folder: Path, sizes: Sizes) -> Path:
    """The run's folder `folder` with such a bundle in it, made if it is not there."""
    facts = (asdict(sizes), as_markdown(), inspect.getsource(database))
    key = content_key("bench", *facts)
    workspace = Workspace(folder)
    if workspace.has("publish", key) and workspace.shows("publish", key):
        return folder
    with workspace.locked(), workspace.making("publish", key) as (bundle, _):
        _images(sizes, bundle)
        _dictionaries(sizes, bundle)
        for name, table in TABLES.items():
            if not (bundle / table.file).exists():
                print(f"{name}: not known to the bench, left empty")
                write_table(table, table.schema.empty_table(), bundle)
        _said("tables")
        database.build(bundle)
        _said("database")
        manifest = {
            "contract": contract.VERSION, "key": key, "name": folder.name,
            "title": f"{sizes.layers} layers of {sizes.features:,} made-up features",
        }  # fmt: skip
        (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    workspace.expose("publish", key)
    return folder


def example_ids(sizes: Sizes) -> np.ndarray:
    """As `examples.example_id`: spread over 53 bits like hashes, rising."""
    step = np.random.default_rng(1).integers(1, 2**53 // (sizes.images + 1), sizes.images)
    return np.cumsum(step)


def caption_ids(sizes: Sizes) -> np.ndarray:
    """As `captions.caption_id`: two an image."""
    return np.sort(np.concatenate([example_ids(sizes), example_ids(sizes) + 1]))


def picture(number: int) -> bytes:
    """The thumbnail of one image, unlike every other: soft noise with a few shapes."""
    rng = np.random.default_rng([2, number])
    noise = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8))
    image = noise.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for x, y, r in rng.integers(8, SIDE - 8, (5, 3)):
        pen.ellipse((x - r / 4, y - r / 4, x + r / 4, y + r / 4), tuple(rng.integers(0, 256, 3)))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80, method=1)
    return buffer.getvalue()


def _pictures(numbers: range) -> list[bytes]:
    return [picture(number) for number in numbers]


def _images(sizes: Sizes, folder: Path) -> None:
    ids, n = example_ids(sizes), sizes.images
    tags = [[WORDS[i * len(WORDS) // n], WORDS[(i * 7919) % len(WORDS)]] for i in range(n)]
    columns = {
        "example_id": ids, "uri": [f"images/{i:06}.jpg" for i in range(n)],
        "captions": [[f"a {a} beside a {b}", f"{b} and {a}"] for a, b in tags],
        "label": [a.split()[-1] for a, _ in tags],
        "taxonomy": [[a.split()[-1], a] for a, _ in tags], "tags": [sorted(set(t)) for t in tags],
        "split": np.full(n, "val"), "width": np.full(n, 640), "height": np.full(n, 480),
        "sha256": [f"{i:064x}" for i in range(n)],
    }  # fmt: skip
    write_table(EXAMPLES, pa.table(columns), folder)
    said = {
        "caption_id": caption_ids(sizes), "example_id": np.repeat(ids, 2),
        "number": np.tile([0, 1], n), "text": list(chain.from_iterable(columns["captions"])),
    }  # fmt: skip
    write_table(CAPTIONS, pa.table(said), folder)
    pieces = pa.array([text.replace(" ", "\0 ").split("\0") for text in said["text"]])
    tokens = {"model": MODEL, "caption_id": said["caption_id"], "tokens": pieces, "cut": 0}
    write_table(CAPTION_TOKENS, _table(tokens, 2 * n), folder)
    parts = [range(i, min(i + 500, n)) for i in range(0, n, 500)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        made = list(chain.from_iterable(pool.map(_pictures, parts)))
    write_table(THUMBNAILS, pa.table({"example_id": ids, "image": made}), folder)
    encoder = {
        "encoder": [ENCODER], "source": ["made up"], "fingerprint": ["0" * 16], "d": [D_ENCODER],
        "is_default": [True],
    }  # fmt: skip
    write_table(ENCODERS, pa.table(encoder), folder)
    vectors = np.random.default_rng(3).standard_normal((n, D_ENCODER), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = {"encoder": np.full(n, ENCODER), "example_id": ids, "vector": _lists(vectors)}
    write_table(EMBEDDINGS, pa.table(rows), folder)
    _said("images")


def identities(sizes: Sizes) -> list[str]:
    """The ids of the dictionaries, in order."""
    hooks = [HOOK.format(layer) for layer in range(sizes.layers)]
    return sorted(contract.dictionary_id(MODEL, hook, NAME) for hook in hooks)


def _dictionaries(sizes: Sizes, folder: Path) -> None:
    names, d = identities(sizes), sizes.features
    rows = {
        "dictionary_id": names, "fingerprint": [content_key(name) for name in names],
        "model": MODEL, "hook": [name.split("/")[1] for name in names], "name": NAME,
        "tower": "vision", "layer": range(sizes.layers), "point": "resid_post",
        "depth": range(sizes.layers), "basis": "sae", "architecture": "batchtopk", "d_in": D_IN,
        "d_sae": d, "group_sizes": pa.array([[]] * len(names), pa.list_(pa.int32())),
        "source": "made up", "tokens": "patches", "pooling": "max", "grid_height": GRID,
        "grid_width": GRID, "grid_fit": "crop", "l0": 32.0, "fvu": 0.2, "dead": d // 50,
        "learnt_from": "patches + captions", "tokens_seen": 10**8, "n_examples": sizes.images,
        "default_encoder": ENCODER,
    }  # fmt: skip
    write_table(DICTIONARIES, _table(rows, len(names)), folder)
    kinds = ("caption", "caption_alone", "patch")
    measured = {
        "dictionary_id": np.repeat(names, len(kinds)), "token_type": np.tile(kinds, len(names)),
        "tokens": 10**7, "mse": 0.5, "fvu": 0.2, "cosine": 0.9, "l0": 32.0,
    }  # fmt: skip
    rows_of_it = len(names) * len(kinds)
    write_table(RECONSTRUCTION, _table(measured, rows_of_it), folder)
    makers: dict[Table, Callable[..., Columns]] = {
        NEIGHBORS: _neighbors, MATCHES: _matches,
        ARTEFACTS: _artefacts, SAMPLE_EXAMPLES: _samples,
        LABELS: _labels, TOP_CAPTIONS: _top_captions,
        MODALITY: _modality, OVERLAP: _overlap,
        STEERING: _steering,
    }  # fmt: skip
    for table, make in makers.items():
        with TableWriter(table, folder) as writer:
            for number, name in enumerate(names):
                made = make(sizes, name, np.random.default_rng([4, number]))
                writer.write(_table(made | {"dictionary_id": name}))
    with TableWriter(MAPS, folder) as writer:
        for basis in ("activations", "decoder"):
            for number, name in enumerate(names):
                islands = np.random.default_rng([5, number]).normal(0, 4, (200, 2))
                xy = (
                    np.random.default_rng([6, number]).normal(size=(d, 2))
                    + islands[np.arange(d) % 200]
                )
                rows = {"basis": basis, "feature_id": range(d), "x": xy[:, 0], "y": xy[:, 1]}
                writer.write(_table(rows | {"dictionary_id": name}, d))
    _said("relations")
    _features(sizes, folder)


def _features(sizes: Sizes, folder: Path) -> None:
    wanted = (
        FEATURES, MONOSEMANTICITY, TOP_EXAMPLES, HISTOGRAMS,
        ACTIVATIONS,
    )  # fmt: skip
    writers = {table.name: TableWriter(table, folder) for table in wanted}
    for number, name in enumerate(identities(sizes)):
        for table, columns in _one(sizes, np.random.default_rng([7, number])):
            writers[table].write(_table(columns | {"dictionary_id": name}))
    for writer in writers.values():
        writer.__exit__()
    _said("features")


def _one(sizes: Sizes, rng: np.random.Generator) -> Iterator[tuple[str, Columns]]:
    """The feature tables of one dictionary; features 0, 50, 100, ... are dead."""
    ids, d, n = example_ids(sizes), sizes.features, sizes.images
    active = np.clip(rng.lognormal(np.log(ACTIVE) - 0.5, 1.0, d).astype(np.int64), 2, n // 4)
    active[::50] = 0
    feature = np.repeat(np.arange(d), active)
    place = np.arange(len(feature)) - np.repeat(np.cumsum(active) - active, active)
    strides = np.array([s for s in range(1, n) if np.gcd(s, n) == 1])
    stride = np.where(rng.random(d) < 0.5, 1, rng.choice(strides, d))
    start = rng.integers(n, size=d)
    example = (start[feature] + stride[feature] * place) % n
    top = rng.lognormal(1.0, 0.5, d)
    size = (top[feature] * np.exp(-3.0 * place / active[feature])).astype(np.float32)
    ms = np.clip(0.35 + 0.5 * rng.random(d) + rng.normal(0, 0.03, d), -1, 1)
    none = active == 0
    common = {"feature_id": range(d), "n_active": active, "ms": pa.array(ms, mask=none)}
    sums = np.bincount(feature, size, d)
    yield "features", common | {
        "modality_score": pa.array(rng.random(d), mask=none),
        "pair_correlation": pa.array(rng.random(d), mask=none),
        "steering_score": pa.array(rng.random(d), mask=none),
        "steers": pa.array(rng.random(d) < 0.3, mask=none),
        "density": active / n, "max": np.where(none, 0, top), "mean": sums / np.maximum(active, 1),
        "ms_percentile": pa.array(ms.argsort().argsort() / d, mask=none),
        "label": pa.array(np.array(WORDS)[start * len(WORDS) // n], pa.string(), mask=none),
        "label_score": pa.array(rng.random(d), mask=none),
    }  # fmt: skip
    yield "monosemanticity", common | {
        "encoder": ENCODER, "control_neuron": pa.array(ms - 0.2, mask=none),
        "control_direction": pa.array(ms - 0.3, mask=none),
    }  # fmt: skip
    yield "activations", {
        "modality": "image", "feature_id": feature, "example_id": ids[example], "activation": size,
    }  # fmt: skip
    shown = place < TOP_K
    patches = np.cumsum(rng.integers(1, GRID**2 // PATCHES + 1, (shown.sum(), PATCHES)), 1) - 1
    acts = rng.random(patches.shape, np.float32)
    acts[:, 0] = 1
    yield "top_examples", {
        "modality": "image", "feature_id": feature[shown], "rank": place[shown] + 1,
        "example_id": ids[example[shown]], "activation": size[shown], "token": patches[:, 0],
        "patches": _lists(patches.astype(np.uint16)),
        "patch_acts": _lists(acts * size[shown, None]),
    }  # fmt: skip
    bins, live = HISTOGRAM_BINS, np.flatnonzero(active)
    low = np.minimum(size / top[feature] * bins, bins - 1).astype(np.int64)
    counts = np.bincount(feature * bins + low, minlength=d * bins).reshape(d, bins)
    edges = np.linspace(0, 1, bins + 1) * top[live, None]
    yield "histograms", {
        "modality": "image", "feature_id": live, "edges": _lists(edges.astype(np.float32)),
        "counts": _lists(counts[live]),
    }  # fmt: skip


def _neighbors(sizes: Sizes, name: str, rng: np.random.Generator) -> Columns:
    kinds, d = ("correlation", "decoder", "jaccard"), sizes.features
    other = (np.arange(d)[:, None] + np.cumsum(rng.integers(1, d // 32, (d, 24)), 1)) % d
    return {
        "feature_id": np.repeat(np.arange(d), 3 * RANKS),
        "kind": np.tile(np.repeat(kinds, RANKS), d),
        "rank": np.tile(np.arange(1, RANKS + 1), 3 * d), "neighbor": other.ravel(),
        "score": -np.sort(-rng.random((3 * d, RANKS), np.float32)).ravel(),
    }  # fmt: skip


def _matches(sizes: Sizes, name: str, rng: np.random.Generator) -> Columns:
    others, d = [other for other in identities(sizes) if other != name], sizes.features
    found = np.cumsum(rng.integers(1, d // MATCHED, (d * len(others), MATCHED)), 1) % d
    return {
        "feature_id": np.repeat(np.arange(d), MATCHED * len(others)),
        "other_id": pa.DictionaryArray.from_arrays(
            np.tile(np.repeat(np.arange(len(others), dtype=np.int8), MATCHED), d), others
        ),
        "rank": np.tile(np.arange(1, MATCHED + 1), d * len(others)), "match": found.ravel(),
        "correlation": -np.sort(-rng.random(found.shape, np.float32)).ravel(),
        "jaccard": rng.random(found.size, np.float32),
    }  # fmt: skip


def _samples(sizes: Sizes, name: str, rng: np.random.Generator) -> Columns:
    d, n, ids = sizes.features, sizes.images, example_ids(sizes)
    spread = np.sort(rng.integers(0, n - SAMPLES, (d * len(KINDS), SAMPLES))) + np.arange(SAMPLES)
    kind = np.tile(np.repeat(np.arange(len(KINDS), dtype=np.int8), SAMPLES), d)
    size = np.where(kind == len(KINDS) - 1, 0, rng.random(len(kind), np.float32))
    return {
        "modality": "image", "feature_id": np.repeat(np.arange(d), SAMPLES * len(KINDS)),
        "kind": pa.DictionaryArray.from_arrays(kind, list(KINDS)),
        "example_id": ids[spread.ravel()], "activation": size.astype(np.float32),
    }  # fmt: skip


def _labels(sizes: Sizes, name: str, rng: np.random.Generator) -> Columns:
    kinds, d = ("class", "word", "word", "word"), sizes.features
    return {
        "feature_id": np.repeat(np.arange(d), len(kinds)), "kind": np.tile(kinds, d),
        "rank": np.tile((1, 1, 2, 3), d), "value": rng.random(len(kinds) * d),
        "label": np.array(WORDS)[rng.integers(0, len(WORDS), len(kinds) * d)],
        "tells": 0.5 + 0.5 * rng.random(len(kinds) * d),
    }  # fmt: skip


def _top_captions(sizes: Sizes, name: str, rng: np.random.Generator) -> Columns:
    d, ids, k = sizes.features, caption_ids(sizes), TOP_K
    # Far apart, as the captions of a feature are: each is found for itself.
    spread = np.cumsum(rng.integers(1, len(ids) // k, (d, k)), 1)
    acts = -np.sort(-rng.random((d, k), np.float32)).ravel()
    token = rng.integers(0, 4, d * k)
    return {
        "feature_id": np.repeat(np.arange(d), k), "rank": np.tile(np.arange(1, k + 1), d),
        "caption_id": ids[spread.ravel()], "activation": acts, "token": token,
        "tokens": _lists(np.stack([token, token + 1], 1).astype(np.uint16)),
        "token_acts": _lists(np.stack([acts, acts / 2], 1)),
    }  # fmt: skip


def _modality(sizes: Sizes, name: str, rng: np.random.Generator) -> Columns:
    d, n = sizes.features, sizes.images
    dead = np.arange(d) % 50 == 0
    active = np.where(dead, 0, np.exp(rng.uniform(-2, np.log(n / 4), (2, d)))).astype(np.int64)
    mean = np.where(active > 0, rng.lognormal(-3, 1, (2, d)), 0)
    none = (active == 0).any(0)
    score = mean[0] / np.maximum(mean.sum(0), 1e-12)
    return {
        "feature_id": range(d), "image_active": active[0], "text_active": active[1],
        "image_density": active[0] / n, "text_density": active[1] / n,
        "image_mean": mean[0], "text_mean": mean[1],
        "modality_score": pa.array(score, mask=mean.sum(0) == 0),
        "correlation": pa.array(np.clip(rng.normal(0.2, 0.3, d), -1, 1), mask=none),
        "correlation_shuffled": pa.array(rng.normal(0, 0.01, d), mask=none),
        "bridge": np.where(none, 0, rng.random(d)),
        "bridge_best": pa.array(rng.random(d), mask=none),
        "bridge_feature": pa.array((np.arange(d) + 1) % d, mask=none),
        "top_overlap": pa.array(rng.random(d), mask=dead),
    }  # fmt: skip


def _overlap(sizes: Sizes, name: str, rng: np.random.Generator) -> Columns:
    level = np.array(modality.THRESHOLDS)
    share = np.exp(-5 * level) / 3
    return {
        "threshold": level, "live": np.full(len(level), sizes.features), "image_only": share,
        "text_only": share, "shared": share, "shared_shuffled": share**2,
    }  # fmt: skip


def _steering(sizes: Sizes, name: str, rng: np.random.Generator) -> Columns:
    live = np.flatnonzero(np.arange(sizes.features) % 50)
    made: Columns = {
        "feature_id": live, "encoder": ENCODER, "images": 100, "mode": "clamp", "scope": "all",
        "form": "delta", "answer_unsteered": "a leaf", "changed": rng.random(len(live)),
        "strength": 1 + rng.random(len(live)), "answer": np.array(WORDS)[live % len(WORDS)],
        "steers": rng.random(len(live)) < 0.3,
    }  # fmt: skip
    for column in ("score", "score_unsteered", "score_shuffled"):
        made[column] = 0.2 + 0.1 * rng.random(len(live))
    for column in ("gain", "over_shuffled"):
        mean = rng.normal(0.02, 0.03, len(live))
        made |= {column: mean, f"{column}_low": mean - 0.02, f"{column}_high": mean + 0.02}
    return made


def _artefacts(sizes: Sizes, name: str, rng: np.random.Generator) -> Columns:
    d = sizes.features
    rare = {flag: rng.random(d) < 0.02 for flag in ("dense", "on_cls", "on_high_norm")}
    return rare | {
        "feature_id": range(d), "dead": np.arange(d) % 50 == 0, "duplicate": rng.random(d) < 0.01,
        "token_density": rng.random(d), "norm_ratio": rng.random(d) * 3,
    }  # fmt: skip


def _table(columns: Columns, rows: int | None = None) -> pa.Table:
    """The columns as a table; a single value stands in every row."""
    rows = rows or max(len(c) for c in columns.values() if not isinstance(c, str | int | float))
    made = {}
    for name, column in columns.items():
        if isinstance(column, str | int | float):
            of = pa.array([column])
            column = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), of)
        made[name] = column if isinstance(column, pa.Array) else pa.array(np.asarray(column))
        if isinstance(made[name], pa.DictionaryArray):
            made[name] = made[name].dictionary_decode()
    return pa.table(made)


def _lists(rows: np.ndarray) -> pa.ListArray:
    """A matrix as a column of lists."""
    ends = np.arange(0, rows.size + 1, rows.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(rows.ravel()))


STARTED = time.monotonic()


def _said(what: str) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.monotonic() - STARTED:6.0f} s, peak {peak:.2f} GiB: {what} written", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=FOLDER, help="the folder of the run")
    for name, size in asdict(Sizes()).items():
        if name != "recipe":
            parser.add_argument(f"--{name}", type=int, default=size)
    chosen = vars(parser.parse_args())
    ensure(chosen.pop("bundle"), Sizes(**chosen))


if __name__ == "__main__":
    main()
