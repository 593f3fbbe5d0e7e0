"""The CSV beside a folder of images: what it says of each, and what of it was not taken.

RFC 4180 with a header, in UTF-8, with commas, semicolons or tabs between the columns. A file whose
captions could come out wrong is refused with the lines; what is only missing is counted.
"""

import csv
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from pipeline.inputs.sources import ExampleError, short, some_names

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_READ = ("image", "caption", "label")
# What other projects call these columns: COCO, LAION, Flickr, the imagefolder of `datasets`.
_ALIASES = {
    "image": (
        *("file_name", "filename", "file", "image_path", "image_name", "image_file", "img_path"),
        *("img", "filepath", "file_path", "path", "images", "image_id", "name", "key", "url"),
    ),
    "caption": (
        *("text", "captions", "comment", "sentence", "sentences", "description", "title", "txt"),
        *("alt", "alt_text", "raw", "caption_text", "prompt"),
    ),
    "label": ("class", "class_name", "category", "labels", "target", "tag", "tags"),
}
_IMAGE_NAME = re.compile(r"\S[^,;\t|]*\.(jpe?g|png|webp|gif|bmp|tiff?|avif)", re.IGNORECASE)
_FORMS = {
    b"PK\x03\x04": "a zip file or an Excel workbook",
    b"\xff\xfe": "a text in UTF-16",
    b"\xfe\xff": "a text in UTF-16",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"SQLite": "a database",
}
_LINES = re.compile(r"\r\n|\r|\n")


@dataclass
class Description:
    """What is said of one image, in the file's order; labels each once."""

    captions: list[str] = field(default_factory=list)
    labels: dict[str, None] = field(default_factory=dict)


@dataclass
class CaptionsFile:
    """A file that was read.

    Attributes:
        path: its own.
        images: name as the file has it -> what is said of it.
        columns: those of image, caption and label that it has.
        notes: what a user should know of it, a line each.
    """

    path: Path
    images: dict[str, Description]
    columns: tuple[str, ...]
    notes: list[str]


def read(path: Path) -> CaptionsFile:
    """The captions and labels in a CSV.

    Raises:
        ExampleError: it cannot be read or is no such CSV: other columns, lines with more fields
            than the header, quotes that do not close, no text in UTF-8. It names the lines.
    """
    try:
        with path.open("rb") as raw:
            _refuse_other_forms(path, raw.read(8))
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _Rows(path, file).read()
    except UnicodeDecodeError as error:
        line = _line_of_bad_bytes(path)
        raise ExampleError(
            f"{path}: line {line}: not a CSV in UTF-8 ({error.reason}); save it so"
        ) from None
    except OSError as error:
        raise ExampleError(
            f"{path}: cannot be read ({error.strerror}); name a CSV in examples.source.captions"
        ) from None


def matched(file: CaptionsFile, uris: Iterable[str], *, root: Path) -> dict[str, Description]:
    """Uri of an image in the folder -> what the file says of it.

    A name stands for the image whose uri it is, else for the only one that it names when both are
    written alike: `/` for a backslash, no `./`, composed Unicode, relative to `root`. What names
    no image is told in a note.

    Raises:
        ExampleError: it names none of them.
    """
    uris = list(uris)
    there = set(uris)
    prefix = f"{root.absolute().as_posix()}/"
    alike: dict[str, list[str]] = {}
    for uri in uris:
        alike.setdefault(_plain(uri, prefix), []).append(uri)
    found: dict[str, Description] = {}
    unknown: list[str] = []
    for name, said in file.images.items():
        meant = [name] if name in there else alike.get(_plain(name, prefix), [])
        if len(meant) != 1:
            unknown.append(name)
            continue
        whole = found.setdefault(meant[0], Description())
        whole.captions += said.captions
        whole.labels |= said.labels
    if unknown:
        what = f"{len(unknown):,} of its {len(file.images):,} images are not in {root}"
        first = min(unknown)
        hint = _hint(first, alike)
        if not found and uris:
            raise ExampleError(f"{file.path}: {what}, as `{short(first)}`; {hint}")
        file.notes.append(f"{file.path}: {what}, as `{short(first)}`: {hint}")
    return found


class _Rows:
    """A file being read; lines are counted from 1."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path = path
        self.number = 0
        self.lines = self._counted(file)
        self.extra: list[int] = []
        self.odd: dict[str, list[int]] = {}

    def read(self) -> CaptionsFile:
        names = self._header()
        at = {name: names.index(name) for name in _READ if name in names}
        images: dict[str, Description] = {}
        for line, row in self._rows():
            self._note_odd(row, names, line)
            cells = {name: row[i].strip() for name, i in at.items() if i < len(row)}
            if not cells.get("image"):
                self._odd("left out, for no image is named", line)
                continue
            said = images.setdefault(cells["image"], Description())
            if text := cells.get("caption"):
                said.captions.append(text)
            if label := cells.get("label"):
                said.labels[label] = None
                if len(said.labels) > 1:
                    self._odd("an image has several labels: all are its tags, none its class", line)
            if not text and not label:
                self._odd("an image without caption and label", line)
        self._refuse_extra(names)
        if not images:
            raise ExampleError(f"{self.path}: no line names an image; write a line for each")
        notes = [self._columns(names)]
        notes += [f"{self.path}: {_lines(found)}: {why}" for why, found in self.odd.items()]
        return CaptionsFile(self.path, images, tuple(at), notes)

    def _header(self) -> list[str]:
        text = next((line for line in self.lines if line.strip()), "")
        if text.count('"') % 2:
            raise ExampleError(
                f"{self.path}: {self._why(csv.Error('unexpected end'), self.number)}"
            )
        if text.lstrip().startswith(("{", "[")):
            raise ExampleError(f"{self.path}: JSON, no CSV; {_WANTED}")
        for delimiter in _DELIMITERS:
            names = [name.strip().casefold() for name in _fields(text, delimiter)]
            if "image" in names:
                break
        else:
            raise ExampleError(f"{self.path}: {_no_image(text)}")
        self.delimiter = delimiter
        for name in _READ:
            if names.count(name) > 1:
                raise ExampleError(
                    f"{self.path}: {names.count(name)} columns `{name}`; keep one: several "
                    "captions or labels of an image are a line each"
                )
        if not {"caption", "label"} & set(names):
            raise ExampleError(
                f"{self.path}: neither a column `caption` nor `label`, but {some_names(names)}; "
                f"{_renamed(names) or 'name one so'}"
            )
        return names

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows that hold anything, each with the line where it begins."""
        rows = csv.reader(self.lines, delimiter=self.delimiter, skipinitialspace=True, strict=True)
        while True:
            line = self.number + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                raise ExampleError(f"{self.path}: {self._why(error, line)}") from None
            if any(cell.strip() for cell in row):
                yield line, row

    def _why(self, error: csv.Error, line: int) -> str:
        what = str(error)
        if "unexpected end" in what:
            return f"line {line}: {_OPEN}"
        if "field limit" in what:
            return f"line {line}: a text is over 131,072 characters; is a quote missing there?"
        if "expected after" in what:
            return (
                f"line {line}: a text goes on after its closing quote; within a quoted text write "
                'each quote twice, ""'
            )
        return f"line {self.number}: not a CSV ({what})"

    def _note_odd(self, row: list[str], names: list[str], line: int) -> None:
        """What is unusual in a row; raises where a missing quote took in other lines."""
        for cell in row:
            if "\n" in cell or "\r" in cell:
                self._refuse_swallowed(cell, line)
                self._odd("a text over several lines: a quote may be missing", line)
        if any(cell.strip() for cell in row[len(names) :]):
            self.extra.append(line)
        elif len(row) < len(names):
            self._odd("fewer fields than the header: what is missing is taken as empty", line)

    def _odd(self, why: str, line: int) -> None:
        self.odd.setdefault(why, []).append(line)

    def _refuse_swallowed(self, cell: str, line: int) -> None:
        for number, text in enumerate(_LINES.split(cell)[1:], line + 1):
            parts = [part.strip().strip('"') for part in text.split(self.delimiter)]
            if len(parts) > 1 and any(_IMAGE_NAME.fullmatch(part) for part in parts):
                raise ExampleError(
                    f"{self.path}: a quote that opens in line {line} takes in line {number}, "
                    f"`{short(text)}`; close it in its own line"
                )

    def _refuse_extra(self, names: list[str]) -> None:
        if self.extra:
            marks = _DELIMITERS[self.delimiter]
            raise ExampleError(
                f"{self.path}: {_lines(self.extra)}: more fields than the {len(names)} of the "
                f'header; put texts with {marks} into quotes, as "a dog{self.delimiter} a cat"'
            )

    def _columns(self, names: list[str]) -> str:
        used = ", ".join(f"`{name}`" for name in names if name in _READ)
        rest = [name or "without a name" for name in names if name not in _READ]
        told = f"{self.path}: read as captions and labels: columns {used}"
        if self.delimiter != ",":
            told += f", separated by {_DELIMITERS[self.delimiter]}"
        if rest:
            told += f"; not read: {some_names(rest)}"
            if hint := _renamed(names):
                told += f" ({hint} to have it read)"
        return told

    def _counted(self, file: TextIO) -> Iterator[str]:
        for line in file:
            self.number += 1
            # One in a text is left to the tokenizers; every second letter one is UTF-16.
            if line.count("\0") * 3 > len(line):
                raise ExampleError(
                    f"{self.path}: line {self.number} is full of NULs, as UTF-16 is; save it as a "
                    "CSV in UTF-8"
                )
            yield line


_OPEN = "a quote is opened that never closes; close it or remove it"
_WANTED = "begin a CSV with the line image,caption and give a line for each caption"


def _no_image(header: str) -> str:
    """Why a header without a column `image` is refused, and what would do."""
    names = _fields(header, max([*_DELIMITERS, "|"], key=header.count))
    lower = [name.strip().casefold() for name in names]
    if not any(lower):
        return f"no column `image`, for it is empty; {_WANTED}"
    if any(_IMAGE_NAME.fullmatch(name.strip()) for name in names):
        return f"no column `image`, but `{short(header.strip())}`: the header is missing; {_WANTED}"
    parted = ", with commas between the columns" if header.count("|") and "|" in header else ""
    hint = _renamed(lower) or "name the one so that holds each image's path within the folder"
    return f"no column `image`, but {some_names(lower)}; {hint}{parted}"


def _renamed(names: list[str]) -> str | None:
    """Which columns to rename: those known as other names of ones that are missing."""
    found = []
    for wanted in _READ:
        other = next((name for name in _ALIASES[wanted] if name in names), None)
        if wanted not in names and other:
            found.append(f"`{other}` to `{wanted}`")
    return f"rename {', '.join(found)}" if found else None


def _fields(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return text.split(delimiter)


def _refuse_other_forms(path: Path, head: bytes) -> None:
    for magic, form in _FORMS.items():
        if head.startswith(magic):
            raise ExampleError(f"{path}: {form}, no CSV; save it as a CSV in UTF-8")


def _line_of_bad_bytes(path: Path) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def _lines(numbers: list[int]) -> str:
    """`line 4`, or `3 lines (4, 7, 9)`."""
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    some = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"{len(numbers):,} lines ({some})"


def _plain(name: str, prefix: str) -> str:
    """A path as all would write it alike, from below `prefix`."""
    name = unicodedata.normalize("NFC", name.strip().replace("\\", "/")).removeprefix(prefix)
    return posixpath.normpath(name) if name else ""


def _hint(name: str, alike: dict[str, list[str]]) -> str:
    """What may be meant by a name that is no image's."""
    if "://" in name:
        return "give paths within the folder, not addresses"
    plain = name.strip().replace("\\", "/")
    last = posixpath.basename(plain)
    tests = (
        ("in another case", lambda uri: uri.casefold() == plain.casefold()),
        ("elsewhere", lambda uri: posixpath.basename(uri) == last),
        ("with an ending", lambda uri: posixpath.splitext(posixpath.basename(uri))[0] == last),
        ("without what follows #", lambda uri: uri == plain.split("#")[0]),
    )
    for how, test in tests:
        meant = next((uri for uri in alike if test(uri)), None)
        if meant:
            return f"`{short(meant)}` is there, {how}: give each image's path within the folder"
    return "give each image's path within the folder"
