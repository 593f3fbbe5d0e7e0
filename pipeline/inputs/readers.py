"""Where examples come from: a folder, a data set, the demo's renderer. Listing reads no pixels."""

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline import config
from pipeline.inputs import captions_file, columns, data_sets, folders
from pipeline.inputs.examples import Example, stable_number
from pipeline.inputs.sources import ExampleError, first_line, some_names

if TYPE_CHECKING:  # what reads pictures is imported where one is read: listing is quick
    from PIL import Image

    from pipeline.demo.scenes import Scene

_SPLIT_NAMES = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "val"}


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

    def image(self, example: Example) -> "Image.Image":
        """The picture in RGB, upright; raises Unreadable."""
        ...


def reader(source: config.Scenes | config.Folder | config.HuggingFace) -> Reader:
    """The reader of `source`; raises ExampleError where there is nothing to read."""
    if isinstance(source, config.Scenes):
        return SceneReader(source)
    if isinstance(source, config.Folder):
        return FolderReader(source)
    return HuggingFaceReader(source)


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
        from pipeline.demo import scenes

        scene = self._scene(example)
        return replace(example, captions=(scenes.caption(scene),), tags=scenes.tags(scene))

    def image(self, example: Example) -> "Image.Image":
        from PIL import Image

        from pipeline.demo import scenes

        return Image.fromarray(scenes.render(self._scene(example)))

    @staticmethod
    def _scene(example: Example) -> "Scene":
        from pipeline.demo import scenes

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
            one = said.get(each.uri, captions_file.Description())
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

    def _said(self, found: list[folders.FolderEntry]) -> dict[str, captions_file.Description]:
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

    def image(self, example: Example) -> "Image.Image":
        from pipeline.inputs.pictures import Unreadable, read_rgb

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

    def image(self, example: Example) -> "Image.Image":
        from pipeline.inputs.pictures import Unreadable, read_rgb

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
        self.notes.append(f"{told}; not read: {some_names(rest)}" if rest else told)
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
