"""Whole studies with simulated people whose preferences are known, through the real store."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from synthetic import make_bundle

from pipeline.annotations import Annotations
from pipeline.annotations.trials import Given
from pipeline.study import agreement, benchmark, exchange, findings, results
from pipeline.study.assignment import CATCH, REPEAT, Schedule, chooser
from pipeline.study.content import Content, Item
from pipeline.study.creation import create
from pipeline.study.draw import StudyError
from pipeline.study.files import Study

HOLD = timedelta(minutes=30)
Judge = Callable[[Item, np.random.Generator], str]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    bundle = make_bundle(tmp_path_factory.mktemp("runs") / "demo")
    return create(
        Study.model_validate(
            {
                "name": "s", "bundle": bundle, "images": 4, "votes": 3, "practice": 1,
                "draw": {"count": 30}, "checks": {"catch": 4},
            }
        )
    )  # fmt: skip


def schedule(content: Content) -> Schedule:
    of = {
        role: tuple(item.item for item in content.items if item.role == role)
        for role in ("practice", "catch")
    }
    return Schedule(of["practice"], of["catch"], catch_every=6, repeat_every=6, gap=3)


def run(content: Content, place: Path, judges: list[Judge]) -> Annotations:
    """Everybody judges all that they are given."""
    store = Annotations(str(place))
    store.create_study("s", content.model_dump_json(), content.wanted)
    for number, judge in enumerate(judges):
        found = store.annotator_of(store.invite("s"))
        assert found is not None
        choose = chooser(schedule(content), found.annotator)
        rng = np.random.default_rng(number)
        while opened := store.open_trials("s", found.annotator, choose, hold=HOLD):
            (trial,) = opened
            store.vote(
                "s", found.annotator, trial.trial, judge(content.items[trial.item], rng),
                request=f"r{trial.trial}", response_ms=500 + number,
            )  # fmt: skip
    return store


def by_score(content: Content, *, right: float) -> Judge:
    """Prefers the side of the higher MS with this probability; knows the answers to checks."""

    def judge(item: Item, rng: np.random.Generator) -> str:
        if item.answer is not None:
            return item.answer
        x, y = (content.features[side.feature].scores["ms"] for side in item.sides)
        return "x" if (x > y) == (rng.random() < right) else "y"

    return judge


def test_people_who_know_agree_with_the_score_and_each_other(
    content: Content, tmp_path: Path
) -> None:
    store = run(content, tmp_path / "a.sqlite", [by_score(content, right=1.0)] * 3)
    votes = store.votes("s")
    of = results.judged(content, votes)
    assert of.ratings.shape == (3, 30) and (of.votes == 3).all()
    assert results.progress(content, votes) == (90, 90)
    board = dict(results.leaderboard(of, results.scores(content)))
    assert board["ms"].value == 1.0 and board["ms"].count == 30
    assert board["density"].value < 0.7
    assert agreement.alpha(of.ratings) == agreement.ac2(of.ratings) == 1.0
    assert results.apart(of, results.scores(content)["ms"], most=5) == []
    for one in results.checked(content, votes):
        assert (one.votes, one.caught) == (30, 0)
        assert one.catches > 2 and one.alike == one.repeats > 2
    ranks = results.ranking(of, features=len(content.features))
    ms = results.scores(content)["ms"]
    assert np.corrcoef(ranks.strength, ms)[0, 1] > 0.5
    store.close()


def test_who_presses_at_random_is_found_out(content: Content, tmp_path: Path) -> None:
    def careless(item: Item, rng: np.random.Generator) -> str:
        return "y" if item.role == "catch" else "xy"[int(rng.integers(2))]

    knows = by_score(content, right=0.9)
    store = run(content, tmp_path / "b.sqlite", [knows, careless, knows])
    votes = store.votes("s")
    checks = results.checked(content, votes)
    kept = results.attentive(checks, failures=0)
    assert len(kept) == 2
    everybody, some = (results.judged(content, votes, only=only) for only in (None, kept))
    assert agreement.alpha(some.ratings) > agreement.alpha(everybody.ratings) + 0.2
    worst = results.apart(everybody, results.scores(content)["ms"], most=3)
    assert worst and [one.weight for one in worst] == sorted(o.weight for o in worst)[::-1]
    for one in worst:
        assert (one.preference - 0.5) * one.difference < 0
    store.close()


def test_only_standing_votes_of_trials_count(content: Content, tmp_path: Path) -> None:
    store = run(content, tmp_path / "c.sqlite", [by_score(content, right=1.0)])
    before = results.judged(content, store.votes("s"))
    (who,) = before.annotators
    last = store.trials("s", who)[-1]
    store.undo("s", who, last.trial, request="u")
    gone = results.judged(content, store.votes("s"))
    assert len(gone.items) == len(before.items) - (last.role == "trial")
    store.vote("s", who, last.trial, "skip", request="again")
    assert len(results.judged(content, store.votes("s")).items) == len(gone.items)
    roles = {vote.trial.role for vote in store.votes("s")}
    assert {CATCH, REPEAT} < roles
    store.close()


def test_files_tell_the_same(content: Content, tmp_path: Path) -> None:
    store = run(content, tmp_path / "d.sqlite", [by_score(content, right=0.8)] * 2)
    votes = store.votes("s")
    exchange.write(content, votes, tmp_path / "out")
    found = benchmark.read_pairs(tmp_path / "out" / benchmark.PAIRS)
    of = results.judged(content, votes)
    np.testing.assert_array_equal(found.preference, of.preference)
    np.testing.assert_array_equal(
        found.scores["ms"][:, 0] - found.scores["ms"][:, 1],
        of.difference(results.scores(content)["ms"]),
    )
    assert len(benchmark.read_top(tmp_path / "out" / benchmark.TOP)) == len(content.features)
    text = exchange.votes_csv(content, votes)
    assert text.count("\n") == len(votes) + 1 and text.startswith("study,annotator,trial,")
    store.close()


def test_a_study_goes_out_as_the_benchmark_and_comes_in_again(
    content: Content, tmp_path: Path
) -> None:
    store = run(content, tmp_path / "e.sqlite", [by_score(content, right=0.8)] * 3)
    votes = store.votes("s")
    out = tmp_path / "out"
    exchange.write(content, votes, out)
    acts = dict(benchmark.read_activations(out / benchmark.ACTIVATIONS))
    assert list(acts) == [exchange.name_of(one) for one in content.features]
    for feature in content.features:
        active = int((acts[exchange.name_of(feature)] > 0).sum())
        assert active >= content.study.images
    # Its neurons are numbers, as the published file's.
    number = {exchange.name_of(one): str(n) for n, one in enumerate(content.features)}
    for file in (benchmark.PAIRS, benchmark.TOP):
        text = (out / file).read_text(encoding="utf-8")
        for name, short in sorted(number.items(), key=lambda each: -len(each[0])):
            text = text.replace(name + ",", short + ",")
        (out / file).write_text(text, encoding="utf-8")
    taken, _, coding = exchange.take_in(store, out, name="back")
    assert coding in ("shares", "0/1") and len(taken.items) == 30
    back, there = results.judged(taken, store.votes("back")), results.judged(content, votes)
    np.testing.assert_allclose(back.preference, there.preference, atol=1e-6)
    board, known = (
        dict(results.leaderboard(of, results.scores(what)))
        for of, what in ((back, taken), (there, content))
    )
    assert board["ms"] == known["ms"]
    store.close()


def test_scores_that_somebody_brings(content: Content, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    ms = results.scores(content)["ms"]
    rows = [
        f"{exchange.name_of(one)},{value},{-value}"
        for one, value in zip(content.features, ms, strict=True)
    ]
    file.write_text("feature,same,against\n" + "\n".join(rows[:-1]) + "\n=cmd,1,2\n", "utf-8")
    found = exchange.read_scores(file, content)
    np.testing.assert_allclose(found["same"][:-1], ms[:-1])
    assert np.isnan(found["against"][-1])
    file.write_text("feature,mine\nnothing,1\n", "utf-8")
    with pytest.raises(StudyError, match="names no feature of the study"):
        exchange.read_scores(file, content)


def test_neurons_are_beaten_as_often_as_people_say(tmp_path: Path) -> None:
    wanted = {"name": "s", "bundle": make_bundle(tmp_path / "demo"), "images": 4, "votes": 1}
    wanted |= {"practice": 0, "checks": {"catch": 0}, "draw": {"how": "neurons", "count": 10}}
    content = create(Study.model_validate(wanted))
    assert findings.find(content, []).against_neurons is not None
    store = Annotations(str(tmp_path / "a.sqlite"))
    store.create_study("s", content.model_dump_json(), content.wanted)
    said = ["x"] * 6 + ["y"] * 2 + ["tie"] * 2
    store.add_votes("s", {"p": [Given(n, answer) for n, answer in enumerate(said)]})
    found = findings.find(content, store.votes("s"))
    assert found.against_neurons is not None
    assert (found.against_neurons.value, found.against_neurons.count) == (0.75, 8)
    (line,) = [one for one in findings.sentences(found, "ms") if "neuron" in one]
    assert line.startswith("Most people prefer the SAE's feature to the neuron in 75 % [")
    store.close()
