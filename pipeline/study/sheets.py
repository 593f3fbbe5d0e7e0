"""CSV files that somebody gives: their rows with their lines, what is wrong told in one line."""

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pipeline.study.draw import StudyError

_MOST_CELL = 4096

Row = tuple[int, dict[str, str]]
"""The line of the file at which a row begins, and its cells by column."""


@contextmanager
def reading(path: Path, opened: TextIO | None = None) -> Iterator[TextIO]:
    """The file, or `opened` in its place; what is wrong with it is told in one line."""
    try:
        with opened or path.open(newline="", encoding="utf-8-sig") as file:
            yield file
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise StudyError(f"{path}: no CSV in UTF-8 ({error})") from None


def numbered(file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line at which each begins; empty lines are none."""
    rows, before = csv.reader(file), 0
    for row in rows:
        if row:
            yield before + 1, row
        before = rows.line_num


def rows_of(path: Path, *wanted: str, opened: TextIO | None = None) -> list[Row]:
    """The rows of a CSV that has these columns. Columns without a name are left out.

    Args:
        opened: read in place of the file, which then only gives its name.

    Raises:
        StudyError: it cannot be read, lacks a column or has it twice, or a row has another number
            of cells.
    """
    with reading(path, opened) as file:
        rows = numbered(file)
        names = [name.strip() for name in next(rows, (1, []))[1]]
        for name in wanted:
            if name not in names:
                raise StudyError(f"{path}: no column {name}; it has {', '.join(names)[:200]}")
        twice = [name for at, name in enumerate(names) if name and name in names[:at]]
        if twice:
            raise StudyError(f"{path}: two columns are named {twice[0][:80]!r}; name them apart")
        found = []
        for line, row in rows:
            if len(row) != len(names):
                raise StudyError(f"{path}, line {line}: not as many cells as the first line")
            cells = zip(names, row, strict=True)
            found.append((line, {name: short(cell, path, line) for name, cell in cells if name}))
        return found


def short(cell: str, path: Path, line: int) -> str:
    """A cell's text, without spaces around it.

    Raises:
        StudyError: it is too long, or no text.
    """
    if len(cell) > _MOST_CELL or "\0" in cell:
        raise StudyError(f"{path}, line {line}: a cell is too long or no text")
    return cell.strip()


def number_of(text: str, path: Path, line: int) -> float:
    """A cell's number; NaN of an empty one.

    Raises:
        StudyError: it is none, or infinite.
    """
    try:
        found = float(text or "nan")
    except ValueError:
        found = math.inf
    if math.isinf(found):
        raise StudyError(f"{path}, line {line}: the score {text[:80]!r} is no number")
    return found
