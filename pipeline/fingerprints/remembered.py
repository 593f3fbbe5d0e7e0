"""Hashes of large files, remembered from run to run: each byte of a model is read once.

They lie in LOUPE_CACHE, or in the user's folder for caches (`~/.cache/loupe`), one small file for
each question. One that is damaged, lost or cannot be written costs time and nothing else.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_SETTLED = 2.0
"""Seconds after which a file's time tells a later change: some file systems count in these."""
_DIGITS = frozenset("0123456789abcdef")


def digest(paths: Sequence[Path], of: Path, make: Callable[[], str]) -> str:
    """What `make` gives, lower hexadecimal digits that depend on these files and on their names
    below `of` alone; not asked again while all of them keep their place, size, times and inode."""
    states = [f"{path.absolute()}\0{_state(path)}" for path in paths]
    asked = "\0".join([str(of.absolute()), *states])
    file = _folder() / hashlib.sha256(os.fsencode(asked)).hexdigest()
    with contextlib.suppress(OSError, ValueError):
        known, _, check = file.read_text(encoding="ascii").partition(" ")
        if known and _DIGITS.issuperset(known) and check == _check(known, file.name):
            return known
    made = make()
    # What has just been written may be written again within one tick of the clock.
    changed = max((max(s.st_mtime, s.st_ctime) for s in map(Path.stat, paths)), default=0.0)
    still = [f"{path.absolute()}\0{_state(path)}" for path in paths] == states
    if still and changed + _SETTLED < time.time():
        _keep(file, f"{made} {_check(made, file.name)}")
    return made


def _state(path: Path) -> str:
    """A file's size, times and inode. The time of its last change of any kind is among them, since
    some programs set back the other."""
    s = path.stat()
    return f"{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino} {s.st_dev}"


def _folder() -> Path:
    named = os.environ.get("LOUPE_CACHE")
    if named:
        return Path(named) / "hashes"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "loupe" / "hashes"


def _check(made: str, name: str) -> str:
    return hashlib.sha256(f"{made} {name}".encode()).hexdigest()[:16]


def _keep(file: Path, text: str) -> None:
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".tmp-{os.getpid()}-{file.name}")
        try:
            temporary.write_text(text, encoding="ascii")
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
