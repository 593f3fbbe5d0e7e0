"""What people say as one JSON file, out and in.

    {"format": "loupe annotations", "version": 1,
     "stars":  [{"fingerprint", "feature_id", "dictionary_id", "author", "created"}],
     "notes":  [{... as of a star, "text", "changed"}],
     "labels": [{... as of a note}],
     "lists":  [{"uuid", "name", "author", "note", "created", "changed",
                 "items": [{"fingerprint", "feature_id", "dictionary_id", "added"}]}]}

Times are ISO 8601 with a zone. `fingerprint` and `feature_id` say which feature is meant;
`dictionary_id` is what its dictionary was called. Items stand in the list's order.

An import adds what is not there and takes nothing away. Of a note, label or list that is there too,
the later text holds. Features that a known list does not hold go to its end, so that one taken out
since the export is there again. Importing a file twice changes nothing.

A file is no proof of who said what. Where people are known by a login, an import writes as the one
who imports (`as_if_said_by`), and nothing that somebody else wrote here changes.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection, Select, Table, and_, select, tuple_, update

from pipeline.annotations.base import Base, chunks, insert_new
from pipeline.annotations.features import write_remarks
from pipeline.annotations.lists import append, hold, items_in, no_list
from pipeline.annotations.records import (
    MOST_FEATURE,
    MOST_ID,
    MOST_ITEMS,
    MOST_NAME,
    MOST_NOTE,
    AnnotationsError,
    FeatureKey,
    Imported,
    checked,
)
from pipeline.annotations.schema import ITEMS, LABELS, LISTS, NOTES, STARS


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time beyond the calendar") from error


_Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


def _text(what: str, most: int, *, blank: bool = False) -> Any:
    def check(text: str) -> str:
        try:
            return checked(text, what, most, blank=blank)
        except AnnotationsError as error:
            raise ValueError(str(error)) from error

    return Annotated[str, AfterValidator(check)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class _Feature(_Part):
    fingerprint: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,64}$")]
    feature_id: Annotated[int, Field(ge=0, le=MOST_FEATURE, strict=True)]
    dictionary_id: _text("dictionary_id", MOST_ID)  # type: ignore[valid-type]


class _Star(_Feature):
    author: _text("author", MOST_NAME)  # type: ignore[valid-type]
    created: _Moment


class _Note(_Star):
    text: _text("text", MOST_NOTE)  # type: ignore[valid-type]
    changed: _Moment


class _Label(_Star):
    text: _text("text", MOST_NAME)  # type: ignore[valid-type]
    changed: _Moment


_Remark = TypeVar("_Remark", _Note, _Label)


class _Item(_Feature):
    added: _Moment


class _List(_Part):
    uuid: UUID
    name: _text("name", MOST_NAME)  # type: ignore[valid-type]
    author: _text("author", MOST_NAME)  # type: ignore[valid-type]
    note: _text("note", MOST_NOTE, blank=True)  # type: ignore[valid-type]
    created: _Moment
    changed: _Moment
    items: list[_Item] = Field(max_length=MOST_ITEMS)


class _File(_Part):
    format: Literal["loupe annotations"] = "loupe annotations"
    version: Literal[1] = 1
    stars: list[_Star] = []
    notes: list[_Note] = []
    labels: list[_Label] = []
    lists: list[_List] = []


class Exchange(Base):
    """Export and import."""

    def export(self, uuid: str | None = None) -> str:
        """Everything as JSON, or one list with the notes on its features and their labels.

        Unlike other reads it is not bounded: an export that leaves something out is none.

        Raises:
            AnnotationsError: there is no such list, or the database cannot be read.
        """
        with self.reading() as connection:
            made = _everything(connection) if uuid is None else _one_list(connection, uuid)
        return made.model_dump_json(indent=1)

    def bring_in(
        self, file: str | bytes, *, author: str | None = None, alone: bool = False
    ) -> Imported:
        """Add what an exported file holds and this database does not; all of it or nothing.

        Args:
            author: who imports; None where nobody asks whose anything is.
            alone: whether the import writes as `author` alone (see `as_if_said_by`).

        Returns:
            How many of each were new.

        Raises:
            AnnotationsError: no such file, and where in it; or the database cannot be written.
        """
        read = _read(file)
        others = _others(read, author)
        taken = _File()
        if author is not None and alone:
            read, taken = as_if_said_by(read, author)
        with self.writing() as connection:
            stars = insert_new(connection, STARS, [one.model_dump() for one in read.stars])
            notes, later_notes = _remarks(connection, NOTES, read.notes)
            labels, later_labels = _remarks(connection, LABELS, read.labels)
            notes += insert_new(connection, NOTES, [one.model_dump() for one in taken.notes])
            labels += insert_new(connection, LABELS, [one.model_dump() for one in taken.labels])
            lists = items = updated = 0
            for one in sorted(read.lists, key=lambda one: one.uuid):
                new, later, gained = _list(connection, one, only=author if alone else None)
                lists, updated, items = lists + new, updated + later, items + gained
        return Imported(
            stars, notes, labels, lists, items, later_notes + later_labels + updated, others
        )  # fmt: skip


def _read(file: str | bytes) -> _File:
    try:
        return _File.model_validate_json(file)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        about = " ".join(str(first["msg"]).split())[:200]
        raise AnnotationsError(
            f"not what Lists exports, version 1 ({place}: {about}); "
            "choose a JSON file from Export, and update Loupe if a newer one wrote it"
        ) from error


def _others(read: _File, author: str | None) -> int:
    """How many stars, notes, labels and lists the file says are of anybody but `author`."""
    every: list[_Star | _List] = [*read.stars, *read.notes, *read.labels, *read.lists]
    return 0 if author is None else sum(one.author != author for one in every)


def as_if_said_by(read: _File, author: str) -> tuple[_File, _File]:
    """The file as `author` may bring it in who can write under no other name.

    Returns:
        What it holds of the author's own, with all lists, which become the author's; and of the
        features of which somebody else says something, the latest note and label, to become the
        author's where the author has none there: a note with who is said to have written it. Stars
        of others are in neither.
    """
    own = read.model_copy(
        update={
            "stars": [one for one in read.stars if one.author == author],
            "notes": [one for one in read.notes if one.author == author],
            "labels": [one for one in read.labels if one.author == author],
            "lists": [one.model_copy(update={"author": author}) for one in read.lists],
        }
    )
    notes = [
        one.model_copy(update={"author": author, "text": _said(one)})
        for one in _latest([one for one in read.notes if one.author != author])
    ]
    labels = [
        one.model_copy(update={"author": author})
        for one in _latest([one for one in read.labels if one.author != author])
    ]
    return own, _File(notes=notes, labels=labels)


def _latest(remarks: list[_Remark]) -> list[_Remark]:
    """Of each feature the remark that was changed last."""
    ordered = sorted(remarks, key=lambda one: one.changed)
    return list({(one.fingerprint, one.feature_id): one for one in ordered}.values())


def _said(one: _Note) -> str:
    text = f"{one.author}: {one.text}"
    return text if len(text) <= MOST_NOTE else one.text


def _everything(connection: Connection) -> _File:
    lists = connection.execute(select(LISTS).order_by(LISTS.c.created, LISTS.c.uuid)).all()
    return _File(
        stars=[_Star.model_validate(row) for row in _all(connection, STARS)],
        notes=[_Note.model_validate(row) for row in _all(connection, NOTES)],
        labels=[_Label.model_validate(row) for row in _all(connection, LABELS)],
        lists=[_whole(connection, row) for row in lists],
    )


def _one_list(connection: Connection, uuid: str) -> _File:
    row = connection.execute(select(LISTS).where(LISTS.c.uuid == uuid)).first()
    if row is None:
        raise no_list(uuid)
    return _File(
        notes=[_Note.model_validate(row) for row in _all(connection, NOTES, uuid)],
        labels=[_Label.model_validate(row) for row in _all(connection, LABELS, uuid)],
        lists=[_whole(connection, row)],
    )


def _all(connection: Connection, table: Table, uuid: str | None = None) -> Iterator[Any]:
    """The rows of a table in the order of its key; with `uuid`, of the features of that list."""
    query: Select[Any] = select(table).order_by(*table.primary_key)
    if uuid is not None:
        held = and_(
            ITEMS.c.list == uuid,
            ITEMS.c.fingerprint == table.c.fingerprint,
            ITEMS.c.feature_id == table.c.feature_id,
        )
        query = query.join(ITEMS, held)
    yield from connection.execute(query)


def _whole(connection: Connection, row: Any) -> _List:
    items = [
        _Item(
            fingerprint=item.key.fingerprint, feature_id=item.key.feature_id,
            dictionary_id=item.dictionary_id, added=item.added,
        )
        for item in items_in(connection, row.uuid)
    ]  # fmt: skip
    return _List(
        uuid=row.uuid, name=row.name, author=row.author, note=row.note, created=row.created,
        changed=row.changed, items=items,
    )  # fmt: skip


def _remarks(
    connection: Connection, table: Table, remarks: list[_Note] | list[_Label]
) -> tuple[int, int]:
    """Bring notes or labels in: how many were new, and how many were later than what was there."""
    new = later = 0
    names = [column.name for column in table.primary_key]
    rows = [one.model_dump() for one in remarks]
    for part in chunks(sorted(rows, key=lambda row: [row[name] for name in names])):
        known, kept = _changed(connection, table, part), []
        for row in part:
            key = tuple(row[name] for name in names)
            before = known.get(key)
            if before is None or before < row["changed"]:
                kept.append(row)
                new, later = new + (before is None), later + (before is not None)
                known[key] = row["changed"]
        write_remarks(connection, table, kept)
    return new, later


def _changed(connection: Connection, table: Table, rows: Any) -> dict[tuple[Any, ...], Any]:
    """When those rows that are there were last changed, by key."""
    key = list(table.primary_key)
    same = tuple_(*key).in_([tuple(row[column.name] for column in key) for row in rows])
    found = connection.execute(select(*key, table.c.changed).where(same))
    return {tuple(row[:-1]): row.changed for row in found}


def _list(connection: Connection, one: _List, *, only: str | None) -> tuple[bool, bool, int]:
    """Bring a list in: whether it was new, whether it was later, and how many items it gained.

    Args:
        only: whose list's name and note may change; None for anybody's.
    """
    row = one.model_dump(exclude={"items"}) | {"uuid": str(one.uuid)}
    new = bool(insert_new(connection, LISTS, [row]))
    hold(connection, row["uuid"])
    values = {name: row[name] for name in ("name", "note", "changed")}
    there = and_(LISTS.c.uuid == row["uuid"], LISTS.c.changed < row["changed"])
    if only is not None:
        there &= LISTS.c.author == only
    later = bool(connection.execute(update(LISTS).where(there).values(values)).rowcount)
    items = [
        (FeatureKey(item.fingerprint, item.feature_id), item.dictionary_id, item.added)
        for item in one.items
    ]
    return new, later, append(connection, row["uuid"], items)
