"""What a study found: its votes in arrays, and the figures that Results and `agree` give.

The libraries of statistics are imported when they are used: `study status` needs none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from pipeline.annotations import Vote
from pipeline.annotations.trials import SKIP, UNDONE
from pipeline.study.assignment import CATCH, REPEAT, TRIAL
from pipeline.study.content import Content, Item, X, Y
from pipeline.study.files import RATED, RATINGS

if TYPE_CHECKING:
    from pipeline.study.bootstrap import Estimate
    from pipeline.study.ranking import Ranking

TIE = "tie"
VALUES = {X: 1.0, TIE: 0.5, Y: 0.0}
"""What an answer to a pair is worth: for x. Of a published study, where only the share of people is
known, that is the answer."""


def worth(answer: str) -> float:
    """0 to 1, for x; NaN of what is no judgement of a pair."""
    if answer in VALUES:
        return VALUES[answer]
    try:
        share = float(answer)
    except ValueError:
        return np.nan
    return share if 0 <= share <= 1 else np.nan


def standing(votes: Sequence[Vote]) -> list[Vote]:
    """The votes that stand: of each trial the last row, if it is not one that takes back."""
    last: dict[tuple[str, int], Vote] = {}
    for vote in votes:
        at = vote.annotator, vote.trial.trial
        if at not in last or vote.revision > last[at].revision:
            last[at] = vote
    return [vote for vote in last.values() if vote.answer != UNDONE]


@dataclass(frozen=True)
class Checked:
    """How one annotator did where it can be checked.

    Attributes:
        votes: judgements that count.
        caught, catches: wrong answers to catch trials, and all answers to them.
        alike, repeats: repetitions judged as the first time, and all of them.
        median_ms: of the response times; None without any.
        skips: trials of any kind that were skipped.
    """

    annotator: str
    votes: int
    caught: int
    catches: int
    alike: int
    repeats: int
    median_ms: float | None
    skips: int = 0


def checked(content: Content, votes: Sequence[Vote]) -> list[Checked]:
    """Each annotator's checks, in the order of their names.

    A tie, or nothing that is right, is a wrong answer to a catch trial; a skip is no answer.
    """
    items = {item.item: item for item in content.items}
    by_annotator: dict[str, list[Vote]] = defaultdict(list)
    for vote in standing(votes):
        by_annotator[vote.annotator].append(vote)
    found = []
    for annotator, own in sorted(by_annotator.items()):
        judged = [vote for vote in own if vote.answer != SKIP]
        first = {vote.trial.item: vote.answer for vote in judged if vote.trial.role == TRIAL}
        catches = [vote for vote in judged if vote.trial.role == CATCH]
        repeats = [v for v in judged if v.trial.role == REPEAT and v.trial.item in first]
        times = [v.response_ms for v in judged if v.response_ms is not None]
        found.append(
            Checked(
                annotator,
                sum(vote.trial.role == TRIAL for vote in judged),
                sum(not right(content, items[vote.trial.item], vote.answer) for vote in catches),
                len(catches),
                sum(vote.answer == first[vote.trial.item] for vote in repeats),
                len(repeats),
                float(np.median(times)) if times else None,
                len(own) - len(judged),
            )
        )
    return found


def right(content: Content, item: Item, answer: str) -> bool:
    """Whether an answer is the one that is known to be right; of ratings, next to it at most."""
    if content.study.kind in RATED and item.answer is not None and answer in RATINGS:
        return abs(int(answer) - int(item.answer)) <= 1
    return answer == item.answer


def alike(checks: Sequence[Checked]) -> Estimate:
    """The share of repetitions that are judged as the first time, with an interval over people."""
    from pipeline.study import bootstrap

    counts = np.array([[one.alike, one.repeats] for one in checks], dtype=np.int64).reshape(-1, 2)
    return bootstrap.by_person(counts[:, 0], counts[:, 1], seed=0)


def attentive(checks: Sequence[Checked], *, failed: int) -> set[str]:
    """The annotators who answered at most so many percent of their catch trials wrongly; who was
    never checked is among them."""
    return {one.annotator for one in checks if 100 * one.caught <= failed * one.catches}


@dataclass(frozen=True, eq=False)
class Judged:
    """The votes on a study's pairs.

    Attributes:
        items: [n], numbers of the pairs that have a vote.
        features: [n, 2], places of x and y among the study's features.
        ratings: [annotators, n], as VALUES; NaN where someone did not judge.
        annotators: their pseudonyms, in order.
    """

    items: Int[np.ndarray, " n"]
    features: Int[np.ndarray, "n 2"]
    ratings: Float[np.ndarray, "a n"]
    annotators: tuple[str, ...]

    @property
    def votes(self) -> Int[np.ndarray, " n"]:
        """How many each pair has."""
        counts: Int[np.ndarray, " n"] = (~np.isnan(self.ratings)).sum(0)
        return counts

    @property
    def preference(self) -> Float[np.ndarray, " n"]:
        """The share of people that prefer x; a tie is half a vote for each side."""
        share: Float[np.ndarray, " n"] = np.nansum(self.ratings, 0) / self.votes
        return share

    def difference(self, score: Float[np.ndarray, " s"]) -> Float[np.ndarray, " n"]:
        """Of a score of each of the study's features: x less y."""
        found: Float[np.ndarray, " n"] = score[self.features[:, 0]] - score[self.features[:, 1]]
        return found


def judged(
    content: Content, votes: Sequence[Vote], *, only: Collection[str] | None = None
) -> Judged:
    """The pairs' standing votes; those of checks, practice and repetitions do not count.

    Args:
        only: the annotators that count; all when not given.
    """
    counted = [
        vote
        for vote in standing(votes)
        if vote.trial.role == TRIAL
        and not np.isnan(worth(vote.answer))
        and (only is None or vote.annotator in only)
    ]
    sides = {
        item.item: tuple(side.feature for side in item.sides)
        for item in content.items
        if item.role == "trial"
    }
    items = sorted({vote.trial.item for vote in counted})
    annotators = sorted({vote.annotator for vote in counted})
    ratings = np.full((len(annotators), len(items)), np.nan)
    row = {name: n for n, name in enumerate(annotators)}
    column = {item: n for n, item in enumerate(items)}
    for vote in counted:
        ratings[row[vote.annotator], column[vote.trial.item]] = worth(vote.answer)
    places = np.array([sides[item] for item in items], dtype=np.int64).reshape(-1, 2)
    return Judged(np.array(items, dtype=np.int64), places, ratings, tuple(annotators))


def scale(content: Content) -> tuple[float, ...]:
    """The categories that an answer to a pair may be; none are known of a published study, whose
    shares of people are categories of their own."""
    if content.imported:
        return ()
    return tuple(value for answer, value in VALUES.items() if answer != TIE or content.study.tie)


def scores(content: Content) -> dict[str, Float[np.ndarray, " s"]]:
    """Score -> its value for each of the study's features; those that all lack are left out."""
    names = {name: None for feature in content.features for name in feature.scores}
    found = {}
    for name in names:
        values = [feature.scores.get(name) for feature in content.features]
        column = np.array([np.nan if value is None else value for value in values])
        if not np.isnan(column).all():
            found[name] = column
    return found


def leaderboard(
    of: Judged, by_score: Mapping[str, Float[np.ndarray, " s"]], *, seed: int = 0
) -> list[tuple[str, Estimate]]:
    """Score -> how often it prefers what most people prefer, the best first."""
    from pipeline.study import agreement

    found = [
        (
            name,
            agreement.score_agreement(
                of.preference, of.difference(values), features=of.features, seed=seed
            ),
        )
        for name, values in by_score.items()
    ]
    return best_first(found)


def best_first(found: Sequence[tuple[str, Estimate]]) -> list[tuple[str, Estimate]]:
    """Scores by their figure; those without an interval, and those that rest on less than a fifth
    of the items that others have, come after them, and those without a figure last."""
    few = max((told.count for _, told in found), default=0) / 5
    return sorted(
        found,
        key=lambda one: (
            not one[1].known, one[1].count < few or np.isnan(one[1].low),
            -one[1].value if one[1].known else 0, one[0],
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Apart:
    """A pair on which people and a score differ.

    Attributes:
        preference: share of people that prefer x.
        difference: of the score, x less y.
        weight: how much they differ: the score's difference, in its standard deviations, times how
            far people are from a tie.
    """

    item: int
    preference: float
    difference: float
    votes: int
    weight: float


def apart(of: Judged, score: Float[np.ndarray, " s"], *, most: int) -> list[Apart]:
    """The pairs where people and the score differ most."""
    difference, preference = of.difference(score), of.preference
    spread = np.nanstd(difference) or 1.0
    weight = -np.sign(difference) * (preference - 0.5) * 2 * np.abs(difference) / spread
    order = np.argsort(-np.nan_to_num(weight, nan=-1.0), kind="stable")
    return [
        Apart(
            int(of.items[n]),
            float(preference[n]),
            float(difference[n]),
            int(of.votes[n]),
            float(weight[n]),
        )
        for n in order[:most]
        if weight[n] > 0
    ]


def ranking(of: Judged, *, features: int) -> Ranking:
    """The study's features by what people prefer."""
    from pipeline.study.ranking import bradley_terry

    known = ~np.isnan(of.ratings)
    wins = np.nansum(of.ratings, 0)
    return bradley_terry(of.features, wins, known.sum(0) - wins, features=features)


def progress(content: Content, votes: Sequence[Vote]) -> tuple[int, int]:
    """Votes that the study has of those that it wants, and how many it wants."""
    had = Counter(
        vote.trial.item
        for vote in standing(votes)
        if vote.trial.role == TRIAL and vote.answer != SKIP
    )
    wanted = content.wanted
    return sum(min(had[item], count) for item, count in wanted.items()), sum(wanted.values())
