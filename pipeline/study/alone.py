"""What people say of features that are judged alone: ratings, and intruders found."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pipeline.annotations import Vote
from pipeline.study import agreement, bootstrap
from pipeline.study.assignment import TRIAL
from pipeline.study.bootstrap import Estimate
from pipeline.study.content import Content, Item
from pipeline.study.files import RATINGS
from pipeline.study.results import best_first, standing

LOWEST, HIGHEST = int(RATINGS[0]), int(RATINGS[-1])
"""The ends of a rating."""


@dataclass(frozen=True, eq=False)
class Alone:
    """The votes on what a study shows one at a time.

    Attributes:
        items: [n], numbers of the items that have a vote.
        features: [n], places among the study's features; -1 where an item shows none.
        ratings: [annotators, n], 1 to 5, or whether the intruder was found; NaN where someone did
            not judge.
        annotators: their pseudonyms, in order.
        chance: the mean of somebody who presses at random.
    """

    items: Int[np.ndarray, " n"]
    features: Int[np.ndarray, " n"]
    ratings: Float[np.ndarray, "a n"]
    annotators: tuple[str, ...]
    chance: float

    @property
    def votes(self) -> Int[np.ndarray, " n"]:
        """How many each item has."""
        counts: Int[np.ndarray, " n"] = (~np.isnan(self.ratings)).sum(0)
        return counts

    @property
    def means(self) -> Float[np.ndarray, " n"]:
        """Of each item's answers."""
        found: Float[np.ndarray, " n"] = np.nansum(self.ratings, 0) / self.votes
        return found

    def of(self, score: Float[np.ndarray, " s"]) -> Float[np.ndarray, " n"]:
        """Of a score of each of the study's features: that of each item."""
        if not len(score):
            return np.full(len(self.items), np.nan)
        found: Float[np.ndarray, " n"] = np.where(self.features < 0, np.nan, score[self.features])
        return found


def alone(
    content: Content,
    votes: Sequence[Vote],
    *,
    only: Collection[str] | None = None,
    worth: Callable[[Item, str], float] | None = None,
) -> Alone:
    """The items' standing votes; those of checks, practice and repetitions do not count.

    Args:
        only: the annotators that count; all when not given.
        worth: the number that an answer to an item is, NaN of none; a rating, or whether the
            intruder was found, when not given. `named` is which image was.
    """
    known = {item.item: item for item in content.items if item.role == TRIAL}
    intruder = content.study.kind == "intruder"
    worth = worth or (_found if intruder else _rated)
    counted = [
        (vote, value)
        for vote in standing(votes)
        if vote.trial.role == TRIAL
        and (only is None or vote.annotator in only)
        and not np.isnan(value := worth(known[vote.trial.item], vote.answer))
    ]
    items = sorted({vote.trial.item for vote, _ in counted})
    annotators = sorted({vote.annotator for vote, _ in counted})
    ratings = np.full((len(annotators), len(items)), np.nan)
    row = {name: n for n, name in enumerate(annotators)}
    column = {item: n for n, item in enumerate(items)}
    for vote, value in counted:
        ratings[row[vote.annotator], column[vote.trial.item]] = value
    places = [known[item].sides[0].feature for item in items]
    return Alone(
        np.array(items, dtype=np.int64),
        np.array([-1 if place is None else place for place in places], dtype=np.int64),
        ratings,
        tuple(annotators),
        1 / content.study.images if intruder else (LOWEST + HIGHEST) / 2,
    )


def _found(item: Item, answer: str) -> float:
    return float(answer == item.answer) if answer.isascii() and answer.isdigit() else np.nan


def named(item: Item, answer: str) -> float:
    """Which image was taken for the intruder: its place among the item's images, which hangs on
    chance; NaN of what is none of them."""
    places = {str(image): place for place, image in enumerate(item.sides[0].images)}
    return float(places.get(answer, np.nan))


def scale(content: Content) -> tuple[float, ...]:
    """The categories that an answer may be: ratings, or the places of an intruder's images."""
    intruder = content.study.kind == "intruder"
    places = range(content.study.images) if intruder else range(LOWEST, HIGHEST + 1)
    return tuple(map(float, places))


def _rated(_: Item, answer: str) -> float:
    known = answer.isascii() and answer.isdigit() and len(answer) < 3
    return float(answer) if known and LOWEST <= int(answer) <= HIGHEST else np.nan


def overall(of: Alone, *, seed: int = 0) -> Estimate:
    """Mean over the items of their mean answer."""
    if of.chance < 1:
        return bootstrap.share(of.means, seed=seed)
    return bootstrap.average(of.means, seed=seed)


def leaderboard(
    of: Alone, by_score: Mapping[str, Float[np.ndarray, " s"]]
) -> list[tuple[str, Estimate]]:
    """Score -> its rank correlation with what people say, the best first."""
    found = [
        (name, agreement.correlation(of.means, of.of(values))) for name, values in by_score.items()
    ]
    return best_first(found)


@dataclass(frozen=True)
class Off:
    """A feature of which people and a score say different things.

    Attributes:
        mean: of the answers.
        score: the score.
        gap: people's rank less the score's, as shares of the features: above 0 people say more.
    """

    item: int
    mean: float
    score: float
    votes: int
    gap: float


def apart(of: Alone, score: Float[np.ndarray, " s"], *, most: int) -> list[Off]:
    """The items whose ranks by people and by the score differ most; none where either says the same
    of all."""
    values = of.of(score)
    known = np.flatnonzero(~np.isnan(values))
    if len(known) < 2 or not np.ptp(of.means[known]) or not np.ptp(values[known]):
        return []
    gap = (_ranks(of.means[known]) - _ranks(values[known])) / (len(known) - 1)
    order = np.argsort(-np.abs(gap), kind="stable")[:most]
    return [
        Off(
            int(of.items[known[n]]),
            float(of.means[known[n]]),
            float(values[known[n]]),
            int(of.votes[known[n]]),
            float(gap[n]),
        )
        for n in order
        if gap[n]
    ]


def _ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """From 0; equal values share their mean rank."""
    _, kind, times = np.unique(values, return_inverse=True, return_counts=True)
    found: Float[np.ndarray, " n"] = (times.cumsum() - times + (times - 1) / 2)[kind]
    return found
