"""What every part of the store is made with: transactions, and writes that meet what is there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError, StatementError

from pipeline.annotations.opening import WRITING, open_engine, refused
from pipeline.annotations.records import AnnotationsError, FeatureKey, Unreachable

MOST_READ = 10_000
"""Rows that a read gives at most."""
T = TypeVar("T")
_AT_ONCE = 500
"""Rows or keys of one statement; SQLite takes a bounded number of parameters."""
_NO_VALUE = (
    "what was given holds characters that are no text (NUL), or a number or time that is too "
    "large; take them out"
)


class Base:
    """An open database of what people say. Threads and processes may share it."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._engine = self._reader = open_engine(place)
        self._writer = self._engine.execution_options(**{WRITING: True})
        if self._engine.dialect.name == "postgresql":
            self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ")

    def close(self) -> None:
        """Close its connections; a later call opens new ones."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database.

        Raises:
            Unreachable: the database cannot be read.
            AnnotationsError: what was asked is no text or number of a database.
        """
        with self._told(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection whose writes are kept when the block ends, all or none.

        Raises:
            Unreachable: the database cannot be written.
            AnnotationsError: what was to be written is no text or number of a database.
        """
        with self._told(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (DataError, UnicodeEncodeError, OverflowError) as error:
            raise AnnotationsError(_NO_VALUE) from error
        except SQLAlchemyError as error:
            # Of the driver, or what kept a value from reaching it.
            if isinstance(error, StatementError) and not isinstance(error, DBAPIError):
                raise AnnotationsError(_NO_VALUE) from error
            raise Unreachable(refused(self.place, error)) from error


def insert(connection: Connection, table: Table) -> Any:
    """INSERT with `on_conflict_do_...`, which both databases have and write in the same way."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    return dialect.insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert those rows whose key is not there; how many they were.

    In the order of their keys, so that two who write the same rows never wait for each other.
    """
    names = [column.name for column in table.primary_key]
    ordered = sorted(rows, key=lambda row: [row[name] for name in names])
    new = 0
    for part in chunks(ordered):
        first = next(iter(table.primary_key))
        made = insert(connection, table).values(part).on_conflict_do_nothing().returning(first)
        new += len(connection.execute(made).all())
    return new


def among(
    connection: Connection, table: Table, query: Select[Any], keys: Sequence[FeatureKey]
) -> list[Row[Any]]:
    """The rows of `query` on `table` that are of these features, MOST_READ at most."""
    found: list[Row[Any]] = []
    by_print: dict[str, list[int]] = {}
    for key in dict.fromkeys(keys):
        by_print.setdefault(key.fingerprint, []).append(key.feature_id)
    for fingerprint, ids in by_print.items():
        for part in chunks(ids):
            wanted = query.where(table.c.fingerprint == fingerprint, table.c.feature_id.in_(part))
            found += connection.execute(wanted.limit(MOST_READ - len(found))).all()
    return found


def chunks(every: Sequence[T]) -> Iterator[Sequence[T]]:
    """`every`, a bounded number at a time."""
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]


def key_of(row: Any) -> FeatureKey:
    """The feature that a row is of."""
    return FeatureKey(row.fingerprint, row.feature_id)
