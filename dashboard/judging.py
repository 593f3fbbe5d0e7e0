"""What an annotator sees of a study, and what their answers mean.

Nothing that is sent to the browser tells a feature, a layer, a score or which side is which: sides
are given as left and right, images in an order of the annotator's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from pipeline.annotations import Annotations, AnnotationsError, Trial
from pipeline.annotations.trials import SKIP
from pipeline.study.assignment import CATCH, PRACTICE, REPEAT, Schedule, chooser, seed_of
from pipeline.study.content import Content, X, Y
from pipeline.study.results import TIE

LEFT, RIGHT, UNDO = "left", "right", "undo"
RATINGS = tuple("12345")
AHEAD = 2
"""Trials that are held open: the one that is shown, and the next."""


@dataclass(frozen=True)
class Standing:
    """Where an annotator is.

    Attributes:
        open: the trial to show and the one after it; empty at the end.
        done, of: answered trials, practice and checks among them, and about how many there are.
        last: the last answered trial, which can be taken back; None before the first.
    """

    open: tuple[Trial, ...]
    done: int
    of: int
    last: Trial | None


def standing(store: Annotations, content: Content, annotator: str) -> Standing:
    """Where the annotator is; gives out the next trials.

    Raises:
        AnnotationsError: the store fails.
    """
    study = content.study
    found = store.open_trials(
        study.name,
        annotator,
        chooser(schedule(content), annotator),
        hold=timedelta(minutes=study.hold_minutes),
        count=AHEAD,
    )
    own = store.trials(study.name, annotator)
    answered = [trial for trial in own if trial not in found and trial.state != "open"]
    return Standing(
        found, len(answered), max(expected(content), len(answered) + len(found)),
        answered[-1] if answered else None,
    )  # fmt: skip


def schedule(content: Content) -> Schedule:
    """How the study's sessions run."""
    study, checks = content.study, content.study.checks
    items = {
        role: tuple(item.item for item in content.items if item.role == role)
        for role in (PRACTICE, CATCH)
    }
    return Schedule(
        practice=items[PRACTICE],
        catch=items[CATCH],
        trials=study.trials,
        catch_every=checks.catch_every if items[CATCH] else 0,
        repeat_every=checks.repeat_every,
        gap=checks.gap,
        seed=study.seed,
    )


def expected(content: Content) -> int:
    """About how many trials one annotator has, with nobody else there."""
    how = schedule(content)
    trials = min(len(content.wanted), how.trials or len(content.wanted))
    extra = sum(trials // every for every in (how.catch_every, how.repeat_every) if every)
    return len(how.practice) + trials + extra


def sides(content: Content, annotator: str, trial: Trial) -> list[list[int]]:
    """Ids of the images as they are shown: of a pair left and right, else one list."""
    item = content.items[trial.item]
    shown = []
    for at, side in enumerate(item.sides):
        rng = np.random.default_rng(
            seed_of(content.study.seed, annotator, trial.item, at, trial.role == REPEAT)
        )
        shown.append([side.images[place] for place in rng.permutation(len(side.images))])
    return shown[::-1] if trial.swapped else shown


def meant(content: Content, annotator: str, trial: Trial, answer: str) -> str:
    """What an answer says, whichever way it was shown: `x`, `y`, `tie`, `skip`, a rating, or the
    id of the image that was taken for the intruder.

    Raises:
        AnnotationsError: it is no answer to this trial.
    """
    study = content.study
    if answer == SKIP and study.skip:
        return SKIP
    if study.kind == "pairs":
        if answer == TIE and study.tie:
            return TIE
        if answer in (LEFT, RIGHT):
            return X if (answer == LEFT) != trial.swapped else Y
    if study.kind == "rating" and answer in RATINGS:
        return answer
    if study.kind == "intruder":
        (images,) = sides(content, annotator, trial)
        if answer.isascii() and answer.isdigit() and int(answer) < len(images):
            return str(images[int(answer)])
    raise AnnotationsError(f"answer {answer[:40]!r}: is none to this trial")


def right(content: Content, trial: Trial, answer: str) -> bool | None:
    """Whether the answer to a practice trial was right; None of any other."""
    item = content.items[trial.item]
    if trial.role != PRACTICE or item.answer is None or answer == SKIP:
        return None
    return answer == item.answer


def note(content: Content, at: Standing, was_right: bool | None) -> str:
    """The line under a trial: feedback on practice, or a reminder to rest."""
    if was_right is not None:
        return "That is right." if was_right else "Look again next time: the other one was meant."
    if at.open and at.open[0].role == PRACTICE:
        return "Practice: this one does not count."
    every = content.study.rest_every
    if every and at.done and at.done % every == 0:
        return f"{at.done} done. A good moment for a short rest."
    return ""


def data(
    content: Content,
    annotator: str,
    at: Standing,
    pictures: Mapping[int, str],
    *,
    had: Sequence[int],
    turn: int,
    was_right: bool | None,
) -> dict[str, object]:
    """What the component `annotate` shows.

    Args:
        pictures: addresses of the images of the open trials.
        had: trials whose images this visit has.
        turn: rises with every answer that is kept.
    """
    study = content.study
    return {
        "trial": at.open[0].trial,
        "next": at.open[1].trial if len(at.open) > 1 else None,
        "turn": turn,
        "kind": study.kind,
        "sides": {
            trial.trial: [[pictures[i] for i in side] for side in sides(content, annotator, trial)]
            for trial in at.open
            if trial.trial not in had
        },
        "question": study.asked,
        "tie": study.tie,
        "skip": study.skip,
        "undo": at.last is not None,
        "done": at.done,
        "of": at.of,
        "note": note(content, at, was_right),
        "feedback": was_right,
    }
