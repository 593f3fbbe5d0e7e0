"""Who takes part in a study, and who owns it. Tokens are kept as digests only."""

import hashlib
import hmac
import secrets
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    delete,
    exists,
    func,
    insert,
    select,
    text,
    update,
)

from pipeline.annotations import base
from pipeline.annotations.records import MOST_NAME, AnnotationsError, checked, now
from pipeline.annotations.schema import ANNOTATORS, STUDIES, VOTES
from pipeline.annotations.trials import Annotator

ELSEWHERE = "elsewhere"
"""Vouches for those whose answers come from a file; no login does under this name."""


class Annotators(base.Base):
    """Owners and annotators of studies."""

    def owns(self, study: str, token: str) -> bool:
        """Whether it is the token that `create_study` gave."""
        query = select(STUDIES.c.owner).where(STUDIES.c.study == study)
        with self.reading() as connection:
            found = connection.execute(query).scalar()
        return found is not None and secrets.compare_digest(found, digest(token))

    def invite(self, study: str, name: str = "", *, most: int | None = None) -> str:
        """A new annotator of the study; the token of the link, which is kept nowhere.

        Raises:
            AnnotationsError: no such study, it has `most` people already, or the database fails.
        """
        token = secrets.token_urlsafe(24)
        row = {
            "study": study, "annotator": secrets.token_hex(8), "token": digest(token),
            "name": checked(name, "name", MOST_NAME, blank=True), "created": now(),
        }  # fmt: skip
        with self.writing() as connection:
            if content_of(connection, study) is None:
                raise AnnotationsError(f"study {study[:MOST_NAME]}: there is none of this name")
            _see_room(connection, study, most)
            connection.execute(insert(ANNOTATORS), [row])
        return token

    def annotator_of(self, token: str) -> Annotator | None:
        """Whose link it is."""
        query = select(ANNOTATORS).where(ANNOTATORS.c.token == digest(token))
        with self.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _annotator(row)

    def annotator_by_login(
        self, study: str, issuer: str, subject: str, name: str = "", *, most: int | None = None
    ) -> Annotator:
        """The annotator of the study who signed in, the same each time; new at the first.

        The pseudonym is a keyed hash of who vouches for the login and of what it calls the person;
        neither is kept, and it is another one in every study.

        Args:
            name: kept at the first time; may be empty.

        Raises:
            AnnotationsError: no such study, it has `most` people already and this one is new, the
                login is of nobody, or the database fails.
        """
        if not issuer or not subject or issuer == ELSEWHERE:
            raise AnnotationsError("the login does not say who you are; sign in another way")
        with self.writing() as connection:
            return self.vouched(connection, study, issuer, subject, name, most=most)

    @staticmethod
    def vouched(
        connection: Connection, study: str, issuer: str, subject: str, name: str = "", *,
        most: int | None = None,
    ) -> Annotator:  # fmt: skip
        """As `annotator_by_login`, within a transaction."""
        lock(connection, study)  # else two visits of one person count twice
        query = select(STUDIES.c.owner).where(STUDIES.c.study == study)
        key = connection.execute(query).scalar()
        if key is None:
            raise AnnotationsError(f"study {study[:MOST_NAME]}: there is none of this name")
        said = repr((study, issuer, subject)).encode("utf-8", "replace")
        who = hmac.new(key.encode(), said, hashlib.sha256).hexdigest()[:16]
        row = {
            "study": study, "annotator": who, "token": digest(secrets.token_urlsafe(24)),
            "name": checked(name, "name", MOST_NAME, blank=True), "created": now(),
        }  # fmt: skip
        this = select(ANNOTATORS).where(*whose(ANNOTATORS, study, who))
        found = connection.execute(this).one_or_none()
        if found is None:
            _see_room(connection, study, most)
            base.insert_new(connection, ANNOTATORS, [row])
            found = connection.execute(this).one()
        return _annotator(found)

    def consent(self, study: str, annotator: str) -> None:
        """Keep when the annotator first agreed to take part."""
        first = (ANNOTATORS.c.consented.is_(None), *whose(ANNOTATORS, study, annotator))
        with self.writing() as connection:
            connection.execute(update(ANNOTATORS).where(*first).values(consented=now()))

    def erase(self, study: str, annotator: str) -> bool:
        """Remove the annotator with all trials and votes; whether there was one."""
        with self.writing() as connection:
            lock(connection, study)
            gone = delete(ANNOTATORS).where(*whose(ANNOTATORS, study, annotator))
            return connection.execute(gone).rowcount > 0


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def lock(connection: Connection, study: str) -> None:
    """One writer to a study at a time; SQLite has one in all."""
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(hashlib.sha256(study.encode()).digest()[:8], "big", signed=True)
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def content_of(connection: Connection, study: str) -> str | None:
    """What the study consists of; None where there is none of this name."""
    return connection.execute(
        select(STUDIES.c.content).where(STUDIES.c.study == study)
    ).scalar_one_or_none()


def whose(table: Table, study: str, annotator: str) -> tuple[ColumnElement[bool], ...]:
    """Conditions: the rows of one annotator."""
    return table.c.study == study, table.c.annotator == annotator


def _see_room(connection: Connection, study: str, most: int | None) -> None:
    """That fewer than `most` people take part; who answered elsewhere alone does not count."""
    if most is None:
        return
    lock(connection, study)
    keys = ("study", "annotator")
    imported = exists().where(
        *(VOTES.c[key] == ANNOTATORS.c[key] for key in keys), VOTES.c.elsewhere
    )
    query = select(func.count()).where(ANNOTATORS.c.study == study, ~imported)
    if connection.execute(query).scalar_one() >= most:
        raise AnnotationsError(
            "This study has all the people that it was looking for. Thank you for coming."
        )


def _annotator(row: Any) -> Annotator:
    return Annotator(row.study, row.annotator, row.name, row.consented)
