"""Artifacts on disk: content keys, atomic parts, manifests written last, tables, bundles.

A run's folder:

    parts/STEP/KEY/        what one unit of work made, with `part.json` beside it
    manifests/STEP.json    written when every unit of the step is there
    bundle                 a link to the newest part of the last step: the bundle

Everything is first written under a temporary name and then renamed, so what is there is whole.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import contract
from pipeline.errors import LoupeError

DATABASE = "loupe.duckdb"
SAES = "saes"
_TEMPORARY = ".tmp-"
_HASHED_WHOLE = 64 * 2**20
_HASHED_END = 2**20


class StoreError(LoupeError, RuntimeError):
    """An artifact is missing, damaged or of another version; the message says what mends it."""


def content_key(*facts: Any) -> str:
    """16 hexadecimal digits that name `facts` (anything JSON can hold, dict order ignored)."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint_files(folder: Path, *, patterns: tuple[str, ...] = ("*",)) -> str:
    """Hash of the names, sizes and bytes of the files in `folder`, or of the one file that it is
    (of files over 64 MiB only the first and last MiB, which tell two checkpoints apart without
    reading gigabytes)."""
    names = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    if folder.is_file():
        names, folder = {folder}, folder.parent
    digest = hashlib.sha256()
    for path in sorted(names):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _HASHED_WHOLE:
                digest.update(file.read())
            else:
                digest.update(file.read(_HASHED_END))
                file.seek(-_HASHED_END, os.SEEK_END)
                digest.update(file.read())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Workspace:
    """The folder of one run."""

    root: Path

    def part(self, step: str, key: str) -> Path:
        """Where the unit `key` of `step` keeps its files, made or not."""
        return self.root / "parts" / step / key

    def has(self, step: str, key: str) -> bool:
        return (self.part(step, key) / "part.json").is_file()

    def facts(self, step: str, key: str) -> dict[str, Any]:
        """What the unit said of itself when it was made."""
        return _read_json(self.part(step, key) / "part.json")

    @contextlib.contextmanager
    def making(self, step: str, key: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """A folder to fill and a dict of facts; both get their names only if all went well."""
        final = self.part(step, key)
        with _aside(final) as folder:
            facts: dict[str, Any] = {}
            yield folder, facts
            _write_json(folder / "part.json", facts)

    def write_manifest(self, step: str, manifest: Mapping[str, Any]) -> None:
        path = self.root / "manifests" / f"{step}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")
        _write_json(temporary, manifest)
        temporary.replace(path)

    def manifest(self, step: str) -> dict[str, Any] | None:
        """The step's manifest, or None when the step never finished here."""
        path = self.root / "manifests" / f"{step}.json"
        return _read_json(path) if path.is_file() else None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run against a second process; clears what a killed one left half made.

        Raises:
            StoreError: another process is running it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as lock:
            _flock(lock, self.root)
            for left in self.root.rglob(f"{_TEMPORARY}*"):
                _remove(left)
            yield

    def shows(self, step: str, key: str) -> bool:
        """Whether the link `bundle` points at this part."""
        link = self.root / "bundle"
        return link.is_symlink() and link.readlink() == self.part(step, key).relative_to(self.root)

    def expose(self, step: str, key: str) -> None:
        """Point the link `bundle` at a part, in one rename; the step's older parts go (a dashboard
        that has one open keeps reading its open file)."""
        part = self.part(step, key)
        link = self.root / f"{_TEMPORARY}{os.getpid()}-bundle"
        link.symlink_to(part.relative_to(self.root))
        link.replace(self.root / "bundle")
        for other in part.parent.iterdir():
            if other.name != key:
                _remove(other)


@dataclass(frozen=True)
class Bundle:
    """A published bundle, opened: a folder that can be moved anywhere."""

    root: Path
    manifest: dict[str, Any]

    @property
    def database(self) -> Path:
        return self.root / DATABASE

    def table(self, name: str) -> Path:
        return self.root / contract.TABLES[name].file

    def embeddings(self, encoder: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(example ids [n], rising; unit embeddings [n, d]) of the val images by one encoder."""
        found = pq.read_table(
            self.table(contract.EMBEDDINGS.name), columns=["example_id", "vector"],
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


def open_bundle(path: Path) -> Bundle:
    """The bundle at `path`: a bundle's folder, or a run's folder that holds one.

    Raises:
        StoreError: there is none, or it was made for another major version of the contract.
    """
    root = path if (path / "manifest.json").is_file() else path / "bundle"
    if not (root / "manifest.json").is_file():
        raise StoreError(
            f"{path}: holds no bundle; make one with: python -m pipeline run CONFIG"
            if path.exists()
            else f"{path}: no such folder; name a run (data/runs/NAME) or a bundle, "
            "or make the demo's with: make demo-data"
        )
    manifest = _read_json(root / "manifest.json")
    made_for = str(manifest.get("contract", "0.0"))
    if made_for.split(".")[0] != str(contract.MAJOR):
        raise StoreError(
            f"{path}: made for contract {made_for}, this Loupe reads {contract.MAJOR}.x; "
            "make it again with: python -m pipeline run CONFIG (its config is in manifest.json)"
        )
    return Bundle(root.resolve(), manifest)


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


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(data, file, indent=1, sort_keys=True, default=str)
        file.flush()
        os.fsync(file.fileno())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); run the pipeline again") from error
    if not isinstance(data, dict):
        raise StoreError(f"{path}: holds no JSON object; run the pipeline again")
    return data
