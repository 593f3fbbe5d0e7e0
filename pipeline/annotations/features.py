"""What is said of a feature: stars, notes, labels."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, func, select, union_all

from pipeline.annotations.base import MOST_READ, Base, among, insert, insert_new, key_of
from pipeline.annotations.records import (
    MOST_ID,
    MOST_NAME,
    MOST_NOTE,
    FeatureKey,
    Remark,
    Star,
    checked,
    now,
)
from pipeline.annotations.schema import LABELS, NOTES, STARS

MOST_KEYS = 100_000
"""Features that `annotated` names at most."""
_MOST_TEXT = {NOTES.name: ("note", MOST_NOTE), LABELS.name: ("label", MOST_NAME)}


class Features(Base):
    """Stars, notes and labels. An author has one of each on a feature; writing again edits it."""

    def star(self, author: str, key: FeatureKey, dictionary_id: str) -> None:
        """Star a feature; its dictionary's present name is kept with the star.

        Raises:
            AnnotationsError: as of every method: refused text, or the database fails.
        """
        row = said(author, key, dictionary_id) | {"created": now()}
        with self.writing() as connection:
            insert_new(connection, STARS, [row])

    def unstar(self, author: str, key: FeatureKey) -> None:
        """Take the author's star away, if there is one."""
        with self.writing() as connection:
            _remove(connection, STARS, author, key)

    def stars(
        self, author: str | None = None, fingerprints: Collection[str] | None = None
    ) -> list[Star]:
        """The stars, the newest first, at most MOST_READ.

        Args:
            author: whose; None for everybody's.
            fingerprints: on features of these dictionaries; None for all.
        """
        query = select(STARS).order_by(STARS.c.created.desc(), STARS.c.fingerprint)
        if author is not None:
            query = query.where(STARS.c.author == author)
        if fingerprints is not None:
            query = query.where(STARS.c.fingerprint.in_(fingerprints))
        with self.reading() as connection:
            rows = connection.execute(query.order_by(STARS.c.feature_id).limit(MOST_READ)).all()
        return [Star(key_of(r), r.dictionary_id, r.author, r.created) for r in rows]

    def starred(self, author: str, fingerprints: Collection[str]) -> set[FeatureKey]:
        """The features of these dictionaries that the author has starred, MOST_KEYS at most."""
        query = select(STARS.c.fingerprint, STARS.c.feature_id).where(
            STARS.c.author == author, STARS.c.fingerprint.in_(fingerprints)
        )
        with self.reading() as connection:
            return {key_of(row) for row in connection.execute(query.limit(MOST_KEYS))}

    def write_note(self, author: str, key: FeatureKey, dictionary_id: str, text: str) -> None:
        """Write the author's note on a feature, up to MOST_NOTE characters; blank removes it."""
        self._write(NOTES, author, key, dictionary_id, text)

    def write_label(self, author: str, key: FeatureKey, dictionary_id: str, text: str) -> None:
        """Write the author's label of a feature, up to MOST_NAME characters; blank removes it."""
        self._write(LABELS, author, key, dictionary_id, text)

    def notes_of(self, key: FeatureKey) -> list[Remark]:
        """Everybody's notes on a feature, the oldest first."""
        return self.notes_of_many([key]).get(key, [])

    def labels_of(self, key: FeatureKey) -> list[Remark]:
        """The labels that people give a feature, the oldest first."""
        return self.labels_of_many([key]).get(key, [])

    def notes_of_many(self, keys: Sequence[FeatureKey]) -> dict[FeatureKey, list[Remark]]:
        """The notes on those of these features that have any."""
        return self._remarks(NOTES, keys)

    def labels_of_many(self, keys: Sequence[FeatureKey]) -> dict[FeatureKey, list[Remark]]:
        """The labels of those of these features that have any."""
        return self._remarks(LABELS, keys)

    def annotated(self, fingerprints: Collection[str]) -> set[FeatureKey]:
        """The features of these dictionaries with anybody's star, note or label; MOST_KEYS at
        most."""
        parts = [
            select(t.c.fingerprint, t.c.feature_id).where(t.c.fingerprint.in_(fingerprints))
            for t in (STARS, NOTES, LABELS)
        ]
        with self.reading() as connection:
            return {key_of(r) for r in connection.execute(union_all(*parts).limit(MOST_KEYS))}

    def labelled(self, text: str, fingerprints: Collection[str]) -> set[FeatureKey]:
        """The features of these dictionaries to which somebody gave a label with `text` in it, in
        capitals or not; MOST_KEYS at most."""
        wanted = checked(text, "search", MOST_NAME, blank=True).lower()
        query = select(LABELS.c.fingerprint, LABELS.c.feature_id).where(
            LABELS.c.fingerprint.in_(fingerprints),
            func.lower(LABELS.c.text).contains(wanted, autoescape=True),
        )
        with self.reading() as connection:
            return {key_of(r) for r in connection.execute(query.distinct().limit(MOST_KEYS)).all()}

    def _write(
        self, table: Table, author: str, key: FeatureKey, dictionary_id: str, text: str
    ) -> None:
        row = said(author, key, dictionary_id)
        row["text"] = checked(text, *_MOST_TEXT[table.name], blank=True)
        row["created"] = row["changed"] = now()
        with self.writing() as connection:
            if text.strip():
                write_remarks(connection, table, [row])
            else:
                _remove(connection, table, author, key)

    def _remarks(self, table: Table, keys: Sequence[FeatureKey]) -> dict[FeatureKey, list[Remark]]:
        query = select(table).order_by(table.c.created, table.c.author)
        with self.reading() as connection:
            rows = among(connection, table, query, keys)
        found: dict[FeatureKey, list[Remark]] = {}
        for remark in map(remark_of, rows):
            found.setdefault(remark.key, []).append(remark)
        return found


def said(author: str, key: FeatureKey, dictionary_id: str) -> dict[str, Any]:
    """The columns that every row has on which someone says something of a feature."""
    return {
        "fingerprint": key.fingerprint, "feature_id": key.feature_id,
        "author": checked(author, "author", MOST_NAME),
        "dictionary_id": checked(dictionary_id, "dictionary", MOST_ID),
    }  # fmt: skip


def remark_of(row: Row[Any]) -> Remark:
    """A row of notes or labels."""
    return Remark(
        key_of(row), row.dictionary_id, row.author, row.text, row.created, row.changed
    )  # fmt: skip


def write_remarks(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert notes or labels, or bring what their authors wrote there up to date."""
    if rows:
        made = insert(connection, table)
        later = {name: made.excluded[name] for name in ("text", "changed", "dictionary_id")}
        upsert = made.on_conflict_do_update(index_elements=table.primary_key, set_=later)
        connection.execute(upsert, list(rows))


def _remove(connection: Connection, table: Table, author: str, key: FeatureKey) -> None:
    connection.execute(
        delete(table).where(
            table.c.fingerprint == key.fingerprint,
            table.c.feature_id == key.feature_id,
            table.c.author == author,
        )
    )
