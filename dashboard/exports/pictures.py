"""Pictures that files hold: patches of activation as small images, thumbnails opened with care."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dashboard.style import palette
from pipeline.inputs.pictures import Unreadable, small

VEIL = (16, 18, 24, 165)
"""Over patches at 0, so that the active ones stand out; as the page of a feature draws it."""


def heat_map(
    patches: Sequence[int], acts: Sequence[float], *, grid: tuple[int, int], top: float
) -> bytes:
    """A PNG of one pixel a patch (`grid` rows and columns), to be laid over the picture: the
    colour of `acts` from 0 to `top`, and a veil where there is nothing. Patches beyond the grid
    are left out."""
    rows, columns = grid
    pixels = np.full((rows * columns, 4), VEIL, np.uint8)
    where, values = np.asarray(patches, np.int64), np.asarray(acts, np.float64)
    inside = where < rows * columns
    share = np.clip(values[inside] / top, 0, 1) if top > 0 else np.zeros(int(inside.sum()))
    pixels[where[inside], :3] = scaled(share)
    pixels[where[inside], 3] = 120 + np.rint(110 * share)
    buffer = io.BytesIO()
    Image.fromarray(pixels.reshape(rows, columns, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def scaled(shares: Sequence[float] | NDArray[np.float64]) -> NDArray[np.uint8]:
    """The colours of activations as red, green and blue [n, 3]; `shares` of the largest one, 0 to
    1."""
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in palette.VIRIDIS])
    at = np.asarray(shares, np.float64) * (len(stops) - 1)
    places = np.arange(len(stops))
    channels = [np.rint(np.interp(at, places, stops[:, channel])) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def opened(webp: bytes | None) -> Image.Image | None:
    """The thumbnail as RGB; None where there is none, or it cannot be read or is too large."""
    if webp is None:
        return None
    try:
        return small(webp)
    except Unreadable:
        return None
