"""Answers that were given elsewhere, from a CSV: `votes.csv` or `ratings.csv` of an export, or one
with the columns `item`, `annotator` and `answer`."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from pipeline.annotations.records import MOST_NAME
from pipeline.annotations.trials import MOST_MS, SKIP, UNDONE, GivenAnswer
from pipeline.csv_cells import plain
from pipeline.study import ratings, results, sheets
from pipeline.study.assignment import CATCH, PRACTICE, REPEAT, TRIAL
from pipeline.study.content import Content, Item
from pipeline.study.draw import StudyError
from pipeline.study.files import TEXTS

ROLES = (TRIAL, PRACTICE, CATCH, REPEAT)


def read(path: Path, content: Content) -> dict[str, list[GivenAnswer]]:
    """Annotator -> their answers in order: of each trial the last, where that is not taken back.

    Of an export that is the column `revision` of each `trial`; without these every row is an
    answer. Rows without an answer are left out.

    Raises:
        StudyError: it cannot be read, or a row is no answer to an item of the study: with its line.
    """
    rows = sheets.rows_of(path, "item", "annotator", "answer")
    held: dict[str, dict[int, tuple[int, GivenAnswer]]] = defaultdict(dict)
    judged: set[tuple[str, int]] = set()
    for line, row in rows:
        if not row["answer"]:
            continue
        row = {name: plain(cell) for name, cell in row.items()}
        who = annotator_of(row, path, line)
        trial = whole(row, "trial", path, line, len(held[who]))
        revision = whole(row, "revision", path, line, 0)
        before = held[who].get(trial)
        if before is None or revision > before[0]:
            held[who][trial] = revision, answer_of(row, content, path, line)
        elif revision == before[0]:
            raise StudyError(f"{path}, line {line}: {who[:80]!r} answers trial {trial} twice")
    found = {
        who: [one for _, (_, one) in sorted(own.items()) if one.answer != UNDONE]
        for who, own in held.items()
    }
    for who, own in found.items():
        for one in own:
            if one.role == TRIAL and (who, one.item) in judged:
                raise StudyError(f"{path}: {who[:80]!r} judges item {one.item} twice")
            judged.add((who, one.item))
    if not judged:
        raise StudyError(f"{path}: no answers")
    return {who: own for who, own in found.items() if own}


def annotator_of(row: Mapping[str, str], path: Path, line: int) -> str:
    """Who answers.

    Raises:
        StudyError: nobody, or one of a very long name.
    """
    who = row["annotator"]
    if not 0 < len(who) <= MOST_NAME:
        raise StudyError(f"{path}, line {line}: no annotator, or one of a very long name")
    return who


def answer_of(row: Mapping[str, str], content: Content, path: Path, line: int) -> GivenAnswer:
    """The answer of a row.

    Raises:
        StudyError: it is none to an item of the study: with its line.
    """
    number = whole(row, "item", path, line, -1)
    if not 0 <= number < len(content.items):
        raise StudyError(f"{path}, line {line}: item {number} is none of the study's")
    item, answer, role = content.items[number], row["answer"], row.get("role") or TRIAL
    if role not in ROLES or (role in (TRIAL, REPEAT)) != (item.role == TRIAL):
        raise StudyError(f"{path}, line {line}: the role {role[:80]!r} is not that of the item")
    if answer not in (SKIP, UNDONE) and not _answers(content, item, answer):
        raise StudyError(f"{path}, line {line}: {answer[:80]!r} is no answer to item {number}")
    time = whole(row, "response_ms", path, line, -1)
    if time > MOST_MS:
        raise StudyError(f"{path}, line {line}: the response time is too long")
    return GivenAnswer(
        number, answer, role, row.get("swapped") in ("1", "true", "True"),
        None if time < 0 else time, _moment(row.get("created", ""), path, line),
    )  # fmt: skip


def _answers(content: Content, item: Item, answer: str) -> bool:
    kind = content.study.kind
    if kind == "pairs":
        # Only the published benchmark tells shares; a person prefers one side, or none.
        said = content.imported or answer in results.VALUES
        return said and not np.isnan(results.worth(answer))
    if kind == "intruder":
        return answer in map(str, item.sides[0].images)
    if kind in TEXTS:
        return not np.isnan(ratings.worth(item, answer))
    return answer in ("1", "2", "3", "4", "5")


def whole(row: Mapping[str, str], name: str, path: Path, line: int, default: int) -> int:
    """A cell's whole number; `default` of an empty one, or where there is no such column.

    Raises:
        StudyError: it is none.
    """
    text = row.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise StudyError(f"{path}, line {line}: {name} {text[:80]!r} is no whole number")
    return int(text)


def _moment(text: str, path: Path, line: int) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise StudyError(f"{path}, line {line}: created {text[:80]!r} is no time") from None
    if found.tzinfo is None:
        raise StudyError(f"{path}, line {line}: created {text[:80]!r} has no zone")
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise StudyError(f"{path}, line {line}: created {text[:80]!r} is no time") from None
