"""A made-up bundle of any size: pictures, features and scores that look real, in seconds.

Everything is drawn and counted with arrays, so that a benchmark can ask for millions of rows. The
small default also carries what a page must survive: markup in captions and labels, dead features,
a feature that one image activates, images without captions, a hook point without a grid.
"""

import atexit
import io
import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

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
    DENSE_ACTIVATIONS_KEPT,
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
    SKIPPED,
    STEERING,
    THUMBNAILS,
    TOP_CAPTIONS,
    TOP_EXAMPLES,
    TOP_K,
)
from pipeline.fingerprints.keys import content_key
from pipeline.metrics import modality
from pipeline.run.workspace import Workspace

COLOURS = {
    "red": "#d1495b", "orange": "#e8871e", "yellow": "#edc531", "green": "#3f8f5b",
    "cyan": "#2fa4b5", "blue": "#3562b5", "purple": "#7b4fa3", "pink": "#e58fb1",
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "cross")
MARKUP = "<script>document.title='owned'</script> ![x](http://evil.invalid/x.png)"
DEAD, SINGLE = 3, 5
"""Feature ids that no image, and that exactly one image, activates (in every SAE)."""
STEERED = "batchtopk"
"""The dictionaries of which every other feature is steered, where there is a grid."""


@dataclass(frozen=True)
class Plan:
    """How big the bundle is."""

    n_examples: int = 72
    d_in: int = 24
    d_sae: int = 48
    layers: int = 2
    models: int = 1
    side: int = 64
    grid: int = 8
    most_active: int = 2000
    """At most so many images activate a feature."""
    patches: int = 5
    """Patches above 0 in each top image."""
    seed: int = 0
    mixed: int = 0
    """Whether `batchtopk` reads words beside the picture: captions, but no side of pictures."""


@dataclass(frozen=True)
class _Pictures:
    ids: np.ndarray
    tags: np.ndarray
    """Index of each val image's colour and shape together; images are in the order of it."""
    captions: list[tuple[int, int, str]]
    """Of the val images: caption_id, example_id and text, by caption_id."""


def make_bundle(folder: Path, **sizes: int) -> Path:
    """Publish a made-up bundle in the run's folder `folder`; `sizes` are the fields of `Plan`.

    Returns `folder`, which `store.open_bundle` and the dashboard open.
    """
    key = content_key("synthetic", sizes, contract.VERSION)
    workspace = Workspace(folder)
    with workspace.making("publish", key) as (bundle, _):
        shutil.copytree(_tables(Plan(**sizes)), bundle, dirs_exist_ok=True)
        manifest = {
            "contract": contract.VERSION,
            "key": key,
            "name": folder.name,
            "title": f"Synthetic run {MARKUP}",
        }
        (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    workspace.expose("publish", key)
    return folder


@cache
def _tables(plan: Plan) -> Path:
    """The tables and files of a bundle, made once in each process; to be copied, not changed."""
    kept = tempfile.TemporaryDirectory(prefix="loupe-synthetic-")
    atexit.register(kept.cleanup)
    bundle, rng = Path(kept.name), np.random.default_rng(plan.seed)
    pictures = _examples(plan, bundle)
    _encoders(plan, pictures, rng, bundle)
    _features(plan, pictures, rng, bundle)
    database.build(bundle)
    return bundle


def draw(colour: str, shape: str, *, side: int, rng: np.random.Generator) -> Image.Image:
    """One shape of one colour on a quiet ground, somewhere."""
    ground = tuple(int(v) for v in rng.integers(205, 250, 3))
    image = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(image)
    r = side * rng.uniform(0.16, 0.32)
    x, y = rng.uniform(r, side - r, 2)
    box, fill = (x - r, y - r, x + r, y + r), COLOURS[colour]
    if shape == "circle":
        pen.ellipse(box, fill=fill)
    elif shape == "square":
        pen.rectangle(box, fill=fill)
    elif shape == "triangle":
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=fill)
    else:
        pen.rectangle((x - r, y - r / 3, x + r, y + r / 3), fill=fill)
        pen.rectangle((x - r / 3, y - r, x + r / 3, y + r), fill=fill)
    return image


def _webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()


def _examples(plan: Plan, folder: Path) -> _Pictures:
    rng = np.random.default_rng([plan.seed, 1])
    n = plan.n_examples
    ids = np.sort(rng.choice(2**50, n, replace=False))
    kinds = rng.integers(len(COLOURS) * len(SHAPES), size=n)
    val = np.arange(n) % 4 != 0
    names = [(c, s) for c in COLOURS for s in SHAPES]
    rows = [names[k] for k in kinds]
    pictures = [draw(c, s, side=plan.side, rng=rng) for c, s in rows]
    captions = [[f"a {c} {s}", MARKUP] if i % 5 else [] for i, (c, s) in enumerate(rows)]
    write_table(
        EXAMPLES,
        pa.table(
            {
                "example_id": ids,
                "uri": [f"scene {i}" for i in range(n)],
                "captions": pa.array(captions, pa.list_(pa.string())),
                "label": [s for _, s in rows],
                "taxonomy": pa.array([["shape", s] for _, s in rows]),
                "tags": pa.array([sorted((c, s)) for c, s in rows]),
                "split": np.where(val, "val", "train"),
                "width": np.full(n, plan.side),
                "height": np.full(n, plan.side),
                "sha256": [f"{i:064x}" for i in ids],
            }
        ),
        folder,
    )
    shown = np.flatnonzero(val)
    thumbnails = {"example_id": ids[shown], "image": [_webp(pictures[i]) for i in shown]}
    write_table(THUMBNAILS, pa.table(thumbnails), folder)
    skipped = {"uri": ["broken.jpg", "big.png"], "reason": ["truncated file", MARKUP]}
    write_table(SKIPPED, pa.table(skipped), folder)
    order = shown[np.argsort(kinds[shown], kind="stable")]
    said = [(int(ids[i]), number, text) for i in shown for number, text in enumerate(captions[i])]
    drawn = np.sort(rng.choice(2**50, len(said), replace=False)).tolist()
    texts = {"caption_id": drawn, "example_id": [i for i, _, _ in said]}
    texts |= {"number": [n for _, n, _ in said], "text": [text for _, _, text in said]}
    write_table(CAPTIONS, pa.table(texts), folder)
    made = list(zip(drawn, texts["example_id"], texts["text"], strict=True))
    return _Pictures(ids[order], kinds[order], made)


def _encoders(plan: Plan, pictures: _Pictures, rng: np.random.Generator, folder: Path) -> None:
    rows = {
        "encoder": ["judge", "second"],
        "source": ["data/demo/judge", "data/demo/second"],
        "fingerprint": ["0" * 16, "1" * 16],
        "d": [8, 8],
        "is_default": [True, False],
        "judges": [True, True],
        "judges_itself": [False, False],
        "text": [False, False],
    }
    write_table(ENCODERS, pa.table(rows), folder)
    n = len(pictures.ids)
    vectors = rng.standard_normal((2 * n, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = {
        "encoder": np.repeat(["judge", "second"], n),
        "example_id": np.tile(pictures.ids, 2),
        "vector": _lists(np.full(2 * n, 8), vectors.ravel()),
    }
    write_table(EMBEDDINGS, pa.table(table), folder)


def _dictionaries(plan: Plan) -> list[dict[str, object]]:
    """The rows of `dictionaries`, but for the figures measured: hooks in depth order, by name."""
    hooks = [(f"vision.{i}.resid_post", i, "resid_post", True) for i in range(plan.layers)]
    hooks.append(("vision.projection", None, "projection", False))
    rows = []
    models = ["clip-demo", *(f"other-{i}" for i in range(1, plan.models))]
    for model, (depth, (hook, layer, point, grid)) in product(models, enumerate(hooks)):
        for name in ("batchtopk", "matryoshka", "neurons"):
            sae = name != "neurons"
            rows.append(
                {
                    "dictionary_id": contract.dictionary_id(model, hook, name),
                    "fingerprint": content_key(model, hook, name),
                    "model": model, "hook": hook, "name": name, "tower": "vision",
                    "layer": layer, "point": point, "depth": depth,
                    "basis": "sae" if sae else "neurons",
                    "architecture": name if sae else "identity",
                    "d_in": plan.d_in, "d_sae": plan.d_sae if sae else plan.d_in,
                    "group_sizes": [plan.d_sae // 2, plan.d_sae - plan.d_sae // 2]
                    if name == "matryoshka" else [],
                    "source": "trained by this run" if sae else "the model",
                    "tokens": "text" if plan.mixed and name == "batchtopk"
                    else "patches" if grid else "all",
                    "pooling": "max",
                    "grid_height": plan.grid if grid else None,
                    "grid_width": plan.grid if grid else None,
                    "grid_fit": "crop" if grid else None,
                    "l0": 8.0 + depth if sae else float(plan.d_in),
                    "fvu": 0.3 / (1 + depth) + 0.03 * (name == "matryoshka") if sae else 0.0,
                    "tokens_seen": 500_000 if sae else 0, "default_encoder": "judge",
                    "learnt_from": "patches + captions" if sae else None,
                }
            )  # fmt: skip
    return sorted(rows, key=lambda row: str(row["dictionary_id"]))


def _lists(lengths: np.ndarray, values: np.ndarray) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def _features(plan: Plan, pictures: _Pictures, rng: np.random.Generator, folder: Path) -> None:
    dictionaries = _dictionaries(plan)
    tables = [
        FEATURES,
        MONOSEMANTICITY,
        TOP_EXAMPLES,
    ]
    tables += [HISTOGRAMS, ACTIVATIONS]
    writers = {table.name: TableWriter(table, folder) for table in tables}
    sides: dict[str, dict] = {}
    steered = TableWriter(STEERING, folder)
    for number, row in enumerate(dictionaries):
        made = _one_dictionary(plan, row, pictures, rng)
        if row["basis"] == "sae":
            side = _modality(row, np.random.default_rng([8, number]), len(pictures.ids))
            sides[str(row["dictionary_id"])] = side
            if row["tokens"] != "text":
                made["features"]["modality_score"] = side["modality_score"]
                made["features"]["pair_correlation"] = side["correlation"]
            if row["name"] == STEERED and row["grid_height"] is not None:
                drawn = _steering(row, np.random.default_rng([9, number]))
                made["features"] |= _listed(drawn, int(row["d_sae"]))
                steered.write(pa.table(drawn))
        for name, data in made.items():
            data["dictionary_id"] = np.full(len(data["feature_id"]), row["dictionary_id"])
            if name in ("top_examples", "histograms", "activations"):
                data["modality"] = np.full(len(data["feature_id"]), "image")
            writers[name].write(pa.table(data))
        if row["basis"] == "sae":
            texts = _text_histograms(sides[str(row["dictionary_id"])]["text_active"])
            texts["dictionary_id"] = np.full(len(texts["feature_id"]), row["dictionary_id"])
            texts["modality"] = np.full(len(texts["feature_id"]), "text")
            writers["histograms"].write(pa.table(texts))
        row["dead"] = int((made["features"]["n_active"] == 0).sum())
        row["n_examples"] = len(pictures.ids)
    for writer in writers.values():
        writer.__exit__()
    steered.__exit__()
    _relations(dictionaries, rng, folder)
    _words(dictionaries, pictures, sides, folder)
    columns = {f.name: pa.array([r[f.name] for r in dictionaries]) for f in DICTIONARIES.schema}
    write_table(DICTIONARIES, pa.table(columns), folder)
    sae = [row for row in dictionaries if row["basis"] == "sae"]
    both = [(r, kind) for r in sae for kind in _kinds(r)]
    measured = {
        "dictionary_id": [r["dictionary_id"] for r, _ in both],
        "token_type": [kind for _, kind in both],
        "tokens": [10_000] * len(both), "mse": [0.5] * len(both),
        "fvu": [r["fvu"] * (2 / (1 + r["depth"]) if "caption" in k else 1) for r, k in both],
        "cosine": [0.9] * len(both), "l0": [r["l0"] for r, _ in both],
    }  # fmt: skip
    write_table(RECONSTRUCTION, pa.table(measured), folder)


def _kinds(row: dict) -> tuple[str, ...]:
    """The kinds of token of a dictionary: a projection makes one vector of an image or a text."""
    if row["grid_height"] is None:
        return "image", "caption_alone"
    return "patch", "caption", "caption_alone"


def _one_dictionary(
    plan: Plan, row: dict, pictures: _Pictures, rng: np.random.Generator
) -> dict[str, dict]:
    """The columns of the five feature tables for one dictionary."""
    d, n, sae = int(row["d_sae"]), len(pictures.ids), row["basis"] == "sae"
    most = min(n, plan.most_active)
    n_active = np.exp(rng.uniform(np.log(2), np.log(most + 1), d)).astype(np.int64)
    if not sae:
        n_active = rng.integers(most // 2, most + 1, d)
    n_active = np.clip(n_active, 2, most)
    if sae:
        n_active[rng.random(d) < 0.03] = 0
        n_active[[DEAD, SINGLE]] = 0, 1
    clean = rng.random(d) if sae else rng.random(d) * 0.4
    top = rng.lognormal(1.0, 0.5, d)
    feature, j = _ragged(n_active)
    example = _examples_of(rng, n, clean, feature, j)
    size = top[feature] * np.exp(-3.0 * j / np.maximum(n_active[feature], 1))
    size = size.astype(np.float32)
    density = (n_active / n).astype(np.float32)
    ms = 0.35 + 0.5 * clean - 0.2 * density + rng.normal(0, 0.03, d)
    ms = _masked(np.clip(ms, -1, 1), n_active < 2)
    sums = np.bincount(feature, size, minlength=d)
    label, score = _labels(pictures, feature, example, j, n_active)
    made = {
        "features": {
            "feature_id": np.arange(d), "n_active": n_active, "density": density,
            "group": _group(row, d), "max": np.where(n_active > 0, top, 0),
            "mean": sums / np.maximum(n_active, 1), "ms": ms, "ms_percentile": _percentile(ms),
            "label": label, "label_score": score,
        },
        "monosemanticity": _scores(ms, n_active, rng),
        "top_examples": _tops(plan, row, rng, pictures, feature, example, j, size),
        "histograms": _histograms(feature, size, n_active, d),
    }  # fmt: skip
    kept = j < DENSE_ACTIVATIONS_KEPT if not sae else np.ones(len(j), bool)
    made["activations"] = {
        "feature_id": feature[kept],
        "example_id": pictures.ids[example[kept]],
        "activation": size[kept],
    }
    return made


RELATED = 3
"""Neighbours and matches of a feature."""


def _relations(dictionaries: list[dict], rng: np.random.Generator, folder: Path) -> None:
    """Neighbours, matches and places drawn at random, in the right form."""
    tables = [
        NEIGHBORS,
        MATCHES,
        MAPS,
        ARTEFACTS,
    ]
    tables.append(LABELS)
    writers = {table.name: TableWriter(table, folder) for table in tables}
    for row in dictionaries:
        made = _related(row, dictionaries, rng)
        for name, columns in made.items():
            columns["dictionary_id"] = np.full(len(columns["feature_id"]), row["dictionary_id"])
            writers[name].write(pa.table(columns))
    for writer in writers.values():
        writer.__exit__()
    samples = SAMPLE_EXAMPLES
    write_table(samples, samples.schema.empty_table(), folder)


def _related(row: dict, dictionaries: list[dict], rng: np.random.Generator) -> dict[str, dict]:
    d = int(row["d_sae"])
    feature, rank = np.repeat(np.arange(d), RELATED), np.tile(np.arange(1, RELATED + 1), d)
    falling = np.sort(rng.random((d, RELATED)), axis=1)[:, ::-1].ravel()
    others = [each for each in dictionaries if each is not row]
    shuffled = np.tile(np.repeat([each["dictionary_id"] for each in others], RELATED), d)
    sizes = np.tile(np.repeat([int(each["d_sae"]) for each in others], RELATED), d)
    place = rng.normal(0, 1, (d, 2)) + rng.integers(-2, 3, (d, 2)) * 4
    drawn = rng.spawn(1)[0].random((d * len(others), RELATED))  # another in each dictionary
    dead = rng.random(d) < 0.05
    sae = d if row["basis"] == "sae" else 0
    return {
        "neighbors": {
            "feature_id": feature, "kind": np.full(len(feature), "correlation"), "rank": rank,
            "neighbor": (feature + rank) % d, "score": falling,
        },
        "matches": {
            "feature_id": np.repeat(np.arange(d), RELATED * len(others)), "other_id": shuffled,
            "rank": np.tile(np.arange(1, RELATED + 1), d * len(others)),
            "match": rng.integers(0, sizes),
            "correlation": np.sort(drawn, axis=1)[:, ::-1].ravel(),
            "jaccard": rng.random(len(shuffled)),
        },
        "maps": {
            "basis": np.repeat(["decoder", "activations"], sae),
            "feature_id": np.tile(np.arange(sae), 2),
            "x": np.concatenate([place[:sae, 0], 20 - place[:sae, 1]]),
            "y": np.concatenate([place[:sae, 1], place[:sae, 0]]),
        },
        "artefacts": {
            "feature_id": np.arange(sae), "dead": dead[:sae],
            **{name: rng.random(sae) < 0.1 for name in ("dense", "on_cls", "on_high_norm")},
            "duplicate": np.zeros(sae, bool), "token_density": rng.random(sae),
            "cls_share": pa.nulls(sae, pa.float32()), "norm_ratio": rng.random(sae) * 3,
            "twin": pa.nulls(sae, pa.int32()),
        },
        "labels": _automatic(d, rng),
    }  # fmt: skip


def _words(
    dictionaries: list[dict], pictures: _Pictures, sides: dict[str, dict], folder: Path
) -> None:
    """What captions do to SAE features, drawn at random, in the right form."""
    models = sorted({row["model"] for row in dictionaries})
    ids = [caption_id for caption_id, _, _ in pictures.captions]
    pieces = [_pieces(text) for _, _, text in pictures.captions]
    tokens = {
        "model": np.repeat(models, len(ids)), "caption_id": ids * len(models),
        "tokens": pa.array(pieces * len(models), pa.list_(pa.string())),
        "cut": np.zeros(len(ids) * len(models), int),
    }  # fmt: skip
    write_table(CAPTION_TOKENS, pa.table(tokens), folder)
    tables = [TOP_CAPTIONS, MODALITY, OVERLAP]
    writers = {table.name: TableWriter(table, folder) for table in tables}
    for number, row in enumerate(r for r in dictionaries if r["basis"] == "sae"):
        rng = np.random.default_rng([7, number])
        made = {
            "top_captions": _top_captions(row, np.array(ids), [len(p) for p in pieces], rng),
        }
        if row["tokens"] != "text":
            made["modality"] = dict(sides[row["dictionary_id"]])
            made["overlap"] = modality.overlap_curve(
                made["modality"]["image_density"], made["modality"]["text_density"]
            )
        for name, columns in made.items():
            rows = len(next(iter(columns.values())))
            columns["dictionary_id"] = np.full(rows, row["dictionary_id"])
            writers[name].write(pa.table(columns))
    for writer in writers.values():
        writer.__exit__()


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]


def _top_captions(row: dict, ids: np.ndarray, lengths: list[int], rng: np.random.Generator) -> dict:
    """Sixteen captions of every feature but the dead one, each with a strongest token."""
    d, count = int(row["d_sae"]), min(TOP_K, len(ids))
    feature = np.repeat(np.delete(np.arange(d), DEAD), count)
    chosen = np.concatenate([rng.choice(len(ids), count, replace=False) for _ in range(d - 1)])
    activation = np.sort(rng.random((d - 1, count)), axis=1)[:, ::-1].ravel().astype(np.float32)
    common = {
        "feature_id": feature, "rank": np.tile(np.arange(1, count + 1), d - 1),
        "caption_id": ids[chosen], "activation": activation,
    }  # fmt: skip
    if row["grid_height"] is None:
        none = np.zeros(len(feature), int)
        nothing = {"token": pa.nulls(len(feature), pa.int32())}
        nothing["tokens"] = _lists(none, np.zeros(0, np.uint16))
        return common | nothing | {"token_acts": _lists(none, np.zeros(0, np.float32))}
    token = rng.integers(0, np.array(lengths)[chosen])
    one = np.ones(len(feature), int)
    return common | {
        "token": token, "tokens": _lists(one, token.astype(np.uint16)),
        "token_acts": _lists(one, activation),
    }  # fmt: skip


def _modality(row: dict, rng: np.random.Generator, n: int) -> dict:
    """A third of the features fires on pictures, a third on words, a third on both."""
    d = int(row["d_sae"])
    fires = np.stack([np.arange(d) % 3 != 1, np.arange(d) % 3 != 0])
    fires[:, DEAD] = False
    active = np.where(fires, np.exp(rng.uniform(0, np.log(n / 2), (2, d))), 0).astype(int)
    mean = np.where(fires, rng.lognormal(-3, 1, (2, d)), 0)
    total = mean.sum(0)
    both = fires.all(0)
    correlation = np.clip(rng.normal(0.3, 0.3, d), -1, 1)
    return {
        "feature_id": np.arange(d), "image_active": active[0], "text_active": active[1],
        "image_density": (active[0] / n).astype(np.float32),
        "text_density": (active[1] / n).astype(np.float32),
        "image_mean": mean[0], "text_mean": mean[1],
        "modality_score": _masked(mean[0] / np.where(total > 0, total, 1), total == 0),
        "correlation": _masked(correlation, ~both),
        "correlation_shuffled": _masked(rng.normal(0, 0.05, d), ~both),
        "bridge": np.where(both, rng.random(d), 0), "bridge_best": _masked(rng.random(d), ~both),
        "bridge_feature": pa.array((np.arange(d) + 1) % d, pa.int32(), mask=~both),
        "top_overlap": _masked(rng.random(d), ~fires.any(0)),
    }  # fmt: skip


def _steering(row: dict, rng: np.random.Generator) -> dict:
    """Every other feature is turned up; a third of those steers. One has a markup for an answer."""
    features = np.arange(0, int(row["d_sae"]), 2)
    n = len(features)
    score, steers = 0.2 + 0.1 * rng.random(n), np.arange(n) % 3 == 0
    answers = rng.choice(np.array(list(COLOURS), object), n)
    answers[1] = MARKUP
    made = {
        "dictionary_id": np.full(n, row["dictionary_id"]), "feature_id": features,
        "encoder": np.full(n, "second"), "images": np.full(n, 20), "mode": np.full(n, "clamp"),
        "strength": 1 + rng.random(n), "scope": np.full(n, "all"), "form": np.full(n, "delta"),
        "score": score, "changed": np.where(steers, 0.9, 0.1), "steers": steers,
        "answer": answers, "answer_unsteered": np.full(n, "circle"),
    }  # fmt: skip
    for name, other in (("gain", "score_unsteered"), ("over_shuffled", "score_shuffled")):
        gain = np.where(steers, 0.05, -0.01) + 0.005 * rng.random(n)
        made |= {other: score - gain, name: gain}
        made |= {f"{name}_low": gain - 0.02, f"{name}_high": gain + 0.02}
    return made


def _listed(steered: dict, d: int) -> dict:
    """The columns of `features` that repeat `steering`."""
    score, steers, known = np.zeros(d), np.zeros(d, bool), np.zeros(d, bool)
    at = steered["feature_id"]
    score[at], steers[at], known[at] = steered["score"], steered["steers"], True
    return {"steering_score": _masked(score, ~known), "steers": pa.array(steers, mask=~known)}


def _text_histograms(active: np.ndarray) -> dict:
    """As many images as captions activate each feature, the more the weaker."""
    live, bins = np.flatnonzero(active > 0), HISTOGRAM_BINS
    share = np.exp(-np.arange(bins) / 6)
    counts = np.floor(active[live, None] * share / share.sum()).astype(np.int64)
    counts[:, 0] += active[live] - counts.sum(1)
    edges = np.tile(np.linspace(0, 1, bins + 1), len(live))
    return {
        "feature_id": live,
        "edges": _lists(np.full(len(live), bins + 1), edges.astype(np.float32)),
        "counts": _lists(np.full(len(live), bins), counts.ravel()),
    }


def _automatic(d: int, rng: np.random.Generator) -> dict:
    """Of each feature a class, what a model says (markup for one) and two words, best first."""
    said = np.array([f"a {c} {s}" for c in COLOURS for s in SHAPES], dtype=object)
    said = said[rng.integers(len(said), size=d)]
    said[min(7, d - 1)] = MARKUP
    first = rng.integers(len(COLOURS), size=d)
    colours, shapes = np.array(list(COLOURS), object), np.array(SHAPES, object)
    texts = [shapes[rng.integers(len(SHAPES), size=d)], said]
    texts += [colours[first], colours[(first + 1) % len(COLOURS)]]
    none = np.full(d, np.nan)
    value = np.stack([rng.random(d), none, 0.5 + rng.random(d) / 2, rng.random(d) / 2])
    return {
        "feature_id": np.repeat(np.arange(d), 4),
        "kind": np.tile(np.array(["class", "model", "word", "word"]), d),
        "rank": np.tile([1, 1, 1, 2], d),
        "label": pa.array(np.stack(texts, axis=1).ravel(), pa.string()),
        "value": _masked(value.T.ravel(), np.isnan(value.T.ravel())),
        "tells": 0.5 + rng.random(4 * d) / 2,
    }


def _ragged(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For rows of `lengths`: the row of each element, and its place in the row."""
    row = np.repeat(np.arange(len(lengths)), lengths)
    start = np.cumsum(lengths) - lengths
    return row, np.arange(len(row)) - start[row]


def _examples_of(
    rng: np.random.Generator, n: int, clean: np.ndarray, feature: np.ndarray, j: np.ndarray
) -> np.ndarray:
    """Distinct images of each feature: neighbours (one kind) where it is clean, else scattered."""
    strides = np.array([s for s in range(1, n) if np.gcd(s, n) == 1])
    stride = np.where(clean > 0.5, 1, rng.choice(strides, len(clean)))
    start = rng.integers(n, size=len(clean))
    return (start[feature] + stride[feature] * j) % n


def _masked(values: np.ndarray, mask: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.float32), mask=mask)


def _percentile(ms: pa.Array) -> pa.Array:
    values = ms.to_numpy(zero_copy_only=False)
    known = np.sort(values[~np.isnan(values)])
    share = np.searchsorted(known, values, side="right") / len(known)
    return _masked(share, np.isnan(values))


def _group(row: dict, d: int) -> pa.Array:
    if not row["group_sizes"]:
        return pa.nulls(d, pa.int16())
    return pa.array(np.repeat(np.arange(len(row["group_sizes"])), row["group_sizes"]), pa.int16())


def _scores(ms: pa.Array, n_active: np.ndarray, rng: np.random.Generator) -> dict:
    d = len(n_active)
    values = ms.to_numpy(zero_copy_only=False)
    both = np.concatenate([values, values - 0.05 + rng.normal(0, 0.02, d)])
    control = 0.4 + rng.normal(0, 0.04, 2 * d)
    none = np.isnan(both)
    return {
        "encoder": np.repeat(["judge", "second"], d), "feature_id": np.tile(np.arange(d), 2),
        "ms": _masked(both, none), "n_active": np.tile(n_active, 2),
        "control_neuron": _masked(control, none),
        "control_direction": _masked(control - 0.03, none),
    }  # fmt: skip


def _labels(
    pictures: _Pictures,
    feature: np.ndarray,
    example: np.ndarray,
    j: np.ndarray,
    n_active: np.ndarray,
) -> tuple[pa.Array, pa.Array]:
    """The commonest colour among the top images and its share above chance; markup for one."""
    d, colours = len(n_active), list(COLOURS)
    top = j < TOP_K
    counts = np.zeros((d, len(colours)))
    np.add.at(counts, (feature[top], pictures.tags[example[top]] // len(SHAPES)), 1)
    best = counts.argmax(1)
    share = counts.max(1) / np.maximum(counts.sum(1), 1)
    names = np.array(colours, dtype=object)[best]
    names[np.minimum(7, d - 1)] = MARKUP
    dead = n_active == 0
    names[dead] = None
    score = np.clip((share - 1 / len(colours)) / (1 - 1 / len(colours)), 0, 1)
    return pa.array(names, pa.string()), _masked(score, dead)


def _tops(
    plan: Plan,
    row: dict,
    rng: np.random.Generator,
    pictures: _Pictures,
    feature: np.ndarray,
    example: np.ndarray,
    j: np.ndarray,
    size: np.ndarray,
) -> dict:
    top = j < TOP_K
    m, cells, k = int(top.sum()), plan.grid * plan.grid, plan.patches
    common = {
        "feature_id": feature[top], "rank": j[top] + 1,
        "example_id": pictures.ids[example[top]], "activation": size[top],
    }  # fmt: skip
    if row["grid_height"] is None:
        empty = np.zeros(m, int)
        nothing = {"token": pa.nulls(m, pa.int32())}
        nothing["patches"] = _lists(empty, np.zeros(0, np.uint16))
        return common | nothing | {"patch_acts": _lists(empty, np.zeros(0, np.float32))}
    first = rng.integers(cells - k * 2, size=m)
    patches = first[:, None] + np.cumsum(rng.integers(1, 3, (m, k)), axis=1) - 1
    acts = rng.uniform(0.1, 0.95, (m, k))
    acts[:, k // 2] = 1
    acts *= size[top][:, None]
    return common | {
        "token": patches[:, k // 2],
        "patches": _lists(np.full(m, k), patches.ravel().astype(np.uint16)),
        "patch_acts": _lists(np.full(m, k), acts.ravel().astype(np.float32)),
    }


def _histograms(feature: np.ndarray, size: np.ndarray, n_active: np.ndarray, d: int) -> dict:
    bins = HISTOGRAM_BINS
    high = np.zeros(d)
    np.maximum.at(high, feature, size)
    place = np.minimum(size / high[feature] * bins, bins - 1).astype(np.int64)
    counts = np.bincount(feature * bins + place, minlength=d * bins).reshape(d, bins)
    live = np.flatnonzero(n_active > 0)
    edges = np.linspace(0, 1, bins + 1)[None, :] * high[live][:, None]
    return {
        "feature_id": live,
        "edges": _lists(np.full(len(live), bins + 1), edges.ravel().astype(np.float32)),
        "counts": _lists(np.full(len(live), bins), counts[live].ravel()),
    }
