"""Text in pictures: which font has a letter, and what to draw where none has.

Pillow's own font holds little beyond ASCII, so that letters come from the first font of the system
that has them; without one, accents fall away and what is left is an empty box.
"""

import unicodedata
from functools import lru_cache

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont
SYSTEM = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial Unicode.ttf",
    "arial.ttf", "Arial.ttf", "NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "msyh.ttc",
    "Hiragino Sans GB.ttc", "malgun.ttf", "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf", "NotoSansDevanagari-Regular.ttf", "Nirmala.ttf",
    "NotoSansThai-Regular.ttf", "NotoEmoji-Regular.ttf",
)  # fmt: skip
"""Looked for by name where the system keeps its fonts."""
BOX = "\u25a1"
UNKNOWN = "\uffff"
"""No character: every font draws its sign for a missing letter."""
LONGEST = 400
"""Letters of a text that are looked at: more never fit."""
Run = tuple[str, Font]


def draw_text(
    pen: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    size: int,
    fill: str,
    width: float,
    bold: bool = False,
) -> float:
    """Draw `text` on one line from its baseline `at`, cut off with dots at `width`; give its
    width in pixels."""
    runs = clipped(text, size=size, width=width)
    x, y = at
    for part, font in runs:
        pen.text(
            (x, y), part, font=font, fill=fill, anchor="ls", stroke_width=0.5 * bold,
            direction=_direction(font),
        )  # fmt: skip
        x += font.getlength(part, direction=_direction(font))
    return x - at[0]


def clipped(text: str, *, size: int, width: float) -> list[Run]:
    """`text` as runs of one font each, no wider than `width` together."""
    line = one_line(text)
    runs = in_fonts(line, size=size)
    if len(line) < LONGEST and width_of(runs) <= width:
        return runs
    low, high = 0, len(line)
    while low < high:  # the longest start that fits
        middle = (low + high + 1) // 2
        if width_of(in_fonts(line[:middle].rstrip() + "...", size=size)) <= width:
            low = middle
        else:
            high = middle - 1
    return in_fonts(line[:low].rstrip() + "...", size=size)


def one_line(text: str) -> str:
    """`text` without control and direction signs, its white space single."""
    kept = (c if unicodedata.category(c)[0] != "C" else " " for c in text[: LONGEST * 4])
    return " ".join("".join(kept).split())[:LONGEST]


def in_fonts(text: str, *, size: int) -> list[Run]:
    """`text` as runs of one font each, with what no font has replaced."""
    runs: list[Run] = []
    for letter in text:
        drawn, font = _letter(letter, size)
        if runs and (runs[-1][1] is font or letter == " "):
            runs[-1] = (runs[-1][0] + drawn, runs[-1][1])
        else:
            runs.append((drawn, font))
    return runs


@lru_cache(maxsize=4096)
def _letter(letter: str, size: int) -> Run:
    """What is drawn for a letter, and in which font."""
    bare = unicodedata.normalize("NFKD", letter)
    bare = "".join(c for c in bare if not unicodedata.combining(c))
    for drawn in (letter, bare, BOX):
        for font in _fonts(size):
            if drawn and all(_has(font, c) for c in drawn):
                return drawn, font
    return "?", _fonts(size)[0]


@lru_cache(maxsize=8)
def _fonts(size: int) -> list[Font]:
    """Pillow's own font and those of SYSTEM that are there."""
    own = ImageFont.load_default(size)
    assert isinstance(own, Font), "Pillow is built without FreeType"
    found = [own]
    for name in SYSTEM:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:  # not on this system
            continue
    return found


def _has(font: Font, letter: str) -> bool:
    return letter == " " or _shape(font, letter) != _shape(font, UNKNOWN)


def _shape(font: Font, letter: str) -> tuple[object, bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def width_of(runs: list[Run]) -> float:
    return sum(font.getlength(part, direction=_direction(font)) for part, font in runs)


def _direction(font: Font) -> str | None:
    """Of the line, for fonts that are laid out letter by letter in any script; words from right to
    left within it still are."""
    return "ltr" if font.layout_engine == ImageFont.Layout.RAQM else None
