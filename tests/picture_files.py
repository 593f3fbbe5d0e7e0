"""Picture files of every format: those that are read, and others that Pillow would open."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image


def picture(mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> Image.Image:
    """Smooth colours with some noise, the same each time."""
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    smooth = np.stack([x, y, 1 - x], -1) * 200
    noise = np.random.default_rng(3).integers(0, 40, smooth.shape)
    return Image.fromarray((smooth + noise).astype(np.uint8)).convert(mode)


def saved(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    (image or picture()).save(out, kind, **options)
    return out.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8769] = 6, "what is seen", {0x9003: "2020:01:01 00:00:00"}
    return exif


def _frames(kind: str, **options: Any) -> bytes:
    more = [picture().rotate(90 * i) for i in range(1, 4)]
    return saved(kind, save_all=True, append_images=more, **options)


READ: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved("JPEG", exif=_exif(), icc_profile=bytes(range(200))),
    "progressive.jpeg": lambda: saved("JPEG", progressive=True, quality=60),
    "cmyk.jpeg": lambda: saved("JPEG", picture("CMYK")),
    "mpo": lambda: _frames("MPO"),
    "png": lambda: saved("PNG", exif=_exif(), icc_profile=bytes(range(200))),
    "rgba.png": lambda: saved("PNG", picture("RGBA")),
    "palette.png": lambda: saved("PNG", picture("P"), transparency=3),
    "bits.png": lambda: saved("PNG", picture("1")),
    "wide.png": lambda: saved("PNG", picture("L").convert("I;16")),
    "apng": lambda: _frames("PNG"),
    "webp": lambda: saved("WEBP", exif=_exif(), xmp=b"<x:xmpmeta/>"),
    "lossless.webp": lambda: saved("WEBP", picture("RGBA"), lossless=True),
    "frames.webp": lambda: _frames("WEBP"),
    "gif": lambda: saved("GIF", picture("P")),
    "frames.gif": lambda: _frames("GIF"),
    "bmp": lambda: saved("BMP"),
    "palette.bmp": lambda: saved("BMP", picture("P")),
    "tiff": lambda: saved("TIFF", tiffinfo={274: 6, 270: "what is seen"}),
    "lzw.tiff": lambda: saved("TIFF", compression="tiff_lzw"),
    "jpeg.tiff": lambda: saved("TIFF", compression="jpeg"),
    "deflate.tiff": lambda: saved("TIFF", picture("RGBA"), compression="tiff_deflate"),
    "fax.tiff": lambda: saved("TIFF", picture("1"), compression="group4"),
    "float.tiff": lambda: saved("TIFF", picture("F")),
    "pages.tiff": lambda: _frames("TIFF"),
    "avif": lambda: saved("AVIF", exif=_exif()),
    "frames.avif": lambda: _frames("AVIF"),
    "jp2": lambda: saved("JPEG2000"),
    "j2k": lambda: saved("JPEG2000", picture("RGBA"), no_jp2=True),
    "ppm": lambda: saved("PPM"),
    "pgm": lambda: saved("PPM", picture("L")),
    "plain.ppm": lambda: b"P3\n2 2\n255\n" + b"0 1 2 " * 4,
    "pfm": lambda: saved("PPM", picture("F")),
}
"""Of each form of the formats that are read a whole file."""


def _postscript() -> bytes:
    """A program that leaves a mark, in what seems a picture."""
    return (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n"
        b"(mark) (w) file dup (was here) writestring closefile\nshowpage\n"
    )


def _dds() -> bytes:
    """A form that Pillow knows of and raises NotImplementedError on."""
    form = struct.pack("<2I4s5I", 32, 4, b"ZZZZ", 0, 0, 0, 0, 0)
    return b"DDS " + struct.pack("<7I", 124, 0x1007, 8, 8, 0, 0, 0) + bytes(44) + form + bytes(80)


def _blp() -> bytes:
    return b"BLP2" + struct.pack("<I4B2I", 1, 2, 8, 7, 0, 8, 8) + bytes(1200)


def _psd() -> bytes:
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 8, 8, 8, 3)
    return head + bytes(12) + struct.pack(">H", 0) + bytes(3 * 64)


def _fli() -> bytes:
    head = struct.pack("<IHHHHHHI", 200, 0xAF11, 1, 8, 8, 8, 0, 5).ljust(128, b"\0")
    return head + struct.pack("<IHH8x", 16, 0xF1FA, 0) + bytes(56)


OTHERS: dict[str, Callable[[], bytes]] = {
    "eps": _postscript,
    "saved eps": lambda: saved("EPS"),
    "dos eps": lambda: b"\xc5\xd0\xd3\xc6" + struct.pack("<6IH", 30, 130, 0, 0, 0, 0, 0xFFFF)
    + _postscript(),
    "dds": _dds,
    "saved dds": lambda: saved("DDS", picture("RGBA")),
    "blp": _blp,
    "saved blp": lambda: saved("BLP", picture("P")),
    "icns": lambda: saved("ICNS", picture("RGBA", (64, 64))),
    "ico": lambda: saved("ICO", picture("RGBA", (64, 64))),
    "psd": _psd,
    "pcx": lambda: saved("PCX"),
    "sgi": lambda: saved("SGI"),
    "tga": lambda: saved("TGA"),
    "fli": _fli,
    "im": lambda: saved("IM"),
    "msp": lambda: saved("MSP", picture("1")),
    "spider": lambda: saved("SPIDER", picture("F")),
    "xbm": lambda: saved("XBM", picture("1")),
    "dib": lambda: saved("DIB"),
    "pdf": lambda: saved("PDF"),
    "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "wmf": lambda: b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<4hHI", 0, 0, 50, 50, 72, 0)
    + bytes(2) + b"\x01\0\t\0" + bytes(40),
    "mic": lambda: bytes.fromhex("d0cf11e0a1b11ae1") + bytes(1024),
    "iptc": lambda: b"\x1c\x03\x14\x00\x02\x00\x08" + bytes(32),
    "fits": lambda: b"SIMPLE  =                    T".ljust(80) + b"END".ljust(80),
    "xpm": lambda: b'/* XPM */\nstatic char *x[] = {\n"1 1 1 1",\n"a c #000000",\n"a"};\n',
    "mpeg": lambda: bytes.fromhex("000001b3") + bytes(64),
    "hdf5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(64),
}  # fmt: skip
"""Files of formats that are not read: programs, drawings, and what few data sets hold."""


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A white PNG of one bit a pixel, with more chunks before the pixels."""
    rows = (b"\0" + b"\xff" * ((width + 7) // 8)) * height
    head = struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0)
    every = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in every
    )
