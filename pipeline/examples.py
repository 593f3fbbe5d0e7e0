"""Examples: images with what is known of them, from a folder, a data set or the demo's renderer.

Listing reads no pixels. Reading an image either gives it upright in RGB or raises `Unreadable`
with the reason; the caller records it as skipped and goes on.
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from PIL import Image

from pipeline import ahead, config
from pipeline.demo import scenes
from pipeline.pictures import Unreadable, blank, in_time, read_rgb, weight, why
from pipeline.sources import (
    ExampleError,
    captions_file,
    columns,
    data_sets,
    first_line,
    folders,
    short,
    shown,
)

T = TypeVar("T")


_SPLIT_NAMES = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "val"}


@dataclass(frozen=True)
class Example:
    """One image, not yet read.

    `stamp` changes when the image may have changed (size and time of a file, fingerprint of a data
    set); it enters the keys of the work done on it and no table.
    """

    example_id: int
    uri: str
    split: str
    captions: tuple[str, ...] = ()
    label: str | None = None
    taxonomy: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    stamp: str = ""


@dataclass(frozen=True)
class Caption:
    """One caption of an image, as an example of its own; `number` counts the image's, from 0."""

    caption_id: int
    example_id: int
    number: int
    text: str


def captions(example: Example, *, most: int) -> list[Caption]:
    """The first `most` captions of an example that was described."""
    return [
        Caption(stable_number(f"{example.uri}\n{number}", "caption"), example.example_id, number, text)
        for number, text in enumerate(example.captions[:most])
    ]


class Reader(Protocol):
    """A source of examples.

    Attributes:
        notes: what of the source is read, what is not and what was lost, a line each; whole once
            `examples` was gone through.
    """

    notes: list[str]

    def examples(self) -> Iterable[Example]:
        """All of them; `split` is empty where the source names none."""
        ...

    def described(self, example: Example) -> Example:
        """The example with captions and tags, where listing it left them out."""
        ...

    def image(self, example: Example) -> Image.Image:
        """The picture in RGB, upright; raises Unreadable."""
        ...


def reader(source: config.Scenes | config.Folder | config.HuggingFace) -> Reader:
    """The reader of `source`; raises ExampleError where there is nothing to read."""
    if isinstance(source, config.Scenes):
        return SceneReader(source)
    if isinstance(source, config.Folder):
        return FolderReader(source)
    return HuggingFaceReader(source)


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


class SceneReader:
    """The demo's scenes: rendered when asked for, labelled with their ground truth."""

    def __init__(self, source: config.Scenes) -> None:
        self.source = source
        self.notes: list[str] = []

    def examples(self) -> Iterator[Example]:
        for index in range(self.source.count):
            uri = f"scene/{self.source.seed}/{index}"
            yield Example(stable_number(uri, "id"), uri, "")

    def described(self, example: Example) -> Example:
        scene = self._scene(example)
        return replace(example, captions=(scenes.caption(scene),), tags=scenes.tags(scene))

    def image(self, example: Example) -> Image.Image:
        return Image.fromarray(scenes.render(self._scene(example)))

    @staticmethod
    def _scene(example: Example) -> scenes.Scene:
        _, seed, index = example.uri.split("/")
        return scenes.sample(int(index), seed=int(seed))


class FolderReader:
    """A folder of image files; see `config.Folder` for its forms."""

    def __init__(self, source: config.Folder) -> None:
        self.source = source
        self.notes: list[str] = []
        if not os.path.isdir(source.path):
            raise ExampleError(
                f"examples.source.path: no folder {source.path}; name a folder of images"
            )
        if source.captions is not None and not os.path.isfile(source.captions):
            raise ExampleError(
                f"examples.source.captions: no file {source.captions}; name a CSV or leave it out"
            )

    def examples(self) -> Iterator[Example]:
        root, table = self.source.path, self.source.captions
        found, self.notes = folders.files(root, without=table)
        sides, told = folders.sides(found, root=root)
        self.notes += told
        said = self._said(found) if table else {}
        for each in found:
            split = sides.get(each.parts[0], "") if len(each.parts) > 1 else ""
            classes = each.parts[1:-1] if split else each.parts[:-1]
            one = said.get(each.uri, captions_file.Said())
            names = tuple(one.labels) or classes[-1:]
            yield Example(
                stable_number(each.uri, "id"),
                each.uri,
                split,
                tuple(one.captions),
                names[0] if len(names) == 1 else None,
                tuple(classes),
                tuple(sorted(names)),
                each.stamp,
            )

    def _said(self, found: list[folders.Found]) -> dict[str, captions_file.Said]:
        """What the CSV says of the files; the notes tell what of it was not taken."""
        assert self.source.captions is not None
        file = captions_file.read(self.source.captions)
        self.notes += file.notes
        file.notes.clear()
        uris = [each.uri for each in found]
        said = captions_file.matched(file, uris, root=self.source.path)
        self.notes += file.notes
        if "caption" in file.columns:
            without = sum(
                not (uri in said and said[uri].captions) for uri in uris if folders.pictorial(uri)
            )
            if without:
                self.notes.append(f"{file.path}: {without:,} of the images have no caption in it")
        return said

    def described(self, example: Example) -> Example:
        return example

    def image(self, example: Example) -> Image.Image:
        path = self.source.path / example.uri
        if why := folders.fault(path):
            raise Unreadable(why)
        return read_rgb(path)


class HuggingFaceReader:
    """A data set of the `datasets` library; images are decoded here, as a folder's are."""

    def __init__(self, source: config.HuggingFace) -> None:
        self.source = source
        self.notes: list[str] = []
        self._data = {split: data_sets.load(source, split) for split in source.splits}
        # A row of all columns would have the library decode other pictures that it holds.
        self._pictures = {
            split: data.select_columns([source.image_column]) for split, data in self._data.items()
        }

    def examples(self) -> Iterator[Example]:
        source = self.source
        named = {_SPLIT_NAMES.get(split, "") for split in source.splits}
        self.notes = []
        for split, data in self._data.items():
            captions = self._captions(data, split)
            labels = self._labels(data)
            for row in range(len(data)):
                uri = f"{split}/{row}"
                names = tuple(sorted(set(labels[row]))) if labels else ()
                label = names[0] if len(names) == 1 else None
                yield Example(
                    stable_number(uri, "id"),
                    uri,
                    _SPLIT_NAMES.get(split, "") if named == {"train", "val"} else "",
                    captions[row] if captions else (),
                    label,
                    (label,) if label else (),
                    names,
                    str(data._fingerprint),
                )

    def described(self, example: Example) -> Example:
        return example

    def image(self, example: Example) -> Image.Image:
        split, row = example.uri.rsplit("/", 1)
        try:
            cell = self._pictures[split][int(row)][self.source.image_column]
        except Exception as error:  # the library's many kinds, and rows that went since
            raise Unreadable(f"the row cannot be read: {first_line(error)}") from None
        if cell is None or not (cell["bytes"] or cell["path"]):
            raise Unreadable("the row holds no image")
        if cell["bytes"]:
            return read_rgb(io.BytesIO(cell["bytes"]))
        if wrong := folders.fault(Path(cell["path"])):
            raise Unreadable(wrong)
        return read_rgb(Path(cell["path"]))

    def _captions(self, data: Any, split: str) -> list[tuple[str, ...]] | None:
        """Of each row; notes which columns are read."""
        source = self.source
        told = f"{source.dataset}, {split}: read: pictures from `{source.image_column}`"
        found = None
        if source.caption_column is not None:
            read, what = columns.texts(data.features[source.caption_column], source.caption_column)
            found = [read(cell) for cell in columns.cells(data, source.caption_column)]
            told += f", captions from {what}"
        if source.label_column is not None:
            told += f", labels from `{source.label_column}`"
        used = (source.image_column, source.caption_column, source.label_column)
        rest = [name for name in data.column_names if name not in used]
        self.notes.append(f"{told}; not read: {shown(rest)}" if rest else told)
        if found is not None and (without := sum(not texts for texts in found)):
            self.notes.append(
                f"{source.dataset}, {split}: {without:,} of {len(found):,} rows have no caption"
            )
        return found

    def _labels(self, data: Any) -> list[tuple[str, ...]] | None:
        name = self.source.label_column
        if name is None:
            return None
        read = columns.labels(data.features[name], name)
        return [read(cell) for cell in columns.cells(data, name)]


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

    Both are done in threads, some batches ahead of the caller, in the bounds of `pipeline.ahead`:
    a batch of large pictures holds fewer. What cannot be read, or not be prepared, goes into
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


def stable_number(uri: str, use: str) -> int:
    """53 bits, so that it is exact in JavaScript; independent for each use."""
    digest = hashlib.blake2b(uri.encode(), digest_size=8, person=use.encode()).digest()
    return int.from_bytes(digest, "big") >> 11
