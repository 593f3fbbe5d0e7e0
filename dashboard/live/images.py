"""Images to look at and what fires on them: live from the model, else from the tables."""

from dataclasses import dataclass

import numpy as np

from dashboard import queries
from dashboard.bundle.opening import Run
from dashboard.live import models
from dashboard.records.dictionaries import Dictionary
from dashboard.records.images import Example, Fired
from dashboard.style import hints


@dataclass(frozen=True, eq=False)
class Look:
    """One image that the page is about."""

    name: str
    picture: models.Picture | None
    """What a model reads; None where not even a small picture is there."""
    example: Example | None = None
    """None for an image that a visitor gave."""
    note: str = ""
    """What to know of the picture."""

    @property
    def key(self) -> str:
        """Tells it from other images."""
        return f"{self.example and self.example.example_id} {self.picture and self.picture.key}"


def of_example(run: Run, example_id: int) -> Look | None:
    """An image of the run: as the pipeline read it where its source is at hand, else the small
    picture in the bundle. None where the run has no such image."""
    example = queries.examples(run.connection, [example_id]).get(example_id)
    if example is None:
        return None
    name = example.captions[0][:200] if example.captions else example.uri
    try:
        sha256 = queries.sha256(run.connection, example_id)
        return Look(name, models.original(run, example, sha256), example)
    except models.Unavailable as problem:
        why = f"the original is not at hand: {problem}"
    small = queries.pictures(run.connection, [example_id]).get(example_id)
    if small is None:
        return Look(name, None, example, why)
    try:
        picture = models.Picture(models.opened(small), example.uri, tuple(example.captions))
    except models.Unavailable as problem:
        return Look(name, None, example, f"{why}; {problem}")
    return Look(name, picture, example, f"the bundle's small picture, since {why}")


def of_file(name: str, content: bytes) -> Look:
    """An image that a visitor gave.

    Raises:
        live.Unavailable: it cannot be used.
    """
    return Look(name[:200], models.Picture(models.opened(content), name))


def blank() -> Look:
    """A picture of nothing: grey all over."""
    return Look("a blank picture", models.blank())


def fired(run: Run, dictionary: Dictionary, look: Look) -> tuple[Fired | None, str]:
    """What fires on the image, live from the model, or else from the tables; and a line on what
    is missing. None where neither tells."""
    try:
        if look.picture is None:
            raise models.Unavailable("there is no picture for the model to look at")
        found = models.fired(run, dictionary, look.picture)
        return found, found.changed
    except models.Unavailable as problem:
        if look.example is None:
            return None, f"The model is not at hand, and a new image needs it: {problem}"
        known = queries.fired(run.connection, dictionary.dictionary_id, look.example.example_id)
        none = np.zeros(0, np.int64)
        found = Fired(*known, none, none, none.astype(np.float32))
        some = hints.OF_NEURONS if dictionary.basis == "neurons" else ""
        return found, f"From the tables only, without patches{some}: {problem}"
