"""The store of user studies, on SQLite and on a real PostgreSQL: no vote is lost, none is twice."""

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import bare_main

from pipeline.annotations import (
    Annotations,
    AnnotationsError,
    Annotator,
    Choice,
    Standing,
    Trial,
)
from pipeline.annotations.trials import GivenAnswer

if TYPE_CHECKING:
    from postgres import Server

STUDY = "pairs"
HOLD = timedelta(minutes=30)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database can be made."""
    if request.param == "sqlite":
        return str(tmp_path / "annotations.sqlite")
    server: Server = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
def store(place: str) -> Iterator[Annotations]:
    opened = Annotations(place)
    yield opened
    opened.close()


def first_unseen(standing: Standing) -> Choice | None:
    """The item with the fewest votes that this annotator has not seen."""
    seen = {trial.item for trial in standing.own}
    free = [
        (standing.given.get(item, 0), item)
        for item, wanted in standing.wanted.items()
        if item not in seen and standing.given.get(item, 0) < wanted
    ]
    return Choice(min(free)[1], "trial", swapped=False, counts=True) if free else None


def next_trial(store: Annotations, *args: object, **options: object) -> Trial | None:
    return next(iter(store.open_trials(*args, **options)), None)  # type: ignore[arg-type]


def joined(store: Annotations, name: str = "") -> str:
    found = store.annotator_of(store.invite(STUDY, name))
    assert found is not None
    return found.annotator


def test_a_study_is_kept_and_owned(store: Annotations) -> None:
    token = store.create_study(STUDY, '{"a": 1}', {0: 2})
    assert store.study_content(STUDY) == '{"a": 1}'
    assert store.studies() == [STUDY]
    assert store.owns(STUDY, token)
    assert not store.owns(STUDY, token + "x") and not store.owns("other", token)
    with pytest.raises(AnnotationsError, match="there is one already"):
        store.create_study(STUDY, "{}", {})
    with pytest.raises(AnnotationsError, match="none of this name"):
        store.study_content("other")


def test_no_token_is_kept(tmp_path: Path) -> None:
    place = tmp_path / "annotations.sqlite"
    store = Annotations(str(place))
    tokens = [store.create_study(STUDY, "{}", {}), store.invite(STUDY)]
    store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(token.encode() in kept for token in tokens)


def test_an_invitation_is_one_annotator(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {})
    token = store.invite(STUDY, "<b>Ann</b>")
    found = store.annotator_of(token)
    assert found is not None and (found.study, found.name) == (STUDY, "<b>Ann</b>")
    assert found.consented is None
    store.consent(STUDY, found.annotator)
    first = store.annotator_of(token)
    store.consent(STUDY, found.annotator)
    assert first is not None and first.consented is not None
    assert store.annotator_of(token) == first, "the first consent stays"
    for bad in ("", "x", token[:-1], "\0", "\ud800"):
        assert store.annotator_of(bad) is None
    with pytest.raises(AnnotationsError, match="none of this name"):
        store.invite("other")


def test_a_full_study_takes_nobody_else_who_comes(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {})
    store.invite(STUDY)
    known = store.annotator_by_login(STUDY, "https://id", "ann", most=2)
    for join in (
        lambda: store.invite(STUDY, "Bob", most=2),
        lambda: store.annotator_by_login(STUDY, "https://id", "bob", most=2),
    ):
        with pytest.raises(AnnotationsError, match="all the people"):
            join()
    assert store.annotator_by_login(STUDY, "https://id", "ann", most=2) == known
    assert store.invite(STUDY), "who is invited is always let in"
    assert store.erase(STUDY, known.annotator)
    with pytest.raises(AnnotationsError, match="all the people"):
        store.invite(STUDY, "Bob", most=2)
    assert store.invite(STUDY, "Bob", most=3)


def test_two_visits_of_one_person_take_one_place(store: Annotations) -> None:
    for study in map(str, range(10)):
        store.create_study(study, "{}", {})
        together = threading.Barrier(2)

        def visit(study: str = study, together: threading.Barrier = together) -> Annotator:
            together.wait()
            return store.annotator_by_login(study, "https://id", "ann", most=1)

        with ThreadPoolExecutor(2) as pool:
            first, second = (one.result() for one in [pool.submit(visit) for _ in range(2)])
        assert first == second


def test_answers_from_elsewhere_take_nobodys_place(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {0: 1})
    store.add_votes(STUDY, {"a model": [GivenAnswer(0, "x")], "another": [GivenAnswer(0, "y")]})
    assert store.invite(STUDY, "Ann", most=1)
    with pytest.raises(AnnotationsError, match="all the people"):
        store.invite(STUDY, "Bob", most=1)


@pytest.mark.parametrize("request_name", ["import", "import 0", "restored 0", "elsewhere", "True"])
def test_no_name_that_a_browser_gives_marks_an_answer(
    store: Annotations, request_name: str
) -> None:
    store.create_study(STUDY, "{}", {0: 3})
    who = joined(store)
    next_trial(store, STUDY, who, first_unseen, hold=HOLD)
    store.vote(STUDY, who, 0, "x", request=request_name)
    assert [vote.elsewhere for vote in store.votes(STUDY)] == [False]
    with pytest.raises(AnnotationsError, match="all the people"):
        store.invite(STUDY, "Bob", most=1)
    store.restore_study("again", "{}", {0: 3}, store.votes(STUDY))
    assert [vote.elsewhere for vote in store.votes("again")] == [False]


def test_no_login_is_one_whose_answers_come_from_a_file(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {0: 3})
    store.add_votes(STUDY, {"ann": [GivenAnswer(0, "x")]})
    for issuer, subject in (("elsewhere", "ann"), ("", "ann"), ("https://id", "")):
        with pytest.raises(AnnotationsError, match="does not say who you are"):
            store.annotator_by_login(STUDY, issuer, subject)
    assert store.trials(STUDY, store.annotator_by_login(STUDY, "https://id", "ann").annotator) == ()


def test_a_trial_waits_until_it_is_answered(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {0: 1, 1: 1})
    ann = joined(store)
    first = next_trial(store, STUDY, ann, first_unseen, hold=HOLD)
    assert first is not None and (first.trial, first.item, first.state) == (0, 0, "open")
    assert next_trial(store, STUDY, ann, first_unseen, hold=HOLD) == first
    store.vote(STUDY, ann, 0, "left", request="r0", response_ms=812)
    second = next_trial(store, STUDY, ann, first_unseen, hold=HOLD)
    assert second is not None and (second.trial, second.item) == (1, 1)
    store.vote(STUDY, ann, 1, "skip", request="r1")
    assert next_trial(store, STUDY, ann, first_unseen, hold=HOLD) is None
    assert [t.state for t in store.trials(STUDY, ann)] == ["voted", "skipped"]
    bob = joined(store)
    left = next_trial(store, STUDY, bob, first_unseen, hold=HOLD)
    assert left is not None and left.item == 1, "what was skipped still wants its vote"


def test_a_vote_sent_again_is_kept_once(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {0: 1})
    ann = joined(store)
    next_trial(store, STUDY, ann, first_unseen, hold=HOLD)
    for _ in range(3):
        store.vote(STUDY, ann, 0, "left", request="r0")
    with pytest.raises(AnnotationsError, match="answered already"):
        store.vote(STUDY, ann, 0, "right", request="r1")
    assert [(v.answer, v.revision) for v in store.votes(STUDY)] == [("left", 0)]


def test_what_is_taken_back_stays_on_record(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {0: 1, 1: 1})
    ann = joined(store)
    next_trial(store, STUDY, ann, first_unseen, hold=HOLD)
    store.vote(STUDY, ann, 0, "left", request="r0", response_ms=5)
    store.undo(STUDY, ann, 0, request="u0")
    store.undo(STUDY, ann, 0, request="u0")
    open_again = next_trial(store, STUDY, ann, first_unseen, hold=HOLD)
    assert open_again is not None and open_again.trial == 0
    store.vote(STUDY, ann, 0, "left", request="r0")
    assert store.trials(STUDY, ann)[0].state == "open", "a late copy of the first press is no vote"
    store.vote(STUDY, ann, 0, "right", request="r2")
    assert [v.answer for v in store.votes(STUDY)] == ["left", "undone", "right"]
    next_trial(store, STUDY, ann, first_unseen, hold=HOLD)
    store.vote(STUDY, ann, 1, "tie", request="r3")
    with pytest.raises(AnnotationsError, match="only the last"):
        store.undo(STUDY, ann, 0, request="u1")


def test_what_is_not_in_order_is_refused(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {0: 1})
    ann = joined(store)
    with pytest.raises(AnnotationsError, match="not given"):
        store.vote(STUDY, ann, 0, "left", request="r")
    next_trial(store, STUDY, ann, first_unseen, hold=HOLD)
    for answer, request, ms in [
        ("", "r", 1), ("x" * 1_000_000, "r", 1), ("left", "", 1), ("left", "r" * 65, 1),
        ("a\0", "r", 1), ("left", "r", -1), ("left", "r", 2**40), ("undone", "r", 1),
    ]:  # fmt: skip
        with pytest.raises(AnnotationsError):
            store.vote(STUDY, ann, 0, answer, request=request, response_ms=ms)
    with pytest.raises(AnnotationsError, match="no answer to take back"):
        store.undo(STUDY, ann, 0, request="u")
    with pytest.raises(AnnotationsError, match="not given"):
        store.vote(STUDY, "somebody", 0, "left", request="r")
    assert store.votes(STUDY) == []


def test_an_abandoned_trial_goes_to_another(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {0: 1})
    ann, bob = joined(store), joined(store)
    assert next_trial(store, STUDY, ann, first_unseen, hold=HOLD) is not None
    assert next_trial(store, STUDY, bob, first_unseen, hold=HOLD) is None
    again = next_trial(store, STUDY, bob, first_unseen, hold=timedelta(0))
    assert again is not None and again.item == 0


def test_the_next_trial_is_known_before_the_vote(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {0: 1, 1: 1, 2: 1})
    ann = joined(store)
    both = store.open_trials(STUDY, ann, first_unseen, hold=HOLD, count=2)
    assert [(t.trial, t.item) for t in both] == [(0, 0), (1, 1)]
    store.vote(STUDY, ann, 0, "left", request="r0")
    assert store.open_trials(STUDY, ann, first_unseen, hold=HOLD, count=2)[0] == both[1]
    store.undo(STUDY, ann, 0, request="u0")
    again = store.open_trials(STUDY, ann, first_unseen, hold=HOLD, count=2)
    assert [t.trial for t in again] == [0, 1], "what was taken back comes first"
    assert len(store.open_trials(STUDY, ann, first_unseen, hold=HOLD, count=9)) == 3


def test_answers_from_elsewhere_come_in_whole_and_once(store: Annotations) -> None:
    store.create_study("s", "x", dict.fromkeys(range(3), 2))
    given = {
        "Ann": [
            GivenAnswer(0, "x", response_ms=7),
            GivenAnswer(1, "skip"),
            GivenAnswer(2, "y", role="repeat"),
        ],
        "Bob": [GivenAnswer(0, "x"), GivenAnswer(1, "y")],
    }
    names = store.add_votes("s", given)
    assert len(set(names.values())) == 2 and not set(names) & set(names.values())
    assert sorted(store.tallies("s")) == [(0, "x", 2), (1, "y", 1)]
    assert {one.trial.state for one in store.votes("s")} == {"voted", "skipped"}
    for again in (
        {"New": [GivenAnswer(0, "y")], "Bob": [GivenAnswer(2, "x")]},
        {"New": [GivenAnswer(0, "x" * 999)]},
    ):
        with pytest.raises(AnnotationsError):
            store.add_votes("s", again)
    assert sorted(store.tallies("s")) == [(0, "x", 2), (1, "y", 1)], "all or none"
    # They are among the item's wanted votes, and what is taken back no longer counts.
    seen: list[Standing] = []
    who = store.annotator_of(store.invite("s"))
    assert who is not None
    store.open_trials("s", who.annotator, lambda at: seen.append(at), hold=timedelta(minutes=1))
    assert seen[0].given == {0: 2, 1: 1}
    store.undo("s", names["Bob"], 1, request="u")
    assert sorted(store.tallies("s")) == [(0, "x", 2)]


def test_answers_of_the_studys_own_people_do_not_come_in_again(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {0: 3})
    who = joined(store)
    next_trial(store, STUDY, who, first_unseen, hold=HOLD)
    store.vote(STUDY, who, 0, "x", request="r")
    with pytest.raises(AnnotationsError, match=f"{who}': is a pseudonym of {STUDY}"):
        store.add_votes(STUDY, {"new": [GivenAnswer(0, "y")], who: [GivenAnswer(0, "x")]})
    assert [(vote.annotator, vote.elsewhere) for vote in store.votes(STUDY)] == [(who, False)]
    (new,) = store.add_votes(STUDY, {"new": [GivenAnswer(0, "y")]}).values()
    with pytest.raises(AnnotationsError, match="is a pseudonym"):
        store.add_votes(STUDY, {new: [GivenAnswer(0, "y")]})
    assert {vote.annotator: vote.elsewhere for vote in store.votes(STUDY)} == {
        who: False, new: True
    }  # fmt: skip


def test_a_study_is_kept_again_with_all_its_rows(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {0: 3, 1: 3})
    who = joined(store, "Ann")
    for number in range(2):
        next_trial(store, STUDY, who, first_unseen, hold=HOLD)
        store.vote(STUDY, who, number, "x", request=f"r{number}", response_ms=10)
    store.undo(STUDY, who, 1, request="u")
    store.add_votes(STUDY, {"zoe": [GivenAnswer(0, "skip"), GivenAnswer(1, "y", response_ms=5)]})
    token = store.restore_study("again", "{}", {0: 3, 1: 3}, store.votes(STUDY))
    assert store.owns("again", token) and not store.owns(STUDY, token)
    assert store.votes("again") == store.votes(STUDY)
    assert store.tallies("again") == store.tallies(STUDY)
    assert store.trials("again", who) == store.trials(STUDY, who)
    for study in (STUDY, "again"):
        with pytest.raises(AnnotationsError, match="there is one already"):
            store.restore_study(study, "{}", {}, store.votes(STUDY))
    assert len(store.votes("again")) == len(store.votes(STUDY)) == 5


def test_an_annotator_can_be_erased(store: Annotations) -> None:
    store.create_study(STUDY, "{}", {0: 2})
    token = store.invite(STUDY, "Ann")
    found = store.annotator_of(token)
    assert found is not None
    bob = joined(store)
    for who in (found.annotator, bob):
        next_trial(store, STUDY, who, first_unseen, hold=HOLD)
        store.vote(STUDY, who, 0, "left", request="r")
    store.erase(STUDY, found.annotator)
    assert store.annotator_of(token) is None
    assert [v.annotator for v in store.votes(STUDY)] == [bob]


# Many at once

ANNOTATORS, PROCESSES, ITEMS, EACH = 50, 4, 120, 10


def annotate(place: str, names: list[str], log: str) -> None:
    """All of these people vote in turns, and write down what was acknowledged."""
    store = Annotations(place)
    with Path(log).open("w", encoding="utf-8", buffering=1) as acknowledged:
        for turn in range(EACH):
            for name in names:
                trial = next_trial(store, STUDY, name, first_unseen, hold=HOLD)
                if trial is None:
                    continue
                for _ in range(1 + (turn % 3 == 0)):  # now and then the browser sends it again
                    store.vote(STUDY, name, trial.trial, "left", request=f"{name}-{trial.trial}")
                acknowledged.write(f"{name} {trial.trial} {trial.item}\n")


def started(place: str, names: list[str], folder: Path) -> list[SpawnProcess]:
    context = multiprocessing.get_context("spawn")
    running = [
        context.Process(
            target=annotate, args=(place, names[n::PROCESSES], str(folder / f"log-{n}"))
        )
        for n in range(PROCESSES)
    ]
    with bare_main():
        for each in running:
            each.start()
    return running


def said(folder: Path) -> list[tuple[str, int, int]]:
    """What the processes saw acknowledged; a line that was cut off by a kill does not count."""
    lines = [
        line.split()
        for path in sorted(folder.glob("log-*"))
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
        if line.endswith("\n")
    ]
    return [(name, int(trial), int(item)) for name, trial, item in lines]


def test_fifty_annotators_from_four_processes(place: str, tmp_path: Path) -> None:
    store = Annotations(place)
    wanted = ANNOTATORS * EACH // ITEMS  # not all can be given out
    store.create_study(STUDY, "{}", dict.fromkeys(range(ITEMS), wanted))
    names = [joined(store) for _ in range(ANNOTATORS)]
    running = started(place, names, tmp_path)
    for each in running:
        each.join(240)
    assert [each.exitcode for each in running] == [0] * PROCESSES
    kept = [(v.annotator, v.trial.trial, v.trial.item) for v in store.votes(STUDY)]
    assert sorted(kept) == sorted(said(tmp_path)), "every acknowledged vote, and none twice"
    per_item = Counter(item for _, _, item in kept)
    assert set(per_item.values()) == {wanted} and len(per_item) == ITEMS
    assert max(Counter((name, item) for name, _, item in kept).values()) == 1
    store.close()


def test_a_kill_loses_no_acknowledged_vote(place: str, tmp_path: Path) -> None:
    store = Annotations(place)
    store.create_study(STUDY, "{}", dict.fromkeys(range(ITEMS), ANNOTATORS))
    names = [joined(store) for _ in range(ANNOTATORS)]
    running = started(place, names, tmp_path)
    while len(said(tmp_path)) < 40:
        assert any(each.is_alive() for each in running), "they stopped by themselves"
        running[0].join(0.05)
    for each in running:
        assert each.pid is not None
        os.kill(each.pid, signal.SIGKILL)
        each.join(30)
    kept = [(v.annotator, v.trial.trial, v.trial.item) for v in store.votes(STUDY)]
    assert set(said(tmp_path)) <= set(kept)
    assert len(kept) == len(set(kept))
    who = names[0]
    trial = next_trial(store, STUDY, who, first_unseen, hold=HOLD)
    assert trial is not None
    store.vote(STUDY, who, trial.trial, "right", request="after")
    store.close()
