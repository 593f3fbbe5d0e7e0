"""What every query is made with."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import duckdb

Connection = duckdb.DuckDBPyConnection
T = TypeVar("T")

MOST_ROWS = 200
MOST_TABLED = 100_000
"""Features in a table that is taken along."""
CARD = (
    'dictionary_id, feature_id, "group", n_active, density, max, mean, ms, ms_percentile, '
    "label, label_score"
)
"""Columns of a feature card, without its images."""


def records(connection: Connection, kind: type[T], sql: str, values: Sequence[Any] = ()) -> list[T]:
    """The rows as records of `kind`; columns that it does not have are left out, and what an older
    bundle lacks is as the record's default says."""
    cursor = connection.cursor().execute(sql, list(values))
    names = [column[0] for column in cursor.description or ()]
    wanted = [(f.name, names.index(f.name)) for f in fields(kind) if f.name in names]  # type: ignore[arg-type]
    return [kind(**{name: row[at] for name, at in wanted}) for row in cursor.fetchall()]


def has(connection: Connection, table: str) -> bool:
    """Whether the bundle has this table, which older ones lack."""
    sql = "SELECT count(*) FROM duckdb_tables() WHERE table_name = ?"
    return bool(connection.cursor().execute(sql, [table]).fetchall()[0][0])


def among(connection: Connection, sql: str, example_ids: Sequence[int]) -> list[tuple[Any, ...]]:
    ids = list(example_ids)[: MOST_ROWS * 16]
    if not ids:
        return []
    marks = ", ".join("?" * len(ids))
    return connection.cursor().execute(f"{sql} WHERE example_id IN ({marks})", ids).fetchall()
