"""Texts that people judge, as a CSV: what a model said, steered and not, or captions to choose of.

Of `outputs` the columns are `text`, and as far as they are known `image` (an example's number or
uri), `question` (what the model was asked), `concept` (what a scale asks about), `group` (what the
text is compared as, `steered` for one, which nobody who judges is told), `feature`
(`MODEL/HOOK/DICTIONARY:FEATURE`), `scale` (the only one that this text is rated on) and `answer` (a
rating that is known to be right, which makes the row practice or a check). Of `choice` they are
`text_1` to `text_9`, `group_1` to `group_9`, the same `image`, `question` and `feature`, and
`answer`, the number of the right text where that is known: such a row becomes practice or a check.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.csv_cells import guarded, plain
from pipeline.study import draw, sheets
from pipeline.study.draw import StudyError
from pipeline.study.files import RATINGS

COLUMNS = ("image", "question", "text", "group", "concept", "feature")
BLANK = "blank"
"""What steering calls a picture that shows nothing."""
WAYS = ("unsteered", "steered")
MOST_TEXTS = 9
MOST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Output:
    """A row.

    Attributes:
        line: of the file.
        texts, groups: one of `outputs`, several of `choice`; a group may be empty.
        answer: number of the right text, or the right rating; empty where that is not known.
        scale: the only one that the text is rated on; empty for all.
    """

    line: int
    texts: tuple[str, ...]
    groups: tuple[str, ...]
    image: str = ""
    prompt: str = ""
    concept: str = ""
    feature: str = ""
    answer: str = ""
    scale: str = ""


def read(path: Path, *, several: bool) -> list[Output]:
    """The rows of a file.

    Args:
        several: whether people choose among texts.

    Raises:
        StudyError: it cannot be read, or a row lacks its text or comes twice; names the line.
    """
    rows = sheets.rows_of(path, "text_1" if several else "text")
    if not rows:
        raise StudyError(f"{path}: no texts")
    if "annotator" in rows[0][1]:
        raise StudyError(
            f"{path}: holds answers; `study import` takes them, a study's texts do not"
        )
    found = [_output(row, path, line, several=several) for line, row in rows]
    draw.once([(one.line, replace(one, line=0)) for one in found], "text", file=str(path))
    return found


def _output(row: Mapping[str, str], path: Path, line: int, *, several: bool) -> Output:
    row = {name: plain(cell) for name, cell in row.items()}
    ends = [f"_{n}" for n in range(1, MOST_TEXTS + 1)] if several else [""]
    there = [end for end in ends if row.get(f"text{end}")]
    if len(there) < (2 if several else 1):
        wanted = "fewer than two texts" if several else "no text"
        raise StudyError(f"{path}, line {line}: {wanted}; mend it, or leave the row out")
    if there != ends[: len(there)]:
        raise StudyError(f"{path}, line {line}: a text is missing between others")
    answer = row.get("answer", "")
    possible = [str(n) for n in range(1, len(there) + 1)] if several else list(RATINGS)
    if answer and answer not in possible:
        what = "text's number" if several else "rating from 1 to 5"
        raise StudyError(f"{path}, line {line}: the answer {answer[:80]!r} is no {what}")
    return Output(
        line,
        tuple(row[f"text{end}"] for end in there),
        tuple(row.get(f"group{end}", "") for end in there),
        row.get("image", ""),
        row.get("question", ""),
        row.get("concept", ""),
        row.get("feature", ""),
        answer,
        "" if several else row.get("scale", ""),
    )


# --- Of steering ---


def of_steering(path: Path, *, ways: Sequence[str] = WAYS) -> list[dict[str, str]]:
    """What `steer --json` printed, as rows of COLUMNS; what is said again is one row.

    Steered at several strengths, each is a group of its own: `steered 2`.

    Args:
        ways: those of its answers that are taken.

    Raises:
        StudyError: the file is not of that form, or has no such answer.
    """
    records = _records(path)
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    try:
        strengths = {tuple(f["strength"] for f in one["setting"]["features"]) for one in records}
        for record in records:
            for row in _rows(record, ways, sweep=len(strengths) > 1):
                rows.setdefault(tuple(row.values()), row)
    except (KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"{path}: not what `steer --json` prints ({error!r})") from None
    if not rows:
        said = sorted({name for record in records for name in record["answers"]})
        raise StudyError(f"{path}: no answer {' or '.join(ways)}; it has {', '.join(said)[:300]}")
    return list(rows.values())


def _records(path: Path) -> list[Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise StudyError(f"{path}: larger than {MOST_BYTES >> 20} MiB; split it")
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise StudyError(f"{path}: no JSON ({str(error)[:200]})") from None
    found = held.get("records") if isinstance(held, dict) and "records" in held else held
    return found if isinstance(found, list) else [found]


def _rows(record: Any, ways: Sequence[str], *, sweep: bool) -> Iterator[dict[str, str]]:
    setting = record["setting"]
    features = [(f["dictionary"], f["feature"], f["strength"]) for f in setting["features"]]
    one = features[0] if len(features) == 1 else None
    for way in ways:
        answer = record["answers"].get(way)
        if answer is None or not answer["text"].strip():
            continue
        at = "" if not sweep or way != "steered" else " ".join(f"{f[2]:g}" for f in features)
        image = record["image"]["uri"]
        cells = (
            "" if image == BLANK else image, setting["prompt"], answer["text"],
            f"{way} {at}".strip(), setting["concept"], f"{one[0]}:{one[1]}" if one else "",
        )  # fmt: skip
        yield dict(zip(COLUMNS, map(str, cells), strict=True))


def write(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """The file of outputs."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows([guarded(row[name]) for name in COLUMNS] for row in rows)
