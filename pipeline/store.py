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
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import contract, remembered, sealed
from pipeline.errors import first_line
from pipeline.sealed import MANIFEST, StoreError, read_whole

DATABASE = "loupe.duckdb"
SAES = "saes"
ABSENT = "was not made"
"""The fault of a part that is not there."""
_PART = "part.json"
_TEMPORARY = ".tmp-"
_LEFT = re.compile(r"\.tmp-\d+-.+")
"""Temporary names as this module gives them: with the number of the process."""
_REMEMBERED = 64 * 2**20
"""Bytes of files from which on their hash is worth remembering."""
_LINKS = "parts/publish/"


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


@dataclass(frozen=True)
class Bundle:
    """A published bundle, opened: a folder that can be moved anywhere.

    Attributes:
        manifest: `contract` is a version; `config`, `models`, `rows` and `versions` are objects,
            empty where the file holds no such; `files` is a listing where there is one.
        damaged: names in the manifest of what is no object there: pages do without it.
    """

    root: Path
    manifest: dict[str, Any]
    damaged: tuple[str, ...] = ()

    @property
    def database(self) -> Path:
        return self.root / DATABASE

    @property
    def config(self) -> dict[str, Any]:
        """The run's settings, as JSON; empty where the manifest holds none."""
        found: dict[str, Any] = self.manifest["config"]
        return found

    def made_by(self, model: str) -> str | None:
        """The fingerprint of the model of this name that made the bundle; None: not known."""
        of = self.manifest["models"].get(model)
        found = of.get("fingerprint") if isinstance(of, dict) else None
        return found if isinstance(found, str) else None

    @property
    def files(self) -> sealed.Files | None:
        """Every file but the manifest, with size and hash; None: made before they were listed."""
        return self.manifest.get(sealed.FILES)

    def table(self, name: str) -> Path:
        return self.root / contract.TABLES[name].file

    def read(self, name: str, **options: Any) -> pa.Table:
        """A table, or what `options` of pyarrow's `read_table` choose of it.

        Raises:
            StoreError: its file is missing or damaged.
        """
        path = self.table(name)
        try:
            return pq.read_table(path, **options)
        except MemoryError:
            raise
        except Exception as error:
            what = f"damaged ({first_line(error)})" if path.exists() else "missing"
            raise StoreError(f"{path}: {what}; {_AGAIN}") from error

    def embeddings(self, encoder: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(example ids [n], rising; unit embeddings [n, d]) of the val images by one encoder.

        Raises:
            StoreError: their file is missing or damaged.
        """
        found = self.read(
            contract.EMBEDDINGS.name, columns=["example_id", "vector"],
            filters=[("encoder", "=", encoder)],
        ).combine_chunks()  # fmt: skip
        ids: NDArray[np.int64] = found["example_id"].to_numpy()
        if not len(ids):
            return ids, np.zeros((0, 0), np.float32)
        flat = found["vector"].combine_chunks().flatten().to_numpy()
        return ids, flat.reshape(len(ids), -1)

    def sae(self, dictionary_id: str) -> Path:
        """The sae-lens folder of an SAE."""
        return self.root / SAES / dictionary_id


_AGAIN = "make the bundle again with: python -m pipeline run CONFIG --check"


def open_bundle(path: Path) -> Bundle:
    """The bundle at `path`: a bundle's folder, or a run's folder that holds one.

    Raises:
        StoreError: there is none, its manifest is damaged, or it was made for another major version
            of the contract.
    """
    try:
        root = path if (path / MANIFEST).is_file() else path / "bundle"
        found = (root / MANIFEST).is_file()
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be opened ({first_line(error)})") from error
    if not found:
        raise StoreError(
            f"{path}: holds no bundle; make one with: python -m pipeline run CONFIG"
            if path.exists()
            else f"{path}: no such folder; name a run (data/runs/NAME) or a bundle, "
            "or make the demo's with: make demo-data"
        )
    manifest = read_whole(root / MANIFEST)
    made_for = str(manifest.get("contract", "0.0"))
    if not re.fullmatch(r"[0-9]{1,6}\.[0-9]{1,6}", made_for):
        raise StoreError(
            f"{root / MANIFEST}: damaged (contract {made_for[:40]!r} is no version); {_AGAIN}"
        )
    if int(made_for.split(".")[0]) != contract.MAJOR:
        raise StoreError(
            f"{path}: made for contract {made_for}, this Loupe reads {contract.MAJOR}.x; "
            "make it again with: python -m pipeline run CONFIG (its config is in manifest.json)"
        )
    objects = ("config", "models", "rows", "versions")
    damaged = [name for name in objects if not isinstance(manifest.setdefault(name, {}), dict)]
    manifest |= {name: {} for name in damaged}
    models = manifest["models"]
    damaged += [f"models.{name}" for name, model in models.items() if not isinstance(model, dict)]
    if sealed.FILES in manifest and not sealed.is_listing(manifest[sealed.FILES]):
        raise StoreError(f"{root / MANIFEST}: damaged (lists no files); {_AGAIN}")
    return Bundle(root.resolve(), manifest, tuple(damaged))


class TableWriter:
    """Writes one table of the contract in row groups; rows must come in the table's order."""

    def __init__(self, table: contract.Table, folder: Path) -> None:
        self.table, self.rows = table, 0
        self._writer = pq.ParquetWriter(
            folder / table.file,
            table.schema,
            compression="zstd",
            use_dictionary=_leaves(table.schema, pa.types.is_string),
            column_encoding=dict.fromkeys(
                _leaves(table.schema, pa.types.is_floating), "BYTE_STREAM_SPLIT"
            ),
        )

    def write(self, data: pa.Table) -> None:
        """Append `data`, cast to the contract.

        Raises:
            StoreError: a column is missing, of a wrong type, or null where the contract forbids it.
        """
        cast = conform(self.table, data)
        self._writer.write_table(cast, row_group_size=122_880)
        self.rows += cast.num_rows

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def write_table(table: contract.Table, data: pa.Table, folder: Path) -> None:
    """Write all of `data` as `table` into `folder`, sorted as the contract says."""
    with TableWriter(table, folder) as writer:
        writer.write(sort_rows(table, data))


def sort_rows(table: contract.Table, data: pa.Table) -> pa.Table:
    """`data` in the table's order; a leading minus in `sort` means descending."""
    keys = [
        (name.removeprefix("-"), "descending" if name.startswith("-") else "ascending")
        for name in table.sort
    ]
    return data.sort_by(keys)


def conform(table: contract.Table, data: pa.Table) -> pa.Table:
    """`data` with the columns, order and types of `table`; raises StoreError as TableWriter."""
    absent = [f.name for f in table.schema if f.name not in data.column_names and not f.nullable]
    unknown = [name for name in data.column_names if name not in table.schema.names]
    if absent or unknown:
        raise StoreError(
            f"table {table.name}: columns missing {absent}, not in the contract {unknown}"
        )
    columns = []
    for field in table.schema:
        if field.name not in data.column_names:
            columns.append(pa.nulls(data.num_rows, field.type))
            continue
        column = data[field.name]
        if nulls := _nulls(column, field):
            raise StoreError(f"table {table.name}: {nulls} nulls in {field.name}")
        try:
            columns.append(column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise StoreError(f"table {table.name}, column {field.name}: {error}") from error
    return pa.table(columns, schema=table.schema)


def nullable(values: NDArray[np.float64]) -> pa.Array:
    """Numbers as a column in which NaN is null."""
    return pa.array(values, mask=np.isnan(values))


def ragged(values: NDArray[Any], ends: NDArray[np.int64], kind: pa.DataType) -> pa.Array:
    """A column of lists of `kind`; row i holds the values from the end of the one before to
    `ends[i]`."""
    offsets = np.concatenate([[0], ends])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        pa.array(values).cast(kind),
        type=pa.list_(pa.field("element", kind, nullable=False)),
    )


def lists(rows: Sequence[NDArray[Any]], kind: pa.DataType) -> pa.Array:
    """Arrays of any lengths as a column of lists of `kind`."""
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    return ragged(np.concatenate(rows) if rows else np.zeros(0), ends, kind)


def _nulls(column: pa.ChunkedArray, field: pa.Field) -> int:
    """Nulls where the field allows none; lists never hold any."""
    of_lists = column.combine_chunks().flatten().null_count if _holds_lists(column.type) else 0
    return of_lists + (0 if field.nullable else column.null_count)


def _holds_lists(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _leaves(schema: pa.Schema, wanted: Any) -> list[str]:
    """Parquet's paths of the columns whose (element) type is `wanted`."""
    return [
        f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
        for field in schema
        if wanted(field.type.value_type if pa.types.is_list(field.type) else field.type)
    ]


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
