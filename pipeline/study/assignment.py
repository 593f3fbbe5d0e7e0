"""What an annotator is shown next: practice first, then trials that balance the votes over the
items, with checks and repetitions strewn among them.

Everything that is left to chance hangs on the study's seed and the annotator's pseudonym, so that a
session that is broken off and taken up again is the same session.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.annotations import Choice, Standing, Trial

PRACTICE, TRIAL, CATCH, REPEAT = "practice", "trial", "catch", "repeat"
"""What a trial is for. Only TRIAL is one of an item's wanted votes."""


@dataclass(frozen=True)
class Schedule:
    """How a session runs.

    Attributes:
        practice: items that come first, in this order.
        catch: items of which the answer is known: one side is unrelated images.
        trials: TRIALs at most to one annotator; None: until nothing is left.
        catch_every, repeat_every: one of them after so many TRIALs on average, 0 for none.
        gap: at least so many trials lie between a pair and its repetition.
        seed: of the study.
    """

    practice: tuple[int, ...] = ()
    catch: tuple[int, ...] = ()
    trials: int | None = None
    catch_every: int = 0
    repeat_every: int = 0
    gap: int = 5
    seed: int = 0


Uncertain = Callable[[Sequence[int]], Mapping[int, float]]
"""Item -> how little is known of it; larger comes first."""


def chooser(
    schedule: Schedule, annotator: str, *, uncertain: Uncertain | None = None
) -> Callable[[Standing], Choice | None]:
    """What `Annotations.open_trials` asks for the annotator's next trial.

    Args:
        uncertain: active choice among all items that lack votes; else chance decides among those
            that lack most.
    """

    def choose(standing: Standing) -> Choice | None:
        number = len(standing.own)
        rng = np.random.default_rng(seed_of(schedule.seed, annotator, number))
        swapped = bool(rng.integers(2))
        if number < len(schedule.practice):
            return Choice(schedule.practice[number], PRACTICE, swapped, counts=False)
        check = _check(schedule, standing.own, annotator, rng, swapped)
        return check or _trial(schedule, standing, rng, swapped, uncertain)

    return choose


def seed_of(*parts: object) -> int:
    """A seed made of these parts, the same on every machine."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big")


def _check(
    schedule: Schedule,
    own: Sequence[Trial],
    annotator: str,
    rng: np.random.Generator,
    swapped: bool,
) -> Choice | None:
    """A catch or a repetition, where one is due: each at a place of its own within every so many
    trials, so that nobody can count to it."""
    done = sum(trial.role == TRIAL for trial in own)
    had = Counter(trial.role for trial in own)
    if _due(done, had[CATCH], schedule.catch_every, (schedule.seed, annotator, CATCH)):
        shown = Counter(trial.item for trial in own if trial.role == CATCH)
        fewest = min((shown[item] for item in schedule.catch), default=0)
        free = [item for item in schedule.catch if shown[item] == fewest]
        if free:
            return Choice(int(rng.choice(free)), CATCH, swapped, counts=False)
    if _due(done, had[REPEAT], schedule.repeat_every, (schedule.seed, annotator, REPEAT)):
        again = {trial.item for trial in own if trial.role == REPEAT}
        early = own[: max(0, len(own) - schedule.gap)]
        free_trials = [t for t in early if t.role == TRIAL and t.item not in again]
        if free_trials:
            first = free_trials[int(rng.integers(len(free_trials)))]
            return Choice(first.item, REPEAT, not first.swapped, counts=False)
    return None


def _due(done: int, had: int, every: int, seed: tuple[object, ...]) -> bool:
    """Whether check number `had` is due after so many trials."""
    if not every:
        return False
    place = int(np.random.default_rng(seed_of(*seed, had)).integers(1, every + 1))
    return done >= had * every + place


def _trial(
    schedule: Schedule,
    standing: Standing,
    rng: np.random.Generator,
    swapped: bool,
    uncertain: Uncertain | None,
) -> Choice | None:
    own = [trial for trial in standing.own if trial.role == TRIAL]
    if schedule.trials is not None and len(own) >= schedule.trials:
        return None
    seen = {trial.item for trial in own}
    lacking = {
        item: wanted - standing.given.get(item, 0)
        for item, wanted in standing.wanted.items()
        if item not in seen and standing.given.get(item, 0) < wanted
    }
    if not lacking:
        return None
    if uncertain is None:
        most = max(lacking.values())
        free = sorted(item for item, lack in lacking.items() if lack == most)
    else:
        known = uncertain(sorted(lacking))
        largest = max(known.values())
        free = sorted(item for item, value in known.items() if value == largest)
    return Choice(free[int(rng.integers(len(free)))], TRIAL, swapped, counts=True)
