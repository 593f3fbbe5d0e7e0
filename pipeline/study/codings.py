"""How the published benchmark's files write a preference."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pipeline.study.draw import StudyError

Coding = Literal["x/y", "-1/1", "0/1", "shares"]
"""How a preference is written: the letter of the side; 1 for x and -1 for y; 1 for x and 0 for y;
or the share of people that prefer x. In the first two `tie`, or 0, is a tie."""
CODINGS: tuple[Coding, ...] = ("x/y", "-1/1", "0/1", "shares")


MEANING: dict[Coding, str] = {
    "x/y": "x/y",
    "-1/1": "-1/1 (1: x is preferred)",
    "0/1": "0/1 (1: x is preferred)",
    "shares": "shares of people that prefer x",
}
"""As it is told to people."""


def coding_of(text: str | None) -> Coding | None:
    """The coding of this name.

    Raises:
        StudyError: there is none.
    """
    found = next((coding for coding in CODINGS if coding == text), None)
    if text is not None and found is None:
        raise StudyError(f"coding {text!r}: name one of {', '.join(CODINGS)}")
    return found


_LETTERS = {"x": 1.0, "y": 0.0, "tie": 0.5, "=": 0.5}


def detect(said: Sequence[tuple[int, str]], path: Path) -> Coding:
    """The coding that these preferences, each with its line, are written in.

    Raises:
        StudyError: it can't be told.
    """
    letters = [each for each in said if each[1].lower() in _LETTERS]
    if len(letters) == len(said):
        return "x/y"
    for line, text in said:
        if text.lower() not in _LETTERS and not _is_number(text):
            raise StudyError(
                f"{path}, line {line}: the preference {text[:80]!r} is neither x or y nor a "
                "number; mend it"
            )
    if letters:
        line, text = letters[0]
        raise StudyError(
            f"{path}, line {line}: the preference {text!r} stands among numbers, so it can't be "
            "told how they are written; write all alike"
        )
    values = {float(text) for _, text in said}
    if values <= {-1.0, 0.0, 1.0} and -1.0 in values:
        return "-1/1"
    if values == {0.0, 1.0}:
        return "0/1"
    if all(0 <= value <= 1 for value in values) and not values <= {0.0, 1.0}:
        return "shares"
    shown = ", ".join(f"{value:g}" for value in sorted(values)[:6])
    raise StudyError(
        f"{path}: it can't be told how its preferences are written ({shown}); name the coding, one "
        f"of {', '.join(CODINGS)}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def preference(text: str, coding: Coding, path: Path, line: int) -> float:
    """The share of people that prefer x.

    Raises:
        StudyError: the text is not of this coding.
    """
    if coding == "x/y":
        share = _LETTERS.get(text.lower(), math.nan)
    else:
        share = float(text) if _is_number(text) else math.nan
        if coding == "-1/1":
            share = (share + 1) / 2 if share in (-1, 0, 1) else math.nan
        elif coding == "0/1" and share not in (0, 1):
            share = math.nan
    if not 0 <= share <= 1:
        raise StudyError(f"{path}, line {line}: the preference {text[:80]!r} is not {coding}")
    return share


def written(share: float, coding: Coding) -> str:
    """A share of people that prefer x, in this coding.

    Raises:
        StudyError: it cannot say a tie.
    """
    if coding == "shares":
        return repr(share)
    side = 1 if share > 0.5 else 0 if share < 0.5 else None
    if coding == "x/y":
        return {1: "x", 0: "y", None: "tie"}[side]
    if coding == "-1/1":
        return {1: "1", 0: "-1", None: "0"}[side]
    if side is None:
        raise StudyError("a tie can't be written as 0/1; choose the coding -1/1 or shares")
    return str(side)
