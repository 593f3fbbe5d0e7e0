"""Artifacts on disk: content keys, atomic parts, manifests written last, tables, bundles.

A run's folder:

    parts/STEP/KEY/        what one unit of work made, with `part.json` beside it
    manifests/STEP.json    written when every unit of the step is there
    bundle                 a link to the newest part of the last step: the bundle

Everything is first written under a temporary name and then renamed, so what is there is whole; and
`part.json` lists the files with their sizes, times and hashes, so that what was damaged since is
known. Other files in the folder are nobody's business here: none is read, moved or removed.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipeline.bundle import sealed
from pipeline.bundle.sealed import MANIFEST, StoreError, read_whole
from pipeline.errors import first_line

ABSENT = "was not made"
"""The fault of a part that is not there."""
_PART = "part.json"
_TEMPORARY = ".tmp-"
_LEFT = re.compile(r"\.tmp-\d+-.+")
"""Temporary names as this module gives them: with the number of the process."""
_LINKS = "parts/publish/"


@dataclass(frozen=True)
class Workspace:
    """The folder of one run.

    Attributes:
        closely: read all of each part's files when asked whether it is whole, not only those whose
            time or size is another than when they were written.
    """

    root: Path
    closely: bool = False

    def part(self, step: str, key: str) -> Path:
        """Where the unit `key` of `step` keeps its files, made or not."""
        return self.root / "parts" / step / key

    def has(self, step: str, key: str) -> bool:
        """Whether the unit was made, and its files are whole."""
        return self.fault(step, key) is None

    def fault(self, step: str, key: str, *, closely: bool = False) -> str | None:
        """Why the unit's files cannot be used, with the name of one; None: they are whole.

        Parts from before files were listed count when none is empty or cut off.
        """
        return self._look(step, key, closely=closely or self.closely)[0]

    def checked(self, step: str, key: str) -> str | None:
        """As `fault`; of a whole part the files' times are noted anew where they are others, as a
        copy's are, so that it is read once. For who holds the lock."""
        fault, facts = self._look(step, key, closely=self.closely)
        files = facts.get(sealed.FILES)
        if fault is None and files:
            folder = self.part(step, key)
            times = {name: (folder / name).stat().st_mtime_ns for name in files}
            if any(files[name].get("mtime_ns") != time for name, time in times.items()):
                for name, time in times.items():
                    files[name]["mtime_ns"] = time
                self._replace(folder / _PART, facts)
        return fault

    def facts(self, step: str, key: str) -> dict[str, Any]:
        """What the unit said of itself when it was made."""
        facts = read_whole(self.part(step, key) / _PART)
        facts.pop(sealed.FILES, None)
        return facts

    @contextlib.contextmanager
    def making(self, step: str, key: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """A folder to fill and a dict of facts; both get their names only if all went well."""
        final = self.part(step, key)
        with _aside(final) as folder:
            facts: dict[str, Any] = {}
            yield folder, facts
            files = sealed.listing(folder, times=True)
            sealed.write_json(folder / _PART, {**facts, sealed.FILES: files})

    def forget(self, step: str, key: str) -> None:
        """Let the unit count as not made, so that the next run makes it."""
        (self.part(step, key) / _PART).unlink(missing_ok=True)

    def write_manifest(self, step: str, manifest: Mapping[str, Any]) -> None:
        path = self.root / "manifests" / f"{step}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._replace(path, manifest)

    def manifest(self, step: str) -> dict[str, Any] | None:
        """The step's manifest, or None when the step never finished here.

        Raises:
            StoreError: it is damaged.
        """
        path = self.root / "manifests" / f"{step}.json"
        return read_whole(path) if path.exists() else None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run against a second process; clears what a killed one left half made.

        Raises:
            StoreError: another process is running it, or nothing can be written there.
        """
        with contextlib.ExitStack() as stack:
            try:
                self.root.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context((self.root / ".lock").open("a"))
                _flock(lock, self.root)
            except OSError as error:
                raise StoreError(
                    f"{self.root}: no run can be kept there ({first_line(error)}); "
                    "name a folder that can be written, with --out"
                ) from error
            for left in self._left():
                _remove(left)
            yield

    def shows(self, step: str, key: str) -> bool:
        """Whether the link `bundle` points at this part."""
        link = self.root / "bundle"
        return link.is_symlink() and link.readlink() == self.part(step, key).relative_to(self.root)

    def expose(self, step: str, key: str) -> Path | None:
        """Point the link `bundle` at a part, in one rename; the step's older parts go (a dashboard
        that has one open keeps reading its open file).

        Returns:
            Where a bundle that lay there as a folder is now (a copied run may have one).

        Raises:
            StoreError: something else is called `bundle`.
        """
        part, shown = self.part(step, key), self.root / "bundle"
        moved = self._moved(shown)
        link = self.root / f"{_TEMPORARY}{os.getpid()}-bundle"
        link.unlink(missing_ok=True)
        link.symlink_to(part.relative_to(self.root))
        link.replace(shown)
        for other in part.parent.iterdir():
            ours = other.is_dir() and not other.is_symlink() and (other / _PART).is_file()
            if other.name != key and ours:
                _remove(other)
        return moved

    def _look(self, step: str, key: str, *, closely: bool) -> tuple[str | None, dict[str, Any]]:
        """What is wrong with a part, and what its `part.json` holds."""
        folder = self.part(step, key)
        try:
            facts = sealed.read_json(folder / _PART)
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT, {}
        except (OSError, ValueError) as error:
            return f"{_PART}: {first_line(error)}", {}
        files = facts.get(sealed.FILES)
        lists = sealed.is_listing(files) if files is not None else "unit" in facts
        if not lists:
            return f"{_PART}: lists no files", {}
        found = (
            sealed.glance(folder, closely=closely)
            if files is None
            else sealed.faults(folder, files, closely=closely)
        )
        return next((f"{name}: {wrong}" for name, wrong in found), None), facts

    def _moved(self, shown: Path) -> Path | None:
        """Make way for the link: what is not ours stays, a bundle that is a folder gets another
        name."""
        if shown.is_symlink():
            ours = str(shown.readlink()).startswith(_LINKS) or not shown.exists()
            if ours or (shown / MANIFEST).is_file():
                return None
        elif not shown.exists():
            return None
        if shown.is_symlink() or not _is_bundle(shown):
            raise StoreError(
                f"{shown}: is not Loupe's, and lies where the link to the bundle goes; rename it, "
                "or name another folder with --out"
            )
        number = next(n for n in range(1, 10**6) if not _there(self.root / f"bundle-{n}"))
        return shown.rename(self.root / f"bundle-{number}")

    def _left(self) -> list[Path]:
        """What killed processes left half made: our own names, where we give them."""
        links = [path for path in self.root.glob(f"{_TEMPORARY}*-bundle") if path.is_symlink()]
        folders = [
            path
            for path in self.root.glob(f"parts/*/{_TEMPORARY}*")
            if path.is_dir() and not path.is_symlink()
        ]
        files = [path for path in self.root.glob(f"manifests/{_TEMPORARY}*.json") if path.is_file()]
        return [path for path in (*links, *folders, *files) if _LEFT.fullmatch(path.name)]

    def _replace(self, path: Path, data: Mapping[str, Any]) -> None:
        """Write a file anew, in one rename."""
        temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")
        try:
            sealed.write_json(temporary, data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _aside(final: Path) -> Iterator[Path]:
    """A temporary folder beside `final` that takes its place on success and goes on failure."""
    folder = final.with_name(f"{_TEMPORARY}{os.getpid()}-{final.name}")
    _remove(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
        _remove(final)
        folder.rename(final)
    finally:
        _remove(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flock(lock: IO[str], root: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(f"{root}: another process is running this; wait for it") from None


def _is_bundle(folder: Path) -> bool:
    """Whether a folder called `bundle` is one that a run made."""
    try:
        return {"contract", "key"} <= sealed.read_json(folder / MANIFEST).keys()
    except (OSError, ValueError):
        return False


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()
