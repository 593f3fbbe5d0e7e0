"""Figures with intervals: percentiles of bootstrap resamples of items (Efron 1979), for items are
what a study samples.

Percentiles are widened for few items, so that of a mean the interval is as wide as Student's
(Hesterberg 2015, "What Teachers Should Know About the Bootstrap", The American Statistician 69).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; NaN where it is not defined.

    Attributes:
        count: items that it rests on.
    """

    value: float
    low: float
    high: float
    count: int

    @property
    def known(self) -> bool:
        """Whether there is a figure at all."""
        return not np.isnan(self.value)


NOTHING = Estimate(np.nan, np.nan, np.nan, 0)


def mean(values: Float[np.ndarray, " n"]) -> float:
    """Of those that are not NaN; NaN of none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def resampled(
    times: Int[np.ndarray, " p"], *, seed: int, resamples: int = RESAMPLES
) -> Int[np.ndarray, "b p"]:
    """How often each kind of item is in each resample, where items of one kind are alike: the same
    as drawing items with replacement, and quick where there are few kinds.

    Args:
        times: how many items there are of each kind.
    """
    count = int(times.sum())
    drawn: Int[np.ndarray, "b p"] = np.random.default_rng(seed).multinomial(
        count, times / count, size=resamples
    )
    return drawn


def estimate(value: float, draws: Float[np.ndarray, " b"], count: int) -> Estimate:
    """A figure with its interval, from what it is in resamples of so many items; those of which it
    is not defined are left out. Where all say the same they tell nothing of an interval."""
    known = draws[np.isfinite(draws)]
    if not len(known) or count < 2 or np.ptp(known) == 0:
        return Estimate(value, np.nan, np.nan, count)
    reach = stats.t.ppf((1 + LEVEL) / 2, count - 1) * np.sqrt(count / (count - 1))
    tail = float(stats.norm.cdf(-reach))
    low, high = np.quantile(known, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), count)


def share(values: Float[np.ndarray, " n"], *, seed: int) -> Estimate:
    """The mean of numbers from 0 to 1, NaN left out.

    Where all are 0, or all are 1, every resample says the same: the bound of Clopper & Pearson
    (1934) takes the place of its interval. Of one item nothing is known but that.
    """
    known = values[~np.isnan(values)]
    count = len(known)
    if not count:
        return NOTHING
    value = float(known.mean())
    if value in (0.0, 1.0):
        bound = ((1 - LEVEL) / 2) ** (1 / count)
        return Estimate(value, bound if value else 0.0, 1.0 if value else 1 - bound, count)
    return average(known, seed=seed)


LEAST_PEOPLE = 5
"""Of fewer nothing is said of how people differ."""


def by_person(yes: Int[np.ndarray, " p"], of: Int[np.ndarray, " p"], *, seed: int) -> Estimate:
    """The share of all answers that are so, with an interval over people: those of one person are
    alike, so that people are resampled, each with all answers (a cluster bootstrap; Davison &
    Hinkley 1997, "Bootstrap Methods and their Application", section 3.8).

    No interval of fewer than LEAST_PEOPLE; where everybody's are all so, or none is, it is that of
    one answer a person.

    Args:
        yes, of: of each person how many are so, and of how many; who has none is left out.
    """
    yes, of = yes[of > 0], of[of > 0]
    people, answers = len(of), int(of.sum())
    if not people:
        return NOTHING
    value = float(yes.sum() / answers)
    if people < LEAST_PEOPLE:
        return Estimate(value, np.nan, np.nan, answers)
    if value in (0.0, 1.0):
        one_each = share(np.full(people, value), seed=seed)
        return Estimate(value, one_each.low, one_each.high, answers)
    drawn = resampled(np.ones(people, dtype=np.int64), seed=seed)
    told = estimate(value, (drawn @ yes) / (drawn @ of), people)
    return Estimate(value, told.low, told.high, answers)


def widened(
    told: Estimate, values: Float[np.ndarray, " n"], of: Int[np.ndarray, "n 2"]
) -> Estimate:
    """The interval of a mean over pairs, as much wider as pairs that share a member make it.

    Pairs that share a feature err together, which resampling them one by one does not see. By so
    much as the variance that allows for it (Aronow, Samii & Assenova 2015, "Cluster-Robust Variance
    Estimation for Dyadic Data", Political Analysis 23) is above that of independent pairs, the
    interval is drawn out about the figure, within 0 and 1.

    Args:
        values: of the pairs, NaN left out.
        of: the two members of each.
    """
    known = ~np.isnan(values)
    off, members = values[known] - told.value, np.sort(of[known], axis=1)
    alone = float(off @ off)
    if not len(off) or alone == 0:
        return told
    by_member = np.bincount(members.ravel(), np.repeat(off, 2))
    _, kind = np.unique(members, axis=0, return_inverse=True)
    by_pair = np.bincount(kind.ravel(), off)
    together = float(by_member @ by_member - by_pair @ by_pair)
    reach = np.sqrt(max(1.0, together / alone))
    low, high = (told.value + reach * (end - told.value) for end in (told.low, told.high))
    return Estimate(told.value, max(0.0, float(low)), min(1.0, float(high)), told.count)


def average(values: Float[np.ndarray, " n"], *, seed: int) -> Estimate:
    """The mean of numbers of any size, NaN left out; quick where few differ."""
    known = values[~np.isnan(values)]
    if not len(known):
        return NOTHING
    kinds, times = np.unique(known, return_counts=True)
    draws = resampled(times, seed=seed) @ kinds / len(known)
    return estimate(float(known.mean()), draws, len(known))
