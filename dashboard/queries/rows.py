"""What every query is made with."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

import duckdb

from dashboard.records import columns
from dashboard.records.features import Card
from pipeline.contract.tables import TOP_K

Connection = duckdb.DuckDBPyConnection
T = TypeVar("T")

MOST_ROWS = 200
MOST_TABLED = 100_000
"""Features in a table that is taken along."""


def records(connection: Connection, kind: type[T], sql: str, values: Sequence[Any] = ()) -> list[T]:
    """The rows as records of `kind`; columns that it does not have are left out, and what an older
    bundle lacks is as the record's default says."""
    cursor = connection.cursor().execute(sql, list(values))
    names = [column[0] for column in cursor.description or ()]
    wanted = [(name, names.index(name)) for name in names_of(kind) if name in names]
    return [kind(**{name: row[at] for name, at in wanted}) for row in cursor.fetchall()]


def dicts(connection: Connection, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows by the names of their columns."""
    cursor = connection.cursor().execute(sql, list(values))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def names_of(kind: type) -> list[str]:
    """The columns that a record of this kind is made from, which are its fields."""
    return [f.name for f in fields(kind)]


def record(kind: type[T], row: Mapping[str, Any]) -> T:
    """A row as a record of `kind`; columns that it does not have are left out."""
    return kind(**{name: row[name] for name in names_of(kind) if name in row})


def card_of(row: Mapping[str, Any]) -> Card:
    """A row as a card: the columns of `features` that it has no field for are in `more`."""
    own = set(names_of(Card))
    more = {c.name: row[c.name] for c in columns.COLUMNS if c.name in row.keys() - own}
    return record(Card, dict(row) | {"more": more})


def has(connection: Connection, table: str, column: str | None = None) -> bool:
    """Whether the bundle has this table, or this column of it, which older ones lack."""
    found = _columns(connection).get(table)
    return found is not None and (column is None or column in found)


def judged_by_itself(connection: Connection, encoder: str) -> str:
    """Whether the encoder named by this column is the model under study, as SQL."""
    if not has(connection, "encoders", "judges_itself"):
        return "NULL::BOOLEAN"
    return f"(SELECT any_value(judges_itself) FROM encoders WHERE encoder = {encoder})"


def holds(connection: Connection, column: columns.Column) -> bool:
    """Whether the bundle has this column of features, which older ones may lack."""
    return column.since == columns.FIRST or has(connection, "features", column.name)


def card_fields(connection: Connection) -> str:
    """Columns of a feature card without its images."""
    return ", ".join(
        f'"{c.name}"' if holds(connection, c) else f'NULL AS "{c.name}"' for c in columns.COLUMNS
    )


def card_columns(connection: Connection) -> str:
    """Columns of a feature card with its first images, of which a parameter says how many."""
    # Beside the patches of `top` the ids alone take many times as long to read.
    ids = "examples" if has(connection, "cards", "examples") else "[t.example_id FOR t IN top]"
    return f"{card_fields(connection)}, coalesce({ids}, [])[1:?] AS examples"


@lru_cache(maxsize=8)
def _columns(connection: Connection) -> dict[str, set[str]]:
    """Every table's columns; a connection's bundle does not change."""
    found: dict[str, set[str]] = {}
    sql = "SELECT table_name, column_name FROM duckdb_columns()"
    for table, column in connection.cursor().execute(sql).fetchall():
        found.setdefault(table, set()).add(column)
    return found


def among(connection: Connection, sql: str, example_ids: Sequence[int]) -> list[tuple[Any, ...]]:
    ids = list(example_ids)[: MOST_ROWS * TOP_K]
    if not ids:
        return []
    where = "WHERE example_id IN (SELECT unnest(?::BIGINT[]))"
    return connection.cursor().execute(f"{sql} {where}", [ids]).fetchall()
