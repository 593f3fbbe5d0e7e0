"""Which examples a run uses, and in which split each is."""

from dataclasses import replace

from pipeline import config
from pipeline.inputs import folders
from pipeline.inputs.examples import Example, stable_number
from pipeline.inputs.readers import Reader
from pipeline.inputs.sources import ExampleError, short


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
