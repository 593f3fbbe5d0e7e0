"""Batches of scenes and captions to train the demo CLIP on: a pure function of (seed, index).

A batch whose scenes share an attribute cannot be matched by that attribute, so the model has to
look at the others. Shape is the hardest to see and gets batches in which little else differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.demo.scenes import (
    ITEM_ATTRIBUTES,
    POSITIONS,
    RADII,
    VOCABULARY,
    Item,
    Scene,
    caption,
    place_at,
    render,
    sample,
)

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "shape": "single items sharing all but shape, and half the time size and position",
        "shared": "scenes sharing one or two attributes; half the time single items",
        "open": "scenes as they come",
        "texture": "as shape, but it is texture that differs",
    }
)
SIZE = 64
SHORTENED = 0.12
"""Share of the captions in open batches that leave some attributes out, as a searcher would."""
RESIZED = 0.25
"""Share of the batches painted at twice the size and resized, as the image processor does."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures uint8 [b, 64, 64, 3]; the distinct captions; which of them each picture has [b]."""

    kind: str
    pixels: NDArray[np.uint8]
    captions: tuple[str, ...]
    which: NDArray[np.int64]


def make(index: int, *, seed: int, size: int, odds: Mapping[str, float]) -> Batch:
    """The batch with this index.

    Args:
        index: place in the endless list of batches, >= 0.
        seed: names the list, >= 0.
        size: scenes in the batch.
        odds: how often each of `KINDS` comes up, relative to each other.

    Returns:
        The batch; equal captions are listed once, so that they count as one and the same.
    """
    rng = np.random.default_rng((seed, index, 77))
    weights = np.array([odds[kind] for kind in KINDS], float)
    kind = list(KINDS)[int(rng.choice(len(weights), p=weights / weights.sum()))]
    if kind in ("shape", "texture"):
        scenes = _scenes_that_differ_in(kind, size, rng)
    else:
        count = 1 if kind == "shared" and rng.random() < 0.5 else None
        scenes = [sample(index * size + k, seed=seed, count=count) for k in range(size)]
        if kind == "shared":
            scenes = _share(scenes, rng)
    texts = [caption(scene) for scene in scenes]
    if kind == "open":
        texts = [_shorten(text, rng) if rng.random() < SHORTENED else text for text in texts]
    distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    which = np.array([distinct[text] for text in texts], np.int64)
    return Batch(kind, paint_scenes(scenes, resized=rng.random() < RESIZED), tuple(distinct), which)


def paint_scenes(scenes: list[Scene], *, resized: bool) -> NDArray[np.uint8]:
    """Pictures of scenes, uint8 [n, 64, 64, 3], as they are or resized from twice the size."""
    if not resized:
        return np.stack([render(scene, size=SIZE) for scene in scenes])
    large = (Image.fromarray(render(scene, size=2 * SIZE)) for scene in scenes)
    return np.stack(
        [np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for image in large]
    )


def _pick(values: tuple[str, ...], rng: np.random.Generator) -> str:
    return values[int(rng.integers(len(values)))]


def _scenes_that_differ_in(attribute: str, size: int, rng: np.random.Generator) -> list[Scene]:
    """Single items that take the values of shape or texture in turn and share the other one."""
    other = "texture" if attribute == "shape" else "shape"
    fixed = {name: _pick(VOCABULARY[name], rng) for name in ("colour", other, "background")}
    one_size = _pick(VOCABULARY["size"], rng) if rng.random() < 0.5 else None
    one_place = _pick(tuple(POSITIONS), rng) if rng.random() < 0.5 else None
    scenes = []
    for k in range(size):
        item_size = one_size or _pick(VOCABULARY["size"], rng)
        radius = round(rng.uniform(*RADII[item_size]), 2)
        position = one_place or _pick(tuple(POSITIONS), rng)
        named = fixed | {attribute: VOCABULARY[attribute][k % len(VOCABULARY[attribute])]}
        item = Item(
            shape=named["shape"],
            colour=named["colour"],
            texture=named["texture"],
            size=item_size,
            radius=radius,
            **dict(zip("xy", place_at(position, rng, radius=radius), strict=True)),
        )
        scenes.append(Scene(fixed["background"], (item,), shift=int(rng.integers(4096))))
    return scenes


def _share(scenes: list[Scene], rng: np.random.Generator) -> list[Scene]:
    """Give all scenes the same value of one or two attributes (of every item in them)."""
    names = ("background", *(name for name in ITEM_ATTRIBUTES if name != "size"))
    chosen = rng.choice(len(names), size=1 + int(rng.random() < 0.5), replace=False)
    values = {names[k]: _pick(VOCABULARY[names[k]], rng) for k in chosen}
    return [
        replace(
            scene,
            background=values.get("background", scene.background),
            items=tuple(_with(item, values) for item in scene.items),
        )
        for scene in scenes
    ]


def _with(item: Item, values: Mapping[str, str]) -> Item:
    return replace(
        item,
        shape=values.get("shape", item.shape),
        colour=values.get("colour", item.colour),
        texture=values.get("texture", item.texture),
    )


def _shorten(text: str, rng: np.random.Generator) -> str:
    """Leave out some attributes; what stays is still true of the picture."""
    droppable = {*VOCABULARY["size"], *VOCABULARY["texture"], *VOCABULARY["colour"]}
    kept = [word for word in text.split() if word not in droppable or rng.random() < 0.5]
    if rng.random() < 0.5:
        kept = kept[:-2]
    return " ".join(kept)
