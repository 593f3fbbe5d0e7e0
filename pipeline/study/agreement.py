"""Whether people agree with each other, and a score with them. Arrays in, numbers out.

A matrix of ratings is [annotators, items]; NaN where someone did not judge. Intervals are those of
`bootstrap`, over items. `categories` are the answers that the scale has, used or not: AC2's chance
agreement, and its ordinal weights, depend on how many there are. They come from the study, by
`results.scale` of pairs, `alone.scale` of features and `ratings.scale` of texts. Alpha and percent
agreement rest on the answers that were given.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import krippendorff
import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from pipeline.study import bootstrap
from pipeline.study.bootstrap import NOTHING, Estimate

Ratings = Float[np.ndarray, "annotators items"]
Level = Literal["nominal", "ordinal"]
LEAST_CORRELATED = 3
"""Items; of fewer there is no rank correlation."""


# --- A score against people ---


def agrees(
    preference: Float[np.ndarray, " n"], difference: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Of each pair whether the score prefers what most people prefer: 1, 0, or NaN where people are
    divided or a score is missing; 0.5 where the scores are equal, as a coin would decide.

    Args:
        preference: share of people that prefer x.
        difference: score of x less that of y.
    """
    people, score = np.sign(preference - 0.5), np.sign(difference)
    found = np.where(score == 0, 0.5, (people == score).astype(float))
    return np.where((people == 0) | np.isnan(preference) | np.isnan(difference), np.nan, found)


def score_agreement(
    preference: Float[np.ndarray, " n"],
    difference: Float[np.ndarray, " n"],
    *,
    features: Int[np.ndarray, "n 2"] | None = None,
    seed: int,
) -> Estimate:
    """The share of pairs in which the score prefers what most people prefer (Pach et al. 2025).

    Args:
        features: of the pairs, so that the interval allows for those in several pairs.
    """
    found = agrees(preference, difference)
    told = bootstrap.share(found, seed=seed)
    return told if features is None else bootstrap.widened(told, found, features)


@dataclass(frozen=True)
class Step:
    """Agreement of the pairs whose scores differ by this much."""

    low: float
    high: float
    agreement: Estimate


def agreement_by_difference(
    preference: Float[np.ndarray, " n"],
    difference: Float[np.ndarray, " n"],
    *,
    steps: int = 5,
    seed: int,
) -> list[Step]:
    """The same for pairs that differ little and much, in steps of about as many pairs each."""
    found = agrees(preference, difference)
    kept = ~np.isnan(found)
    found, apart = found[kept], np.abs(difference[kept])
    order = np.argsort(apart, kind="stable")
    return [
        Step(
            float(apart[part].min()),
            float(apart[part].max()),
            bootstrap.share(found[part], seed=seed),
        )
        for part in np.array_split(order, min(steps, len(order)) or 1)
        if len(part)
    ]


def correlation(judged: Float[np.ndarray, " n"], score: Float[np.ndarray, " n"]) -> Estimate:
    """Spearman's rank correlation of what people say of items and their score, with the interval of
    Bonett & Wright (2000); items that lack either are left out."""
    known = ~(np.isnan(judged) | np.isnan(score))
    count = int(known.sum())
    if count < LEAST_CORRELATED or np.ptp(judged[known]) == 0 or np.ptp(score[known]) == 0:
        return Estimate(np.nan, np.nan, np.nan, count)
    value = float(stats.spearmanr(judged[known], score[known]).statistic)
    if count < 5 or abs(value) > 1 - 1e-9:
        return Estimate(value, np.nan, np.nan, count)
    reach = 1.96 * np.sqrt((1 + value**2 / 2) / (count - 3))
    at = np.arctanh(value)
    return Estimate(value, float(np.tanh(at - reach)), float(np.tanh(at + reach)), count)


# --- People against each other ---


@dataclass(frozen=True)
class Reliability:
    """How far people say the same of the same items, by three measures."""

    percent: Estimate
    alpha: Estimate
    ac2: Estimate


def reliability(
    ratings: Ratings,
    *,
    categories: Collection[float] = (),
    level: Level = "nominal",
    seed: int = 0,
) -> Reliability:
    """Percent agreement, Krippendorff's alpha and Gwet's AC2, with intervals over items.

    Args:
        categories: that the scale has; those that were used are always among them.
    """
    categories = _categories(ratings, categories)
    twice = int(((~np.isnan(ratings)).sum(0) > 1).sum())
    if not twice:
        return Reliability(NOTHING, NOTHING, NOTHING)
    kinds, times = np.unique(_counts(ratings, categories), axis=0, return_counts=True)
    times = times[kinds.sum(1) > 0]
    kinds = kinds[kinds.sum(1) > 0]
    drawn = bootstrap.resampled(times, seed=seed).astype(float)
    alike = bootstrap.estimate(percent(ratings), _percent(kinds, drawn), twice)
    if alike.value in (0.0, 1.0):
        alike = bootstrap.share(np.full(twice, alike.value), seed=seed)
    return Reliability(
        alike,
        bootstrap.estimate(alpha(ratings, level=level), _alpha(kinds, drawn, level), twice),
        bootstrap.estimate(
            ac2(ratings, categories=categories, level=level), _ac2(kinds, drawn, level), twice
        ),
    )


def percent(ratings: Ratings) -> float:
    """Mean over items of the share of pairs of annotators that say the same; items that fewer than
    two judged are left out."""
    kinds = _counts(ratings, _categories(ratings))
    return float(_percent(kinds, np.ones((1, len(kinds))))[0])


def alpha(ratings: Ratings, *, level: Level = "nominal") -> float:
    """Krippendorff's alpha (2004, "Content Analysis"), by the library krippendorff; NaN where no
    item is judged twice, or everybody says the same of everything."""
    if len(_categories(_twice(ratings))) < 2:
        return np.nan
    return float(krippendorff.alpha(reliability_data=ratings, level_of_measurement=level))


def ac2(ratings: Ratings, *, categories: Collection[float] = (), level: Level = "nominal") -> float:
    """Gwet's AC2 (2014, "Handbook of Inter-Rater Reliability", 4th ed., section 4.3); with nominal
    weights AC1. Ordinal weights are Gwet's. Less swayed than alpha where one answer is rare.

    Args:
        categories: that the scale has, as irrCAC's `categ.labels`; those that were used are always
            among them.
    """
    kinds = _counts(ratings, _categories(ratings, categories))
    return float(_ac2(kinds, np.ones((1, len(kinds))), level)[0])


def _categories(ratings: Ratings, scale: Collection[float] = ()) -> Float[np.ndarray, " c"]:
    """Those of the scale, and those that were used, in order."""
    return np.union1d(ratings[~np.isnan(ratings)], np.array([*scale], dtype=float))


def _twice(ratings: Ratings) -> Ratings:
    """The items that two judged at least."""
    return ratings[:, (~np.isnan(ratings)).sum(0) > 1]


def _counts(ratings: Ratings, categories: Float[np.ndarray, " c"]) -> Float[np.ndarray, "i c"]:
    """How many gave each item each answer."""
    counts = [(ratings == one).sum(0) for one in categories]
    return np.array(counts, dtype=float).reshape(len(categories), ratings.shape[1]).T


# The measures of weighted items: `kinds` [i, c] are counts, `drawn` [b, i] weights; b figures.


def _percent(
    kinds: Float[np.ndarray, "i c"], drawn: Float[np.ndarray, "b i"]
) -> Float[np.ndarray, " b"]:
    return _observed(kinds, drawn, np.eye(kinds.shape[1]))


def _observed(
    kinds: Float[np.ndarray, "i c"],
    drawn: Float[np.ndarray, "b i"],
    weights: Float[np.ndarray, "c c"],
) -> Float[np.ndarray, " b"]:
    """Mean over items of the weighted share of pairs of annotators that agree."""
    judged = kinds.sum(1)
    twice = judged > 1
    kinds, judged, drawn = kinds[twice], judged[twice], drawn[:, twice]
    same = (kinds * (kinds @ weights - 1)).sum(1) / (judged * (judged - 1))
    return _ratio(drawn @ same, drawn.sum(1))


def _ac2(
    kinds: Float[np.ndarray, "i c"], drawn: Float[np.ndarray, "b i"], level: Level
) -> Float[np.ndarray, " b"]:
    count = kinds.shape[1]
    if count < 2:
        return np.full(len(drawn), np.nan)
    weights = np.eye(count) if level == "nominal" else _ordinal(count)
    judged = kinds.sum(1, keepdims=True)
    there = judged[:, 0] > 0
    share = _ratio(
        drawn[:, there] @ (kinds[there] / judged[there]), drawn[:, there].sum(1)[:, None]
    )
    chance = weights.sum() / (count * (count - 1)) * (share * (1 - share)).sum(1)
    return _ratio(_observed(kinds, drawn, weights) - chance, 1 - chance)


def _alpha(
    kinds: Float[np.ndarray, "i c"], drawn: Float[np.ndarray, "b i"], level: Level
) -> Float[np.ndarray, " b"]:
    """As the library has it, of many resamples at once."""
    count = kinds.shape[1]
    judged = kinds.sum(1)
    twice = judged > 1
    kinds, drawn = kinds[twice], drawn[:, twice]
    pairs = kinds[:, :, None] * kinds[:, None, :] - kinds[:, :, None] * np.eye(count)
    flat = (pairs / (judged[twice] - 1)[:, None, None]).reshape(len(kinds), -1)
    seen = (drawn @ flat).reshape(-1, count, count)
    values = seen.sum(1)
    if level == "nominal":
        apart = np.broadcast_to(1 - np.eye(count), seen.shape)
    else:
        upto = values.cumsum(1) - values / 2
        apart = (upto[:, :, None] - upto[:, None, :]) ** 2
    total = values.sum(1)
    chance = values[:, :, None] * values[:, None, :] / (total - 1)[:, None, None]
    return 1 - _ratio((seen * apart).sum((1, 2)), (chance * apart).sum((1, 2)))


def _ratio(
    above: Float[np.ndarray, "..."], below: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """NaN where nothing is below."""
    below = np.broadcast_to(below, above.shape)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 1e-12)


def _ordinal(count: int) -> Float[np.ndarray, "c c"]:
    """1 less the share of pairs of categories that lie between, Gwet's ordinal weights."""
    at = np.arange(count)
    between = np.abs(at[:, None] - at) + 1
    pairs = between * (between - 1) / 2
    return 1 - pairs / pairs.max()
