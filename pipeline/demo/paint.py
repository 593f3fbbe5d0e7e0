"""How the demo scenes look: signed distances, textures and backgrounds as arrays.

Lengths are in canvas units: the canvas is `CANVAS` units wide whatever its size in pixels.
A signed distance is negative inside a shape. Colours are RGB in 0..255.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CANVAS = 64.0
OUTLINE_WIDTH = 1.1
OUTLINE_RGB = (26.0, 22.0, 30.0)
SHADOW_OFFSET = 1.6
SHADOW_BLUR = 3.0
SHADOW_STRENGTH = 0.42
DARK_TONE = 0.42

COLOURS: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "red": (226, 48, 44),
        "orange": (250, 146, 30),
        "yellow": (252, 222, 50),
        "green": (44, 186, 70),
        "blue": (40, 98, 232),
        "purple": (142, 60, 200),
        "pink": (250, 138, 190),
        "white": (246, 246, 242),
    }
)


def _floats(values: Sequence[float]) -> Floats:
    return np.array(values, np.float32)


def _circle(u: Floats, v: Floats, radius: float) -> Floats:
    return np.sqrt(u * u + v * v) - np.float32(radius)


def _square(u: Floats, v: Floats, radius: float) -> Floats:
    return np.maximum(np.abs(u), np.abs(v)) - np.float32(0.86 * radius)


def _triangle(u: Floats, v: Floats, radius: float) -> Floats:
    """Equilateral, point up, centred; its corners lie 1.16 radii from the centre."""
    slope = np.float32(0.8660254) * np.abs(u) - np.float32(0.5) * v
    return np.maximum(slope, v) - np.float32(0.58 * radius)


def _star(u: Floats, v: Floats, radius: float) -> Floats:
    """Five points, one up, folded into one sector (after the distances of Inigo Quilez)."""
    outer, inner = 1.14 * radius, 0.47
    k1x, k1y = np.float32(0.809016994), np.float32(-0.587785252)
    x, y = np.broadcast_arrays(np.abs(u), -v)
    t = 2 * np.maximum(k1x * x + k1y * y, 0)
    x, y = x - t * k1x, y - t * k1y
    t = 2 * np.maximum(-k1x * x + k1y * y, 0)
    x, y = np.abs(x + t * k1x), y - t * k1y - np.float32(outer)
    edge_x, edge_y = np.float32(inner * -k1y), np.float32(inner * k1x - 1)
    length = np.float32(edge_x**2 + edge_y**2)
    along = np.clip((x * edge_x + y * edge_y) / length, 0, np.float32(outer))
    gap = np.sqrt((x - edge_x * along) ** 2 + (y - edge_y * along) ** 2)
    return np.copysign(gap, y * edge_x - x * edge_y)


def _cross(u: Floats, v: Floats, radius: float) -> Floats:
    a, b = np.abs(u), np.abs(v)
    reach, half_width = np.float32(1.02 * radius), np.float32(0.36 * radius)
    upright = np.maximum(a - half_width, b - reach)
    level = np.maximum(a - reach, b - half_width)
    return np.minimum(upright, level)


def _ring(u: Floats, v: Floats, radius: float) -> Floats:
    return np.abs(_circle(u, v, 0.76 * radius)) - np.float32(0.26 * radius)


SHAPES: Mapping[str, Callable[[Floats, Floats, float], Floats]] = MappingProxyType(
    {
        "circle": _circle,
        "square": _square,
        "triangle": _triangle,
        "star": _star,
        "cross": _cross,
        "ring": _ring,
    }
)


def _bands(position: Floats, period: float, scale: float) -> Floats:
    """Alternating 0 and 1, each half a period wide, edges one pixel soft."""
    phase = position / np.float32(period)
    saw = np.abs(phase - np.floor(phase) - np.float32(0.5)) - np.float32(0.25)
    return np.clip(saw * np.float32(period * scale) + np.float32(0.5), 0, 1)


def _solid(u: Floats, v: Floats, scale: float) -> Floats:
    return np.zeros((v.shape[0], u.shape[1]), np.float32)


def _striped(u: Floats, v: Floats, scale: float) -> Floats:
    return _bands((u + v) * np.float32(0.70710678), 6.4, scale)


def _dotted(u: Floats, v: Floats, scale: float) -> Floats:
    period, radius = np.float32(6.4), np.float32(2.0)
    x = u - period * np.round(u / period)
    y = v - period * np.round(v / period)
    return np.clip((radius - np.sqrt(x * x + y * y)) * np.float32(scale) + np.float32(0.5), 0, 1)


def _checkered(u: Floats, v: Floats, scale: float) -> Floats:
    a, b = _bands(u, 8.4, scale), _bands(v, 8.4, scale)
    return a + b - 2 * a * b


TEXTURES: Mapping[str, Callable[[Floats, Floats, float], Floats]] = MappingProxyType(
    {"solid": _solid, "striped": _striped, "dotted": _dotted, "checkered": _checkered}
)


def _noise(x: Floats, y: Floats, cell: float, seed: int) -> Floats:
    """Smooth value noise in -1..1 with lattice spacing `cell`, the same at every size in pixels."""
    values = np.random.default_rng(seed).uniform(-1, 1, (257, 257)).astype(np.float32)
    column, row = np.floor(x / cell).astype(int), np.floor(y / cell).astype(int)
    a, b = x / cell - column, y / cell - row
    a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)
    column, row = column % 256, row % 256
    top = values[row, column] * (1 - a) + values[row, column + 1] * a
    bottom = values[row + 1, column] * (1 - a) + values[row + 1, column + 1] * a
    return (top * (1 - b) + bottom * b).astype(np.float32)


def _tint(base: tuple[int, int, int], light: NDArray[np.floating]) -> Floats:
    """A base colour made lighter and darker: base + light, light in colour steps."""
    return _floats(base) + light[..., None].astype(np.float32)


def _grass(x: Floats, y: Floats) -> Floats:
    blades = _noise(x * 3.2, y * 0.55 + 0.6 * _noise(x, y, 5, 1), 3, 2)
    return _tint((104, 128, 78), 15 * blades + 8 * _noise(x, y, 11, 3)) * _floats([1, 1, 0.96])


def _sand(x: Floats, y: Floats) -> Floats:
    ripples = np.sin(0.62 * y + 1.5 * _noise(x, y, 17, 4) + 0.14 * x)
    return _tint((201, 181, 142), 6 * ripples + 9 * _noise(x, y, 1.1, 5))


def _water(x: Floats, y: Floats) -> Floats:
    swell = np.sin(0.50 * y + 2.2 * _noise(x * 0.5, y, 8, 6))
    crest = np.clip(_noise(x * 0.35, y, 2.6, 7) + 0.35 * swell - 0.5, 0, 1)
    return _tint((110, 158, 172), 11 * swell + 75 * crest)


def _night(x: Floats, y: Floats) -> Floats:
    sky = _tint((32, 36, 62), 7 * _noise(x, y, 22, 8))
    rng = np.random.default_rng(9)
    for star_x, star_y, radius in rng.uniform((0, 0, 0.3), (128, 128, 0.75), (150, 3)):
        # Four radii out, a star has faded to nothing: the rest of the sky need not be asked.
        rows = slice(*np.searchsorted(y[:, 0], (star_y - 4 * radius, star_y + 4 * radius)))
        columns = slice(*np.searchsorted(x[0], (star_x - 4 * radius, star_x + 4 * radius)))
        away = (x[rows, columns] - star_x) ** 2 + (y[rows, columns] - star_y) ** 2
        glow = 150 * np.exp(-away / radius**2)
        sky[rows, columns] += glow[..., None] * _floats([1, 0.97, 0.85])
    return sky


def _brick(x: Floats, y: Floats) -> Floats:
    height, width = 8.0, 16.0
    row = np.floor(y / height)
    shifted = x + (row % 2) * width / 2
    column = np.floor(shifted / width)
    to_edge = np.minimum(
        np.minimum(y - row * height, row * height + height - y),
        np.minimum(shifted - column * width, column * width + width - shifted),
    )
    tone = 11 * np.sin(12.9 * row + 78.2 * column) + 7 * _noise(x, y, 1.6, 10)
    mortar = np.clip((0.75 - to_edge) * 2 + 0.5, 0, 1)[..., None]
    return _tint((148, 104, 92), tone) * (1 - mortar) + _floats([176, 166, 156]) * mortar


BACKGROUNDS: Mapping[str, Callable[[Floats, Floats], Floats]] = MappingProxyType(
    {"grass": _grass, "sand": _sand, "water": _water, "night": _night, "brick": _brick}
)


@lru_cache(maxsize=32)
def background(name: str, *, size: int) -> NDArray[np.uint8]:
    """A background two canvases wide and high, from which a scene cuts its own piece.

    Args:
        name: one of `BACKGROUNDS`.
        size: pixels along one canvas (not along the result).

    Returns:
        uint8 [2*size, 2*size, 3], read-only because it is shared.
    """
    oversample = 4 if size <= 64 else 2 if size <= 256 else 1
    fine = 2 * size * oversample
    axis = (np.arange(fine, dtype=np.float32) + np.float32(0.5)) * np.float32(2 * CANVAS / fine)
    x, y = np.meshgrid(axis, axis)
    rgb = BACKGROUNDS[name](x, y)
    rgb = rgb.reshape(2 * size, oversample, 2 * size, oversample, 3).mean((1, 3))
    pixels = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    pixels.setflags(write=False)
    return pixels


@lru_cache(maxsize=64)
def palette(colour: str) -> Floats:
    """The inks of one item: outline, light tone, dark tone. float32 [3, 3], RGB in 0..255."""
    light = _floats(COLOURS[colour])
    inks = np.stack([_floats(OUTLINE_RGB), light, light * np.float32(DARK_TONE)])
    inks.setflags(write=False)
    return inks
