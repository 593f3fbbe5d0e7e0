"""A study drawn from a bundle: its pairs, images, checks and practice."""

from pathlib import Path

import duckdb
import pytest
from conftest import ROOT
from synthetic import make_bundle

from pipeline import config
from pipeline.bundle import opening
from pipeline.study.content import Content, name_of
from pipeline.study.creation import create
from pipeline.study.draw import StudyError
from pipeline.study.files import Checks, Draw, Study

IMAGES = 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that keeps of its neurons, and of some other features, only the strongest images."""
    made = make_bundle(tmp_path_factory.mktemp("runs") / "dense")
    with duckdb.connect(str(opening.open_bundle(made).database)) as database:
        database.execute(
            """DELETE FROM activations a USING (
                SELECT dictionary_id, feature_id, example_id, row_number() OVER (
                    PARTITION BY dictionary_id, feature_id ORDER BY activation DESC, example_id
                ) AS place FROM activations JOIN dictionaries USING (dictionary_id)
                WHERE modality = 'image' AND (basis = 'neurons'
                    OR name = 'matryoshka' AND feature_id % 2 = 0)
            ) b WHERE a.dictionary_id = b.dictionary_id AND a.feature_id = b.feature_id
            AND a.example_id = b.example_id AND a.modality = 'image' AND place > 6"""
        )
    return made


def study(bundle: Path, **settings) -> Study:
    draw = {"count": 6, **settings.pop("draw", {})}
    return Study.model_validate(
        {"name": "s", "bundle": bundle, "images": IMAGES, "draw": draw, **settings}
    )


def rows(bundle: Path, query: str, *values: object) -> list[tuple]:
    with duckdb.connect(str(opening.open_bundle(bundle).database), read_only=True) as database:
        return database.execute(query, values).fetchall()


@pytest.mark.parametrize("how", ["random", "stratified", "neurons"])
def test_pairs_show_the_features_own_images(bundle: Path, how: str) -> None:
    made = create(study(bundle, draw={"how": how}))
    assert made == create(study(bundle, draw={"how": how}))
    assert Content.model_validate_json(made.model_dump_json()) == made
    trials = [item for item in made.items if item.role == "trial"]
    assert len(trials) == 6 and made.wanted == dict.fromkeys(range(6), 3)
    for item in trials:
        assert len(item.sides) == 2 and item.sides[0].feature != item.sides[1].feature
        for side in item.sides:
            of = made.features[side.feature]
            top = rows(
                bundle,
                """SELECT example_id FROM top_examples WHERE dictionary_id = ? AND feature_id = ?
                AND modality = 'image' AND rank <= ?""",
                of.dictionary_id,
                of.feature_id,
                IMAGES,
            )
            assert {row[0] for row in top} == set(side.images) <= set(made.images)
    if how == "neurons":
        bases = {
            tuple("neurons" in made.features[side.feature].dictionary_id for side in item.sides)
            for item in trials
        }
        assert bases == {(False, True)}


def test_checks_and_practice_have_an_answer_that_is_right(bundle: Path) -> None:
    made = create(study(bundle, practice=2, checks={"catch": 3}))
    known = [item for item in made.items if item.answer is not None]
    assert [item.role for item in known] == ["practice"] * 2 + ["catch"] * 3
    for item in known:
        first, second = item.sides
        assert item.answer == "x" and first.feature is not None and second.feature is None
        of = made.features[first.feature]
        active = rows(
            bundle,
            "SELECT example_id FROM activations WHERE dictionary_id = ? AND feature_id = ?",
            of.dictionary_id,
            of.feature_id,
        )
        assert not {row[0] for row in active} & set(second.images)
        assert len(set(second.images)) == IMAGES


def test_ratings_are_checked_by_images_drawn_at_random(bundle: Path) -> None:
    made = create(study(bundle, kind="rating", practice=0, checks={"catch": 3}))
    known = [item for item in made.items if item.role != "trial"]
    assert [(item.role, item.answer) for item in known] == [("catch", "1")] * 3
    assert all(item.sides[0].feature is None for item in known)
    assert all(len(set(item.sides[0].images)) == IMAGES for item in known)
    assert len({item.sides[0].images for item in known}) == 3


def test_ratings_are_practised_at_both_ends_of_the_scale(bundle: Path, tmp_path: Path) -> None:
    one = {"count": 4, "dictionaries": ["matryoshka"]}
    made = create(study(bundle, kind="rating", practice=3, checks={"catch": 1}, draw=one))
    judged = {name_of(made.features[item.sides[0].feature]) for item in made.items[:4]}
    practice = made.items[4:7]
    assert [(item.role, item.answer) for item in practice] == [
        ("practice", "5"), ("practice", "1"), ("practice", "5"),
    ]  # fmt: skip
    assert practice[1].sides[0].feature is None
    live = rows(
        bundle,
        """SELECT dictionary_id || ':' || feature_id FROM features
        WHERE n_active >= ? AND ms IS NOT NULL ORDER BY ms DESC, feature_id""",
        IMAGES,
    )
    mine = {name.rpartition(":")[0] for name in judged}
    free = [n for (n,) in live if n.rpartition(":")[0] in mine and n not in judged]
    clear = [name_of(made.features[practice[at].sides[0].feature]) for at in (0, 2)]
    assert clear == free[:2], "the clearest of those that nobody is asked after"

    scored = [n for (n,) in live if n.rpartition(":")[0] in mine]
    many = create(study(bundle, kind="rating", practice=40, draw=one))
    tried = [item.sides[0].feature for item in many.items if item.answer == "5"]
    assert 2 < len(tried) <= len(scored) // 4 + 1, "no feature that is not clear stands for a 5"
    assert {name_of(many.features[at]) for at in tried} <= set(scored[: len(scored) // 4 + 1])
    raw = {"count": 4, "dictionaries": ["neurons"]}
    dull = create(study(bundle, kind="rating", practice=4, draw=raw))
    assert [item.answer for item in dull.items if item.role == "practice"] == ["1"] * 4

    file = tmp_path / "all.csv"
    file.write_text("x\n" + "".join(f"{name}\n" for (name,) in live), encoding="utf-8")
    every = create(study(bundle, kind="rating", practice=2, draw={"how": "list", "file": file}))
    assert [item.answer for item in every.items if item.role == "practice"] == ["1", "1"]


def test_an_intruder_does_not_activate_the_feature(bundle: Path) -> None:
    made = create(study(bundle, kind="intruder", images_from="range"))
    for item in made.items:
        (side,) = item.sides
        assert len(set(side.images)) == IMAGES and item.answer in map(str, side.images)
        of = made.features[side.feature]
        active = {
            row[0]
            for row in rows(
                bundle,
                """SELECT example_id FROM activations
                WHERE dictionary_id = ? AND feature_id = ? AND modality = 'image'""",
                of.dictionary_id,
                of.feature_id,
            )
        }
        assert set(side.images) - active == {int(item.answer)}
    places = {item.sides[0].images.index(int(item.answer)) for item in made.items}
    assert len(places) > 1, "it does not always stand at the same place"


def test_a_list_is_judged_as_it_is_given(bundle: Path, tmp_path: Path) -> None:
    drawn = create(study(bundle))
    names = [f"{f.dictionary_id}:{f.feature_id}" for f in drawn.features[:4]]
    file = tmp_path / "pairs.csv"
    file.write_text(f"x,y\n{names[0]},{names[1]}\n{names[2]},{names[3]}\n", encoding="utf-8")
    made = create(study(bundle, draw={"how": "list", "file": file}))
    shown = [
        f"{made.features[side.feature].dictionary_id}:{made.features[side.feature].feature_id}"
        for item in made.items
        if item.role == "trial"
        for side in item.sides
    ]
    assert shown == names


def incomplete(bundle: Path) -> set[tuple[str, int]]:
    """Features of which the bundle keeps fewer images than activate them."""
    found = rows(
        bundle,
        """SELECT f.dictionary_id, f.feature_id FROM features f WHERE n_active > (
            SELECT count(*) FROM activations a WHERE a.dictionary_id = f.dictionary_id
            AND a.feature_id = f.feature_id AND a.modality = 'image')""",
    )
    return set(found)


def test_checks_are_made_of_features_whose_images_are_all_known(dense: Path) -> None:
    partial = incomplete(dense)
    made = create(study(dense, practice=2, draw={"how": "neurons"}))
    keys = [(one.dictionary_id, one.feature_id) for one in made.features]
    assert {key for key in keys if key[0].endswith("/neurons")} <= partial & set(keys)
    for item in made.items:
        if item.answer is not None:
            assert keys[item.sides[0].feature] not in partial


@pytest.mark.parametrize("kind", ["pairs", "rating", "intruder"])
def test_all_that_activates_a_feature_is_known_or_it_is_not_drawn(dense: Path, kind: str) -> None:
    for how in ("random", "stratified"):
        made = create(study(dense, kind=kind, images_from="range", draw={"how": how, "count": 20}))
        keys = {(one.dictionary_id, one.feature_id) for one in made.features}
        assert len(keys) >= 20 and not keys & incomplete(dense)


NEURONS = {"dictionaries": ["neurons"]}
MIXED = {"dictionaries": ["batchtopk", "neurons"]}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"draw": NEURONS}, "checks: of no drawn feature .*set practice = 0 and checks.catch = 0"),
        ({"kind": "intruder", "draw": NEURONS}, "kind = 'intruder': needs all images"),
        ({"kind": "intruder", "draw": MIXED}, "kind = 'intruder': needs all images"),
        ({"images_from": "range", "draw": NEURONS}, "images_from = 'range': .*set images_from"),
        ({"images_from": "range", "draw": {"how": "neurons"}}, "neurons the bundle keeps only"),
    ],
)
def test_what_needs_all_images_is_refused_where_only_the_strongest_are_kept(
    dense: Path, settings: dict, said: str
) -> None:
    with pytest.raises(StudyError, match=said) as refused:
        create(study(dense, **settings))
    assert "\n" not in str(refused.value)


def test_what_every_image_activates_is_neither_an_intruders_nor_a_check(bundle: Path) -> None:
    settings = {"practice": 2, "draw": {"how": "random", "count": 200}}
    every = "SELECT count(*) FROM examples WHERE split = 'val'"
    full = set(
        rows(bundle, f"SELECT dictionary_id, feature_id FROM features WHERE n_active = ({every})")
    )
    assert full
    for kind in ("intruder", "pairs"):
        made = create(study(bundle, kind=kind, **settings))
        keys = [(one.dictionary_id, one.feature_id) for one in made.features]
        assert bool(full & set(keys)) == (kind == "pairs")
        assert not full & {keys[i.sides[0].feature] for i in made.items if i.answer is not None}


def test_neurons_are_judged_without_checks(dense: Path) -> None:
    made = create(study(dense, practice=0, checks={"catch": 0}, draw=NEURONS))
    assert [item.role for item in made.items] == ["trial"] * 6
    assert create(study(dense, kind="rating", draw=NEURONS)), "its checks are images of no feature"


def test_a_listed_feature_of_which_not_all_is_known_is_refused(dense: Path, tmp_path: Path) -> None:
    name, number = max(incomplete(dense))
    file = tmp_path / "list.csv"
    file.write_text(f"x\n{name}:{number}\n", encoding="utf-8")
    settings = {"kind": "rating", "images_from": "range", "draw": {"how": "list", "file": file}}
    with pytest.raises(StudyError, match=r"line 2: of .*/neurons:\d+' the bundle keeps only"):
        create(study(dense, **settings))


def test_checks_follow_ms_whatever_the_strata_are_made_by(bundle: Path) -> None:
    made = create(study(bundle, practice=1, checks={"catch": 2}, draw={"score": "density"}))
    trials = {s.feature for item in made.items if item.role == "trial" for s in item.sides}
    best = sorted(trials, key=lambda at: -made.features[at].scores["ms"])[:3]
    assert [i.sides[0].feature for i in made.items if i.answer is not None] == best


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("x,y\n{0},{1}\n\n{2},{2}\n", "pairs", "line 4: .* stands against itself"),
        ("x,y\n{0},{1}\n{1},{2}\n{1},{0}\n", "pairs", "line 4: the same pair as in line 2"),
        ("x\n{0}\n{1}\n{0}\n", "rating", "line 4: the same feature as in line 2"),
    ],
)
def test_a_list_says_nothing_twice(
    bundle: Path, tmp_path: Path, text: str, kind: str, said: str
) -> None:
    names = [name_of(one) for one in create(study(bundle)).features]
    file = tmp_path / "list.csv"
    file.write_text(text.format(*names), encoding="utf-8")
    with pytest.raises(StudyError, match=said):
        create(study(bundle, kind=kind, draw={"how": "list", "file": file}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"draw": {"dictionaries": ["none"]}}, "draw.dictionaries has 'none': name some of"),
        ({"draw": {"score": "label"}}, "draw.score = 'label': no numeric column"),
        ({"draw": {"count": 100_000}}, "draw.count = 100,000: there are"),
    ],
)
def test_what_the_bundle_does_not_have_is_refused(bundle: Path, settings: dict, said: str) -> None:
    with pytest.raises(StudyError, match=said):
        create(study(bundle, **settings))


def test_every_key_is_in_the_docs() -> None:
    told = (ROOT / "docs/study.md").read_text(encoding="utf-8")
    keys = set(Study.model_fields) - {"draw", "checks"}
    keys |= {f"draw.{name}" for name in Draw.model_fields}
    keys |= {f"checks.{name}" for name in Checks.model_fields}
    assert not [key for key in sorted(keys) if f"`{key}`" not in told]


def test_a_study_file_is_read_as_other_configs_are(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text('name = "s"\nbundle = "data/runs/demo"\n[draw]\nhow = "random"\n')
    assert config.load(file, Study).draw.how == "random"
    file.write_text('name = "s"\nbundle = "x"\nvote = 3\n[draw]\nhow = "list"\n')
    with pytest.raises(config.ConfigError) as refused:
        config.load(file, Study)
    assert str(refused.value).splitlines() == [
        f"{file}: draw: file: name one with how = 'list', and only then",
        f"{file}: vote: unknown key; remove it or mend its spelling",
    ]
