"""Names of content: keys of facts, hashes of files."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.fingerprints import remembered

_REMEMBERED = 64 * 2**20
"""Bytes of files from which on their hash is worth remembering."""


def content_key(*facts: Any) -> str:
    """16 hexadecimal digits that name `facts` (anything JSON can hold, dict order ignored)."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint_files(folder: Path, *, patterns: tuple[str, ...] = ("*",)) -> str:
    """Hash of the names, sizes and bytes of the files in `folder`, or of the file that it is."""
    if folder.is_file():
        return fingerprint([folder], of=folder.parent)
    found = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    return fingerprint(found, of=folder)


def fingerprint(files: Iterable[Path], *, of: Path) -> str:
    """Hash of the files' names below the folder `of`, their sizes and all of their bytes; of large
    ones it is remembered."""
    paths = sorted(files)

    def made() -> str:
        digest = hashlib.sha256()
        for path in paths:
            size = path.stat().st_size
            digest.update(f"{path.relative_to(of).as_posix()}\0{size}\0".encode())
            with path.open("rb") as file:
                while chunk := file.read(2**20):
                    digest.update(chunk)
        return digest.hexdigest()[:16]

    large = sum(path.stat().st_size for path in paths) > _REMEMBERED
    return remembered.digest(paths, of, made) if large else made()
