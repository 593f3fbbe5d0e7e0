"""What people say of texts: ratings by scale and group, and choices among several."""

import csv
import io
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pipeline.annotations import Vote
from pipeline.annotations.trials import SKIP
from pipeline.csv_cells import guarded
from pipeline.study import agreement, bootstrap
from pipeline.study.agreement import Reliability
from pipeline.study.alone import HIGHEST, LOWEST
from pipeline.study.assignment import TRIAL
from pipeline.study.bootstrap import Estimate
from pipeline.study.content import Content, Item
from pipeline.study.results import TIE, standing

RATINGS = "ratings.csv"


def worth(item: Item, answer: str) -> float:
    """A rating, or the number of the chosen text, 0 of a tie; NaN of what is no judgement."""
    if len(item.texts) > 1 and answer == TIE:
        return 0.0
    if not (answer.isascii() and answer.isdigit() and len(answer) < 3):
        return np.nan
    low, high = (1, len(item.texts)) if len(item.texts) > 1 else (LOWEST, HIGHEST)
    return float(answer) if low <= int(answer) <= high else np.nan


@dataclass(frozen=True)
class Mean:
    """Of one group on one scale.

    Attributes:
        scale: empty where people choose among texts; the figure is then the share of choices, of
            which a tie gives every text as much.
        estimate: mean over the texts of the mean of their ratings.
        votes: that it rests on.
        chance: of choices, the share of somebody who presses at random; NaN of ratings.
    """

    scale: str
    group: str
    estimate: Estimate
    votes: int
    chance: float = np.nan


@dataclass(frozen=True)
class Difference:
    """Of two groups on one scale: `group` less `other`, over texts on the same image, question,
    concept and feature."""

    scale: str
    group: str
    other: str
    estimate: Estimate


def means(
    content: Content, votes: Sequence[Vote], *, only: Collection[str] | None = None, seed: int = 0
) -> list[Mean]:
    """Of each scale and group, in the file's order.

    Args:
        only: the annotators that count; all when not given.
    """
    judged = _judged(content, votes, only)
    by_group: dict[tuple[str, str], list[tuple[float, int, float]]] = defaultdict(list)
    for item in _items(content):
        for number, group in enumerate(item.groups, 1):
            shares = by_group[item.scale, group]
            if values := judged.get(item.item):
                shares.append((_mean(item, number, values), len(values), 1 / len(item.texts)))
    return [
        Mean(
            scale,
            group,
            _estimate(content, [value for value, _, _ in rows], seed),
            sum(count for _, count, _ in rows),
            float(np.mean([chance for *_, chance in rows]))
            if _chosen(content) and rows
            else np.nan,
        )
        for (scale, group), rows in by_group.items()
    ]


def differences(
    content: Content, votes: Sequence[Vote], *, only: Collection[str] | None = None, seed: int = 0
) -> list[Difference]:
    """Of any two groups that are rated on the same scale; none where people choose."""
    if _chosen(content):
        return []
    judged = _judged(content, votes, only)
    matched: dict[tuple[object, ...], dict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    scales: dict[str, dict[str, None]] = defaultdict(dict)
    for item in _items(content):
        (side,), (group,) = item.sides, item.groups
        scales[item.scale][group] = None
        if values := judged.get(item.item):
            alike = item.scale, side.images, item.prompt, item.asked, side.feature
            matched[alike][group].append(float(np.mean(values)))
    found = []
    for scale, groups in scales.items():
        for other, group in combinations(groups, 2):
            apart = [
                float(np.mean(of[group]) - np.mean(of[other]))
                for alike, of in matched.items()
                if alike[0] == scale and group in of and other in of
            ]
            told = bootstrap.average(np.array(apart), seed=seed)
            found.append(Difference(scale, group, other, told))
    return found


def reliability(
    content: Content, votes: Sequence[Vote], *, only: Collection[str] | None = None, seed: int = 0
) -> Reliability:
    """How far people say the same of the same text."""
    items = {item.item: item for item in _items(content)}
    counted = list(_counted(content, votes, only))
    annotators = sorted({vote.annotator for vote in counted})
    columns = {item: n for n, item in enumerate(sorted({v.trial.item for v in counted}))}
    ratings = np.full((len(annotators), len(columns)), np.nan)
    row = {name: n for n, name in enumerate(annotators)}
    for vote in counted:
        value = worth(items[vote.trial.item], vote.answer)
        ratings[row[vote.annotator], columns[vote.trial.item]] = value
    level: agreement.Level = "nominal" if _chosen(content) else "ordinal"
    return agreement.reliability(ratings, categories=scale(content), level=level, seed=seed)


def scale(content: Content) -> tuple[float, ...]:
    """The categories that an answer may be: ratings, or the numbers of as many texts as any choice
    has. A tie is one where somebody saw one: only imported answers have it."""
    most = max((len(item.texts) for item in _items(content)), default=1)
    of = range(1, most + 1) if _chosen(content) else range(LOWEST, HIGHEST + 1)
    return tuple(map(float, of))


def ratings_csv(content: Content, votes: Sequence[Vote]) -> str:
    """A row for each judgement that stands, with what it is about; one with an empty answer for
    what nobody has judged yet, so that it can be filled in elsewhere and imported.

    `chosen` is the group of the text that was chosen.
    """
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    most = max((len(item.texts) for item in content.items), default=1)
    ends = [""] if most == 1 else [f"_{n}" for n in range(1, most + 1)]
    head = ["item", "annotator", "answer", "response_ms", "scale", "image", "question", "feature"]
    rows.writerow([*head, *(f"{name}{end}" for name in ("text", "group") for end in ends)])
    by_item: dict[int, list[Vote]] = defaultdict(list)
    for vote in standing(votes):
        if vote.trial.role == TRIAL:
            by_item[vote.trial.item].append(vote)
    for item in _items(content):
        about = _about(content, item, most)
        for vote in by_item[item.item]:
            time = "" if vote.response_ms is None else vote.response_ms
            rows.writerow([item.item, guarded(vote.annotator), guarded(vote.answer), time, *about])
        if not by_item[item.item]:
            rows.writerow([item.item, "", "", "", *about])
    return file.getvalue()


def _about(content: Content, item: Item, most: int) -> list[str]:
    (side,) = item.sides
    feature = None if side.feature is None else content.features[side.feature]
    cells = [
        item.scale,
        content.images[side.images[0]].uri if side.images else "",
        item.prompt,
        f"{feature.dictionary_id}:{feature.feature_id}" if feature else "",
    ]
    for several in (item.texts, item.groups):
        cells += [*several, *[""] * (most - len(several))]
    return [guarded(cell) for cell in cells]


def _chosen(content: Content) -> bool:
    return content.study.kind == "choice"


def _items(content: Content) -> Iterable[Item]:
    return (item for item in content.items if item.role == "trial")


def _counted(
    content: Content, votes: Sequence[Vote], only: Collection[str] | None
) -> Iterable[Vote]:
    items = {item.item: item for item in _items(content)}
    for vote in standing(votes):
        if vote.trial.role != TRIAL or vote.answer == SKIP or vote.trial.item not in items:
            continue
        if (only is None or vote.annotator in only) and not np.isnan(
            worth(items[vote.trial.item], vote.answer)
        ):
            yield vote


def _judged(
    content: Content, votes: Sequence[Vote], only: Collection[str] | None
) -> dict[int, list[float]]:
    """Item -> its answers."""
    items = {item.item: item for item in _items(content)}
    found: dict[int, list[float]] = defaultdict(list)
    for vote in _counted(content, votes, only):
        found[vote.trial.item].append(worth(items[vote.trial.item], vote.answer))
    return found


def _mean(item: Item, number: int, values: Sequence[float]) -> float:
    """Of a text: its mean rating, or the share of choices that it has."""
    if len(item.texts) == 1:
        return float(np.mean(values))
    return float(np.mean([1 / len(item.texts) if not v else v == number for v in values]))


def _estimate(content: Content, values: Sequence[float], seed: int) -> Estimate:
    of = np.array(values, dtype=float)
    return (bootstrap.share if _chosen(content) else bootstrap.average)(of, seed=seed)
