"""A study as the published benchmark's files, and these as a study."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from pipeline.annotations import Vote
from pipeline.bundle import opening, sealed
from pipeline.fingerprints.keys import content_key
from pipeline.study import benchmark
from pipeline.study.content import Content, Feature, Item, Picture, Side, name_of
from pipeline.study.draw import StudyError
from pipeline.study.files import Draw, Study
from pipeline.study.results import Judged, judged, scores


def write(content: Content, votes: Sequence[Vote], folder: Path) -> str:
    """The benchmark's three files of a study of pairs.

    `activations.csv` is written where the bundle that the study was drawn from is there, with the
    activations that the bundle keeps. With it `top16_images.csv` is in their order, the strongest
    first, where the study shows the strongest; else it is in that of the study.

    Returns:
        Why there is no `activations.csv`; empty where there is one.
    """
    of, names = judged(content, votes), [name_of(one) for one in content.features]
    benchmark.write_pairs(folder / benchmark.PAIRS, _pairs(content, of, names))
    shown = {
        side.feature: list(side.images)
        for item in content.items
        for side in item.sides
        if side.feature is not None
    }
    (folder / benchmark.ACTIVATIONS).unlink(missing_ok=True)
    try:
        bundle = opening.open_bundle(content.study.bundle)
    except sealed.StoreError as error:
        lacking = str(error)
    else:
        with duckdb.connect(str(bundle.database), read_only=True) as database:
            lacking = _other(database, content)
            if not lacking:
                _write_activations(database, content, folder)
                if content.study.images_from == "top":
                    shown = {at: _ranked(database, content, at, shown[at]) for at in shown}
    images = {names[at]: [content.images[one].uri for one in ids] for at, ids in shown.items()}
    benchmark.write_top(folder / benchmark.TOP, images)
    return lacking


def _other(database: duckdb.DuckDBPyConnection, content: Content) -> str:
    """What tells that the bundle is not the one that the study was drawn from; empty if nothing."""
    rows = database.execute("SELECT dictionary_id, fingerprint FROM dictionaries").fetchall()
    there = dict(rows)
    for one in content.features:
        if there.get(one.dictionary_id) != one.fingerprint:
            return (
                f"{content.study.bundle}: its {one.dictionary_id} has other weights than the "
                "study's, or is not there"
            )
    return ""


def _write_activations(database: duckdb.DuckDBPyConnection, content: Content, folder: Path) -> None:
    val = "SELECT example_id FROM examples WHERE split = 'val' ORDER BY example_id"
    ids = database.execute(val).fetchnumpy()["example_id"]
    acts = ((name_of(one), _activations(database, one, ids)) for one in content.features)
    benchmark.write_activations(folder / benchmark.ACTIVATIONS, acts, images=len(ids))


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


def _ranked(
    database: duckdb.DuckDBPyConnection, content: Content, at: int, images: list[int]
) -> list[int]:
    """The images, those that activate the feature most first."""
    feature = content.features[at]
    rows = database.execute(
        """SELECT example_id, rank FROM top_examples
        WHERE dictionary_id = ? AND feature_id = ? AND modality = 'image'""",
        [feature.dictionary_id, feature.feature_id],
    ).fetchall()
    rank = dict(rows)
    return sorted(images, key=lambda one: rank.get(one, len(rank) + 1))


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


def content_of(
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
        for pair, row in zip(zip(found.x, found.y, strict=True), values.tolist(), strict=True):
            for neuron, value in zip(pair, row, strict=True):
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
