"""The files of a folder and all below it; what is no readable file is listed too, with a reason to
be had when it is asked for."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.inputs.sources import ExampleError, some_names

_SIDES = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "val"}
_PICTURES = frozenset(
    (
        *("avif", "bmp", "dib", "gif", "heic", "heif", "icns", "ico", "j2k", "jfif", "jp2", "jpe"),
        *("jpeg", "jpg", "jxl", "pbm", "pcx", "pgm", "png", "pnm", "ppm", "psd", "qoi", "sgi"),
        *("tga", "tif", "tiff", "webp"),
    )
)


@dataclass(frozen=True)
class FolderEntry:
    """One name below the folder.

    Attributes:
        uri: its path within the folder with `/`, as tables can hold it.
        stamp: changes with its size and time; empty where there is no file to be had.
    """

    uri: str
    stamp: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.uri.split("/"))


def files(root: Path, *, without: Path | None = None) -> tuple[list[FolderEntry], list[str]]:
    """Everything below `root` that is no folder, in order, and notes on what was not looked at.

    Names that begin with a dot are left out. A folder that cannot be looked into, a link to
    nothing and the like are listed as if they were files: `fault` says what is wrong with them.

    Args:
        without: a file that is not listed.

    Raises:
        ExampleError: `root` itself cannot be looked into.
    """
    links: list[str] = []
    raw = list(_walk(os.fspath(root), links, _identity(without)))
    found = sorted(_named(raw), key=lambda each: each.parts)
    notes = []
    if links:
        notes.append(
            f"{root}: links to folders are not followed: {some_names(sorted(links))}; name the "
            "folder itself, or copy it"
        )
    endings = Counter(os.path.splitext(each.uri)[1] for each in found if not pictorial(each.uri))
    if endings:
        kinds = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(5))
        notes.append(
            f"{root}: {endings.total():,} of {len(found):,} files are no pictures by their names "
            f"({kinds}{', ...' if len(endings) > 5 else ''}); what is none is skipped"
        )
    return found, notes


def pictorial(uri: str) -> bool:
    """Whether something may be a picture by its name: one of a picture, or without an ending."""
    ending = os.path.splitext(uri)[1][1:].lower()
    return ending in _PICTURES or not ending.isalnum() or ending.isdigit()


def sides(found: list[FolderEntry], *, root: Path) -> tuple[dict[str, str], list[str]]:
    """Name of a folder directly below `root` -> the split that it is, and notes on these.

    `train` and `val` are such names, and where there are both sides also others for them, in
    upper or lower case: `Train`, `validation`, `test`.
    """
    tops = sorted({each.parts[0] for each in found if len(each.parts) > 1})
    known = {top: _SIDES[top.casefold()] for top in tops if top.casefold() in _SIDES}
    plain = {top: side for top, side in known.items() if top in ("train", "val")}
    if set(known.values()) < {"train", "val"}:
        if not known:
            return {}, []
        how = "the split is by a hash of each path"
        lacks = "val" if "train" in known.values() else "train"
        return plain, [f"{root}: {some_names(list(known))} but no `{lacks}` beside it: {how}"]
    if known == plain:
        return known, []
    told = ", ".join(f"`{top}` is {side}" for top, side in known.items())
    return known, [f"{root}: splits by folder: {told}"]


def fault(path: Path) -> str | None:
    """Why something that `files` lists cannot be read as a file; None where it can be tried."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "a link to nothing; remove it or mend it" if os.path.islink(path) else None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return f"cannot be looked at ({why}); rename it, move it, or allow it to be read"
    effective = os.access in os.supports_effective_ids
    if stat.S_ISDIR(mode):
        if os.access(path, os.R_OK | os.X_OK, effective_ids=effective):
            return "a folder and no file"
        return "a folder that cannot be looked into; allow it to be read"
    if not stat.S_ISREG(mode):
        return "no regular file but a pipe, a socket or a device; remove it"
    if not os.access(path, os.R_OK, effective_ids=effective):
        return "may not be read; allow it to be read"
    return None


def _walk(
    root: str, links: list[str], without: tuple[int, int] | None
) -> Iterator[tuple[str, str]]:
    """(path within `root`, stamp) of each; folders to come are a list, not calls, for they may lie
    deeper than Python calls."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise ExampleError(
                    f"examples.source.path: {root} cannot be looked into ({error.strerror}); allow "
                    "it to be read"
                ) from None
            yield folder, ""
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            inside = f"{folder}/{entry.name}" if folder else entry.name
            kind, stamp = _looked_at(entry, without)
            if kind == "folder":
                waiting.append(inside)
            elif kind == "link":
                links.append(inside)
            elif kind == "file":
                yield inside, stamp


def _looked_at(entry: os.DirEntry[str], without: tuple[int, int] | None) -> tuple[str, str]:
    """`folder`, `link` to one, `file` or `without`; and a file's stamp."""
    try:
        if entry.is_dir(follow_symlinks=False):
            return "folder", ""
        if entry.is_symlink() and os.path.isdir(entry.path):
            return "link", ""
        facts = entry.stat()
    except OSError:
        return "file", ""
    if (facts.st_dev, facts.st_ino) == without:
        return "without", ""
    regular = stat.S_ISREG(facts.st_mode)
    return "file", f"{facts.st_size}-{facts.st_mtime_ns}" if regular else ""


def _identity(file: Path | None) -> tuple[int, int] | None:
    if file is None:
        return None
    facts = os.stat(file)
    return facts.st_dev, facts.st_ino


def _named(raw: list[tuple[str, str]]) -> Iterator[FolderEntry]:
    """With uris that are all different. A name that is not UTF-8 could not be written to a table:
    it is escaped, and so is not found when it is read."""
    taken = set()
    escaped = []
    for path, stamp in raw:
        try:
            path.encode()
        except UnicodeEncodeError:
            escaped.append((path, stamp))
        else:
            taken.add(path)
            yield FolderEntry(path, stamp)
    for path, stamp in sorted(escaped):
        uri = os.fsencode(path).decode("utf-8", "backslashreplace")
        while uri in taken:
            uri += " (not UTF-8)"
        taken.add(uri)
        yield FolderEntry(uri, stamp)
