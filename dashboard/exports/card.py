"""The feature card as a PNG, for slides and papers: drawn at twice its size, to be crisp."""

import io

from PIL import Image, ImageDraw

from dashboard.exports.fonts import clipped, draw_text, width_of
from dashboard.exports.pictures import opened
from dashboard.records.profile import Profile
from dashboard.style import palette
from dashboard.style.numbers import number, percent, unlabelled

SCALE = 2
TILE, GAP, EDGE, TILES = 72 * SCALE, 4 * SCALE, 14 * SCALE, 4
WIDTH = 2 * EDGE + TILES * TILE + (TILES - 1) * GAP
GROUND, TEXT, MUTED, LINE, QUIET = "#ffffff", "#14171a", "#5d6469", "#d6d9dc", "#f2f3f4"
LARGE, MIDDLE, SMALL = 17 * SCALE, 13 * SCALE, 11 * SCALE
METER = (64 * SCALE, 6 * SCALE)
FOOT = 74 * SCALE
"""The height below the images."""
HEAD = 62 * SCALE


def card_png(profile: Profile, *, run: str = "") -> bytes:
    """The feature's card as a PNG of WIDTH pixels across, 144 dots an inch: its place and id, its
    label, the 16 top images, MS and density, and the run's name small below.

    Places without an image stay grey, and what does not fit is cut off.
    """
    side = TILES * TILE + (TILES - 1) * GAP
    image = Image.new("RGB", (WIDTH, HEAD + side + FOOT), GROUND)
    pen = ImageDraw.Draw(image)
    _head(pen, profile)
    _sheet(image, pen, profile)
    _foot(pen, profile, run, HEAD + side)
    pen.rectangle((0, 0, image.width - 1, image.height - 1), outline=LINE, width=SCALE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", dpi=(72 * SCALE, 72 * SCALE))
    return buffer.getvalue()


def _head(pen: ImageDraw.ImageDraw, profile: Profile) -> None:
    card, room = profile.feature.card, WIDTH - 2 * EDGE
    number_runs = clipped(f"#{card.feature_id}", size=LARGE, width=room)
    taken = width_of(number_runs) + 8 * SCALE
    at = draw_text(
        pen, (EDGE, 28 * SCALE), profile.dictionary.short, size=LARGE, fill=MUTED,
        width=room - taken,
    )  # fmt: skip
    draw_text(
        pen, (EDGE + at + 6 * SCALE, 28 * SCALE), f"#{card.feature_id}", size=LARGE, fill=TEXT,
        width=taken, bold=True,
    )  # fmt: skip
    score = "" if card.label is None else number(card.label_score)
    label = card.label or unlabelled(card, spoken=bool(profile.captions))
    draw_text(
        pen, (EDGE, 50 * SCALE), label, size=MIDDLE,
        fill=TEXT if card.label else MUTED, width=room - 40 * SCALE, bold=card.label is not None,
    )  # fmt: skip
    _right(pen, 50 * SCALE, score)


def _right(pen: ImageDraw.ImageDraw, y: int, text: str) -> None:
    runs = clipped(text, size=SMALL, width=WIDTH)
    at = (WIDTH - EDGE - width_of(runs), y)
    draw_text(pen, at, text, size=SMALL, fill=MUTED, width=WIDTH)


def _sheet(image: Image.Image, pen: ImageDraw.ImageDraw, profile: Profile) -> None:
    top = profile.feature.top
    for place in range(TILES * TILES):
        row, column = divmod(place, TILES)
        x, y = EDGE + column * (TILE + GAP), HEAD + row * (TILE + GAP)
        pen.rectangle((x, y, x + TILE - 1, y + TILE - 1), fill=QUIET)
        webp = profile.pictures.get(top[place].example_id) if place < len(top) else None
        picture = opened(webp)
        if picture is not None:
            image.paste(picture.resize((TILE, TILE), Image.Resampling.LANCZOS), (x, y))


def _foot(pen: ImageDraw.ImageDraw, profile: Profile, run: str, y: int) -> None:
    card, line = profile.feature.card, y + 24 * SCALE
    said = draw_text(pen, (EDGE, line), "MS", size=MIDDLE, fill=MUTED, width=WIDTH)
    x, y = EDGE + said + 6 * SCALE, line - 8 * SCALE
    pen.rectangle((x, y, x + METER[0], y + METER[1]), fill=LINE)
    share = max(0.0, min(1.0, card.ms or 0.0))
    if share:
        pen.rectangle((x, y, x + share * METER[0], y + METER[1]), fill=palette.ACCENT["light"])
    x += METER[0] + 6 * SCALE
    x += draw_text(pen, (x, line), number(card.ms), size=MIDDLE, fill=TEXT, width=WIDTH)
    rest = f"density {percent(card.density)}"
    draw_text(
        pen, (x + 18 * SCALE, line), rest, size=MIDDLE, fill=TEXT, width=WIDTH - EDGE - x
    )  # fmt: skip
    if profile.judged_by_itself:
        run = f"MS: the model judges itself. {run}"
    facts = f"active on {card.n_active:,} of {profile.dictionary.n_examples:,} val images"
    room = WIDTH - 2 * EDGE
    draw_text(pen, (EDGE, line + 20 * SCALE), facts, size=SMALL, fill=MUTED, width=room)
    draw_text(pen, (EDGE, line + 37 * SCALE), run, size=SMALL, fill=MUTED, width=room)
