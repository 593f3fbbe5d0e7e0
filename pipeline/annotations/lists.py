"""Named lists of features, each feature at its place."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, and_, bindparam, delete, func, select, update

from pipeline.annotations.base import Base, insert_new, key_of
from pipeline.annotations.records import (
    MOST_ID,
    MOST_ITEMS,
    MOST_NAME,
    MOST_NOTE,
    AnnotationsError,
    FeatureKey,
    FeatureList,
    Item,
    checked,
    now,
)
from pipeline.annotations.schema import ITEMS, LISTS

MOST_LISTS = 1000


class Lists(Base):
    """Named lists. Whoever can write the database may change any list."""

    def create_list(self, name: str, author: str, note: str = "") -> str:
        """Make an empty list; its uuid, by which it is known from then on.

        Raises:
            AnnotationsError: as of every method: refused text, no such list, or the database fails.
        """
        made, uuid = now(), str(uuid4())
        row = {
            "uuid": uuid, "name": checked(name, "name", MOST_NAME), "created": made,
            "author": checked(author, "author", MOST_NAME), "changed": made,
            "note": checked(note, "note", MOST_NOTE, blank=True),
        }  # fmt: skip
        with self.writing() as connection:
            (there,) = connection.execute(select(func.count()).select_from(LISTS)).one()
            if there >= MOST_LISTS:
                raise AnnotationsError(f"there are {there:,} lists; delete one first")
            insert_new(connection, LISTS, [row])
        return uuid

    def edit_list(self, uuid: str, *, name: str | None = None, note: str | None = None) -> None:
        """Write a list's name, its note, or both; None leaves it as it is."""
        values: dict[str, Any] = {"changed": now()}
        if name is not None:
            values["name"] = checked(name, "name", MOST_NAME)
        if note is not None:
            values["note"] = checked(note, "note", MOST_NOTE, blank=True)
        with self.writing() as connection:
            hold(connection, uuid)
            connection.execute(update(LISTS).where(LISTS.c.uuid == uuid).values(values))

    def delete_list(self, uuid: str) -> None:
        """Delete a list, if it is there; what is said of its features stays."""
        with self.writing() as connection:
            connection.execute(delete(LISTS).where(LISTS.c.uuid == uuid))

    def lists(self) -> list[FeatureList]:
        """Every list, by name; MOST_LISTS at most."""
        query = _with_counts().order_by(func.lower(LISTS.c.name), LISTS.c.created, LISTS.c.uuid)
        with self.reading() as connection:
            return [_list_of(row) for row in connection.execute(query.limit(MOST_LISTS))]

    def list_of(self, uuid: str) -> FeatureList | None:
        """The list of this uuid, or None where there is none."""
        if not uuid.isascii() or not uuid.isprintable():
            return None
        with self.reading() as connection:
            row = connection.execute(_with_counts().where(LISTS.c.uuid == uuid)).first()
        return None if row is None else _list_of(row)

    def items_of(self, uuid: str) -> list[Item]:
        """The features of a list in its order, MOST_ITEMS at most; none where there is no list."""
        with self.reading() as connection:
            return items_in(connection, uuid)

    def add(self, uuid: str, features: Sequence[tuple[FeatureKey, str]]) -> int:
        """Put features at the end of a list, those that it does not hold yet.

        Args:
            uuid: the list's.
            features: each with its dictionary's name.

        Returns:
            How many were new to the list.
        """
        with self.writing() as connection:
            hold(connection, uuid)
            return append(connection, uuid, [(*feature, now()) for feature in features])

    def remove(self, uuid: str, keys: Sequence[FeatureKey]) -> int:
        """Take features out of a list; how many of them it held."""
        with self.writing() as connection:
            hold(connection, uuid)
            return sum(
                connection.execute(delete(ITEMS).where(_IS), _bound(uuid, key)).rowcount
                for key in dict.fromkeys(keys)
            )

    def reorder(self, uuid: str, keys: Sequence[FeatureKey]) -> None:
        """Put these features first, in this order; the others follow in the order they had."""
        with self.writing() as connection:
            hold(connection, uuid)
            there = dict.fromkeys(item.key for item in items_in(connection, uuid))
            first = dict.fromkeys(key for key in keys if key in there)
            _place(connection, uuid, list(first | there))


def items_in(connection: Connection, uuid: str) -> list[Item]:
    """The features of a list in its order."""
    query = select(ITEMS).where(ITEMS.c.list == uuid)
    query = query.order_by(ITEMS.c.position, ITEMS.c.fingerprint, ITEMS.c.feature_id)
    rows = connection.execute(query.limit(MOST_ITEMS))
    return [Item(key_of(row), row.dictionary_id, row.added) for row in rows]


def append(
    connection: Connection, uuid: str, features: Sequence[tuple[FeatureKey, str, datetime]]
) -> int:
    """Put (feature, its dictionary's name, when it was added) at the end of a list that is held;
    how many were new to it."""
    there = items_in(connection, uuid)
    known = {item.key for item in there}
    new = {key: (name, at) for key, name, at in features if key not in known}
    if len(there) + len(new) > MOST_ITEMS:
        raise AnnotationsError(
            f"a list holds {MOST_ITEMS:,} features at most; start another one for the rest"
        )
    (last,) = connection.execute(
        select(func.coalesce(func.max(ITEMS.c.position), 0)).where(ITEMS.c.list == uuid)
    ).one()
    rows = [
        {
            "list": uuid, "fingerprint": key.fingerprint, "feature_id": key.feature_id,
            "dictionary_id": checked(name, "dictionary", MOST_ID), "position": last + place,
            "added": at,
        }
        for place, (key, (name, at)) in enumerate(new.items(), 1)
    ]  # fmt: skip
    return insert_new(connection, ITEMS, rows)


def no_list(uuid: str) -> AnnotationsError:
    """What to raise where a list is asked for that is not there."""
    return AnnotationsError(f"there is no list {uuid[:40]!r}: it may have been deleted")


def hold(connection: Connection, uuid: str) -> None:
    """Lock a list until the transaction ends, so that two changes of it never mix."""
    if connection.execute(
        select(LISTS.c.uuid).where(LISTS.c.uuid == uuid).with_for_update()
    ).first():
        return
    raise no_list(uuid)


def _place(connection: Connection, uuid: str, order: Sequence[FeatureKey]) -> None:
    if order:
        rows = [{"to": place, **_bound(uuid, key)} for place, key in enumerate(order, 1)]
        connection.execute(update(ITEMS).where(_IS).values(position=bindparam("to")), rows)


_IS = and_(
    ITEMS.c.list == bindparam("of"),
    ITEMS.c.fingerprint == bindparam("print"),
    ITEMS.c.feature_id == bindparam("id"),
)


def _bound(uuid: str, key: FeatureKey) -> dict[str, Any]:
    return {"of": uuid, "print": key.fingerprint, "id": key.feature_id}


def _with_counts() -> Any:
    held = select(func.count()).where(ITEMS.c.list == LISTS.c.uuid).scalar_subquery()
    return select(LISTS, held.label("held"))


def _list_of(row: Row[Any]) -> FeatureList:
    return FeatureList(
        row.uuid, row.name, row.author, row.note, row.created, row.changed, row.held
    )  # fmt: skip
