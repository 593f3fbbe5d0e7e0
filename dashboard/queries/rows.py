"""What every query is made with."""

from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

import duckdb

from pipeline.contract.tables import TOP_K

Connection = duckdb.DuckDBPyConnection
T = TypeVar("T")

MOST_ROWS = 200
MOST_TABLED = 100_000
"""Features in a table that is taken along."""
CARD = (
    'dictionary_id, feature_id, "group", n_active, density, max, mean, ms, ms_percentile, '
    "label, label_score"
)
"""Columns of a feature card that every bundle has, without its images."""
SIDES = ("modality_score", "pair_correlation")
"""More of them, which bundles before contract 1.3 lack."""
STEERED = ("steering_score", "steers")
"""The same, before 1.4."""


def records(connection: Connection, kind: type[T], sql: str, values: Sequence[Any] = ()) -> list[T]:
    """The rows as records of `kind`; columns that it does not have are left out, and what an older
    bundle lacks is as the record's default says."""
    cursor = connection.cursor().execute(sql, list(values))
    names = [column[0] for column in cursor.description or ()]
    wanted = [(f.name, names.index(f.name)) for f in fields(kind) if f.name in names]  # type: ignore[arg-type]
    return [kind(**{name: row[at] for name, at in wanted}) for row in cursor.fetchall()]


def has(connection: Connection, table: str, column: str | None = None) -> bool:
    """Whether the bundle has this table, or this column of it, which older ones lack."""
    found = _columns(connection).get(table)
    return found is not None and (column is None or column in found)


def judged_by_itself(connection: Connection, encoder: str) -> str:
    """Whether the encoder named by this column is the model under study, as SQL."""
    if not has(connection, "encoders", "judges_itself"):
        return "NULL::BOOLEAN"
    return f"(SELECT any_value(judges_itself) FROM encoders WHERE encoder = {encoder})"


def card_fields(connection: Connection) -> str:
    """Columns of a feature card without its images, in the order of `Card`."""
    later = (*SIDES, *STEERED)
    known = [name if has(connection, "features", name) else f"NULL AS {name}" for name in later]
    return ", ".join([CARD, *known])


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
