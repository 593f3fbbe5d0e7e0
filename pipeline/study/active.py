"""Active choice: which pair's next vote tells most about the features' order.

Strengths are those of Bradley & Terry (see `ranking`), taken for normal about their peak. The
figure is the information that one more vote is expected to give (MacKay 1992, "Information-Based
Objective Functions for Active Data Selection"), to second order.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

from pipeline.annotations import Annotations, AnnotationsError
from pipeline.study.assignment import Uncertain
from pipeline.study.content import Content
from pipeline.study.results import worth

PRIOR = 1.5
"""Standard deviation of strengths before any vote."""
MOST_FEATURES = 3000
"""Of more the computation takes minutes, and gigabytes."""
_STEPS = 20


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of the strengths."""

    mean: Float[np.ndarray, " s"]
    covariance: Float[np.ndarray, "s s"]

    def information(self, pairs: Int[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
        """What one more vote on each pair is expected to tell, in nats."""
        x, y = pairs.T
        spread = np.diag(self.covariance)
        variance = spread[x] + spread[y] - 2 * self.covariance[x, y]
        chance = expit(self.mean[x] - self.mean[y])
        found: Float[np.ndarray, " n"] = np.log1p(chance * (1 - chance) * variance) / 2
        return found


def posterior(
    pairs: Int[np.ndarray, "n 2"],
    wins: Float[np.ndarray, " n"],
    losses: Float[np.ndarray, " n"],
    *,
    features: int,
    start: Float[np.ndarray, " s"] | None = None,
) -> Posterior:
    """The strengths after these votes, by Newton's method.

    Args:
        wins, losses: votes for x and for y; a tie is half of each.
        start: strengths to begin at, those before the last votes for one.
    """
    mean = np.zeros(features) if start is None else start.copy()
    x, y = pairs.T
    for _ in range(_STEPS):
        chance = expit(mean[x] - mean[y])
        pull = wins - (wins + losses) * chance
        slope = np.bincount(x, pull, features) - np.bincount(y, pull, features) - mean / PRIOR**2
        step = np.linalg.solve(_curvature(x, y, wins + losses, chance, features), slope)
        mean = mean + step
        if np.abs(step).max(initial=0) < 1e-4:
            break
    chance = expit(mean[x] - mean[y])
    curvature = _curvature(x, y, wins + losses, chance, features)
    return Posterior(mean, np.linalg.inv(curvature))


def uncertain(store: Annotations, content: Content) -> Uncertain | None:
    """What `assignment.chooser` asks; None where the study's choice is not active.

    What it rests on is worked out beside the votes and not within their transactions: at the first
    call at once, then in a thread whenever there are new votes, so that it may be some votes behind
    and no vote waits for it.

    Raises:
        AnnotationsError: the store fails at the first call.
    """
    if content.study.choice != "active":
        return None
    with _LOCK:
        place = store.place, content.study.name
        if place not in _KNOWN:
            _KNOWN[place] = _Known(content)
        known = _KNOWN[place]
    known.refresh(store)
    return lambda items: {item: known.values.get(item, 0.0) for item in items}


class _Known:
    """What is known of one study's pairs."""

    def __init__(self, content: Content) -> None:
        self.study = content.study.name
        self.values: Mapping[int, float] = {}
        trials = [item for item in content.items if item.role == "trial"]
        self.items = {item.item: place for place, item in enumerate(trials)}
        self.pairs = np.array([[side.feature for side in item.sides] for item in trials])
        self.features = len(content.features)
        self.newest: tuple[int, str] | None = None
        self.mean: Float[np.ndarray, " s"] | None = None
        self.working = threading.Lock()

    def refresh(self, store: Annotations) -> None:
        """Take new votes in; at the first call before it returns."""
        if self.newest is None:
            with self.working:
                if self.newest is None:
                    self.work(store)
        elif self.working.acquire(blocking=False):
            threading.Thread(target=self._beside, args=(store,), daemon=True).start()

    def _beside(self, store: Annotations) -> None:
        try:
            self.work(store)
        except AnnotationsError as error:
            logging.getLogger(__name__).warning("study %s: %s", self.study, error)
        finally:
            self.working.release()

    def work(self, store: Annotations) -> None:
        """The figures for the votes that are there now."""
        newest = store.newest(self.study)
        if newest == self.newest:
            return
        wins, losses = np.zeros(len(self.pairs)), np.zeros(len(self.pairs))
        for item, answer, count in store.tallies(self.study):
            share = worth(answer)
            if item in self.items and not np.isnan(share):
                wins[self.items[item]] += count * share
                losses[self.items[item]] += count * (1 - share)
        found = posterior(self.pairs, wins, losses, features=self.features, start=self.mean)
        figures = found.information(self.pairs).tolist()
        self.values = dict(zip(self.items, figures, strict=True))
        self.mean, self.newest = found.mean, newest


_LOCK = threading.Lock()
_KNOWN: dict[tuple[str, str], _Known] = {}


def _curvature(
    x: Int[np.ndarray, " n"],
    y: Int[np.ndarray, " n"],
    votes: Float[np.ndarray, " n"],
    chance: Float[np.ndarray, " n"],
    features: int,
) -> Float[np.ndarray, "s s"]:
    weight = votes * chance * (1 - chance)
    across = np.bincount(x * features + y, weight, features**2).reshape(features, features)
    across = across + across.T
    return np.diag(across.sum(0) + 1 / PRIOR**2) - across
