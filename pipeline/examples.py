"""Examples: images with what is known of them, from a folder, a data set or the demo's renderer.

Listing reads no pixels. Reading an image either gives it upright in RGB or raises `Unreadable`
with the reason; the caller records it as skipped and goes on.
"""

import csv
import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from PIL import Image

from pipeline import ahead, config
from pipeline.demo import scenes
from pipeline.errors import LoupeError
from pipeline.pictures import Unreadable, blank, in_time, read_rgb, weight, why

log = logging.getLogger(__name__)
T = TypeVar("T")


_SPLIT_FOLDERS = {"train": "train", "val": "val"}
_SPLIT_NAMES = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "val"}


class ExampleError(LoupeError, ValueError):
    """The source of examples cannot be used at all; the message names it and the remedy."""


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
        Caption(_hash(f"{example.uri}\n{number}", "caption"), example.example_id, number, text)
        for number, text in enumerate(example.captions[:most])
    ]


class Reader(Protocol):
    """A source of examples."""

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
        found = sorted(found, key=lambda e: _hash(e.uri, "limit"))[: settings.limit]
    in_val = settings.val_fraction * 2**53
    found = [
        e
        if named and e.split
        else replace(e, split="val" if _hash(e.uri, "split") < in_val else "train")
        for e in found
    ]
    _refuse_unusable(found)
    return sorted(found, key=lambda e: (e.split, e.example_id))


class SceneReader:
    """The demo's scenes: rendered when asked for, labelled with their ground truth."""

    def __init__(self, source: config.Scenes) -> None:
        self.source = source

    def examples(self) -> Iterator[Example]:
        for index in range(self.source.count):
            uri = f"scene/{self.source.seed}/{index}"
            yield Example(_hash(uri, "id"), uri, "")

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
        if not source.path.is_dir():
            raise ExampleError(
                f"examples.source.path: no folder {source.path}; name a folder of images"
            )
        if source.captions is not None and not source.captions.is_file():
            raise ExampleError(
                f"examples.source.captions: no file {source.captions}; name a CSV or leave it out"
            )

    def examples(self) -> Iterator[Example]:
        root, told = self.source.path, self._told
        csv_file = self.source.captions.resolve() if self.source.captions else None
        unknown = set(told)
        for path in sorted(root.rglob("*")):
            parts = path.relative_to(root).parts
            if not path.is_file() or any(part.startswith(".") for part in parts):
                continue
            if path.resolve() == csv_file:
                continue
            # A name that is not UTF-8 could not be written to a table: it is listed, and not found.
            uri = os.fsencode("/".join(parts)).decode("utf-8", "backslashreplace")
            split = _SPLIT_FOLDERS.get(parts[0], "") if len(parts) > 1 else ""
            classes = parts[1:-1] if split else parts[:-1]
            captions, label = told.get(uri, ((), None))
            unknown.discard(uri)
            label = label or (classes[-1] if classes else None)
            stat = path.stat()
            yield Example(
                _hash(uri, "id"),
                uri,
                split,
                captions,
                label,
                tuple(classes),
                (label,) if label else (),
                f"{stat.st_size}-{stat.st_mtime_ns}",
            )
        if unknown:
            log.warning(
                "%s: %d images are not in %s, as %r",
                *(self.source.captions, len(unknown), root, min(unknown)),
            )

    def described(self, example: Example) -> Example:
        return example

    def image(self, example: Example) -> Image.Image:
        return read_rgb(self.source.path / example.uri)

    @cached_property
    def _told(self) -> dict[str, tuple[tuple[str, ...], str | None]]:
        """Image -> captions in file order, and label, from the CSV."""
        path = self.source.captions
        if path is None:
            return {}
        told: dict[str, tuple[tuple[str, ...], str | None]] = {}
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = csv.DictReader(file)
                if "image" not in (rows.fieldnames or ()):
                    raise ExampleError(
                        f"{path}: no column `image`, but {rows.fieldnames}; give one "
                        "with each image's path within the folder"
                    )
                for row in rows:
                    captions, label = told.get(row["image"], ((), None))
                    text = (row.get("caption") or "").strip()
                    told[row["image"]] = (
                        captions + ((text,) if text else ()),
                        (row.get("label") or "").strip() or label,
                    )
        except (UnicodeDecodeError, csv.Error) as error:
            raise ExampleError(f"{path}: not a CSV in UTF-8 ({error})") from None
        return told


class HuggingFaceReader:
    """A data set of the `datasets` library; images are decoded here, as a folder's are."""

    def __init__(self, source: config.HuggingFace) -> None:
        self.source = source
        self._data = {split: self._load(split) for split in source.splits}
        # A row of all columns would have the library decode other pictures that it holds.
        self._pictures = {
            split: data.select_columns([source.image_column]) for split, data in self._data.items()
        }

    def examples(self) -> Iterator[Example]:
        named = {_SPLIT_NAMES.get(split, "") for split in self.source.splits}
        for split, data in self._data.items():
            captions = self._column(data, self.source.caption_column)
            labels = self._column(data, self.source.label_column)
            for row in range(len(data)):
                uri = f"{split}/{row}"
                label = str(labels[row]) if labels and labels[row] is not None else None
                yield Example(
                    _hash(uri, "id"),
                    uri,
                    _SPLIT_NAMES.get(split, "") if named == {"train", "val"} else "",
                    _texts(captions[row]) if captions else (),
                    label,
                    (label,) if label else (),
                    (label,) if label else (),
                    data._fingerprint,
                )

    def described(self, example: Example) -> Example:
        return example

    def image(self, example: Example) -> Image.Image:
        split, row = example.uri.rsplit("/", 1)
        cell = self._pictures[split][int(row)][self.source.image_column]
        if cell is None:
            raise Unreadable("the row holds no image")
        return read_rgb(io.BytesIO(cell["bytes"]) if cell["bytes"] else Path(cell["path"]))

    def _load(self, split: str) -> Any:
        import datasets  # heavy: only where a run names such a source

        source = self.source
        try:
            if (Path(source.dataset) / "dataset_dict.json").is_file():
                data = datasets.load_from_disk(source.dataset)[split]
            elif (Path(source.dataset) / "state.json").is_file():
                data = datasets.load_from_disk(source.dataset)
            else:
                data = datasets.load_dataset(
                    source.dataset, source.subset, split=split, revision=source.revision
                )
        except KeyError as error:
            raise ExampleError(f"examples.source: {source.dataset} has no split {error}") from None
        except (OSError, ValueError, ConnectionError) as error:
            raise ExampleError(
                f"examples.source: data set {source.dataset!r}, split {split!r}, cannot be loaded "
                f"({_first_line(error)}); check its name and the network, and for a gated one set "
                "HF_TOKEN and accept its terms on its page"
            ) from None
        self._require(data, source.image_column)
        try:
            return data.cast_column(source.image_column, datasets.Image(decode=False))
        except (TypeError, ValueError, NotImplementedError):
            raise ExampleError(
                f"examples.source: the column {source.image_column!r} of {source.dataset} holds no "
                f"images, but {data.features[source.image_column]}; name one of images"
            ) from None

    @staticmethod
    def _require(data: Any, name: str) -> None:
        if name not in data.column_names:
            raise ExampleError(
                f"examples.source: no column {name!r}; there are {data.column_names}"
            )

    def _column(self, data: Any, name: str | None) -> list[Any] | None:
        if name is None:
            return None
        self._require(data, name)
        _refuse_media(data, name)
        names = getattr(data.features[name], "names", None)
        values = data[name][:]
        # A class of -1 or none means that the row has no label.
        return [names[v] if v is not None and v >= 0 else None for v in values] if names else values


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


def _refuse_unusable(found: list[Example]) -> None:
    if not found:
        raise ExampleError("examples: none found; the source is empty")
    for split in ("train", "val"):
        if not any(e.split == split for e in found):
            raise ExampleError(
                f"examples: {len(found)} found, but none in the {split} split; "
                "use more images or another val_fraction"
            )
    if len({e.example_id for e in found}) != len(found):
        raise ExampleError("examples: two uris share an id; rename one of them")


def _refuse_media(data: Any, name: str) -> None:
    """What says something of images is no image, sound or video: the library would decode it."""
    from datasets.features.features import require_decoding

    if require_decoding(data.features[name]):
        raise ExampleError(
            f"examples.source: the column {name!r} holds no text, but {data.features[name]}; name "
            "one of text or of classes"
        )


def _hash(uri: str, use: str) -> int:
    """53 bits, so that it is exact in JavaScript; independent for each use."""
    digest = hashlib.blake2b(uri.encode(), digest_size=8, person=use.encode()).digest()
    return int.from_bytes(digest, "big") >> 11


def _texts(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else list(value or ())
    return tuple(text.strip() for text in map(str, texts) if text.strip())


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
