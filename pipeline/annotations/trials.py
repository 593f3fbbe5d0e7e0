"""Records of user studies: annotators, their trials, their votes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.annotations.records import AnnotationsError

OPEN, VOTED, SKIPPED = "open", "voted", "skipped"
"""What has become of a trial."""
SKIP, UNDONE = "skip", "undone"
"""Answers that are no judgement."""

MOST_REQUEST = 64
"""Characters of the name that a browser gives an answer."""
MOST_MS = 2**31 - 1
MOST_ANSWER = 200


def state_after(answer: str) -> str:
    """What this answer, the last one to a trial, makes of it."""
    return {UNDONE: OPEN, SKIP: SKIPPED}.get(answer, VOTED)


class OutOfTurn(AnnotationsError):
    """An answer to a trial that is not to be answered, or not to be taken back, now."""


@dataclass(frozen=True)
class Annotator:
    """Someone who judges in a study."""

    study: str
    annotator: str
    """A pseudonym."""
    name: str
    """As chosen; may be empty."""
    consented: datetime | None


@dataclass(frozen=True)
class Trial:
    """An item as one annotator is shown it.

    Attributes:
        trial: its number for this annotator, from 0.
        role: what it is for: a judgement, a repetition, a check, practice.
        swapped: whether the sides change places.
        state: OPEN, VOTED or SKIPPED.
    """

    trial: int
    item: int
    role: str
    swapped: bool
    state: str


@dataclass(frozen=True)
class Standing:
    """What the choice of the next trial rests on.

    Attributes:
        own: the annotator's trials so far, in order.
        wanted: item -> votes that it is to get.
        given: item -> votes that it has, and places that others hold.
    """

    own: tuple[Trial, ...]
    wanted: Mapping[int, int]
    given: Mapping[int, int]


@dataclass(frozen=True)
class Choice:
    """The next trial."""

    item: int
    role: str
    swapped: bool
    counts: bool
    """Whether it is one of the item's wanted votes."""


@dataclass(frozen=True)
class Vote:
    """One row of what was answered."""

    annotator: str
    trial: Trial
    revision: int
    answer: str
    response_ms: int | None
    created: datetime
    elsewhere: bool = False
    """Whether it was given elsewhere and imported."""


@dataclass(frozen=True)
class GivenAnswer:
    """An answer that was given elsewhere; `created` is None where that is not known."""

    item: int
    answer: str
    role: str = "trial"
    swapped: bool = False
    response_ms: int | None = None
    created: datetime | None = None


Choose = Callable[[Standing], Choice | None]
COUNTED = "trial"
"""The role of trials whose votes count for their item."""
