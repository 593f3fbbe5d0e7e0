"""Votes as CSV, and studies as the published benchmark's files: going out and coming in."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.annotations import Vote
from pipeline.study import benchmark
from pipeline.study.benchmark import Pairs
from pipeline.study.content import Content
from pipeline.study.results import judged, scores

COLUMNS = (
    "study", "annotator", "trial", "revision", "item", "role", "swapped", "answer", "response_ms",
    "created",
)  # fmt: skip


def votes_csv(study: str, votes: Sequence[Vote]) -> str:
    """Every row that was written, by pseudonym, undone ones among them.

    `answer` is `x` or `y`, whichever side that was on (`swapped`: y was left), `tie`, `skip`,
    `undone`, or what a rating or an intruder's trial was answered.
    """
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows(
        [
            study, vote.annotator, vote.trial.trial, vote.revision, vote.trial.item,
            vote.trial.role, int(vote.trial.swapped), vote.answer,
            "" if vote.response_ms is None else vote.response_ms, vote.created.isoformat(),
        ]
        for vote in votes
    )  # fmt: skip
    return file.getvalue()


def as_benchmark(
    content: Content, votes: Sequence[Vote], folder: Path, *, uris: dict[int, str]
) -> None:
    """The study's pairs and images as `pairs.csv` and `top16_images.csv`.

    Args:
        uris: example -> what the file calls it.
    """
    of = judged(content, votes)
    names = [f"{one.dictionary_id}:{one.feature_id}" for one in content.features]
    by_score = scores(content)
    found = Pairs(
        tuple(names[place] for place in of.features[:, 0]),
        tuple(names[place] for place in of.features[:, 1]),
        of.preference,
        {
            name: np.stack([values[of.features[:, 0]], values[of.features[:, 1]]], 1)
            for name, values in by_score.items()
        },
        "shares",
    )
    folder.mkdir(parents=True, exist_ok=True)
    benchmark.write_pairs(folder / benchmark.PAIRS, found)
    images = {
        names[side.feature]: [uris[image] for image in side.images]
        for item in content.items
        for side in item.sides
        if side.feature is not None
    }
    benchmark.write_top(folder / benchmark.TOP, images)
