"""What this visit has asked models that talk, and what they said: kept as it comes."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard import address
from dashboard.steering.request import Asked, put

if TYPE_CHECKING:
    from dashboard.steering.answers import Answer, Setting

MOST_KEPT = 20
_SHOWN, _HISTORY, _REOPENED = "steering-shown", "steering-history", "steering-reopened"


@dataclass(eq=False)
class Experiment:
    """One press of Run or Sweep, as far as it came.

    Attributes:
        title: its setting in a line.
        image: the name of its picture; the picture itself would fill the memory.
        seen: the picture's key.
        concept: what was asked for in words; empty for nothing.
        sweep: of a sweep the shares of the setting's strengths; else none.
        answers: by the names of `interventions.ways_of`; of a sweep as `spoken.sweep` names them.
        seconds: since the first token was asked for.
        finished: whether it came to its end, rather than to Stop.
        fault: why there is no answer, or no whole one.
        changed: what to know where the model is not the one that made the bundle.
        settings: what was sent to the model, of a sweep one a strength.
        facts: what its file says beside.
        shows: of a sweep, by a name of each feature, how strongly what it shows does so in the
            unsteered text, then by strength.
        shown_by: the encoder that tells; empty where there is none.
    """

    asked: Asked
    title: str
    image: str
    seen: str
    concept: str
    sweep: tuple[float, ...] = ()
    answers: "dict[str, Answer]" = field(default_factory=dict)
    seconds: float = 0.0
    finished: bool = False
    fault: str = ""
    changed: str = ""
    settings: "Sequence[Setting]" = ()
    facts: dict[str, Any] = field(default_factory=dict)
    shows: dict[str, list[float]] = field(default_factory=dict)
    shown_by: str = ""

    @property
    def given(self) -> bool:
        """Whether its picture is one that the visitor gave."""
        return self.asked.example is None and not self.asked.blank

    def of(self, asked: Asked, picture: str) -> bool:
        """Whether it is of this setting, and of the picture of this key."""
        return self.asked == asked and self.seen == picture

    def heard(self, answers: "dict[str, Answer]", seconds: float) -> None:
        """Keep what is said so far. Reading the session is where Streamlit interrupts a script
        that is to stop: so Stop, and a visitor who leaves, take effect within a token."""
        self.answers, self.seconds = answers, seconds
        st.session_state[_SHOWN] = self


def history() -> list[Experiment]:
    """This visit's experiments, the last first."""
    found: list[Experiment] = st.session_state.setdefault(_HISTORY, [])
    return found


def begin(one: Experiment) -> None:
    """Show this experiment, and keep it."""
    st.session_state[_SHOWN] = one
    st.session_state.pop(_REOPENED, None)
    st.session_state[_HISTORY] = [one, *history()][:MOST_KEPT]


def shown(asked: Asked, picture: str) -> Experiment | None:
    """The experiment that the page shows: the last of the setting asked for and of the picture of
    this key, else the one that was last on the page."""
    last: Experiment | None = st.session_state.get(_SHOWN)
    if last is not None and last.of(asked, picture):
        return last
    again: Experiment | None = st.session_state.get(_REOPENED)
    if again is not None and again is last and only_picture(again, asked):
        return again  # its picture is gone: there may be answers of what stands in its place
    same = next((one for one in history() if one.of(asked, picture)), None)
    if same is not None:
        st.session_state[_SHOWN] = same
    return same or last


def only_picture(one: Experiment, asked: Asked) -> bool:
    """Whether it is of this setting but for the picture."""
    return dataclasses.replace(one.asked, example=asked.example, blank=asked.blank) == asked


def reopen(one: Experiment) -> None:
    """Show an earlier experiment: its setting into the address."""
    st.session_state[_SHOWN] = st.session_state[_REOPENED] = one
    wanted = one.asked.parameters
    if one.asked.features:
        wanted["features"] = address.BETWEEN.join(
            address.feature_key(*k) for k in one.asked.features
        )
    for each in dataclasses.fields(Asked):
        put(each.name, wanted.get(each.name))
