"""A caption as stretches of text, its tokens marked, clipped around the strongest. No streamlit."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.records.captions import TopCaption

SIGHT = 180
"""Letters in sight before a caption is unfolded: three lines of a narrow column."""
MOST = 4000
"""Letters that are kept at all."""
SNAP = 16
"""Letters to look ahead for a blank to clip at."""


@dataclass(frozen=True)
class Stretch:
    """A part of a caption that one activation marks; 0 marks nothing."""

    text: str
    act: float = 0.0
    strongest: bool = False


@dataclass(frozen=True)
class Marked:
    """A caption in three pieces: what is in sight, and what unfolding it shows on either side."""

    before: list[Stretch]
    shown: list[Stretch]
    after: list[Stretch]
    start: int
    """Letters left out before `before`."""
    end: int
    """Letters left out behind `after`."""
    unread: str
    """The end of the caption that the model does not read, at most MOST letters."""


def marked(one: TopCaption, *, sight: int = SIGHT, most: int = MOST) -> Marked:
    """The caption with its tokens' activations, clipped to `sight` letters around the strongest
    token (to its start, where the model makes one vector of it); at most `most` letters go along.
    """
    every = _stretches(one)
    total = sum(len(part.text) for part in every)
    at = 0
    for part in every:
        if part.strongest:
            break
        at += len(part.text)
    at = at if at < total else 0
    text = "".join(part.text for part in every)
    start, end = _window(text, at, most)
    low, high = _window(text, at, sight) if end - start > sight * 1.2 else (start, end)
    return Marked(
        _cut(every, start, low), _cut(every, low, high), _cut(every, high, end), start,
        total - end, _unread(one)[:most],
    )  # fmt: skip


def _stretches(one: TopCaption) -> list[Stretch]:
    """The whole caption; tokens side by side that are 0 are one stretch."""
    if one.token is None or not any(one.pieces):
        read = one.text[: len(one.text) - one.cut] if one.cut else one.text
        return [Stretch(read)]
    made: list[Stretch] = []
    for piece, act, strongest in _letters(one):
        bare = piece.lstrip()
        if bare and act:
            made.append(Stretch(piece[: len(piece) - len(bare)]))
            piece = bare
        made.append(Stretch(piece, act, strongest))
    return _joined(made)


def _letters(one: TopCaption) -> list[tuple[str, float, bool]]:
    """Each piece that has letters, with its activation and whether it is the strongest. Where
    several tokens make one letter, the first piece holds it and the others are empty: the letter
    is as strong as the strongest of them."""
    acts = dict(zip(one.tokens, one.token_acts, strict=True))
    made: list[tuple[str, float, bool]] = []
    for place, piece in enumerate(one.pieces):
        act, strongest = acts.get(place, 0.0), place == one.token
        if made and (not piece or not made[-1][0]):
            held, before, was = made.pop()
            piece, act, strongest = held + piece, max(act, before), strongest or was
        made.append((piece, act, strongest))
    return made


def _joined(parts: Sequence[Stretch]) -> list[Stretch]:
    made: list[Stretch] = []
    for part in parts:
        if made and not part.act and not made[-1].act:
            made[-1] = Stretch(made[-1].text + part.text)
        elif part.text:
            made.append(part)
    return made


def _unread(one: TopCaption) -> str:
    return one.text[len(one.text) - one.cut :] if one.cut else ""


def _window(text: str, at: int, size: int) -> tuple[int, int]:
    """Where `size` letters begin and end that hold the one `at`, a third of them before it."""
    if len(text) <= size:
        return 0, len(text)
    low = max(0, min(at - size // 3, len(text) - size))
    high = low + size
    blank = text.find(" ", low, min(low + SNAP, at))
    if low and blank >= 0:
        low = blank + 1
    if high < len(text) and (blank := text.rfind(" ", max(high - SNAP, at + 1), high)) >= 0:
        high = blank
    return low, high


def _cut(parts: Sequence[Stretch], low: int, high: int) -> list[Stretch]:
    """What lies from letter `low` up to `high`."""
    made, at = [], 0
    for part in parts:
        text = part.text[max(0, low - at) : max(0, high - at)]
        if text:
            made.append(Stretch(text, part.act, part.strongest))
        at += len(part.text)
    return made
