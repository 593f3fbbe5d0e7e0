"""Pictures from files, whatever their form, and small ones of them."""

import io
import math
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from pipeline.errors import LoupeError

MAX_PIXELS = 25_000_000
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


class Unreadable(LoupeError, ValueError):
    """One image cannot be used; the message is the reason that the tables record."""


def read_rgb(file: Path | io.BytesIO) -> Image.Image:
    """An image file as RGB: upright by its EXIF tag, transparency over white, 16 bits to 8.

    Raises:
        Unreadable: no image, truncated, damaged, or over 25 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file)
        pixels = image.width * image.height
        if pixels > MAX_PIXELS:
            raise Unreadable(
                f"{pixels / 1e6:.1f} million pixels, over {MAX_PIXELS / 1e6:.0f}; make it smaller"
            )
        image.load()
        return _rgb(ImageOps.exif_transpose(image))
    except Unreadable:
        raise
    except FileNotFoundError:
        raise Unreadable("no such file: gone since, or its name is not UTF-8; rename it") from None
    except Image.UnidentifiedImageError:
        raise Unreadable("not an image that Pillow reads; remove or convert it") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"over {MAX_PIXELS / 1e6:.0f} million pixels; make it smaller") from None
    except _BROKEN as error:
        raise Unreadable(
            f"damaged or truncated image: {str(error) or type(error).__name__}"
        ) from None


def blank() -> Image.Image:
    """A grey picture, for asking a model that sees about nothing."""
    return Image.new("RGB", (224, 224), (127, 127, 127))


def thumbnail(image: Image.Image, *, side: int) -> bytes:
    """The square centre crop of `image` at `side` pixels, as WebP."""
    small = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=85, method=1)
    return out.getvalue()


def contact(pictures: Sequence[Image.Image], *, width: int) -> Image.Image:
    """Pictures as square tiles of one that is at most `width` pixels wide, row by row, in as many
    columns as rows, or one more."""
    across = math.ceil(math.sqrt(len(pictures)))
    side = width // across
    down = math.ceil(len(pictures) / across)
    sheet = Image.new("RGB", (across * side, down * side), "white")
    for at, picture in enumerate(pictures):
        tile = ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)
        sheet.paste(tile, (at % across * side, at // across * side))
    return sheet


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float32)
        # Pillow's own conversion clips 16 bits to white. They come as I;16, in some formats as I.
        wide = image.mode.startswith("I;16") or values.max(initial=0) > 255
        scale = 255 / 65535 if wide else 1
        return Image.fromarray((values * scale).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")
