"""Checks a bundle against its list of files and the contract: hashes, columns, keys, order,
references, numbers, DuckDB file, SAEs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import safe_open

from pipeline.bundle import database, opening, sealed
from pipeline.contract.tables import DICTIONARIES, TABLES, Table
from pipeline.errors import first_line

_ROUNDING = 1e-6
_DIGEST = "SELECT coalesce(sum(hash(t) % 4294967296), 0) FROM {source} AS t"
"""Reads everything; tables that differ share this number once in some 2**32 cases. Order is checked
on the Parquet file alone."""


def faults(path: Path) -> Iterator[str]:
    """What is wrong with the bundle at `path`, a line each; nothing for a sound one.

    Of a bundle whose manifest lists no files (`Bundle.files` is None) bytes cannot be compared; of
    its SAEs the fingerprints are.

    Raises:
        StoreError: there is no bundle, its manifest is damaged, or it is of another major version.
    """
    bundle = opening.open_bundle(path)
    yield from (f"manifest.json: {name} is no object" for name in bundle.damaged)
    yield from _file_faults(bundle)
    present = []
    for table in TABLES.values():
        if not bundle.table(table.name).is_file():
            yield f"{table.name}: the file {table.file} is missing"
            continue
        wrong = list(_schema_faults(table, bundle.table(table.name)))
        yield from wrong
        if not wrong:
            yield from _size_faults(table, bundle)
            present.append(table)
    with duckdb.connect() as connection:
        for table in list(present):
            source = str(bundle.table(table.name)).replace("'", "''")
            view = (
                f"CREATE VIEW {table.name} AS FROM read_parquet('{source}', file_row_number = true)"
            )
            try:
                connection.execute(view)
            except Exception as error:
                yield f"{table.name}: cannot be read ({first_line(error)})"
                present.remove(table)
        for table in present:
            try:
                yield from _row_faults(table, connection, {t.name for t in present})
            except Exception as error:
                yield f"{table.name}: cannot be read ({first_line(error)})"
    if DICTIONARIES in present:
        try:
            yield from _sae_faults(bundle)
        except sealed.StoreError as error:
            yield str(error)
    yield from _database_faults(bundle, present)


def _file_faults(bundle: opening.Bundle) -> Iterator[str]:
    """What is not as the manifest lists it, to the byte."""
    if bundle.files is None:
        return
    for name, wrong in sealed.faults(bundle.root, bundle.files, closely=True):
        yield f"{name} {wrong}"
    of_the_run = {"manifest.json", "part.json"}
    for name in sorted(sealed.names(bundle.root) - bundle.files.keys() - of_the_run):
        if not name.rpartition("/")[2].startswith("."):  # file managers leave such
            yield f"{name} is not a file of this bundle"


def _schema_faults(table: Table, file: Path) -> Iterator[str]:
    try:
        schema = pq.read_schema(file)
    except Exception as error:  # damaged bytes lead to errors of many kinds, here and below
        yield f"{table.name}: {file.name} cannot be read ({first_line(error)})"
        return
    for field in table.schema:
        if field.name not in schema.names:
            if not field.nullable:
                yield f"{table.name}.{field.name}: the column is missing"
        elif schema.field(field.name).type != field.type:
            found = schema.field(field.name).type
            yield f"{table.name}.{field.name}: is {found}, should be {field.type}"


def _size_faults(table: Table, bundle: opening.Bundle) -> Iterator[str]:
    """Another number of rows than the manifest counts; nothing where it counts none."""
    rows = pq.read_metadata(bundle.table(table.name)).num_rows
    counted = bundle.manifest["rows"].get(table.name, rows)
    if rows != counted:
        yield f"{table.name}: has {rows} rows, the manifest counts {counted}"


def _row_faults(
    table: Table, connection: duckdb.DuckDBPyConnection, present: set[str]
) -> Iterator[str]:
    key = ", ".join(table.key)
    required = [f.name for f in table.schema if not f.nullable]
    nulls = " OR ".join(f"{name} IS NULL" for name in required)
    if count := _count(connection, f"SELECT count(*) FROM {table.name} WHERE {nulls}"):
        yield f"{table.name}: {count} rows with a null where none may be"
    for name, low, high in _ranges(table):
        within = f"{name} BETWEEN {low} - {_ROUNDING} AND {high} + {_ROUNDING}"
        outside = f"SELECT count(*) FROM {table.name} WHERE NOT ({within})"
        if count := _count(connection, outside):
            yield f"{table.name}.{name}: {count} values are not within {low} to {high}"
    for name, finite in _finite(table):
        if count := _count(connection, f"SELECT count(*) FROM {table.name} WHERE NOT ({finite})"):
            yield f"{table.name}.{name}: {count} values are no numbers, or infinite"
    twice = f"SELECT count(*) FROM (SELECT 1 FROM {table.name} GROUP BY {key} HAVING count(*) > 1)"
    if count := _count(connection, twice):
        yield f"{table.name}: {count} keys ({key}) occur more than once"
    if count := _count(connection, _disorder(table)):
        yield f"{table.name}: {count} rows out of order ({', '.join(table.sort)})"
    for columns, target in table.references:
        if target not in present:
            continue
        to = TABLES[target].key
        on = " AND ".join(f"a.{a} = b.{b}" for a, b in zip(columns, to, strict=True))
        lost = f"SELECT count(*) FROM {table.name} a ANTI JOIN {target} b ON {on}"
        if count := _count(connection, lost):
            yield f"{table.name}: {count} rows whose ({', '.join(columns)}) is not in {target}"


def _ranges(table: Table) -> Iterator[tuple[str, int, int]]:
    """The columns whose unit in the contract is a range, as `-1 to 1`."""
    for field in table.schema:
        if match := re.fullmatch(r"(-?\d+) to (-?\d+)", field.metadata[b"unit"].decode()):
            yield field.name, int(match[1]), int(match[2])


def _finite(table: Table) -> Iterator[tuple[str, str]]:
    """The columns of floating numbers, alone or in lists, and what holds of those that are finite
    (NaN is DuckDB's largest number)."""
    for field in table.schema:
        name, kind = field.name, field.type
        if pa.types.is_floating(kind):
            yield name, f"isfinite({name})"
        listed = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
        if listed and pa.types.is_floating(kind.value_type):
            values = f"{name}::DOUBLE[]"
            yield name, f"isfinite(list_min({values})) AND isfinite(list_max({values}))"


def _disorder(table: Table) -> str:
    """Counts rows that come before their predecessor; compares column by column."""
    before, equal = [], "TRUE"
    for name in table.sort:
        column, sign = name.removeprefix("-"), ">" if name.startswith("-") else "<"
        previous = f"lag({column}) OVER (ORDER BY file_row_number)"
        before.append(f"({equal} AND {column} {sign} {previous})")
        equal += f" AND {column} = {previous}"
    return f"SELECT count(*) FROM (SELECT {' OR '.join(before)} AS bad FROM {table.name}) WHERE bad"


def _database_faults(bundle: opening.Bundle, present: list[Table]) -> Iterator[str]:
    if not bundle.database.is_file():
        yield f"{opening.DATABASE} is missing"
        return
    try:
        with duckdb.connect(str(bundle.database), read_only=True) as connection:
            names = database.tables(connection)
            for table in present:
                if table.name not in database.NOT_INDEXED:
                    yield from _index_faults(table, bundle, connection, names)
            for name in database.DERIVED:
                yield from _derived_faults(name, connection, names)
    except Exception as error:
        yield f"{opening.DATABASE} cannot be read ({first_line(error)})"


def _index_faults(
    table: Table, bundle: opening.Bundle, connection: duckdb.DuckDBPyConnection, names: set[str]
) -> Iterator[str]:
    """Reads all of an indexed table and all of its Parquet file, and compares them."""
    if table.name not in names:
        yield f"{opening.DATABASE}: the table {table.name} is missing"
        return
    if wrong := list(_unreadable(table.name, connection)):
        yield from wrong
        return
    rows = pq.read_metadata(bundle.table(table.name)).num_rows
    indexed = _count(connection, f"SELECT count(*) FROM {table.name}")
    if rows != indexed:
        yield f"{opening.DATABASE}: {table.name} has {indexed} rows, its Parquet file {rows}"
        return
    source = str(bundle.table(table.name)).replace("'", "''")
    try:
        parquet = _count(connection, _DIGEST.format(source=f"read_parquet('{source}')"))
    except Exception as error:
        yield f"{table.name}: {table.file} cannot be read ({first_line(error)})"
        return
    if parquet != _count(connection, _DIGEST.format(source=table.name)):
        yield f"{opening.DATABASE}: {table.name} differs from its Parquet file"


def _derived_faults(
    name: str, connection: duckdb.DuckDBPyConnection, names: set[str]
) -> Iterator[str]:
    """A table made of others: there, with as many rows as these lead to, and readable."""
    if name not in names:
        yield f"{opening.DATABASE}: the table {name} is missing"
        return
    try:
        wanted = _count(connection, database.DERIVED[name])
        there = _count(connection, f"SELECT count(*) FROM {name}")
    except Exception as error:  # one that it is made of is missing
        yield f"{opening.DATABASE}: {name} cannot be checked ({first_line(error)})"
        return
    if wanted != there:
        yield f"{opening.DATABASE}: {name} has {there} rows, not {wanted}"
    yield from _unreadable(name, connection)


def _unreadable(name: str, connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    try:
        _count(connection, _DIGEST.format(source=name))
    except Exception as error:
        yield f"{opening.DATABASE}: {name} cannot be read ({first_line(error)})"


def _sae_faults(bundle: opening.Bundle) -> Iterator[str]:
    rows = bundle.read(DICTIONARIES.name).to_pylist()
    for row in rows:
        if row["basis"] != "sae":
            continue
        of = f"{opening.SAES}/{row['dictionary_id']}"
        folder = bundle.sae(row["dictionary_id"])
        files = ("cfg.json", "sae_weights.safetensors")
        lost = [name for name in files if not (folder / name).is_file()]
        yield from (f"{of}/{name} is missing" for name in lost)
        if not lost:
            yield from (f"{of}/{wrong}" for wrong in _weights_faults(bundle, folder, row))


def _weights_faults(bundle: opening.Bundle, folder: Path, row: dict[str, Any]) -> Iterator[str]:
    name = "sae_weights.safetensors"
    try:
        with safe_open(folder / name, framework="np") as opened:
            opened.keys()
    except Exception as error:
        yield f"{name} is damaged ({first_line(error)})"
        return
    made_by = bundle.made_by(row["model"])
    if bundle.files is not None or made_by is None:
        return  # all bytes have been compared, or nothing tells what they were
    from pipeline.saes.sae import SAE  # it imports torch, which takes seconds

    try:
        same = SAE.load(folder).fingerprint(row["hook"], made_by) == row["fingerprint"]
    except Exception as error:
        yield f"cfg.json or {name} is damaged ({first_line(error)})"
        return
    if not same:
        yield f"{name} holds other weights than its fingerprint in dictionaries"


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
