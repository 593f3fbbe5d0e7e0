"""Whole studies with simulated people whose preferences are known, through the real store."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest
from synthetic import make_bundle

from dashboard.exports.votes import votes_table
from pipeline.annotations import Annotations
from pipeline.annotations.trials import GivenAnswer
from pipeline.bundle.opening import open_bundle
from pipeline.study import agreement, alone, benchmark, exchange, findings, results, sentences
from pipeline.study.assignment import CATCH, REPEAT, Schedule, chooser
from pipeline.study.content import Content, Item, name_of
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
    kept = results.attentive(checks, failed=0)
    assert len(kept) == 2
    everybody, some = (results.judged(content, votes, only=only) for only in (None, kept))
    assert agreement.alpha(some.ratings) > agreement.alpha(everybody.ratings) + 0.2
    worst = results.apart(everybody, results.scores(content)["ms"], most=3)
    assert worst and [one.weight for one in worst] == sorted(o.weight for o in worst)[::-1]
    for one in worst:
        assert (one.preference - 0.5) * one.difference < 0
    store.close()


def test_checks_are_held_against_how_many_there_were(content: Content) -> None:
    """One of two failed is not one of six: who is left out hangs on the share."""
    checks = [
        results.Checked(name, 10, caught, catches, 0, 0, None)
        for name, caught, catches in (("a", 1, 2), ("b", 1, 6), ("c", 0, 4), ("new", 0, 0))
    ]
    for failed, kept in ((100, "a b c new"), (50, "a b c new"), (25, "b c new"), (0, "c new")):
        assert results.attentive(checks, failed=failed) == {*kept.split()}
    thirty = [results.Checked("d", 10, 3, 30, 0, 0, None)]
    assert results.attentive(thirty, failed=10) and not results.attentive(thirty, failed=9)


def test_who_was_never_checked_is_told(content: Content, tmp_path: Path) -> None:
    store = run(content, tmp_path / "n.sqlite", [by_score(content, right=1.0)] * 2)
    # Answers from elsewhere have no checks.
    store.add_votes("s", {"elsewhere": [GivenAnswer(n, "x") for n in range(5)]})
    votes = store.votes("s")
    store.close()
    line = "1 person was never checked, and counts."
    assert line not in sentences.of(findings.find(content, votes), "ms")
    found = findings.find(content, votes, failed=25)
    assert found.unchecked == 1 and len(found.kept) == 3
    assert line in sentences.of(found, "ms")


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
    assert list(acts) == [name_of(one) for one in content.features]
    for feature in content.features:
        active = int((acts[name_of(feature)] > 0).sum())
        assert active >= content.study.images
    # Its neurons are numbers, as the published file's.
    number = {name_of(one): str(n) for n, one in enumerate(content.features)}
    for file in (benchmark.PAIRS, benchmark.TOP):
        text = (out / file).read_text(encoding="utf-8")
        for name, short in sorted(number.items(), key=lambda each: -len(each[0])):
            text = text.replace(name + ",", short + ",")
        (out / file).write_text(text, encoding="utf-8")
    taken, _, read = exchange.take_in(store, out, name="back")
    assert read.coding in ("shares", "0/1") and len(taken.items) == 30
    back, there = results.judged(taken, store.votes("back")), results.judged(content, votes)
    np.testing.assert_allclose(back.preference, there.preference, atol=1e-6)
    board, known = (
        dict(results.leaderboard(of, results.scores(what)))
        for of, what in ((back, taken), (there, content))
    )
    assert board["ms"] == known["ms"]
    store.close()


def test_a_download_and_the_file_of_votes_are_the_same(content: Content, tmp_path: Path) -> None:
    store = run(content, tmp_path / "v.sqlite", [by_score(content, right=0.8)])
    store.add_votes("s", {"p": [GivenAnswer(0, "tie")]})
    votes = store.votes("s")
    table = votes_table(content, votes)
    assert tuple(table.column_names) == exchange.COLUMNS
    for row, known in zip(
        table.to_pylist(),
        csv.DictReader(io.StringIO(exchange.votes_csv(content, votes))),
        strict=True,
    ):
        told = {name: "" if cell is None else str(cell) for name, cell in row.items()}
        assert told | {"swapped": str(int(row["swapped"]))} == known
    chosen = {(row["role"], row["chosen"]) for row in table.to_pylist()}
    assert {("trial", "balanced"), ("trial", "elsewhere"), ("repeat", "")} <= chosen
    store.close()


def test_the_strongest_images_come_first(content: Content, tmp_path: Path) -> None:
    assert exchange.write(content, [], tmp_path / "out") == ""
    acts = dict(benchmark.read_activations(tmp_path / "out" / benchmark.ACTIVATIONS))
    with duckdb.connect(str(open_bundle(content.study.bundle).database)) as database:
        val = "SELECT uri FROM examples WHERE split = 'val' ORDER BY example_id"
        place = {uri: n for n, (uri,) in enumerate(database.execute(val).fetchall())}
    for name, uris in benchmark.read_top(tmp_path / "out" / benchmark.TOP).items():
        shown = [acts[name][place[uri]] for uri in uris]
        assert shown == sorted(shown, reverse=True) == sorted(acts[name], reverse=True)[:4]


def test_activations_of_other_weights_are_left_out(content: Content, tmp_path: Path) -> None:
    first, *others = content.features
    retrained = first.model_copy(update={"fingerprint": "f" * 16})
    there = content.model_copy(update={"features": (retrained, *others)})
    gone = content.study.model_copy(update={"bundle": tmp_path / "nowhere"})
    exchange.write(content, [], tmp_path / "out")
    for what, said in (
        (there, f"its {first.dictionary_id} has other weights than the study's"),
        (content.model_copy(update={"study": gone}), "nowhere"),
    ):
        told = exchange.write(what, [], tmp_path / "out")
        assert told.startswith("activations.csv is left out: ") and said in told
        assert not (tmp_path / "out" / benchmark.ACTIVATIONS).exists(), "nor that of before"
        images = benchmark.read_top(tmp_path / "out" / benchmark.TOP)
        for item in content.items:
            for side in item.sides:
                if side.feature is not None:
                    uris = {content.images[one].uri for one in side.images}
                    assert set(images[name_of(content.features[side.feature])]) == uris


def test_scores_that_somebody_brings(content: Content, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    ms = results.scores(content)["ms"]
    rows = [
        f"{name_of(one)},{value},{-value}" for one, value in zip(content.features, ms, strict=True)
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
    store.add_votes("s", {"p": [GivenAnswer(n, answer) for n, answer in enumerate(said)]})
    found = findings.find(content, store.votes("s"))
    assert found.against_neurons is not None
    assert (found.against_neurons.value, found.against_neurons.count) == (0.75, 8)
    (line,) = [one for one in sentences.of(found, "ms") if "neuron" in one]
    assert line.startswith("Most people prefer the SAE's feature to the neuron in 75 % [")
    store.close()


def answered(content: Content, place: Path, answers: dict[str, list[str]]) -> findings.Findings:
    """What a study finds in answers to its items in turn."""
    store = Annotations(str(place))
    store.create_study("s", content.model_dump_json(), content.wanted)
    given = {
        who: [GivenAnswer(n, one) for n, one in enumerate(own)] for who, own in answers.items()
    }
    store.add_votes("s", given)
    votes = store.votes("s")
    store.close()
    return findings.find(content, votes)


def alone_of(bundle: Path, **settings: object) -> Content:
    wanted = {"name": "s", "bundle": bundle, "images": 4, "practice": 0, "votes": 9}
    return create(Study.model_validate(wanted | {"draw": {"count": 12}} | settings))


@pytest.fixture(scope="module")
def bundle(content: Content) -> Path:
    return content.study.bundle


def test_who_never_name_the_same_image_do_not_agree(bundle: Path, tmp_path: Path) -> None:
    content = alone_of(bundle, kind="intruder")
    shown = [item.sides[0].images for item in content.items[:12]]
    wrong = [
        [str(image) for image in images if str(image) != item.answer]
        for images, item in zip(shown, content.items, strict=False)
    ]
    apart = {"a": [one[0] for one in wrong], "b": [one[1] for one in wrong]}
    found = answered(content, tmp_path / "a.sqlite", apart)
    assert found.overall is not None and found.overall.value == 0, "neither finds any"
    assert found.people.percent.value == 0 and found.people.alpha.value < 0
    (line,) = [one for one in sentences.of(found, "ms") if one.startswith("Two people")]
    assert line.startswith("Two people name the same image in 0 % [")
    alike = answered(content, tmp_path / "b.sqlite", {"a": apart["a"], "b": apart["a"]})
    assert alike.people.percent.value == 1
    # Chance agreement is over the four places of an image, whichever were named.
    places = np.array([[images.index(int(one)) for images, one in zip(shown, own, strict=True)]
                       for own in apart.values()], dtype=float)  # fmt: skip
    assert found.people.ac2.value == agreement.ac2(places, categories=range(4))


def test_agreement_is_over_the_answers_that_the_scale_has(bundle: Path, tmp_path: Path) -> None:
    said = np.array([[4, 5] * 6, [5, 5] * 6, [4, 4] * 6])
    rows = {name: [str(one) for one in own] for name, own in zip("abc", said, strict=True)}
    rated = answered(alone_of(bundle, kind="rating"), tmp_path / "a.sqlite", rows).people
    of = said.astype(float)
    level: agreement.Level = "ordinal"
    assert rated.ac2.value == agreement.ac2(of, categories=range(1, 6), level=level)
    assert rated.ac2.value > agreement.ac2(of, level=level) + 0.3
    for tie, categories in ((True, (0, 0.5, 1)), (False, (0, 1))):
        content = alone_of(bundle, kind="pairs", tie=tie)
        rows = {"a": ["x", "y"] * 6, "b": ["x"] * 12}
        found = answered(content, tmp_path / f"{tie}.sqlite", rows).people
        of = np.array([[1.0, 0.0] * 6, [1.0] * 12])
        assert found.ac2.value == agreement.ac2(of, categories=categories)
    assert agreement.ac2(of, categories=(0, 0.5, 1)) != agreement.ac2(of, categories=(0, 1))


def test_texts_have_as_many_answers_as_there_are_texts(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_text("text_1,text_2,text_3\n" + "".join(f"a{n},b{n},c{n}\n" for n in range(8)))
    draw = {"how": "list", "file": file}
    content = alone_of(bundle, kind="choice", draw=draw, checks={"catch": 0})
    first, second = ["1", "2"] * 4, ["1"] * 8
    of = np.array([first, second], dtype=float)
    for who, categories in (
        ([first, second], (1, 2, 3)),
        ([first, [*second[1:], "tie"]], range(4)),
    ):
        rows = dict(zip("ab", who, strict=True))
        found = answered(content, tmp_path / f"{len(categories)}.sqlite", rows).people
        of = np.array([[0.0 if one == "tie" else float(one) for one in own] for own in who])
        assert found.ac2.value == agreement.ac2(of, categories=categories)


def test_how_pairs_were_drawn_is_told(content: Content, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {"a": [str(one) for one in rng.choice(["x", "y"], len(content.wanted))]}
    found = answered(content, tmp_path / "a.sqlite", rows)
    told = sentences.of(found, "density")
    evenly = [one for one in told if "drawn evenly over differences of MS" in one]
    assert len(evenly) == 1 and "not that of random pairs" in evenly[0]

    def said(**settings: object) -> str:
        study = content.study.model_copy(update=settings)
        of = content.model_copy(update={"study": study})
        return " ".join(sentences.of(replace(found, content=of), "ms"))

    actively = said(choice="active")
    assert "no sample of all pairs: read the ranking" in actively and "evenly" not in actively
    plain = said(draw=content.study.draw.model_copy(update={"how": "random"}))
    assert "evenly" not in plain and "sample" not in plain
    # An imported study has the usual settings, and was not drawn here.
    pictures = {key: one.model_copy(update={"sha256": ""}) for key, one in content.images.items()}
    other = replace(found, content=content.model_copy(update={"images": pictures}))
    assert "evenly" not in " ".join(sentences.of(other, "ms"))


def test_why_a_score_cannot_be_held_against_people(bundle: Path, tmp_path: Path) -> None:
    content = alone_of(bundle, kind="rating")
    same = answered(content, tmp_path / "a.sqlite", {"a": ["3"] * 12})
    assert "people say the same of every feature judged" in " ".join(sentences.of(same, "ms"))
    assert isinstance(same.of, alone.Alone)
    assert alone.apart(same.of, same.scores["ms"], most=6) == [], "nor is it told where they differ"
    told = answered(content, tmp_path / "b.sqlite", {"a": ["1", "4", "5"] * 4})
    flat = replace(told, scores={"flat": np.ones(len(content.features))}, board=[])
    assert "it is the same of every feature judged" in " ".join(sentences.of(flat, "flat"))
    few = answered(content, tmp_path / "c.sqlite", {"a": ["1", "4"]})
    assert "Too few features were judged" in " ".join(sentences.of(few, "ms"))


def test_only_encoders_of_the_study_are_encoders(content: Content, tmp_path: Path) -> None:
    found = answered(content, tmp_path / "a.sqlite", {"a": ["x"]})
    assert {"ms_percentile", "ms_judge"} <= set(results.scores(content))
    names = ("ms", "ms_judge", "ms_percentile", "MS_recomputed", "ms_mine", "density")
    told = [sentences.called(found, name) for name in names]
    assert told == ["MS", "MS by judge", "ms_percentile", "MS_recomputed", "ms_mine", "density"]
