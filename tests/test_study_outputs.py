"""Studies of texts: from steering's records to ratings by group, and choices."""

import csv
import json
from pathlib import Path

import duckdb
import numpy as np
import pytest
from synthetic import make_bundle

from pipeline.annotations import Annotations, trials
from pipeline.bundle import opening
from pipeline.study import exchange, imported_answers, outputs, ratings, results
from pipeline.study.content import Content
from pipeline.study.creation import create
from pipeline.study.draw import StudyError
from pipeline.study.files import SCALES, Study


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def named(bundle: Path) -> tuple[str, str]:
    """A feature and an image of the bundle."""
    with duckdb.connect(str(opening.open_bundle(bundle).database), read_only=True) as database:
        of = database.execute("SELECT dictionary_id, feature_id FROM features LIMIT 1").fetchone()
        image = database.execute("SELECT uri FROM examples LIMIT 1").fetchone()
    assert of is not None and image is not None
    return f"{of[0]}:{of[1]}", image[0]


def record(feature: str, image: str, strength: float, said: dict[str, str]) -> dict:
    """As `steer --json` writes it, of what is read of it."""
    dictionary, _, number = feature.rpartition(":")
    turned = {"dictionary": dictionary, "feature": int(number), "strength": strength}
    return {
        "format": "loupe-steering/1",
        "image": {"uri": image, "sha256": ""},
        "setting": {"prompt": "Describe it.", "features": [turned], "concept": "red"},
        "answers": {way: {"text": text} for way, text in said.items()},
    }


def steered(folder: Path, feature: str, image: str, strengths: tuple[float, ...] = (2.0,)) -> Path:
    records = [
        record(feature, shown, strength, {"unsteered": "a ball", "steered": f"=red {strength:g}"})
        for shown in (image, "blank")
        for strength in strengths
    ]
    path = folder / "steered.json"
    path.write_text(json.dumps({"records": records, "skipped": {}}), encoding="utf-8")
    return path


def study(bundle: Path, file: Path, **settings: object) -> Study:
    wanted = {"name": "s", "bundle": bundle, "kind": "outputs", "votes": 2}
    return Study.model_validate(wanted | {"draw": {"how": "list", "file": file}} | settings)


@pytest.fixture(scope="module")
def content(
    bundle: Path, named: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Content:
    folder = tmp_path_factory.mktemp("said")
    file = folder / "said.csv"
    outputs.write(file, outputs.of_steering(steered(folder, *named)))
    return create(study(bundle, file))


def test_what_a_steered_model_said_becomes_a_file(named: tuple[str, str], tmp_path: Path) -> None:
    rows = outputs.of_steering(steered(tmp_path, *named, strengths=(2.0, 4.5)))
    assert [(row["image"], row["group"], row["text"]) for row in rows] == [
        (image, group, text)
        for image in (named[1], "")
        for group, text in (
            ("unsteered", "a ball"), ("steered 2", "=red 2"), ("steered 4.5", "=red 4.5")
        )
    ]  # fmt: skip
    assert {(row["feature"], row["concept"], row["question"]) for row in rows} == {
        (named[0], "red", "Describe it.")
    }
    file = tmp_path / "said.csv"
    outputs.write(file, rows)
    assert "'=red 2," in file.read_text(), "no spreadsheet runs it"
    read = outputs.read(file, several=False)
    assert [(one.texts, one.groups) for one in read] == [
        ((row["text"],), (row["group"],)) for row in rows
    ]


def test_every_text_is_rated_on_every_scale(content: Content, named: tuple[str, str]) -> None:
    assert Content.model_validate_json(content.model_dump_json()) == content
    assert len(content.items) == 2 * 2 * len(SCALES)
    assert content.wanted == dict.fromkeys(range(8), 2)
    for item in content.items:
        (side,) = item.sides
        assert item.texts in {("a ball",), ("=red 2",)} and item.prompt == "Describe it."
        feature = content.features[side.feature]
        assert f"{feature.dictionary_id}:{feature.feature_id}" == named[0]
        assert [content.images[i].uri for i in side.images] in ([named[1]], [])
    assert {(item.scale, item.asked) for item in content.items} == {
        ("coherence", SCALES["coherence"]),
        ("relatedness", "How much does the text have to do with red?"),
    }


def test_texts_whose_rating_is_known_are_checks(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "said.csv"
    file.write_text("text,concept,scale,answer\na red ball,red,,\nred of the of,red,coherence,1\n")
    content = create(study(bundle, file, practice=3))
    assert [(one.role, one.scale, one.answer) for one in content.items] == [
        ("trial", "coherence", None), ("trial", "relatedness", None), ("catch", "coherence", "1")
    ]  # fmt: skip
    kept = Annotations(str(tmp_path / "a.sqlite"))
    kept.create_study("s", content.model_dump_json(), content.wanted)
    told = {"sharp": "1", "near": "2", "asleep": "4", "tired": "skip"}
    rows = {name: [trials.GivenAnswer(2, one, role="catch")] for name, one in told.items()}
    names = kept.add_votes("s", rows)
    found = {one.annotator: one for one in results.checked(content, kept.votes("s"))}
    assert {name: (found[names[name]].caught, found[names[name]].catches) for name in told} == {
        "sharp": (0, 1), "near": (0, 1), "asleep": (1, 1), "tired": (0, 0)
    }  # fmt: skip
    assert not ratings.means(content, kept.votes("s"))[0].votes, "a check is no vote"


def test_the_first_texts_whose_rating_is_known_are_practice(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "said.csv"
    known = "of the of,red,,1\nred ball,red,coherence,5\n"
    file.write_text(f"text,concept,scale,answer\na red ball,red,,\n{known}")
    content = create(study(bundle, file, practice=1))
    assert [(one.role, one.scale, one.answer) for one in content.items[2:]] == [
        ("practice", "coherence", "1"), ("practice", "relatedness", "1"),
        ("catch", "coherence", "5"),
    ]  # fmt: skip


def answered(
    content: Content, rate, people: int = 3
) -> dict[str, list[imported_answers.GivenAnswer]]:
    return {
        f"p{n}": [
            imported_answers.GivenAnswer(item.item, rate(item, n))
            for item in content.items
            if item.role == "trial"
        ]
        for n in range(people)
    }


def test_ratings_are_told_by_group_and_scale(content: Content, tmp_path: Path) -> None:
    def rate(item, n: int) -> str:
        if item.scale == "coherence":
            return "5" if item.groups == ("unsteered",) else "2"
        return str(1 + n) if item.groups == ("unsteered",) else "4"

    kept = Annotations(str(tmp_path / "a.sqlite"))
    kept.create_study("s", content.model_dump_json(), content.wanted)
    kept.add_votes("s", answered(content, rate))
    votes = kept.votes("s")
    found = {(one.scale, one.group): one for one in ratings.means(content, votes)}
    assert {at: one.estimate.value for at, one in found.items()} == {
        ("coherence", "unsteered"): 5, ("coherence", "steered"): 2,
        ("relatedness", "unsteered"): 2, ("relatedness", "steered"): 4,
    }  # fmt: skip
    assert {(one.votes, one.estimate.count) for one in found.values()} == {(6, 2)}
    apart = {one.scale: one for one in ratings.differences(content, votes)}
    assert (apart["coherence"].group, apart["coherence"].other) == ("steered", "unsteered")
    assert apart["coherence"].estimate.value == -3 and apart["relatedness"].estimate.value == 2
    some = sorted({vote.annotator for vote in votes})[:1]
    assert sum(one.votes for one in ratings.means(content, votes, only=some)) == 8
    assert ratings.reliability(content, votes).percent.value == pytest.approx(0.75)
    # What is exported comes in elsewhere as it was.
    exchange.write(content, votes, tmp_path / "out")
    assert not (tmp_path / "out" / "pairs.csv").exists()
    with (tmp_path / "out" / ratings.RATINGS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24 and {row["text"] for row in rows} == {"a ball", "'=red 2"}
    for name in (ratings.RATINGS, exchange.VOTES):
        other = Annotations(str(tmp_path / f"{name}.sqlite"))
        other.create_study("s", content.model_dump_json(), content.wanted)
        other.add_votes("s", imported_answers.read(tmp_path / "out" / name, content))
        assert ratings.means(content, other.votes("s")) == ratings.means(content, votes)
        other.close()
    kept.close()


def test_a_choice_among_texts(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "captions.csv"
    with duckdb.connect(str(opening.open_bundle(bundle).database), read_only=True) as database:
        ids = [row[0] for row in database.execute("SELECT example_id FROM examples").fetchall()]
    rows = [f"{ids[n]},a cat,a dog {n},ours,theirs," for n in range(4)]
    file.write_text(
        "image,text_1,text_2,group_1,group_2,answer\n"
        + "\n".join([*rows, f"{ids[4]},right,wrong,,,1", ",wrong,right,,,2"])
        + "\n",
        encoding="utf-8",
    )
    made = create(study(bundle, file, kind="choice", practice=1))
    assert [(item.role, item.answer) for item in made.items[4:]] == [
        ("practice", "1"), ("catch", "2"),
    ]  # fmt: skip
    assert made.items[0].texts == ("a cat", "a dog 0") and made.items[0].sides[0].images == (
        ids[0],
    )
    kept = Annotations(str(tmp_path / "c.sqlite"))
    kept.create_study("s", made.model_dump_json(), made.wanted)
    says = ["1", "1", "2", "tie"]
    kept.add_votes("s", answered(made, lambda item, n: says[item.item], people=2))
    found = {one.group: one for one in ratings.means(made, kept.votes("s"))}
    assert found["ours"].estimate.value == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert found["theirs"].estimate.value == pytest.approx(1 - found["ours"].estimate.value)
    assert found["ours"].chance == 0.5 and ratings.differences(made, kept.votes("s")) == []
    kept.close()


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("outputs", "words\nx\n", "no column text; it has words"),
        ("outputs", "text\n", "no texts"),
        ("outputs", "text,image\nred,\n", "line 2: has neither a concept nor an image"),
        ("outputs", "text,image\n ,3\n", "line 2: no text"),
        ("outputs", "text,image\nred,none.png\n", "line 2: 'none.png' is no image of the bundle"),
        ("outputs", "text,concept,feature\nred,red,no:1\n", "line 2: 'no:1' is no live feature"),
        ("outputs", f"text\n{'a' * 1_000_000}\n", "field larger than field limit"),
        ("outputs", f"text\n{'a' * 5_000}\n", "line 2: a cell is too long"),
        ("outputs", "text,answer\na,6\n", "line 2: the answer '6' is no rating from 1 to 5"),
        ("outputs", "text,concept,scale\na,red,wit\n", "line 2: the scale 'wit' is none of"),
        ("outputs", "text,annotator\na,p1\n", "holds answers; `study import` takes them"),
        ("outputs", "text,concept\na,red\n\nb,red\na,red\n", "line 5: the same text as in line 2"),
        ("choice", "text_1,text_2\na,b\na,b\n", "line 3: the same text as in line 2"),
        ("outputs", "text\n\0\n", "a cell is too long or no text|NUL"),
        ("choice", "text_1,text_2\nred,\n", "line 2: fewer than two texts"),
        ("choice", "text_1,text_2,text_3\na,,c\n", "line 2: a text is missing between others"),
        ("choice", "text_1,text_2,answer\na,b,3\n", "line 2: the answer '3' is no text's number"),
    ],
)
def test_bad_files_are_named_with_their_line(
    bundle: Path, tmp_path: Path, kind: str, text: str, said: str
) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=said) as refused:
        create(study(bundle, file, kind=kind))
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1]", "not what `steer --json` prints"),
        ('{"records": [{"setting": 1}]}', "not what `steer --json` prints"),
        ('{"records": []}', "no answer unsteered or steered"),
    ],
)
def test_records_that_are_none(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=said):
        outputs.of_steering(file)


def test_texts_need_a_file() -> None:
    with pytest.raises(ValueError, match="texts come from a CSV"):
        Study.model_validate({"name": "s", "bundle": "x", "kind": "outputs"})


def test_nothing_judged_is_no_figure(content: Content) -> None:
    assert all(np.isnan(one.estimate.value) for one in ratings.means(content, []))
    assert not ratings.reliability(content, []).percent.known
    assert ratings.ratings_csv(content, []).count("\n") == 1 + len(content.items)
