"""Files that tell of their own damage: JSON that holds its hash, and folders whose files are listed
with size, time and hash.

Times are looked at first: of a folder that nobody touched nothing is read.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import LoupeError, first_line

Files = Mapping[str, Mapping[str, Any]]
"""Name in the folder, with / -> `bytes`, `sha256`, and where it is known `mtime_ns`."""
SEAL, FILES = "seal", "files"
"""Keys of sealed JSON: its own hash, and the list of what lies beside it."""
MANIFEST = "manifest.json"
"""What a bundle's manifest is called."""
_PARQUET = b"PAR1"
_DUCKDB = b"DUCK"


class StoreError(LoupeError, RuntimeError):
    """An artifact is missing, damaged or of another version; the message says what mends it."""


def write_json(path: Path, data: Mapping[str, Any], *, sort: bool = True) -> None:
    """Write `data` with its seal; it is on the disk when this returns. `sort`: keys by name."""
    text = json.dumps(data, default=str)
    sealed = json.loads(text)
    sealed[SEAL] = _seal(sealed)
    with path.open("w", encoding="utf-8") as file:
        json.dump(sealed, file, indent=1, sort_keys=sort)
        file.flush()
        os.fsync(file.fileno())


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file, without its seal.

    Raises:
        ValueError: it is no JSON object, or not what was written; the message says so.
        OSError: it cannot be read.
    """
    try:
        data = json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(data, dict):
        raise ValueError("holds no JSON object")
    seal = data.pop(SEAL, None)
    # Without one it is of a Loupe that wrote none, and listed no files.
    if seal != _seal(data) if seal is not None else FILES in data:
        raise ValueError("was changed since it was written")
    return data


def read_whole(path: Path) -> dict[str, Any]:
    """As `read_json`, of a file that must be whole.

    Raises:
        StoreError: it is not.
    """
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: cannot be read ({first_line(error)}); run the pipeline again"
        ) from error


def listing(folder: Path, *, times: bool) -> dict[str, dict[str, Any]]:
    """Every file below `folder`, with what tells whether it is still the same."""
    found = {}
    for path in _below(folder):
        said = path.stat()
        entry: dict[str, Any] = {"bytes": said.st_size, "sha256": sha256(path)}
        found[path.relative_to(folder).as_posix()] = entry
        if times:
            entry["mtime_ns"] = said.st_mtime_ns
    return found


def names(folder: Path) -> set[str]:
    """Every file below `folder`, as `listing` names them."""
    return {path.relative_to(folder).as_posix() for path in _below(folder)}


def faults(folder: Path, files: Files, *, closely: bool) -> Iterator[tuple[str, str]]:
    """(name, what is wrong) of each listed file that is not as it was.

    A file whose size and time are the listed ones is not read, unless `closely`.
    """
    for name, entry in files.items():
        path = folder / name
        try:
            said = path.stat()
            if not path.is_file():
                yield name, "is no file"
            elif said.st_size != entry["bytes"]:
                yield name, f"has {said.st_size} bytes, not {entry['bytes']}"
            elif not closely and said.st_mtime_ns == entry.get("mtime_ns"):
                continue
            elif sha256(path) != entry["sha256"]:
                yield name, "holds other bytes than were written"
        except FileNotFoundError:
            yield name, "is missing"
        except OSError as error:
            yield name, f"cannot be read ({error.strerror})"


def glance(folder: Path, *, closely: bool) -> Iterator[tuple[str, str]]:
    """`faults` of a folder of which no list was kept: files that are empty or cut off, as far as
    their first and last bytes tell; `closely` those that cannot be read, too."""
    for path in _below(folder):
        try:
            wrong = _looks_cut(path) or (_unreadable(path) if closely else None)
        except OSError as error:
            wrong = f"cannot be read ({error.strerror})"
        if wrong:
            yield path.relative_to(folder).as_posix(), wrong


def is_listing(files: object) -> bool:
    """Whether this has the form of `listing`, with names that stay below the folder."""
    return isinstance(files, dict) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("bytes"), int)
        and isinstance(entry.get("sha256"), str)
        and not name.startswith("/")
        and ".." not in name.split("/")
        for name, entry in files.items()
    )


def sha256(path: Path) -> str:
    """Of all of the file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _looks_cut(path: Path) -> str | None:
    kind, size = path.suffix, path.stat().st_size
    if kind not in (".parquet", ".safetensors", ".duckdb", ".json"):
        return None
    if not size:
        return "is empty"
    with path.open("rb") as file:
        head = file.read(12)
        if kind == ".parquet":
            file.seek(max(size - 4, 0))
            return None if head[:4] == _PARQUET == file.read() else "is cut off"
        if kind == ".duckdb":
            return None if head[8:] == _DUCKDB else "is no DuckDB file"
        if kind == ".safetensors":
            length = int.from_bytes(head[:8], "little")
            if length > size - 8:
                return "is cut off"
            file.seek(8)
            try:
                header = json.loads(file.read(length))
                ends = [int(t["data_offsets"][1]) for n, t in header.items() if n != "__metadata__"]
            except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
                return "has a damaged header"
            return None if 8 + length + max(ends, default=0) == size else "is cut off"
    return None


def _unreadable(path: Path) -> str | None:
    """Why a file cannot be read; of a safetensors file its first bytes tell all."""
    from pyarrow.parquet import ParquetFile

    try:
        if path.suffix == ".parquet":
            with ParquetFile(path) as table:
                for group in range(table.num_row_groups):
                    table.read_row_group(group)
        elif path.suffix == ".json":
            json.loads(path.read_bytes())
    except MemoryError:
        raise
    except Exception as error:  # pyarrow raises whatever damaged bytes lead to
        return f"cannot be read ({first_line(error)})"
    return None
