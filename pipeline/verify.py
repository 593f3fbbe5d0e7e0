"""Checks a bundle against the contract: columns, keys, order, references, DuckDB file, SAEs."""

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from pipeline import contract, database, store
from pipeline.contract import Table

_ROUNDING = 1e-6
_DIGEST = "SELECT coalesce(sum(hash(t) % 4294967296), 0) FROM {source} AS t"
"""Reads everything; tables that differ share this number once in some 2**32 cases. Order is checked
on the Parquet file alone."""


def faults(path: Path) -> Iterator[str]:
    """What is wrong with the bundle at `path`, a line each; nothing for a sound one.

    Raises:
        StoreError: there is no bundle, or it is of another major version.
    """
    bundle = store.open_bundle(path)
    present = []
    for table in contract.TABLES.values():
        if not bundle.table(table.name).is_file():
            yield f"{table.name}: the file {table.file} is missing"
            continue
        wrong = list(_schema_faults(table, bundle.table(table.name)))
        yield from wrong
        if not wrong:
            present.append(table)
    with duckdb.connect() as connection:
        for table in present:
            source = str(bundle.table(table.name)).replace("'", "''")
            connection.execute(
                f"CREATE VIEW {table.name} AS FROM read_parquet('{source}', file_row_number = true)"
            )
        for table in present:
            try:
                yield from _row_faults(table, connection, {t.name for t in present})
            except duckdb.Error as error:
                yield f"{table.name}: cannot be read ({_first_line(error)})"
        if contract.DICTIONARIES in present:
            yield from _sae_faults(bundle, connection)
    yield from _database_faults(bundle, present)


def _schema_faults(table: Table, file: Path) -> Iterator[str]:
    try:
        schema = pq.read_schema(file)
    except (pa.ArrowInvalid, OSError) as error:
        yield f"{table.name}: {file.name} cannot be read ({_first_line(error)})"
        return
    for field in table.schema:
        if field.name not in schema.names:
            if not field.nullable:
                yield f"{table.name}.{field.name}: the column is missing"
        elif schema.field(field.name).type != field.type:
            found = schema.field(field.name).type
            yield f"{table.name}.{field.name}: is {found}, should be {field.type}"


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
    for name in _activations(table):
        if count := _count(
            connection, f"SELECT count(*) FROM {table.name} WHERE NOT isfinite({name})"
        ):
            yield f"{table.name}.{name}: {count} values are no numbers"
    twice = f"SELECT count(*) FROM (SELECT 1 FROM {table.name} GROUP BY {key} HAVING count(*) > 1)"
    if count := _count(connection, twice):
        yield f"{table.name}: {count} keys ({key}) occur more than once"
    if count := _count(connection, _disorder(table)):
        yield f"{table.name}: {count} rows out of order ({', '.join(table.sort)})"
    for columns, target in table.references:
        if target not in present:
            continue
        to = contract.TABLES[target].key
        on = " AND ".join(f"a.{a} = b.{b}" for a, b in zip(columns, to, strict=True))
        lost = f"SELECT count(*) FROM {table.name} a ANTI JOIN {target} b ON {on}"
        if count := _count(connection, lost):
            yield f"{table.name}: {count} rows whose ({', '.join(columns)}) is not in {target}"


def _ranges(table: Table) -> Iterator[tuple[str, int, int]]:
    """The columns whose unit in the contract is a range, as `-1 to 1`."""
    for field in table.schema:
        if match := re.fullmatch(r"(-?\d+) to (-?\d+)", field.metadata[b"unit"].decode()):
            yield field.name, int(match[1]), int(match[2])


def _activations(table: Table) -> Iterator[str]:
    """The columns that hold an activation."""
    for field in table.schema:
        if field.metadata[b"unit"] == b"activation" and pa.types.is_floating(field.type):
            yield field.name


def _disorder(table: Table) -> str:
    """Counts rows that come before their predecessor; compares column by column."""
    before, equal = [], "TRUE"
    for name in table.sort:
        column, sign = name.removeprefix("-"), ">" if name.startswith("-") else "<"
        previous = f"lag({column}) OVER (ORDER BY file_row_number)"
        before.append(f"({equal} AND {column} {sign} {previous})")
        equal += f" AND {column} = {previous}"
    return f"SELECT count(*) FROM (SELECT {' OR '.join(before)} AS bad FROM {table.name}) WHERE bad"


def _database_faults(bundle: store.Bundle, present: list[Table]) -> Iterator[str]:
    if not bundle.database.is_file():
        yield f"{store.DATABASE} is missing"
        return
    try:
        opened = duckdb.connect(str(bundle.database), read_only=True)
    except duckdb.Error as error:
        yield f"{store.DATABASE} cannot be read ({_first_line(error)})"
        return
    with opened as connection:
        names = {row[0] for row in connection.execute("SHOW TABLES").fetchall()}
        for table in present:
            if table.name in database.NOT_INDEXED:
                continue
            if table.name not in names:
                yield f"{store.DATABASE}: the table {table.name} is missing"
                continue
            yield from _index_faults(table, bundle, connection)
        if "cards" not in names:
            yield f"{store.DATABASE}: the table cards is missing"
        else:
            yield from _unreadable("cards", connection)


def _index_faults(
    table: Table, bundle: store.Bundle, connection: duckdb.DuckDBPyConnection
) -> Iterator[str]:
    """Reads all of an indexed table and all of its Parquet file, and compares them."""
    if wrong := list(_unreadable(table.name, connection)):
        yield from wrong
        return
    rows = pq.read_metadata(bundle.table(table.name)).num_rows
    indexed = _count(connection, f"SELECT count(*) FROM {table.name}")
    if rows != indexed:
        yield f"{store.DATABASE}: {table.name} has {indexed} rows, its Parquet file {rows}"
        return
    source = str(bundle.table(table.name)).replace("'", "''")
    parquet = _count(connection, _DIGEST.format(source=f"read_parquet('{source}')"))
    if parquet != _count(connection, _DIGEST.format(source=table.name)):
        yield f"{store.DATABASE}: {table.name} differs from its Parquet file"


def _unreadable(name: str, connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    try:
        _count(connection, _DIGEST.format(source=name))
    except duckdb.Error as error:
        yield f"{store.DATABASE}: {name} cannot be read ({_first_line(error)})"


def _sae_faults(bundle: store.Bundle, connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    query = "SELECT dictionary_id FROM dictionaries WHERE basis = 'sae'"
    for (dictionary_id,) in connection.execute(query).fetchall():
        for name in ("cfg.json", "sae_weights.safetensors"):
            path = bundle.sae(dictionary_id) / name
            if not path.is_file():
                yield f"{store.SAES}/{dictionary_id}/{name} is missing"
            elif name.endswith(".safetensors"):
                try:
                    with safe_open(path, framework="np") as opened:
                        opened.keys()
                except SafetensorError as error:
                    yield f"{store.SAES}/{dictionary_id}/{name} is damaged ({error})"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
