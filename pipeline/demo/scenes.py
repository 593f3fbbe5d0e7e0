"""Small scenes with known ground truth: what is in them, how they look, what can be said of them.

A `Scene` is plain data and easy to make or to change by hand:

    scene = sample(7, seed=0, count=1)
    blue = replace(scene, items=(replace(scene.items[0], colour="blue"),))
    pixels = render(blue)

Positions and radii are in canvas units: the canvas is 64 units wide at every size in pixels, x
runs to the right and y downwards. Items are painted in order, so a later one may hide an earlier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from pipeline.demo import paint

POSITIONS: Mapping[str, str] = MappingProxyType(
    {
        "top left": "in the top left",
        "top": "at the top",
        "top right": "in the top right",
        "left": "on the left",
        "centre": "in the centre",
        "right": "on the right",
        "bottom left": "in the bottom left",
        "bottom": "at the bottom",
        "bottom right": "in the bottom right",
    }
)
"""Names of the nine positions, row by row, and how a caption says them."""

VOCABULARY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "shape": tuple(paint.SHAPES),
        "colour": tuple(paint.COLOURS),
        "texture": tuple(paint.TEXTURES),
        "size": ("small", "large"),
        "background": tuple(paint.BACKGROUNDS),
        "position": tuple(POSITIONS),
        "count": ("one", "two", "three"),
    }
)
"""Every attribute and its values. No value belongs to two attributes."""

ITEM_ATTRIBUTES = ("shape", "colour", "texture", "size")
"""The attributes that are fields of an `Item`."""

RADII: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"small": (10.0, 12.0), "large": (17.0, 20.0)}
)
"""Range of an item's radius by its size, in canvas units."""

SHIFTS = 64
"""A background's piece starts at one of SHIFTS x SHIFTS places."""

_CENTRE_FROM, _CENTRE_TO = 27.0, 37.0
_POSITION_MARGIN = 2.0
_COUNT_ODDS = (0.4, 0.35, 0.25)
_MIN_DISTANCE = 0.86
_MIN_GAP = 5.0
_TRIES = 64


@dataclass(frozen=True, slots=True)
class Item:
    """One object. `x`, `y` and `radius` in canvas units; `size` names the radius' range."""

    shape: str
    colour: str
    texture: str
    size: str
    x: float
    y: float
    radius: float

    @property
    def position(self) -> str:
        """Which of the nine positions the centre lies in; the middle band is 10 units wide."""
        column = (self.x >= _CENTRE_FROM) + (self.x > _CENTRE_TO)
        row = (self.y >= _CENTRE_FROM) + (self.y > _CENTRE_TO)
        return VOCABULARY["position"][3 * row + column]


@dataclass(frozen=True, slots=True)
class Scene:
    """A background and the items on it, painted in order.

    `shift` (0 to 4,095) says which piece of the background's texture shows; it carries no meaning.
    """

    background: str
    items: tuple[Item, ...]
    shift: int = 0


def sample(index: int, *, seed: int, count: int | None = None) -> Scene:
    """The scene with this index in the endless list that the seed names.

    Args:
        index: place in the list, >= 0.
        seed: names the list, >= 0.
        count: number of items, 1 to 3; None draws it (40 %, 35 %, 25 %).

    Returns:
        A scene whose items lie inside the canvas and hide at most about a fifth of each other; of
        three items at most one is large. Larger items are painted first.

    Raises:
        ValueError: count is not 1, 2, 3 or None.
    """
    if count not in (None, 1, 2, 3):
        raise ValueError(f"count is {count}; a scene has 1, 2 or 3 items (or None to draw it)")
    rng = np.random.default_rng((seed, index, count or 0))
    number = count or 1 + int(np.searchsorted(np.cumsum(_COUNT_ODDS[:2]), rng.random()))
    names = {attribute: _draw(attribute, rng, number) for attribute in ITEM_ATTRIBUTES}
    if number == 3:
        first_large = names["size"].index("large") if "large" in names["size"] else -1
        names["size"] = ["large" if k == first_large else "small" for k in range(3)]
    xs, ys, radii = place(names["size"], rng)
    items = [
        Item(**{name: names[name][k] for name in names}, x=xs[k], y=ys[k], radius=radii[k])
        for k in range(number)
    ]
    items.sort(key=lambda item: -item.radius)
    (ground,) = _draw("background", rng, 1)
    return Scene(ground, tuple(items), shift=int(rng.integers(SHIFTS * SHIFTS)))


def _draw(attribute: str, rng: np.random.Generator, number: int) -> list[str]:
    """Values of an attribute, each equally likely."""
    values = VOCABULARY[attribute]
    return [values[k] for k in rng.integers(len(values), size=number)]


def place(
    sizes: Sequence[str], rng: np.random.Generator
) -> tuple[list[float], list[float], list[float]]:
    """Draw places and radii for items of these sizes, as `sample` does.

    Args:
        sizes: "small" or "large", one to three of them.
        rng: source of the draw.

    Returns:
        (xs, ys, radii) in canvas units, rounded to 0.01, one entry an item.
    """
    low, high = np.array([RADII[size] for size in sizes]).T
    if len(sizes) == 1:
        radius = rng.uniform(low[0], high[0])
        position = VOCABULARY["position"][int(rng.integers(9))]
        x, y = place_at(position, rng, radius=radius)
        return [x], [y], [round(radius, 2)]
    # Several items only fit at the small end of their sizes.
    high = low + 0.4 * (high - low)
    while True:
        radii = rng.uniform(low, high)
        margin = radii + 1
        points = rng.uniform(margin, paint.CANVAS - margin, (_TRIES, 2, len(sizes)))
        fits = np.flatnonzero(_fits(points, radii))
        if fits.size:
            xs, ys = points[fits[0]].round(2).tolist()
            return xs, ys, radii.round(2).tolist()


def place_at(position: str, rng: np.random.Generator, *, radius: float) -> tuple[float, float]:
    """Draw a place for one item in one of the nine positions, clear of the position's borders.

    Args:
        position: one of `POSITIONS`.
        rng: source of the draw.
        radius: the item's radius in canvas units, at most 20.

    Returns:
        (x, y) in canvas units, rounded to 0.01; the item lies inside the canvas.
    """
    bands = (
        (radius + 1, _CENTRE_FROM - _POSITION_MARGIN),
        (_CENTRE_FROM + _POSITION_MARGIN, _CENTRE_TO - _POSITION_MARGIN),
        (_CENTRE_TO + _POSITION_MARGIN, paint.CANVAS - radius - 1),
    )
    row, column = divmod(VOCABULARY["position"].index(position), 3)
    return round(rng.uniform(*bands[column]), 2), round(rng.uniform(*bands[row]), 2)


def _fits(points: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which candidate places [tries, 2, items] keep items apart and in a clear order."""
    first, second = np.triu_indices(len(radii), 1)
    apart = np.hypot(*(points[:, :, first] - points[:, :, second]).transpose(1, 0, 2))
    clear = (apart >= _MIN_DISTANCE * (radii[first] + radii[second])).all(1)
    gaps = np.diff(np.sort(points, axis=2), axis=2).min(2)
    main = np.ptp(points, axis=2).argmax(1)
    return clear & (gaps[np.arange(len(points)), main] >= _MIN_GAP)


def caption(scene: Scene) -> str:
    """The canonical caption: every attribute of every item, where they are, and the background.

    One item: "a large red striped circle in the top left on grass". Several: in order along the
    axis on which they lie further apart, joined by "left of" or "above", as in
    "a small blue solid ring left of a large red dotted star at night".
    """
    ending = "at night" if scene.background == "night" else f"on {scene.background}"
    phrases, relation = _in_order(scene)
    if len(phrases) == 1:
        return f"{phrases[0]} {POSITIONS[scene.items[0].position]} {ending}"
    return f"{f' {relation} '.join(phrases)} {ending}"


def _in_order(scene: Scene) -> tuple[list[str], str]:
    """What to call each item, left to right or top to bottom, and which of the two it is."""
    xs, ys = [item.x for item in scene.items], [item.y for item in scene.items]
    level = max(xs) - min(xs) >= max(ys) - min(ys)
    ordered = sorted(scene.items, key=lambda item: item.x if level else item.y)
    phrases = [f"a {item.size} {item.colour} {item.texture} {item.shape}" for item in ordered]
    return phrases, "left of" if level else "above"


def tags(scene: Scene) -> tuple[str, ...]:
    """Every value of `VOCABULARY` that is true of the scene, each once, in alphabetical order."""
    present = {scene.background, VOCABULARY["count"][len(scene.items) - 1]}
    for item in scene.items:
        present |= {item.shape, item.colour, item.texture, item.size, item.position}
    return tuple(sorted(present))


def render(scene: Scene, *, size: int = 128) -> NDArray[np.uint8]:
    """Paint a scene.

    Args:
        scene: what to paint.
        size: pixels along each side, at least 64.

    Returns:
        uint8 [size, size, 3], RGB.

    Raises:
        ValueError: size is below 64.
        KeyError: a name that is not in `VOCABULARY`.
    """
    scale = _scale(size)
    row, column = (round(place * scale) for place in divmod(scene.shift, SHIFTS))
    ground = paint.background(scene.background, size=size)
    pixels = ground[row : row + size, column : column + size].copy()
    for item in scene.items:
        _paint(item, pixels, scale)
    return pixels


def masks(scene: Scene, *, size: int) -> NDArray[np.float32]:
    """How much of each pixel shows each item, what later items hide being taken off.

    Args:
        scene: the scene.
        size: pixels along each side, at least 64.

    Returns:
        float32 [n_items, size, size] in 0..1, in the order of `scene.items`; shadows do not count.
        The sum over items is at most 1.

    Raises:
        ValueError: size is below 64.
    """
    scale = _scale(size)
    visible = np.zeros((len(scene.items), size, size), np.float32)
    for index, item in enumerate(scene.items):
        rows, columns, u, v = _window(item, size, scale)
        distance = paint.SHAPES[item.shape](u, v, item.radius)
        cover = np.clip(np.float32(0.5) - distance * np.float32(scale), 0, 1)
        visible[:index, rows, columns] *= 1 - cover
        visible[index, rows, columns] = cover
    return visible


def _scale(size: int) -> float:
    """Pixels a canvas unit."""
    if size < paint.CANVAS:
        raise ValueError(f"size is {size} pixels; scenes are painted at {paint.CANVAS:.0f} or more")
    return size / paint.CANVAS


def _window(
    item: Item, size: int, scale: float
) -> tuple[slice, slice, NDArray[np.float32], NDArray[np.float32]]:
    """The pixels that an item or its shadow may touch, and their centres relative to the item's.

    Returns (rows, columns, u [1, width], v [height, 1]), u and v in canvas units.
    """
    spans, axes = [], []
    for centre in (item.y, item.x):
        reach = 1.22 * item.radius
        start = max(0, math.floor((centre - reach) * scale) - 1)
        stop = min(size, math.ceil((centre + reach + 2 * paint.SHADOW_OFFSET) * scale) + 1)
        spans.append(slice(start, stop))
        axes.append((np.arange(start, stop, dtype=np.float32) + 0.5) / scale - centre)
    v, u = (axis.astype(np.float32) for axis in axes)
    return spans[0], spans[1], u[None, :], v[:, None]


def _paint(item: Item, pixels: NDArray[np.uint8], scale: float) -> None:
    """Blend one item and its shadow into the picture, in place."""
    rows, columns, u, v = _window(item, pixels.shape[0], scale)
    distance = paint.SHAPES[item.shape](u, v, item.radius)
    in_pixels = distance * np.float32(scale)
    cover = np.clip(np.float32(0.5) - in_pixels, 0, 1)
    edge = np.clip(in_pixels + np.float32(paint.OUTLINE_WIDTH * scale + 0.5), 0, 1) * cover
    # Lit from above: the fill is a little brighter at the top and darker at the bottom.
    fill = (cover - edge) * (np.float32(1.02) - v * np.float32(0.11 / item.radius))
    second = paint.TEXTURES[item.texture](u, v, scale) * fill
    inks = np.stack([edge, fill - second, second]).reshape(3, -1).T @ paint.palette(item.colour)
    # The shadow is the item itself, moved by whole pixels, so its distance need not be computed.
    step = max(1, round(paint.SHADOW_OFFSET * scale))
    faint = np.float32(0.5) - distance[:-step, :-step] * np.float32(1 / paint.SHADOW_BLUR)
    shade = np.float32(1) - cover
    shade[step:, step:] *= 1 - np.float32(paint.SHADOW_STRENGTH) * np.clip(faint, 0, 1)
    window = pixels[rows, columns]
    blended = window * shade[..., None] + inks.reshape(window.shape)
    window[...] = np.clip(blended, 0, 255)
