"""The tables as they are now. `migrations/` makes them; a test holds the two equal.

Keys begin with the feature, so that what is said of a feature is read by the key.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
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

STUDIES = Table(
    "studies",
    METADATA,
    Column("study", Text, primary_key=True),
    Column("content", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("created", Moment, nullable=False),
)

STUDY_ITEMS = Table(
    "study_items",
    METADATA,
    Column("study", Text, ForeignKey("studies.study", ondelete="CASCADE"), primary_key=True),
    Column("item", Integer, primary_key=True, autoincrement=False),
    Column("wanted", Integer, nullable=False),
)

ANNOTATORS = Table(
    "annotators",
    METADATA,
    Column("study", Text, ForeignKey("studies.study", ondelete="CASCADE"), primary_key=True),
    Column("annotator", Text, primary_key=True),
    Column("token", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("consented", Moment),
)

TRIALS = Table(
    "trials",
    METADATA,
    Column("study", Text, primary_key=True),
    Column("annotator", Text, primary_key=True),
    Column("trial", Integer, primary_key=True, autoincrement=False),
    Column("item", Integer, nullable=False),
    Column("role", Text, nullable=False),
    Column("swapped", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("issued", Moment, nullable=False),
    ForeignKeyConstraint(
        ["study", "annotator"],
        ["annotators.study", "annotators.annotator"],
        ondelete="CASCADE",
    ),
    Index("trials_of_item", "study", "item"),
)

VOTES = Table(
    "votes",
    METADATA,
    Column("study", Text, primary_key=True),
    Column("annotator", Text, primary_key=True),
    Column("trial", Integer, primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("answer", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("response_ms", Integer),
    Column("created", Moment, nullable=False),
    Column("elsewhere", Boolean, nullable=False, server_default=false()),
    ForeignKeyConstraint(
        ["study", "annotator", "trial"],
        ["trials.study", "trials.annotator", "trials.trial"],
        ondelete="CASCADE",
    ),
    UniqueConstraint("study", "annotator", "trial", "request", name="votes_once"),
)
