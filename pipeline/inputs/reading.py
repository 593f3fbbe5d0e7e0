"""Reading pictures ahead. One that cannot be read is skipped with its reason; the run goes on."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from PIL import Image

from pipeline.inputs import ahead
from pipeline.inputs.examples import Example
from pipeline.inputs.pictures import Unreadable, blank, in_time, weight, why
from pipeline.inputs.readers import Reader

T = TypeVar("T")


Pictures = list[tuple[Example, Image.Image]]


def picture(source: Reader, example: Example) -> tuple[Example, Image.Image]:
    """The example as its source describes it, and its picture in RGB, upright.

    Raises:
        Unreadable: whatever went wrong with it, or it takes too long.
    """
    try:
        return in_time(lambda: (source.described(example), source.image(example)))
    except Unreadable:
        raise
    # Whatever a library raises on one input, others can be read.
    except Exception as error:
        raise Unreadable(f"cannot be read: {why(error)}") from None


def read(
    source: Reader,
    wanted: Sequence[Example],
    prepare: Callable[[Pictures], T],
    *,
    batch: int,
    skipped: dict[str, str],
    workers: int | None = None,
) -> Iterator[tuple[Pictures, T]]:
    """The readable ones of `wanted` with their pictures, in order, in lists of up to `batch`, each
    with what `prepare` makes of it.

    Both are done in threads, some batches ahead of the caller, in the bounds of `inputs.ahead`: a
    batch of large pictures holds fewer. What cannot be read, or not be prepared, goes into
    `skipped`: uri -> reason.

    Args:
        prepare: called in threads, on several batches at once.
        workers: threads that read; one a core, at most 16, when not given.
    """

    def one(example: Example) -> tuple[Example, Image.Image | Unreadable]:
        try:
            return picture(source, example)
        except Unreadable as error:
            return example, Unreadable(str(error))  # without the frames that it came through

    def whole(
        results: list[tuple[Example, Image.Image | Unreadable]],
    ) -> tuple[dict[str, str], list[tuple[Pictures, T]]]:
        lost = {e.uri: str(r) for e, r in results if isinstance(r, Unreadable)}
        found = [(e, r) for e, r in results if not isinstance(r, Unreadable)]
        results.clear()
        try:
            return lost, [(found, prepare(found))] if found else []
        except Exception:
            misfits = _misfits(found, prepare)
            if not misfits:
                raise
        found = [(e, r) for e, r in found if e.uri not in misfits]
        return lost | misfits, [(found, prepare(found))] if found else []

    count = workers or min(16, os.cpu_count() or 4)
    for lost, made in ahead.batches(wanted, one, whole, size=batch, weigh=_bytes, workers=count):
        skipped |= lost
        yield from made


def _misfits(found: Pictures, prepare: Callable[[Pictures], T]) -> dict[str, str]:
    """Of pictures that cannot be prepared together those that cannot be alone, with the reasons;
    none where a plain one cannot be either, so that it is not the pictures' fault."""
    lost: dict[str, str] = {}
    try:
        prepare([(Example(0, "blank", "val"), blank())])
    except Exception:
        return lost
    for example, image in found:
        try:
            prepare([(example, image)])
        except Exception as error:
            lost[example.uri] = f"cannot be prepared for the model: {why(error)}"
    return lost


def _bytes(read: tuple[Example, Image.Image | Unreadable]) -> int:
    return 0 if isinstance(read[1], Unreadable) else weight(read[1])
