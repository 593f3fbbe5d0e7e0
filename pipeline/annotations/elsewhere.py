"""What comes into the store of user studies from files: answers given elsewhere, whole studies."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from pipeline.annotations.annotators import ELSEWHERE, digest, lock
from pipeline.annotations.records import MOST_NAME, AnnotationsError, checked, now
from pipeline.annotations.schema import ANNOTATORS, TRIALS, VOTES
from pipeline.annotations.studies import Studies, trials_of
from pipeline.annotations.trials import MOST_ANSWER, GivenAnswer, Vote, state_after


class Elsewhere(Studies):
    """Answers that were given elsewhere, and studies that were kept elsewhere."""

    def add_votes(self, study: str, given: Mapping[str, Sequence[GivenAnswer]]) -> dict[str, str]:
        """Keep answers that were given elsewhere, all or none.

        Args:
            given: what a person is called there, which is not kept -> answers, in order.

        Returns:
            The pseudonyms here, the same each time.

        Raises:
            AnnotationsError: the answers of one of them are there already, under this name or as
                those of a pseudonym of the study; a refused answer.
        """
        moment = now()
        found = dict[str, str]()
        with self.writing() as connection:
            lock(connection, study)
            query = select(ANNOTATORS.c.annotator).where(ANNOTATORS.c.study == study)
            known = set(connection.execute(query).scalars())
            for name, answers in given.items():
                if name in known:
                    raise AnnotationsError(
                        f"annotator {name[:80]!r}: is a pseudonym of {study}, whose own answers "
                        "these are; leave them out"
                    )
                who = self.vouched(connection, study, ELSEWHERE, name).annotator
                found[name] = who
                if trials_of(connection, study, who):
                    raise AnnotationsError(f"annotator {name[:80]!r}: has votes in {study} already")
                trials, votes = list[dict[str, Any]](), list[dict[str, Any]]()
                for number, one in enumerate(answers):
                    row = {"study": study, "annotator": who, "trial": number}
                    trials.append(
                        row
                        | {"item": one.item, "role": one.role, "swapped": one.swapped}
                        | {"state": state_after(one.answer), "issued": moment}
                    )
                    votes.append(
                        row
                        | {"revision": 0, "answer": checked(one.answer, "answer", MOST_ANSWER)}
                        | {"request": "import 0", "response_ms": one.response_ms}
                        | {"created": one.created or moment, "elsewhere": True}
                    )
                _insert(connection, TRIALS, trials)
                _insert(connection, VOTES, votes)
        return found

    def restore_study(
        self, study: str, content: str, wanted: Mapping[int, int], votes: Sequence[Vote]
    ) -> str:
        """Keep a study with all its votes as they were, under their pseudonyms; the new owner's
        token. Nobody's link is known any more.

        Args:
            study, content, wanted: as of `create_study`.
            votes: by annotator, trial and revision, which count from 0; what they say of a trial is
                the same in each.

        Raises:
            AnnotationsError: there is a study of this name; a refused name or answer.
        """
        people, trials = dict[str, dict[str, Any]](), dict[tuple[str, int], dict[str, Any]]()
        rows = []
        for vote in votes:
            who, trial = vote.annotator, vote.trial
            people.setdefault(
                who,
                {
                    "study": study, "annotator": checked(who, "annotator", MOST_NAME),
                    "token": digest(secrets.token_urlsafe(24)), "name": "",
                    "created": vote.created,
                },
            )  # fmt: skip
            at = {"study": study, "annotator": who, "trial": trial.trial}
            trials[who, trial.trial] = at | {
                "item": trial.item, "role": trial.role, "swapped": trial.swapped,
                "state": state_after(vote.answer), "issued": vote.created,
            }  # fmt: skip
            rows.append(
                at
                | {"revision": vote.revision, "answer": checked(vote.answer, "answer", MOST_ANSWER)}
                | {"request": f"restored {vote.revision}", "response_ms": vote.response_ms}
                | {"created": vote.created, "elsewhere": vote.elsewhere}
            )
        with self.writing() as connection:
            token = self.created(connection, study, content, wanted)
            _insert(connection, ANNOTATORS, list(people.values()))
            _insert(connection, TRIALS, list(trials.values()))
            _insert(connection, VOTES, rows)
        return token


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)
