"""The tables as they are now. `migrations/` makes them; a test holds the two equal.

Keys begin with the feature, so that what is said of a feature is read by the key.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)


class Moment(TypeDecorator[datetime]):
    """A time in UTC. SQLite keeps no zone: it is put back when the time is read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA = MetaData()


def _feature() -> list[Column[Any]]:
    return [
        Column("fingerprint", Text, primary_key=True),
        Column("feature_id", Integer, primary_key=True, autoincrement=False),
    ]


def _named() -> Column[str]:
    return Column("dictionary_id", Text, nullable=False)


def _remarks(name: str) -> Table:
    return Table(
        name,
        METADATA,
        *_feature(),
        Column("author", Text, primary_key=True),
        _named(),
        Column("text", Text, nullable=False),
        Column("created", Moment, nullable=False),
        Column("changed", Moment, nullable=False),
    )


STARS = Table(
    "stars",
    METADATA,
    *_feature(),
    Column("author", Text, primary_key=True),
    _named(),
    Column("created", Moment, nullable=False),
    Index("stars_of_author", "author", "created"),
)

NOTES = _remarks("notes")
LABELS = _remarks("labels")

LISTS = Table(
    "lists",
    METADATA,
    Column("uuid", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("changed", Moment, nullable=False),
)

ITEMS = Table(
    "list_items",
    METADATA,
    Column("list", Text, ForeignKey("lists.uuid", ondelete="CASCADE"), primary_key=True),
    *_feature(),
    _named(),
    Column("position", Integer, nullable=False),
    Column("added", Moment, nullable=False),
    Index("items_in_order", "list", "position"),
)
