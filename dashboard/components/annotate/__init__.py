"""One trial of a user study: images to judge, by keyboard or mouse.

The browser takes the time from the first sight of all images to the press, and holds the next trial
ready, which it shows as soon as the answer to this one is kept. An answer that is not acknowledged
is sent again, under the same name, so that it is kept once.
"""

from collections.abc import Callable
from typing import Any

from dashboard import gate
from dashboard.components import Number, Said, Text, component, last_said

mount = component("annotate")


class Answered(Said):
    """An answer to a trial, the name of the message, and after how many milliseconds."""

    trial: Number
    answer: Text
    request: Text
    ms: int | float | None = None


def annotate(data: dict[str, Any], *, on_said: Callable[[dict[str, Any]], None], key: str) -> None:
    """Show the trial `data["trial"]`.

    Args:
        data: what `judging.data` gives: `trial`, the number of the trial to show; `next`, of the
            one after it, or None; `kind` of study; `sides`: of every trial that this visit has not
            had yet, number -> lists of image addresses, left first; `heard`: which `request` was
            dealt with last; `undo`: which trial can be taken back, or None; `texts` and the
            `prompt` that they answer; `feedback` on the trial before, and a line of `pause` after
            it; `question`, `ends`: the words for 1 and 5; `tie`, `skip`, `done`, `of`, `note`.
        on_said: called with {"trial", "answer", "request", "ms"}; `answer` is `left`, `right`,
            `tie`, `skip`, `undo`, a rating, a text from 1 on, the place of an image, or `lost`: the
            page has no images of this trial. Whether it is one of these is not checked.
    """

    def changed() -> None:
        if said := last_said(key, "said", Answered):
            on_said(said.model_dump())

    mount(key=key, default={"said": None}, on_said_change=gate.allowed(changed), data=data)
