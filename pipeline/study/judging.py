"""What an annotator sees of a study, and what their answers mean.

Nothing that is sent to the browser tells a feature, a layer, a score or which side is which: sides
are given as left and right, images in an order of the annotator's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from pipeline.annotations import Annotations, AnnotationsError, Trial, Unreachable
from pipeline.annotations.trials import MOST_MS, MOST_REQUEST, OPEN, SKIP, OutOfTurn
from pipeline.study.active import uncertain
from pipeline.study.assignment import CATCH, PRACTICE, Schedule, chooser
from pipeline.study.content import Content, X, Y
from pipeline.study.files import RATED, RATINGS
from pipeline.study.presentation import sides, texts
from pipeline.study.results import TIE, right

LEFT, RIGHT, UNDO = "left", "right", "undo"
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


@dataclass(frozen=True)
class Feedback:
    """What is told of an answer to a practice trial.

    Attributes:
        trial: its number.
        right: whether the answer was.
        meant: the right answer, as the trial was shown; of a rating those next to it are right too.
    """

    trial: int
    right: bool
    meant: str


@dataclass(frozen=True)
class Outcome:
    """What became of what the browser sent under the name `request`.

    Attributes:
        answered: whether it is an answer that is kept, and not one taken back.
        line: why it is not kept; empty where it is.
    """

    request: str
    answered: bool = False
    feedback: Feedback | None = None
    line: str = ""


class NoAnswer(AnnotationsError):
    """What the browser sent is no answer to the trial that it is shown."""


def standing(store: Annotations, content: Content, annotator: str) -> Standing:
    """Where the annotator is; gives out the next trials.

    Raises:
        AnnotationsError: the store fails.
    """
    study = content.study
    found = store.open_trials(
        study.name,
        annotator,
        chooser(schedule(content), annotator, uncertain=uncertain(store, content)),
        hold=timedelta(minutes=study.hold_minutes),
        count=AHEAD,
    )
    own = store.trials(study.name, annotator)
    answered = [trial for trial in own if trial not in found and trial.state != OPEN]
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


def meant(content: Content, annotator: str, trial: Trial, answer: str) -> str:
    """What an answer says, whichever way it was shown: `x`, `y`, `tie`, `skip`, a rating, the
    id of the image that was taken for the intruder, or the number of a text.

    Raises:
        NoAnswer: it is none to this trial.
    """
    study = content.study
    if answer == SKIP and study.skip:
        return SKIP
    if study.kind == "pairs":
        if answer == TIE and study.tie:
            return TIE
        if answer in (LEFT, RIGHT):
            return X if (answer == LEFT) != trial.swapped else Y
    if study.kind in RATED and answer in RATINGS:
        return answer
    if study.kind == "choice":
        shown = list(texts(content, annotator, trial))
        if answer in map(str, range(1, len(shown) + 1)):
            return shown[int(answer) - 1]
    if study.kind == "intruder":
        (images,) = sides(content, annotator, trial)
        if answer in map(str, range(len(images))):
            return str(images[int(answer)])
    raise NoAnswer(f"answer {answer[:40]!r}: is none to this trial")


def keep(store: Annotations, content: Content, annotator: str, said: Mapping[str, Any]) -> Outcome:
    """Keep what the browser sends: an answer to the trial that it is shown, or the last answer
    taken back. Nothing in `said` is trusted. Sent again it is kept once.

    Raises:
        Unreachable: the store fails; it can be sent again.
    """
    request = said.get("request")
    if not isinstance(request, str) or not 0 < len(request) <= MOST_REQUEST:
        return Outcome("", line="That was no answer of this page.")
    try:
        return _kept(store, content, annotator, said, request)
    except OutOfTurn:
        return Outcome(request, line="That was answered already, perhaps in another window.")
    except Unreachable:
        raise
    except AnnotationsError as problem:
        return Outcome(request, line=f"Not kept: {problem}.")


def _kept(
    store: Annotations, content: Content, annotator: str, said: Mapping[str, Any], request: str
) -> Outcome:
    number, answer, ms = said.get("trial"), said.get("answer"), said.get("ms")
    if not isinstance(number, int) or isinstance(number, bool) or not isinstance(answer, str):
        raise NoAnswer("no trial, or no answer to one")
    study = content.study.name
    own = store.trials(study, annotator)
    if not 0 <= number < len(own):
        raise NoAnswer("this trial was not given to you")
    if answer == UNDO:
        store.undo(study, annotator, number, request=request)
        return Outcome(request)
    first = next((trial.trial for trial in own if trial.state == OPEN), None)
    if own[number].state == OPEN and number != first:
        raise NoAnswer("another trial comes before this one")
    meaning = meant(content, annotator, own[number], answer)
    time = ms if isinstance(ms, int) and not isinstance(ms, bool) and 0 <= ms <= MOST_MS else None
    store.vote(study, annotator, number, meaning, request=request, response_ms=time)
    return Outcome(request, True, feedback(content, annotator, own[number], meaning))


def feedback(content: Content, annotator: str, trial: Trial, meaning: str) -> Feedback | None:
    """What is told of an answer to a practice trial; None of any other."""
    known = content.items[trial.item].answer
    if trial.role != PRACTICE or known is None or meaning == SKIP:
        return None
    if content.study.kind == "pairs":
        shown = LEFT if (known == X) != trial.swapped else RIGHT
    elif content.study.kind == "choice":
        shown = str(list(texts(content, annotator, trial)).index(known) + 1)
    elif content.study.kind in RATED:
        shown = known
    else:
        (images,) = sides(content, annotator, trial)
        shown = str(images.index(int(known)))
    return Feedback(trial.trial, right(content, content.items[trial.item], meaning), shown)


def pause(content: Content, at: Standing, told: Feedback | None) -> str:
    """What is said before the next trial, after an answer: that practice is over, or that a rest
    would do good; empty where it follows at once."""
    if not at.open:
        return ""
    if told is not None and at.open[0].role != PRACTICE:
        return "Practice is over: from here on your answers count."
    every = content.study.rest_every
    if every and at.done % every == 0:
        return f"{at.done} of {at.of} done. A good moment for a short rest."
    return ""


def data(
    content: Content,
    annotator: str,
    at: Standing,
    pictures: Mapping[int, str],
    *,
    unseen: Sequence[Trial],
    heard: Outcome | None,
) -> dict[str, object]:
    """What the component `annotate` shows.

    Args:
        pictures: addresses of the images of `unseen`.
        unseen: those of the open trials whose images this visit has not had.
        heard: what became of the last answer of this visit.
    """
    study, now = content.study, content.items[at.open[0].item]
    told = heard.feedback if heard else None
    return {
        "trial": at.open[0].trial,
        "next": at.open[1].trial if len(at.open) > 1 else None,
        "heard": heard.request if heard else None,
        "kind": study.kind,
        "sides": {
            trial.trial: [[pictures[i] for i in side] for side in sides(content, annotator, trial)]
            for trial in unseen
        },
        "texts": list(texts(content, annotator, at.open[0]).values()),
        "prompt": now.prompt,
        "question": now.asked or study.asked,
        "ends": list(study.ends),
        "tie": study.tie,
        "skip": study.skip,
        "undo": at.last.trial if at.last else None,
        "done": at.done,
        "of": at.of,
        "note": note(at, heard),
        "feedback": asdict(told) if told else None,
        "pause": pause(content, at, told) if heard and heard.answered else "",
    }


def note(at: Standing, heard: Outcome | None) -> str:
    """The line under a trial."""
    if heard is not None and heard.line:
        return heard.line
    return "Practice: this one does not count." if at.open[0].role == PRACTICE else ""
