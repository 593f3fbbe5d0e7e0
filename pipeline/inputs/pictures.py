"""Pictures from files, whatever their form, and small ones of them.

The only place that opens an image file. The formats are listed: what else a library can open may
run programs (PostScript goes to Ghostscript), and a file's first bytes choose the format, not its
name.
"""

import io
import math
import stat
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import AvifImagePlugin, ExifTags, Image, ImageOps

from pipeline.errors import LoupeError

T = TypeVar("T")

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
"""Pillow's names of the formats that are opened: raster images that its own code decodes."""
KINDS = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000 or PPM"
MAX_PIXELS, MAX_SIDE, MAX_RATIO = 25_000_000, 20_000, 50
"""Of a picture. Models enlarge its shorter side, so that a thin one would fill the memory."""
MAX_BYTES = 1 << 28
"""Of a file: no picture within these bounds needs more."""
MAX_SCANS = 500
"""Of a JPEG, where a photograph has ten: each is a pass over all of its pixels."""
PATIENCE = 60.0
"""Seconds after which a picture that is not read is given up."""
LARGEST = 1024
"""No thumbnail has a longer side."""
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF's orientation, what turns a picture as it is stored into an upright one."""

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # pictures are read in threads already


class Unreadable(LoupeError, ValueError):
    """One image cannot be used; the message is the reason that the tables record."""


def read_rgb(file: Path | io.BytesIO) -> Image.Image:
    """An image file as RGB: upright by its EXIF tag, transparency over white, 16 bits to 8; of
    several pages or frames the first.

    Raises:
        Unreadable: none of FORMATS, truncated, damaged, too large, too thin, or not read in time.
    """
    return in_time(lambda: _read(file))


def in_time(make: Callable[[], T], *, seconds: float | None = None) -> T:
    """What `make` gives, from a thread of its own, within `seconds`, or else PATIENCE.

    No thread can be ended from outside: one that is stuck is left behind, and ends at the latest
    with the process, which does not wait for it.

    Raises:
        Unreadable: it takes longer.
    """
    done: Future[T] = Future()
    most = PATIENCE if seconds is None else seconds

    def work() -> None:
        # Raised again below, without the frames that it came through: they hold half a picture.
        try:
            done.set_result(make())
        except Unreadable as error:
            done.set_exception(Unreadable(str(error)))
        except BaseException as error:
            done.set_exception(error.with_traceback(None))

    threading.Thread(target=work, name="picture", daemon=True).start()
    if wait([done], most).not_done:
        raise Unreadable(f"not read within {most:g} s, given up; convert or remove the image")
    try:
        return done.result()
    finally:
        del done  # what was raised holds this frame, and would hold itself


def weight(image: Image.Image) -> int:
    """Bytes of an RGB picture in memory, where a pixel takes four."""
    return 4 * image.width * image.height


def why(error: Exception) -> str:
    """What a library says that went wrong, in one line of at most 200 letters."""
    lines = str(error).strip().splitlines()
    return " ".join((lines[0] if lines else type(error).__name__).split())[:200]


def blank() -> Image.Image:
    """A grey picture, for asking a model that sees about nothing."""
    return Image.new("RGB", (224, 224), (127, 127, 127))


def thumbnail(image: Image.Image, *, side: int) -> bytes:
    """The square centre crop of `image` at `side` pixels, as WebP."""
    small = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=85, method=1)
    return out.getvalue()


def small(webp: bytes) -> Image.Image:
    """A thumbnail as RGB.

    Raises:
        Unreadable: it is no WebP, damaged, or has a side over LARGEST.
    """
    try:
        image = Image.open(io.BytesIO(webp), formats=("WEBP",))
        if max(image.size) <= LARGEST:
            return image.convert("RGB")
    except Exception as error:
        raise Unreadable(f"a damaged thumbnail ({why(error)}); run the pipeline again") from None
    raise Unreadable(f"a thumbnail with a side over {LARGEST} pixels; run the pipeline again")


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


def _read(file: Path | io.BytesIO) -> Image.Image:
    try:
        content = _content(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(content, formats=FORMATS)
        _refuse_size(*image.size)
        if image.format in ("JPEG", "MPO") and content.getvalue().count(b"\xff\xda") > MAX_SCANS:
            raise Unreadable(f"an image in over {MAX_SCANS} scans; save it again")
        image.load()
        _refuse_size(*image.size)  # some formats say another one with their pixels
        return _rgb(_upright(image))
    except Unreadable:
        raise
    except Image.UnidentifiedImageError:
        raise Unreadable(f"not an image that is read: {KINDS}; remove or convert it") from None
    except Image.DecompressionBombError:
        raise Unreadable(f"over {MAX_PIXELS / 1e6:.0f} million pixels; make it smaller") from None
    except MemoryError:
        raise Unreadable("no memory to read this image in; make it smaller") from None
    # Decoders raise what they like on damaged files.
    except Exception as error:
        raise Unreadable(f"damaged or truncated image: {why(error)}") from None


def _content(file: Path | io.BytesIO) -> io.BytesIO:
    """The whole file, so that a decoder has nothing to do with the disk."""
    if isinstance(file, io.BytesIO):
        _refuse_bytes(file.getbuffer().nbytes)
        return file
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable("not a file that holds an image; remove it")
        _refuse_bytes(about.st_size)
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise Unreadable("no such file: gone since, or its name is not UTF-8; rename it") from None
    except OSError as error:
        reason = error.strerror or why(error)
        raise Unreadable(f"the image file cannot be read: {reason}") from None
    _refuse_bytes(len(content))
    return io.BytesIO(content)


def _refuse_bytes(count: int) -> None:
    if count > MAX_BYTES:
        raise Unreadable(
            f"an image file of {count / 1e6:.0f} MB, over {MAX_BYTES / 1e6:.0f}; make it smaller"
        )


def _refuse_size(width: int, height: int) -> None:
    pixels, longer, shorter = width * height, max(width, height), min(width, height)
    if pixels > MAX_PIXELS:
        raise Unreadable(
            f"{pixels / 1e6:.1f} million pixels, over {MAX_PIXELS / 1e6:.0f}; make it smaller"
        )
    if longer > MAX_SIDE:
        raise Unreadable(f"an image {longer} pixels long, over {MAX_SIDE}; make it smaller")
    if longer > MAX_RATIO * shorter:
        raise Unreadable(
            f"an image of {width} x {height}, over {MAX_RATIO} times as long as it is wide; crop it"
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged: the picture is there, how to turn it is not known
        turn = None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    """A picture that holds nothing but its pixels: neither its file nor what that says of it."""
    if image.mode == "RGB" and "transparency" not in image.info:
        made = image.copy()
    elif image.mode.startswith("I") or image.mode == "F":
        values = np.nan_to_num(np.array(image, dtype=np.float32), copy=False)
        # Pillow's own conversion clips 16 bits to white. They come as I;16, in some formats as I.
        wide = image.mode.startswith("I;16") or values.max(initial=0) > 255
        values *= 255 / 65535 if wide else 1
        made = Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("RGB")
    elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        made = opaque.convert("RGB")
    elif image.mode == "LAB":
        raise Unreadable("an image in the colours of LAB; convert it to RGB")
    else:
        made = image.convert("RGB")
    made.info.clear()
    return made
