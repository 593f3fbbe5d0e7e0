"""Votes as CSV, and studies as the published benchmark's files: going out and coming in."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from pipeline.annotations import Annotations, Vote
from pipeline.annotations.trials import GivenAnswer
from pipeline.config import NAME
from pipeline.csv_cells import guarded, plain
from pipeline.study import archive, benchmark, presentation, published, ratings, sheets
from pipeline.study.assignment import TRIAL
from pipeline.study.codings import Coding
from pipeline.study.content import Content, name_of
from pipeline.study.draw import StudyError
from pipeline.study.embeddings import read_embeddings
from pipeline.study.files import TEXTS

VOTES, STUDY = "votes.csv", "study.json"

COLUMNS = (
    "study", "annotator", "trial", "revision", "item", "role", "chosen", "swapped", "answer",
    "response_ms", "created", "shown",
)  # fmt: skip
ELSEWHERE = "elsewhere"
"""How an item came to be shown to who answered it elsewhere."""


def votes_columns(content: Content, votes: Sequence[Vote]) -> dict[str, list[Any]]:
    """Every row that was written, by pseudonym, undone ones among them: COLUMNS.

    `answer` is `x` or `y`, whichever side that was on (`swapped`: y was left), `tie`, `skip`,
    `undone`, a rating, the id of the image that was taken for the intruder, or the number of the
    text that was chosen. `chosen` says how the item came to be shown: `balanced` or `active`, as
    the study has it (empty of practice, checks and repetitions), or `elsewhere` where the answer,
    to whatever, was imported. `shown` says in which order all stood: `shown.told`.
    """
    study = content.study
    rows = [
        (
            study.name, vote.annotator, vote.trial.trial, vote.revision, vote.trial.item,
            vote.trial.role,
            ELSEWHERE if vote.elsewhere else study.choice if vote.trial.role == TRIAL else "",
            vote.trial.swapped, vote.answer, vote.response_ms, vote.created.isoformat(),
            presentation.as_kept(content, vote),
        )
        for vote in votes
    ]  # fmt: skip
    return {name: [row[at] for row in rows] for at, name in enumerate(COLUMNS)}


def votes_csv(content: Content, votes: Sequence[Vote]) -> str:
    """`votes_columns` as text."""
    columns = votes_columns(content, votes)
    columns["swapped"] = list(map(int, columns["swapped"]))
    for name in ("annotator", "answer"):  # a restored study's pseudonyms are a file's
        columns[name] = list(map(guarded, columns[name]))
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows(zip(*columns.values(), strict=True))
    return file.getvalue()


def write(content: Content, votes: Sequence[Vote], folder: Path) -> str:
    """Everything of a study: `votes.csv` and `study.json` (what it consists of); of texts also
    `ratings.csv`; of pairs the benchmark's three files.

    Returns:
        Why one of them was left out, in one line; empty where none was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VOTES).write_text(votes_csv(content, votes), encoding="utf-8")
    (folder / STUDY).write_text(content.model_dump_json(indent=1), encoding="utf-8")
    if content.study.kind in TEXTS:
        told = ratings.ratings_csv(content, votes)
        (folder / ratings.RATINGS).write_text(told, encoding="utf-8")
    if content.study.kind != "pairs":
        return ""
    lacking = published.write(content, votes, folder)
    return f"{benchmark.ACTIVATIONS} is left out: {lacking}" if lacking else ""


def take_in(
    kept: Annotations, path: Path, *, name: str, coding: Coding | None = None
) -> tuple[Content, str, benchmark.Pairs]:
    """Keep a benchmark's pairs and images as a study, and the preferences as the votes of one
    annotator.

    Args:
        path: the folder that holds the files, or the archive.

    Returns:
        What it consists of, the owner's token, and what the file of pairs says.

    Raises:
        StudyError: a file cannot be read, or names a neuron without images; a refused name.
        AnnotationsError: there is a study of this name.
    """
    if not re.match(NAME, name):
        raise StudyError(f"name {name[:80]!r}: lower case, digits, dot, dash and underscore only")
    with archive.opened(path, benchmark.PAIRS, benchmark.TOP) as folder:
        found = benchmark.read_pairs(folder / benchmark.PAIRS, coding=coding)
        top = benchmark.read_top(folder / benchmark.TOP)
        content = published.content_of(found, top, folder, name)
    content = content.model_copy(
        update={"study": content.study.model_copy(update={"bundle": path})}
    )
    token = kept.create_study(name, content.model_dump_json(), content.wanted)
    answers = [GivenAnswer(item, f"{share:g}") for item, share in enumerate(found.preference)]
    kept.add_votes(name, {"published": answers})
    return content, token, found


def read_scores(
    path: Path, content: Content, *, opened: TextIO | None = None
) -> dict[str, NDArray[np.float64]]:
    """Scores that somebody brings: score -> its value for each of the study's features, NaN where
    it has none.

    The file's column `feature` names features as `MODEL/HOOK/DICTIONARY:FEATURE`, or by their
    number where that means one feature of the study; every other column is a score.

    Args:
        opened: read in place of the file, which then only gives its name.

    Raises:
        StudyError: the file cannot be read, names no feature of the study or one of them twice, has
            a score of a name that the study has already, or a cell that is no number.
    """
    places = _places(content)
    rows = sheets.rows_of(path, "feature", opened=opened)
    names = [name for name in (rows[0][1] if rows else {}) if name != "feature"]
    _see_apart(content, names, path)
    found = {name: np.full(len(content.features), np.nan) for name in names}
    matched = set[int]()
    for line, row in rows:
        place = places.get(plain(row["feature"]))
        if place is None:
            continue
        if place in matched:
            raise StudyError(f"{path}, line {line}: feature {row['feature']!r} comes twice")
        matched.add(place)
        for name in names:
            found[name][place] = sheets.number_of(row[name], path, line)
    if not matched:
        raise StudyError(f"{path}: its column `feature` names no feature of the study")
    return found


RECOMPUTED = "MS_recomputed"


def recomputed(
    activations: Path, embeddings: Path, content: Content
) -> dict[str, NDArray[np.float64]]:
    """MS of the study's features, from the benchmark's file of activations and embeddings of the
    same images in the same order, as the score RECOMPUTED; NaN of features that the file lacks.

    Args:
        activations: the file, or the benchmark's archive with it.

    Raises:
        StudyError: a file cannot be read, they are of different images, name no feature of the
            study, or the study has such a score already.
    """
    _see_apart(content, [RECOMPUTED], activations)
    places = _places(content)
    vectors = read_embeddings(embeddings)
    if activations.name.endswith(archive.SUFFIXES):
        with archive.opened(activations, benchmark.ACTIVATIONS) as folder:
            found = benchmark.monosemanticity(folder / benchmark.ACTIVATIONS, vectors)
    else:
        found = benchmark.monosemanticity(activations, vectors)
    values = np.full(len(content.features), np.nan)
    for name in found.keys() & places.keys():
        values[places[name]] = found[name]
    if not found.keys() & places.keys():
        raise StudyError(f"{activations}: its column `k` names no feature of the study")
    return {RECOMPUTED: values}


def _see_apart(content: Content, names: Sequence[str], path: Path) -> None:
    """That no score that is brought is named as one of the study's own."""
    own = {name.lower(): name for one in content.features for name in one.scores}
    for name in names:
        if name.lower() in own:
            raise StudyError(
                f"{path}: the study has a score {own[name.lower()]!r} of its own, so "
                f"{name[:80]!r} can't be brought; name it otherwise"
            )


def _places(content: Content) -> dict[str, int]:
    """Names -> places; a number alone where only one feature has it."""
    numbers = Counter(one.feature_id for one in content.features)
    found = {name_of(one): place for place, one in enumerate(content.features)}
    for place, one in enumerate(content.features):
        if numbers[one.feature_id] == 1:
            found[str(one.feature_id)] = place
    return found
