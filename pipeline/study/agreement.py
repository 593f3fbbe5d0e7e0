"""Whether people agree with each other, and a score with them. Arrays in, numbers out.

A matrix of ratings is [annotators, items]; NaN where someone did not judge. Intervals are
percentiles of bootstrap resamples of items (Efron 1979), for items are what a study samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import krippendorff
import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression

Ratings = Float[np.ndarray, "annotators items"]
Level = Literal["nominal", "ordinal"]
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval; NaN where it is not defined.

    Attributes:
        count: items that it rests on.
    """

    value: float
    low: float
    high: float
    count: int


def estimate(
    figure: Callable[[Float[np.ndarray, "... items"]], float],
    values: Float[np.ndarray, "... items"],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> Estimate:
    """A figure of items, with its bootstrap interval over them."""
    count = values.shape[-1]
    if not count:
        return Estimate(np.nan, np.nan, np.nan, 0)
    rng = np.random.default_rng(seed)
    draws = [figure(values[..., rng.integers(count, size=count)]) for _ in range(resamples)]
    draws_n = np.array(draws)[np.isfinite(draws)]
    if not len(draws_n):
        return Estimate(figure(values), np.nan, np.nan, count)
    low, high = np.quantile(draws_n, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(figure(values), float(low), float(high), count)


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


def mean(values: Float[np.ndarray, " n"]) -> float:
    """Of those that are not NaN; NaN of none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def score_agreement(
    preference: Float[np.ndarray, " n"], difference: Float[np.ndarray, " n"], *, seed: int
) -> Estimate:
    """The share of pairs in which the score prefers what most people prefer (Pach et al. 2025)."""
    found = agrees(preference, difference)
    return estimate(mean, found[~np.isnan(found)], seed=seed)


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
            estimate(mean, found[part], seed=seed),
        )
        for part in np.array_split(order, min(steps, len(order)) or 1)
        if len(part)
    ]


# --- People against each other ---


def percent(ratings: Ratings) -> float:
    """Mean over items of the share of pairs of annotators that say the same; items that fewer than
    two judged are left out."""
    same, pairs = _agreeing(ratings, np.eye(len(_categories(ratings))))
    return mean(np.divide(same, pairs, out=np.full(len(same), np.nan), where=pairs > 0))


def alpha(ratings: Ratings, *, level: Level = "nominal") -> float:
    """Krippendorff's alpha (2004, "Content Analysis"), by the library krippendorff; NaN where no
    item is judged twice, or everybody says the same of everything."""
    if len(_categories(_twice(ratings))) < 2:
        return np.nan
    return float(krippendorff.alpha(reliability_data=ratings, level_of_measurement=level))


def ac2(ratings: Ratings, *, level: Level = "nominal") -> float:
    """Gwet's AC2 (2014, "Handbook of Inter-Rater Reliability", 4th ed., section 4.3); with nominal
    weights AC1. Ordinal weights are Gwet's. Less swayed than alpha where one answer is rare."""
    categories = _categories(ratings)
    count = len(categories)
    if count < 2 or not _twice(ratings).size:
        return np.nan
    weights = np.eye(count) if level == "nominal" else _ordinal(count)
    same, pairs = _agreeing(ratings, weights)
    observed = mean(np.divide(same, pairs, out=np.full(len(same), np.nan), where=pairs > 0))
    counts = _counts(ratings, categories)
    judged = counts.sum(1)
    share = (counts[judged > 0] / judged[judged > 0, None]).mean(0)
    chance = weights.sum() / (count * (count - 1)) * (share * (1 - share)).sum()
    return float((observed - chance) / (1 - chance))


def _categories(ratings: Ratings) -> Float[np.ndarray, " c"]:
    return np.unique(ratings[~np.isnan(ratings)])


def _twice(ratings: Ratings) -> Ratings:
    """The items that two judged at least."""
    return ratings[:, (~np.isnan(ratings)).sum(0) > 1]


def _counts(ratings: Ratings, categories: Float[np.ndarray, " c"]) -> Float[np.ndarray, "i c"]:
    return (ratings[:, :, None] == categories).sum(0).astype(float)


def _agreeing(
    ratings: Ratings, weights: Float[np.ndarray, "c c"]
) -> tuple[Float[np.ndarray, " i"], Float[np.ndarray, " i"]]:
    """Of each item the weighted pairs of annotators that agree, and all pairs."""
    counts = _counts(ratings, _categories(ratings))
    judged = counts.sum(1)
    return (counts * (counts @ weights - 1)).sum(1), judged * (judged - 1)


def _ordinal(count: int) -> Float[np.ndarray, "c c"]:
    """1 less the share of pairs of categories that lie between, Gwet's ordinal weights."""
    at = np.arange(count)
    between = np.abs(at[:, None] - at) + 1
    pairs = between * (between - 1) / 2
    return 1 - pairs / pairs.max()


# --- A ranking of features ---


PRIORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, eq=False)
class Ranking:
    """Bradley-Terry strengths: x is preferred to y with probability sigmoid(s_x - s_y).

    Attributes:
        strength: [s], mean 0.
        low, high: [s], 95 % intervals.
        prior: mean over the priors' standard deviations, so weighed.
    """

    strength: Float[np.ndarray, " s"]
    low: Float[np.ndarray, " s"]
    high: Float[np.ndarray, " s"]
    prior: float


def bradley_terry(
    pairs: Int[np.ndarray, "n 2"],
    wins: Float[np.ndarray, " n"],
    losses: Float[np.ndarray, " n"],
    *,
    features: int,
) -> Ranking:
    """A ranking of features by what people prefer (Bradley & Terry 1952).

    Strengths have a normal prior, which also places features that won or lost every time; results
    are averaged over its widths PRIORS, by how likely they make the votes. The distribution of the
    strengths is taken for normal about its peak (Laplace; MacKay 2003, chapters 27 and 28).

    Args:
        pairs: places of x and y among the features.
        wins, losses: votes for x and for y; a tie is half of each.
    """
    design = np.zeros((len(pairs), features))
    rows = np.arange(len(pairs))
    design[rows, pairs[:, 0]], design[rows, pairs[:, 1]] = 1, -1
    fits = [_fit(design, wins, losses, prior) for prior in PRIORS]
    evidence = np.array([fit[0] for fit in fits])
    weight = np.exp(evidence - evidence.max())
    weight /= weight.sum()
    strengths = np.stack([fit[1] for fit in fits])
    strength = weight @ strengths
    variance = weight @ (np.stack([fit[2] for fit in fits]) ** 2 + (strengths - strength) ** 2)
    reach = 1.96 * np.sqrt(variance)
    return Ranking(strength, strength - reach, strength + reach, float(weight @ np.array(PRIORS)))


def _fit(
    design: Float[np.ndarray, "n s"],
    wins: Float[np.ndarray, " n"],
    losses: Float[np.ndarray, " n"],
    prior: float,
) -> tuple[float, Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """Log evidence, the likeliest strengths, and their standard deviations."""
    count = design.shape[1]
    model = LogisticRegression(C=prior**2, fit_intercept=False, max_iter=1000, tol=1e-6)
    # Each pair both ways at half the weight, so that both outcomes are there however people voted.
    model.fit(
        np.concatenate([design, design, -design, -design]),
        np.repeat([1, 0, 0, 1], len(design)),
        sample_weight=np.concatenate([wins, losses, wins, losses]) / 2,
    )
    strength = model.coef_[0]
    chance = 1 / (1 + np.exp(-(design @ strength)))
    certainty = (wins + losses) * chance * (1 - chance)
    curvature = (design * certainty[:, None]).T @ design + np.eye(count) / prior**2
    likelihood = wins @ np.log(chance) + losses @ np.log1p(-chance)
    evidence = (
        likelihood
        - strength @ strength / (2 * prior**2)
        - count * np.log(prior)
        - np.linalg.slogdet(curvature)[1] / 2
    )
    centred = np.eye(count) - 1 / count
    spread = np.sqrt(np.diag(centred @ np.linalg.inv(curvature) @ centred))
    return float(evidence), strength - strength.mean(), spread
