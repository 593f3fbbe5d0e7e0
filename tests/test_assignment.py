"""What annotators are shown next: balanced, with checks strewn in, the same for who comes back."""

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
import pytest

from pipeline.annotations import Choice, Standing, Trial
from pipeline.study.assignment import CATCH, PRACTICE, REPEAT, TRIAL, Schedule, chooser


def session(
    schedule: Schedule,
    wanted: Mapping[int, int],
    given: Counter,
    *,
    annotator: str = "ann",
    **options,
) -> list[Trial]:
    """One annotator goes through to the end, alone."""
    own: list[Trial] = []
    choose = chooser(schedule, annotator, **options)
    while (choice := choose(Standing(tuple(own), wanted, given))) is not None:
        assert len(own) < 1000, "it does not end"
        given[choice.item] += choice.counts
        own.append(Trial(len(own), choice.item, choice.role, choice.swapped, "voted"))
    return own


WHOLE = Schedule(practice=(90, 91), catch=(80, 81, 82), catch_every=6, repeat_every=5, seed=3)


def test_a_session_is_practice_then_trials_with_checks() -> None:
    own = session(WHOLE, dict.fromkeys(range(30), 1), Counter())
    assert [(t.item, t.role) for t in own[:2]] == [(90, PRACTICE), (91, PRACTICE)]
    roles = Counter(t.role for t in own)
    assert roles[TRIAL] == 30 and roles[CATCH] in (4, 5) and roles[REPEAT] in (4, 5, 6)
    assert sorted(t.item for t in own if t.role == TRIAL) == list(range(30))
    catches = Counter(t.item for t in own if t.role == CATCH)
    assert max(catches.values()) - min(catches[c] for c in WHOLE.catch) <= 1


def test_a_repetition_swaps_the_sides_and_comes_later() -> None:
    for number in range(20):
        own = session(WHOLE, dict.fromkeys(range(40), 1), Counter(), annotator=f"a{number}")
        first = {t.item: t for t in own if t.role == TRIAL}
        repeats = [t for t in own if t.role == REPEAT]
        assert len({t.item for t in repeats}) == len(repeats) > 3
        for again in repeats:
            assert again.swapped != first[again.item].swapped
            assert again.trial - first[again.item].trial >= WHOLE.gap


def test_each_item_gets_its_votes_and_nobody_sees_one_twice() -> None:
    wanted, given = dict.fromkeys(range(12), 3), Counter()
    schedule = Schedule(trials=6)
    seen = defaultdict(list)
    for number in range(10):
        for trial in session(schedule, wanted, given, annotator=str(number)):
            seen[number].append(trial.item)
        counts = [given[item] for item in wanted]
        assert max(counts) - min(counts) <= 1, "balanced at every time"
    assert given == Counter(wanted)
    assert all(len(items) == len(set(items)) <= 6 for items in seen.values())
    assert sum(map(len, seen.values())) == 36


def test_sides_and_order_differ_between_annotators_and_not_between_visits() -> None:
    wanted = dict.fromkeys(range(40), 99)
    sessions = [session(Schedule(seed=1), wanted, Counter(), annotator=str(n)) for n in range(30)]
    assert session(Schedule(seed=1), wanted, Counter(), annotator="0") == sessions[0]
    assert session(Schedule(seed=2), wanted, Counter(), annotator="0") != sessions[0]
    assert len({tuple(t.item for t in own) for own in sessions}) == 30
    swapped = np.mean([t.swapped for own in sessions for t in own])
    assert abs(swapped - 0.5) < 4 * 0.5 / np.sqrt(1200)


def test_checks_cannot_be_counted_to() -> None:
    places = {
        tuple(t.trial for t in own if t.role == CATCH)
        for own in (
            session(WHOLE, dict.fromkeys(range(30), 1), Counter(), annotator=str(n))
            for n in range(10)
        )
    }
    assert len(places) == 10


@pytest.mark.parametrize("every", [{"catch_every": 2}, {"repeat_every": 2, "gap": 50}])
def test_without_anything_to_check_with_trials_go_on(every: dict) -> None:
    own = session(Schedule(**every), dict.fromkeys(range(8), 1), Counter())
    assert Counter(t.role for t in own) == {TRIAL: 8}


def test_the_least_certain_comes_first_among_those_that_lack_votes() -> None:
    choose = chooser(Schedule(), "ann", uncertain=lambda items: {i: float(i % 5) for i in items})
    wanted = dict.fromkeys(range(10), 2)
    choice = choose(Standing((), wanted, {9: 1, 4: 2}))
    assert choice == Choice(9, TRIAL, choice.swapped, counts=True)
    assert choose(Standing((), wanted, dict.fromkeys(range(10), 2))) is None
