"""Which examples a run uses, and reading their pictures ahead.

A picture that cannot be read is skipped with its reason, and the run goes on.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from PIL import Image

from pipeline import config
from pipeline.inputs import ahead, folders
from pipeline.inputs.examples import Example, stable_number
from pipeline.inputs.pictures import Unreadable, blank, in_time, weight, why
from pipeline.inputs.readers import Reader
from pipeline.inputs.sources import ExampleError, short

T = TypeVar("T")


def listing(settings: config.Examples, *, source: Reader) -> list[Example]:
    """The examples that a run uses, each with its split, ordered by split and id.

    A source that names both splits keeps its own; otherwise, and for what it puts in neither, the
    hash of the uri decides, so that an example stays where it is when others come or go.

    Raises:
        ExampleError: none found, or a split is empty.
    """
    found = list(source.examples())
    named = {e.split for e in found} >= {"train", "val"}
    if settings.limit is not None:
        # What is no picture by its name takes the place of none that is.
        found.sort(key=lambda e: (not folders.pictorial(e.uri), stable_number(e.uri, "limit")))
        found = found[: settings.limit]
    in_val = settings.val_fraction * 2**53
    found = [
        e
        if named and e.split
        else replace(e, split="val" if stable_number(e.uri, "split") < in_val else "train")
        for e in found
    ]
    _refuse_unusable(found, named=named, limited=settings.limit is not None)
    return sorted(found, key=lambda e: (e.split, e.example_id))


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


def _refuse_unusable(found: list[Example], *, named: bool, limited: bool) -> None:
    if not found:
        raise ExampleError("examples: none found; the source is empty")
    remedy = "use more images or another val_fraction"
    if named:
        remedy = "raise limit" if limited else "put images into it"
    for split in ("train", "val"):
        if not any(e.split == split for e in found):
            raise ExampleError(
                f"examples: {len(found)} found, but none in the {split} split; {remedy}"
            )
    ids: dict[int, str] = {}
    for e in found:
        if e.example_id in ids:
            raise ExampleError(
                f"examples: {short(ids[e.example_id])} and {short(e.uri)} share an id; rename one"
            )
        ids[e.example_id] = e.uri
