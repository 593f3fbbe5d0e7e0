"""A study that was exported, kept again whole: what it consists of, and every row of its votes."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from pipeline.annotations import Annotations, Trial, Vote
from pipeline.annotations.studies import MOST_CONTENT
from pipeline.annotations.trials import SKIP, SKIPPED, VOTED
from pipeline.csv_cells import plain
from pipeline.study import imported_answers, sheets
from pipeline.study.content import Content, Item
from pipeline.study.draw import StudyError
from pipeline.study.exchange import COLUMNS, ELSEWHERE, STUDY, VOTES
from pipeline.study.files import TEXTS, Study

_ROWS = (STUDY, VOTES)
MOST_NUMBER = 2**31 - 1
"""That a database holds."""
_READ = tuple(name for name in COLUMNS if name != "shown")
"""What a file of votes must have: the order in which all stood follows from it."""


def is_export(folder: Path) -> bool:
    """Whether the folder holds a study as `exchange.write` writes one."""
    return all((folder / name).is_file() for name in _ROWS)


def take_in(
    kept: Annotations, folder: Path, *, name: str | None = None
) -> tuple[Content, str, int]:
    """Keep the study that a folder holds.

    Args:
        name: in place of its own.

    Returns:
        What it consists of, the new owner's token, and how many rows its votes have.

    Raises:
        StudyError: a file cannot be read, is no study, or a row is no answer to an item of it.
        AnnotationsError: there is a study of this name.
    """
    content = _content(folder / STUDY)
    if name is not None:
        try:
            study = Study.model_validate(content.study.model_dump() | {"name": name})
        except ValidationError:
            raise StudyError(
                f"name {name[:80]!r}: lower case, digits, dot, dash and underscore only"
            ) from None
        content = content.model_copy(update={"study": study})
    votes = _votes(folder / VOTES, content)
    token = kept.restore_study(content.study.name, content.model_dump_json(), content.wanted, votes)
    return content, token, len(votes)


def _content(path: Path) -> Content:
    try:
        if path.stat().st_size > MOST_CONTENT:
            raise StudyError(f"{path}: larger than {MOST_CONTENT >> 20} MiB")
        found = Content.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ascii(".".join(map(str, first["loc"])))[:200]
        raise StudyError(f"{path}: no study that was exported ({where}: {first['msg']})") from None
    for number, item in enumerate(found.items):
        if item.item != number or not _whole(item, found):
            raise StudyError(f"{path}: item {number} names what the study does not have")
    return found


def _whole(item: Item, content: Content) -> bool:
    """Whether it is an item of the study's kind, of features and images that the study has."""
    pair = content.study.kind == "pairs"
    features = {side.feature for side in item.sides}
    if pair and item.role == "trial" and None in features:
        return False
    return (
        len(item.sides) == (2 if pair else 1)
        and bool(item.texts) == (content.study.kind in TEXTS)
        and len(item.groups) == len(item.texts)
        and features - {None} <= set(range(len(content.features)))
        and all(set(side.images) <= content.images.keys() for side in item.sides)
    )


def _votes(path: Path, content: Content) -> list[Vote]:
    """Every row; by annotator, trial and revision."""
    found: dict[tuple[str, int, int], Vote] = {}
    of_trial: dict[tuple[str, int], tuple[int, str, bool]] = {}
    for line, cells in sheets.rows_of(path, *_READ):
        row = {column: plain(cell) for column, cell in cells.items()}
        vote = _vote(row, content, path, line)
        at = vote.annotator, vote.trial.trial, vote.revision
        said = vote.trial.item, vote.trial.role, vote.trial.swapped
        if at in found:
            raise StudyError(f"{path}, line {line}: comes twice")
        if of_trial.setdefault(at[:2], said) != said:
            raise StudyError(f"{path}, line {line}: trial {at[1]} is another one in lines before")
        found[at] = vote
    return [found[at] for at in sorted(found)]


def _vote(row: Mapping[str, str], content: Content, path: Path, line: int) -> Vote:
    who = imported_answers.annotator_of(row, path, line)
    one = imported_answers.answer_of(row, content, path, line)
    trial, revision = (
        imported_answers.whole(row, name, path, line, -1) for name in ("trial", "revision")
    )
    if trial < 0 or revision < 0 or one.created is None:
        raise StudyError(f"{path}, line {line}: lacks its trial, revision or time")
    if max(trial, revision) > MOST_NUMBER:
        raise StudyError(f"{path}, line {line}: its trial or revision is too large a number")
    state = SKIPPED if one.answer == SKIP else VOTED
    return Vote(
        who, Trial(trial, one.item, one.role, one.swapped, state), revision, one.answer,
        one.response_ms, one.created, row["chosen"] == ELSEWHERE,
    )  # fmt: skip
