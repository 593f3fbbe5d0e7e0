"""What a demo model's embeddings know of a scene: linear probes and retrieval."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.demo.scenes import ITEM_ATTRIBUTES, VOCABULARY, Scene, caption, render, sample, tags

Embed = Callable[[list[Image.Image]], torch.Tensor]
PROBED = (*ITEM_ATTRIBUTES, "background", "position")
RENDER_SIZE = 128
BATCH = 250


def scenes(number: int, *, seed: int, count: int | None) -> list[Scene]:
    """The first `number` scenes of a seed."""
    return [sample(index, seed=seed, count=count) for index in range(number)]


def embed_scenes(chosen: Sequence[Scene], embed: Embed) -> NDArray[np.float32]:
    """Embeddings [n, d] of scenes painted at 128 pixels, through the model's own processor."""
    rows = []
    with torch.inference_mode():
        for start in range(0, len(chosen), BATCH):
            pixels = (render(s, size=RENDER_SIZE) for s in chosen[start : start + BATCH])
            rows.append(embed([Image.fromarray(p) for p in pixels]).float().numpy())
    return np.concatenate(rows)


def probe_single(
    train: tuple[Sequence[Scene], NDArray[np.float32]],
    test: tuple[Sequence[Scene], NDArray[np.float32]],
) -> dict[str, dict[str, float]]:
    """Accuracy of a logistic regression for each attribute of single-item scenes.

    Args:
        train, test: scenes of one item and their embeddings [n, d].

    Returns:
        attribute -> {"accuracy", "baseline"}, each 0..1; the baseline always says the value that
        is most common in the training scenes.
    """
    result = {}
    for attribute in PROBED:
        labels, truth = ([_value(s, attribute) for s in part[0]] for part in (train, test))
        common = max(VOCABULARY[attribute], key=labels.count)
        result[attribute] = {
            "accuracy": _fit(train[1], labels).score(test[1], truth),
            "baseline": truth.count(common) / len(truth),
        }
    return result


def probe_multi(
    train: tuple[Sequence[Scene], NDArray[np.float32]],
    test: tuple[Sequence[Scene], NDArray[np.float32]],
) -> dict[str, dict[str, float]]:
    """Is a value somewhere in a scene of two or three items? One yes-or-no probe a value.

    Args:
        train, test: scenes and their embeddings [n, d].

    Returns:
        attribute -> {"accuracy", "balanced", "baseline"}: means over the attribute's values of the
        accuracy, the mean of the hit rates on yes and on no, and the share of the commoner answer.
    """
    result: dict[str, dict[str, float]] = {}
    for attribute in (*ITEM_ATTRIBUTES, "background"):
        rows = []
        for value in VOCABULARY[attribute]:
            labels, truth = (
                np.array([value in tags(s) for s in part[0]]) for part in (train, test)
            )
            said = _fit(train[1], labels).predict(test[1])
            hits = said == truth
            balanced = (hits[truth].mean() + hits[~truth].mean()) / 2
            rows.append((hits.mean(), balanced, max(truth.mean(), 1 - truth.mean())))
        names = ("accuracy", "balanced", "baseline")
        result[attribute] = dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))
    return result


def recall(
    images: NDArray[np.float32], texts: NDArray[np.float32], *, ks: Sequence[int] = (1, 5)
) -> dict[str, float]:
    """Share of rows whose own partner is among the k nearest by cosine, in both directions.

    Args:
        images, texts: embeddings [n, d], row i of one belonging to row i of the other.
        ks: the ks.

    Returns:
        "image_to_caption@k" and "caption_to_image@k", each 0..1.
    """
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (images, texts)]
    scores = unit[0] @ unit[1].T
    result: dict[str, float] = {}
    for name, table in (("image_to_caption", scores), ("caption_to_image", scores.T)):
        rank = (table > np.diag(table)[:, None]).sum(1)
        result |= {f"{name}@{k}": float((rank < k).mean()) for k in ks}
    return result


def distinct_captions(number: int, *, seed: int) -> list[Scene]:
    """The first `number` scenes of a seed (any count of items) whose captions all differ."""
    found: dict[str, Scene] = {}
    index = 0
    while len(found) < number:
        scene = sample(index, seed=seed)
        found.setdefault(caption(scene), scene)
        index += 1
    return list(found.values())


def zero_shot(
    images: NDArray[np.float32],
    chosen: Sequence[Scene],
    embed_texts: Callable[[list[str]], NDArray[np.float32]],
) -> Mapping[str, float]:
    """Accuracy of picking, for single items, the right one of captions that differ in one word."""
    result = {}
    unit = images / np.linalg.norm(images, axis=1, keepdims=True)
    for attribute in ITEM_ATTRIBUTES:
        values = VOCABULARY[attribute]
        texts = [
            " ".join(value if word == _value(s, attribute) else word for word in caption(s).split())
            for s in chosen
            for value in values
        ]
        rows = embed_texts(texts)
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).reshape(
            len(chosen), len(values), -1
        )
        said = np.einsum("nd,nvd->nv", unit, rows).argmax(1)
        truth = np.array([values.index(_value(s, attribute)) for s in chosen])
        result[attribute] = float((said == truth).mean())
    return result


def _value(scene: Scene, attribute: str) -> str:
    if attribute == "background":
        return scene.background
    return getattr(scene.items[0], attribute)


def _fit(
    rows: NDArray[np.float32], labels: Sequence[str] | NDArray[np.bool_]
) -> LogisticRegression:
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=300))
    with warnings.catch_warnings():
        # A probe that stops at 300 iterations is a fair, slightly low, reading.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return probe.fit(rows, labels)
