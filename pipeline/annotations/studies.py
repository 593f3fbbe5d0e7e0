"""User studies: who judges what, and the votes.

A vote is kept before it is acknowledged. Votes are only ever added: taking one back adds a row, and
so does voting anew. Sent twice, under one `request`, it is kept once. What an annotator sees next
is decided in the transaction that writes it down, so that no pair is given out too often.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, func, insert, select, update

from pipeline.annotations.annotators import Annotators, content_of, digest, lock, whose
from pipeline.annotations.records import MOST_NAME, AnnotationsError, checked, now
from pipeline.annotations.schema import STUDIES, STUDY_ITEMS, TRIALS, VOTES
from pipeline.annotations.trials import (
    COUNTED,
    MOST_ANSWER,
    MOST_MS,
    MOST_REQUEST,
    OPEN,
    UNDONE,
    VOTED,
    Choose,
    OutOfTurn,
    Standing,
    Trial,
    Vote,
    state_after,
)

MOST_CONTENT = 64 * 2**20


class Studies(Annotators):
    """Studies, trials and votes."""

    def create_study(self, study: str, content: str, wanted: Mapping[int, int]) -> str:
        """Keep a study for good; the owner's token, which is kept nowhere.

        Args:
            study: its name.
            content: what it consists of, as text.
            wanted: item -> votes that it is to get.

        Raises:
            AnnotationsError: as of every method: refused text, or the database fails; here also
                where there is a study of this name.
        """
        with self.writing() as connection:
            return self.created(connection, study, content, wanted)

    @staticmethod
    def created(connection: Connection, study: str, content: str, wanted: Mapping[int, int]) -> str:
        """As `create_study`, within a transaction."""
        row = {
            "study": checked(study, "study", MOST_NAME),
            "content": checked(content, "study's content", MOST_CONTENT),
            "created": now(),
        }
        token = secrets.token_urlsafe(24)
        items = [{"study": study, "item": i, "wanted": n} for i, n in sorted(wanted.items())]
        lock(connection, study)
        if content_of(connection, study) is not None:
            raise AnnotationsError(f"study {study}: there is one already; choose another name")
        connection.execute(insert(STUDIES), [row | {"owner": digest(token)}])
        if items:
            connection.execute(insert(STUDY_ITEMS), items)
        return token

    def studies(self) -> list[str]:
        """Names of all studies, the newest first."""
        query = select(STUDIES.c.study).order_by(STUDIES.c.created.desc())
        with self.reading() as connection:
            return list(connection.execute(query).scalars())

    def holds_studies(self) -> bool:
        """Whether there is any study."""
        with self.reading() as connection:
            return connection.execute(select(STUDIES.c.study).limit(1)).first() is not None

    def study_content(self, study: str) -> str:
        """What the study consists of, as it was created."""
        with self.reading() as connection:
            found = content_of(connection, study)
        if found is None:
            raise AnnotationsError(f"study {study[:MOST_NAME]}: there is none of this name")
        return found

    def open_trials(
        self, study: str, annotator: str, choose: Choose, *, hold: timedelta, count: int = 1
    ) -> tuple[Trial, ...]:
        """The annotator's trials without an answer, in order, and new ones up to `count`; fewer
        where `choose` finds no more.

        Args:
            hold: so long an unanswered trial keeps its place from others.
        """
        with self.writing() as connection:
            lock(connection, study)
            own = trials_of(connection, study, annotator)
            waiting = [trial for trial in own if trial.state == OPEN][:count]
            _hold_on(connection, study, annotator, waiting)
            while len(waiting) < count:
                chosen = choose(_standing(connection, study, own, since=now() - hold))
                if chosen is None:
                    break
                role = COUNTED if chosen.counts else chosen.role
                made = Trial(len(own), chosen.item, role, chosen.swapped, OPEN)
                row = {
                    "study": study, "annotator": annotator, "trial": made.trial,
                    "item": made.item, "role": made.role, "swapped": made.swapped,
                    "state": OPEN, "issued": now(),
                }  # fmt: skip
                connection.execute(insert(TRIALS), [row])
                own = (*own, made)
                waiting.append(made)
            return tuple(waiting)

    def trials(self, study: str, annotator: str) -> tuple[Trial, ...]:
        """The annotator's trials, in order."""
        with self.reading() as connection:
            return trials_of(connection, study, annotator)

    def vote(
        self, study: str, annotator: str, trial: int, answer: str, *, request: str,
        response_ms: int | None = None,
    ) -> None:  # fmt: skip
        """Keep an answer to a trial that was given out; sent again it is the same answer.

        Args:
            request: the browser's name of this answer, the same each time it is sent.
            response_ms: from the first sight to the press.

        Raises:
            AnnotationsError: no such trial, or it is answered by another request.
        """
        if answer == UNDONE:
            raise AnnotationsError(f"answer {answer!r}: no answer; take one back instead")
        self._add(study, annotator, trial, answer, request, response_ms)

    def undo(self, study: str, annotator: str, trial: int, *, request: str) -> None:
        """Take the answer to a trial back: it is open again, and the row that says so is kept.

        Raises:
            AnnotationsError: it has no answer, or a later trial has one.
        """
        self._add(study, annotator, trial, UNDONE, request, None)

    def votes(self, study: str) -> list[Vote]:
        """Every row of the study, undone ones among them, by annotator, trial and revision."""
        keys = ("study", "annotator", "trial")
        joined = VOTES.join(TRIALS, and_(*(VOTES.c[k] == TRIALS.c[k] for k in keys)))
        query = (
            select(
                VOTES.c.annotator, VOTES.c.trial, VOTES.c.revision, VOTES.c.answer,
                VOTES.c.response_ms, VOTES.c.created, VOTES.c.elsewhere, TRIALS.c.item,
                TRIALS.c.role, TRIALS.c.swapped, TRIALS.c.state,
            )
            .select_from(joined)
            .where(VOTES.c.study == study)
            .order_by(VOTES.c.annotator, VOTES.c.trial, VOTES.c.revision)
        )  # fmt: skip
        with self.reading() as connection:
            return [
                Vote(
                    row.annotator,
                    _trial(row),
                    row.revision,
                    row.answer,
                    row.response_ms,
                    row.created,
                    row.elsewhere,
                )
                for row in connection.execute(query)
            ]

    def tallies(self, study: str) -> list[tuple[int, str, int]]:
        """Item, answer, and how many standing votes that count say so."""
        keys = ("study", "annotator", "trial")
        last = VOTES.alias()
        newest = (
            select(func.max(last.c.revision))
            .where(*(last.c[key] == VOTES.c[key] for key in keys))
            .scalar_subquery()
        )
        query = (
            select(TRIALS.c.item, VOTES.c.answer, func.count())
            .select_from(VOTES.join(TRIALS, and_(*(VOTES.c[k] == TRIALS.c[k] for k in keys))))
            .where(
                VOTES.c.study == study, TRIALS.c.role == COUNTED, TRIALS.c.state == VOTED,
                VOTES.c.revision == newest,
            )
            .group_by(TRIALS.c.item, VOTES.c.answer)
        )  # fmt: skip
        with self.reading() as connection:
            return [(item, answer, count) for item, answer, count in connection.execute(query)]

    def newest(self, study: str) -> tuple[int, str]:
        """How many rows the study's votes have, and when the last came: as long as both stay, the
        votes are the same."""
        query = select(func.count(), func.max(VOTES.c.created)).where(VOTES.c.study == study)
        with self.reading() as connection:
            count, last = connection.execute(query).one()
        return int(count), "" if last is None else last.isoformat()

    def _add(
        self, study: str, annotator: str, trial: int, answer: str, request: str, ms: int | None
    ) -> None:
        checked(answer, "answer", MOST_ANSWER)
        checked(request, "request", MOST_REQUEST)
        if ms is not None and not 0 <= ms <= MOST_MS:
            raise AnnotationsError(f"response time {ms} ms: give one from 0 to {MOST_MS:,}")
        row = {"study": study, "annotator": annotator, "trial": trial}
        with self.writing() as connection:
            lock(connection, study)
            own = trials_of(connection, study, annotator)
            if not 0 <= trial < len(own):
                raise OutOfTurn(f"trial {trial}: was not given to this annotator")
            query = select(VOTES).where(*(VOTES.c[name] == value for name, value in row.items()))
            known = connection.execute(query.order_by(VOTES.c.revision)).all()
            if any(one.request == request for one in known):
                return
            self._allowed(own, trial, answer)
            connection.execute(
                insert(VOTES),
                [
                    row
                    | {
                        "revision": len(known),
                        "answer": answer,
                        "request": request,
                        "response_ms": ms,
                        "created": now(),
                    }
                ],
            )
            at = (*whose(TRIALS, study, annotator), TRIALS.c.trial == trial)
            after = {"state": state_after(answer), "issued": now()}
            connection.execute(update(TRIALS).where(*at).values(after))

    @staticmethod
    def _allowed(own: Sequence[Trial], trial: int, answer: str) -> None:
        answered = own[trial].state != OPEN
        if answer != UNDONE and answered:
            raise OutOfTurn(f"trial {trial}: is answered already; take that back first")
        if answer == UNDONE and not answered:
            raise OutOfTurn(f"trial {trial}: has no answer to take back")
        if answer == UNDONE and any(later.state != OPEN for later in own[trial + 1 :]):
            raise OutOfTurn(f"trial {trial}: only the last answer can be taken back")


def trials_of(connection: Connection, study: str, annotator: str) -> tuple[Trial, ...]:
    query = select(TRIALS).where(*whose(TRIALS, study, annotator)).order_by(TRIALS.c.trial)
    return tuple(map(_trial, connection.execute(query)))


def _trial(row: Any) -> Trial:
    return Trial(row.trial, row.item, row.role, row.swapped, row.state)


def _hold_on(connection: Connection, study: str, annotator: str, trials: Sequence[Trial]) -> None:
    """Who comes back holds the places anew."""
    if trials:
        numbers = [trial.trial for trial in trials]
        at = (*whose(TRIALS, study, annotator), TRIALS.c.trial.in_(numbers))
        connection.execute(update(TRIALS).where(*at).values(issued=now()))


def _standing(
    connection: Connection, study: str, own: tuple[Trial, ...], *, since: datetime
) -> Standing:
    items = select(STUDY_ITEMS.c.item, STUDY_ITEMS.c.wanted).where(STUDY_ITEMS.c.study == study)
    held = (TRIALS.c.state == OPEN) & (TRIALS.c.issued >= since)
    given = (
        select(TRIALS.c.item, func.count())
        .where(TRIALS.c.study == study, TRIALS.c.role == COUNTED, (TRIALS.c.state == VOTED) | held)
        .group_by(TRIALS.c.item)
    )
    return Standing(
        own,
        {row[0]: row[1] for row in connection.execute(items)},
        {row[0]: row[1] for row in connection.execute(given)},
    )
