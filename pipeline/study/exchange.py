"""Votes as CSV, and studies as the published benchmark's files: going out and coming in."""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import duckdb
import numpy as np
from numpy.typing import NDArray

from pipeline import store
from pipeline.annotations import Annotations, Vote
from pipeline.annotations.trials import Given
from pipeline.cells import guarded
from pipeline.config import NAME
from pipeline.store import content_key
from pipeline.study import archive, benchmark, ratings
from pipeline.study.assignment import TRIAL
from pipeline.study.codings import Coding
from pipeline.study.content import Content, Feature, Item, Picture, Side
from pipeline.study.draw import StudyError
from pipeline.study.embeddings import read_embeddings
from pipeline.study.files import TEXTS, Draw, Study
from pipeline.study.results import Judged, judged, scores

VOTES, STUDY = "votes.csv", "study.json"

COLUMNS = (
    "study", "annotator", "trial", "revision", "item", "role", "chosen", "swapped", "answer",
    "response_ms", "created",
)  # fmt: skip


def votes_csv(content: Content, votes: Sequence[Vote]) -> str:
    """Every row that was written, by pseudonym, undone ones among them.

    `answer` is `x` or `y`, whichever side that was on (`swapped`: y was left), `tie`, `skip`,
    `undone`, a rating, the id of the image that was taken for the intruder, or the number of the
    text that was chosen. `chosen` says how the item came to be shown: `balanced` or `active`, as
    the study has it; empty of practice, checks and repetitions.
    """
    study = content.study
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows(
        [
            study.name, vote.annotator, vote.trial.trial, vote.revision, vote.trial.item,
            vote.trial.role, study.choice if vote.trial.role == TRIAL else "",
            int(vote.trial.swapped), guarded(vote.answer),
            "" if vote.response_ms is None else vote.response_ms, vote.created.isoformat(),
        ]
        for vote in votes
    )  # fmt: skip
    return file.getvalue()


def write(content: Content, votes: Sequence[Vote], folder: Path) -> None:
    """Everything of a study: `votes.csv` and `study.json` (what it consists of); of texts also
    `ratings.csv`; of pairs the benchmark's three files: `activations.csv` where the bundle that it
    was drawn from is there, with the activations that the bundle keeps."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VOTES).write_text(votes_csv(content, votes), encoding="utf-8")
    (folder / STUDY).write_text(content.model_dump_json(indent=1), encoding="utf-8")
    if content.study.kind in TEXTS:
        told = ratings.ratings_csv(content, votes)
        (folder / ratings.RATINGS).write_text(told, encoding="utf-8")
    if content.study.kind == "pairs":
        _write_benchmark(content, votes, folder)


def _write_benchmark(content: Content, votes: Sequence[Vote], folder: Path) -> None:
    of, names = judged(content, votes), [name_of(one) for one in content.features]
    benchmark.write_pairs(folder / benchmark.PAIRS, _pairs(content, of, names))
    images = {
        names[side.feature]: [content.images[image].uri for image in side.images]
        for item in content.items
        for side in item.sides
        if side.feature is not None
    }
    benchmark.write_top(folder / benchmark.TOP, images)
    try:
        bundle = store.open_bundle(content.study.bundle)
    except store.StoreError:
        return
    with duckdb.connect(str(bundle.database), read_only=True) as database:
        val = "SELECT example_id FROM examples WHERE split = 'val' ORDER BY example_id"
        ids = database.execute(val).fetchnumpy()["example_id"]
        acts = ((name_of(f), _activations(database, f, ids)) for f in content.features)
        benchmark.write_activations(folder / benchmark.ACTIVATIONS, acts, images=len(ids))


def take_in(
    kept: Annotations, path: Path, *, name: str, coding: Coding | None = None
) -> tuple[Content, str, Coding]:
    """Keep a benchmark's pairs and images as a study, and the preferences as the votes of one
    annotator.

    Args:
        path: the folder that holds the files, or the archive.

    Returns:
        What it consists of, the owner's token, and how the preferences were written.

    Raises:
        StudyError: a file cannot be read, or names a neuron without images; a refused name.
        AnnotationsError: there is a study of this name.
    """
    if not re.match(NAME, name):
        raise StudyError(f"name {name[:80]!r}: lower case, digits, dot, dash and underscore only")
    with archive.opened(path, benchmark.PAIRS, benchmark.TOP) as folder:
        found = benchmark.read_pairs(folder / benchmark.PAIRS, coding=coding)
        top = benchmark.read_top(folder / benchmark.TOP)
        content = _content(found, top, folder, name)
    content = content.model_copy(
        update={"study": content.study.model_copy(update={"bundle": path})}
    )
    token = kept.create_study(name, content.model_dump_json(), content.wanted)
    answers = [Given(item, f"{share:g}") for item, share in enumerate(found.preference)]
    kept.add_votes(name, {"published": answers})
    return content, token, found.coding


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
        StudyError: the file cannot be read, names no feature of the study, or has a cell that is no
            number.
    """
    places = _places(content)
    rows = benchmark.rows_of(path, "feature", opened=opened)
    names = [name for name in (rows[0] if rows else {}) if name != "feature"]
    found = {name: np.full(len(content.features), np.nan) for name in names}
    matched = 0
    for line, row in enumerate(rows, 2):
        place = places.get(row["feature"])
        if place is None:
            continue
        matched += 1
        for name in names:
            found[name][place] = benchmark.number_of(row[name], path, line)
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
        StudyError: a file cannot be read, they are of different images, or name no feature of the
            study.
    """
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


def name_of(feature: Feature) -> str:
    """`MODEL/HOOK/DICTIONARY:FEATURE`."""
    return f"{feature.dictionary_id}:{feature.feature_id}"


def _places(content: Content) -> dict[str, int]:
    """Names -> places; a number alone where only one feature has it."""
    numbers = Counter(one.feature_id for one in content.features)
    found = {name_of(one): place for place, one in enumerate(content.features)}
    for place, one in enumerate(content.features):
        if numbers[one.feature_id] == 1:
            found[str(one.feature_id)] = place
    return found


def _pairs(content: Content, of: Judged, names: Sequence[str]) -> benchmark.Pairs:
    return benchmark.Pairs(
        tuple(names[place] for place in of.features[:, 0]),
        tuple(names[place] for place in of.features[:, 1]),
        of.preference,
        {
            name: np.stack([values[of.features[:, 0]], values[of.features[:, 1]]], 1)
            for name, values in scores(content).items()
        },
        "shares",
    )


def _activations(
    database: duckdb.DuckDBPyConnection, feature: Feature, ids: NDArray[np.int64]
) -> NDArray[np.float64]:
    found = database.execute(
        """SELECT example_id, activation FROM activations
        WHERE dictionary_id = ? AND feature_id = ? AND modality = 'image'""",
        [feature.dictionary_id, feature.feature_id],
    ).fetchnumpy()
    acts = np.zeros(len(ids))
    acts[np.searchsorted(ids, found["example_id"])] = found["activation"]
    return acts


def _content(
    found: benchmark.Pairs, top: Mapping[str, Sequence[str]], folder: Path, name: str
) -> Content:
    """The benchmark as a study. Its neurons are numbers, of one dictionary called as the study, or
    `MODEL/HOOK/DICTIONARY:FEATURE`, as a study of one's own is written."""
    neurons = list(dict.fromkeys([*found.x, *found.y]))
    lacking = [neuron for neuron in neurons if neuron not in top]
    if lacking:
        raise StudyError(f"{folder / benchmark.TOP}: no images of neuron {lacking[0][:80]!r}")
    place = {neuron: number for number, neuron in enumerate(neurons)}
    called = [neuron.rpartition(":")[::2] for neuron in neurons]
    for neuron, (_, last) in zip(neurons, called, strict=True):
        if not (last.isascii() and last.isdigit() and len(last) < 10):
            raise StudyError(f"{folder / benchmark.PAIRS}: neuron {neuron[:80]!r} is no number")
    uris = list(dict.fromkeys(uri for neuron in neurons for uri in top[neuron]))
    number = {uri: at for at, uri in enumerate(uris)}
    own: list[dict[str, float | None]] = [{} for _ in neurons]
    for score, values in found.scores.items():
        for row, pair in enumerate(zip(found.x, found.y, strict=True)):
            for side, neuron in enumerate(pair):
                value = float(values[row, side])
                own[place[neuron]][score] = None if np.isnan(value) else value
    printed = content_key(list(found.x), list(found.y), {n: list(top[n]) for n in neurons})
    sides = {
        neuron: Side(feature=place[neuron], images=tuple(number[uri] for uri in top[neuron]))
        for neuron in neurons
    }
    return Content(
        study=Study(name=name, bundle=folder, votes=1, draw=Draw(count=len(found))),
        run=name,
        features=tuple(
            Feature(
                dictionary_id=of or name,
                fingerprint=printed,
                feature_id=int(last),
                scores=own[at],
            )
            for at, (of, last) in enumerate(called)
        ),
        items=tuple(
            Item(item=row, role="trial", sides=(sides[x], sides[y]))
            for row, (x, y) in enumerate(zip(found.x, found.y, strict=True))
        ),
        images={at: Picture(uri=uri) for at, uri in enumerate(uris)},
    )
