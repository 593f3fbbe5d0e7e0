"""Every page in each of its states, run without a browser."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from databases import connection
from pages import APP, data, open_page, said, shows
from streamlit.testing.v1 import AppTest
from synthetic import DEAD, MARKUP, SINGLE, make_bundle

from dashboard.style.numbers import percent
from pipeline.bundle import opening as bundle_opening

SAE = "clip-demo/vision.0.resid_post/matryoshka"
Opened = Callable[..., AppTest]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture
def opened(run: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """opened(VIEW, PARAMETER=VALUE..., path=RUN): the page of the run, made once."""

    def start(view: str = "overview", /, *, path: Path = run, **parameters: str) -> AppTest:
        return open_page(monkeypatch, path, view, **parameters)

    return start


def test_overview(opened: Opened) -> None:
    at = opened()
    assert "Synthetic run &lt;script&gt;" in said(at)
    rows = data(at, "table")["rows"]
    assert [row["short"] for row in rows[:2]] == ["vision.0 / batchtopk", "vision.0 / matryoshka"]
    assert rows[0]["href"] == "browse?hook=vision.0&name=batchtopk"
    assert rows[2]["over"] == ""
    assert MARKUP in "".join(text.value for text in at.text), "shown as text, not as Markdown"


def test_overview_tells_of_captions(opened: Opened, tmp_path: Path) -> None:
    at = opened()
    tables = [each for each in at.get("bidi_component") if "table" in each.proto.component_name]
    made = json.loads(tables[1].proto.json)["rows"][0]
    assert (made["reads"], made["learnt"]) == ("patches + captions, max", "patches + captions")
    assert "of 54 val images have some. clip-demo read 86." in said(at)
    folder = make_bundle(tmp_path / "cut")
    with duckdb.connect(str(bundle_opening.open_bundle(folder).database)) as db:
        db.execute("UPDATE caption_tokens SET cut = 3 WHERE rowid < 5")
    assert "clip-demo read 86, 5 not to their end." in said(opened(path=folder))


def test_browse_opens_on_the_sae_of_the_highest_ms(opened: Opened) -> None:
    at = opened("browse")
    shown = data(at, "grid")
    scores = [card["ms"] for card in shown["cards"]]
    assert len(scores) > 12
    assert scores == sorted(scores, reverse=True)
    assert shown["pages"] >= 1
    assert all(card["sheet"].startswith("data:image/") for card in shown["cards"])
    assert not shown["cards"][0]["where"].endswith("neurons")


def test_browse_reads_its_address(opened: Opened) -> None:
    at = opened(
        "browse", hook="vision.1", name="neurons", page="1", sort="feature id", order="low first"
    )
    cards = data(at, "grid")["cards"]
    assert [card["id"] for card in cards] == list(range(24))
    assert cards[0]["href"].startswith("feature?dictionary=clip-demo%2Fvision.1")


@pytest.mark.parametrize(
    "parameters",
    [
        {"hook": "nowhere", "name": "nothing", "sort": "ms; DROP TABLE features"},
        {"page": "999"},
        {"page": "-1"},
        {"page": "x"},
        {"ms": "a"},
        {"density": "7"},
        {"label": "no such label"},
    ],
)
def test_browse_outlives_any_address(opened: Opened, parameters: dict[str, str]) -> None:
    at = opened("browse", **parameters)
    assert not at.exception
    assert data(at, "grid")["cards"]


def test_browse_filters_and_says_when_nothing_passes(opened: Opened) -> None:
    at = opened("browse")
    at.slider(key="ms").set_value((0.6, 1.0)).run()
    assert all(card["ms"] >= 0.6 for card in data(at, "grid")["cards"])
    at.slider(key="ms").set_value((0.99, 1.0)).run()
    assert "No feature passes these filters" in said(at)
    assert not shows(at, "grid")


def test_browse_filters_by_modality(opened: Opened) -> None:
    address: dict[str, str | list[str]] = {"hook": "vision.0", "name": "matryoshka"}
    at = opened("browse", **address, least="0 images", modality=["0.2", "0.9"])
    scores = [card["sides"]["value"] for card in data(at, "grid")["cards"]]
    assert scores and all(0.2 <= score <= 0.9 for score in scores)
    at = opened("browse", **address, least="0 images", pairs=["0.3", "1"], view="table")
    pairs = [float(row["pairs"]) for row in data(at, "table")["rows"]]
    assert pairs and min(pairs) >= 0.3 - 0.005
    at = opened("browse", **address, fires="words alone")
    cards = data(at, "grid")["cards"]
    assert {card["sides"]["value"] for card in cards} == {0.0}
    assert {card["label"] or card["unlabelled"] for card in cards} >= {"words only"}


def test_browse_sorts_by_modality(opened: Opened) -> None:
    address = {"hook": "vision.0", "name": "matryoshka", "view": "table"}
    at = opened("browse", **address, sort="modality score", order="low first")
    shown = data(at, "table")
    values = [row["sides"]["value"] for row in shown["rows"] if row["sides"]]
    assert values == sorted(values) and len(set(values)) > 2
    assert shown["order"] == {"by": "modality score", "descending": False}
    assert {c["key"] for c in shown["columns"] if c["sort"]} >= {"sides", "pairs"}


def test_browse_of_what_no_caption_reaches_has_no_modality(opened: Opened) -> None:
    at = opened("browse", hook="vision.0", name="neurons", view="table", sort="modality score")
    assert not [s for s in at.slider if s.key in ("modality", "pairs")]
    assert not {"sides", "pairs"} & {c["key"] for c in data(at, "table")["columns"]}
    assert all(row["sides"] is None and row["pairs"] == "" for row in data(at, "table")["rows"])


def test_browse_shows_dead_features_on_request(opened: Opened) -> None:
    address = {"hook": "vision.0", "name": "matryoshka", "sort": "feature id"}
    at = opened("browse", **address, order="low first", least="1 image")
    assert DEAD not in [card["id"] for card in data(at, "grid")["cards"]]
    at.select_slider(key="least").set_value(0).run()
    cards = {card["id"]: card for card in data(at, "grid")["cards"]}
    assert cards[DEAD]["msText"] == "–"


def test_browse_keeps_another_choice_on_its_first_page(opened: Opened) -> None:
    at = opened("browse", page="2", least="1 image")
    shown = data(at, "grid")
    assert shown["page"] == 2
    at = opened("browse", page="2", of=shown["of"], least="1 image")
    assert data(at, "grid")["page"] == 2
    at.selectbox(key="sort").set_value("density").run()
    assert data(at, "grid")["page"] == 1


def test_browse_lists_any_number_of_dictionaries(opened: Opened) -> None:
    names = ["batchtopk", "matryoshka"]
    at = opened("browse", hook="vision.0", name=names, sort="feature id", order="low first")
    cards = data(at, "grid")["cards"]
    assert {card["where"] for card in cards} == {f"vision.0 / {name}" for name in names}
    assert cards[0]["key"] != cards[1]["key"] == f"{SAE}:{cards[1]['id']}"
    assert "of 96 features" in data(at, "grid")["said"]


def test_browse_without_a_choice_lists_every_dictionary(opened: Opened) -> None:
    at = opened("browse", hook="vision.0", name="neurons")
    at.button_group(key="name").set_value([]).run()
    assert "of 120 features" in data(at, "grid")["said"]


def test_browse_as_a_table_sorted_by_a_column(opened: Opened) -> None:
    at = opened("browse", view="table", sort="density", order="low first", least="1 image")
    shown = data(at, "table")
    assert shown["order"] == {"by": "density", "descending": False}
    densities = [float(row["density"].removesuffix(" %")) for row in shown["rows"]]
    assert len(densities) > 24
    assert densities == sorted(densities)
    assert {c["key"] for c in shown["columns"] if c["sort"]} >= {"id", "label", "ms", "active"}
    assert all(row["sheet"] and row["key"] for row in shown["rows"])


def test_browse_finds_labels_by_a_part_of_them(opened: Opened, run: Path) -> None:
    at = opened("browse", q="YELL", by="in labels", least="1 image")
    found = {card["id"]: card["label"] for card in data(at, "grid")["cards"]}
    every = data(opened("browse", least="1 image", label="yellow"), "grid")["cards"]
    assert {card["id"] for card in every} == {i for i, name in found.items() if name == "yellow"}
    others = [i for i, name in found.items() if name != "yellow"]
    db = connection(run)
    sql = "SELECT feature_id FROM labels WHERE dictionary_id = ? AND label LIKE '%yell%'"
    of = every[0]["key"].rpartition(":")[0]
    assert set(others) <= {i for (i,) in db.execute(sql, [of]).fetchall()}
    assert "No feature passes" in said(opened("browse", q="no such%", by="in labels"))


def test_browse_finds_what_is_like_an_image(opened: Opened, run: Path) -> None:
    bundle = bundle_opening.open_bundle(run)
    ids, _ = bundle.embeddings("judge")
    at = opened("browse", like=str(ids[3]), hook="vision.0", name="matryoshka", least="1 image")
    cards = data(at, "grid")["cards"]
    notes = [float(card["note"].removeprefix("nearness ")) for card in cards]
    assert notes == sorted(notes, reverse=True)
    assert notes[0] > notes[-1]
    assert not [w for w in at.selectbox if w.key == "sort"], "the nearest come first"
    assert "no val image 7" in " ".join(w.value for w in opened("browse", like="7").warning)


def test_feature(opened: Opened) -> None:
    at = opened("feature", dictionary=SAE, feature="1")
    head, top = data(at, "featurebar"), data(at, "topimages")
    assert (head["id"], head["where"], head["count"]) == (1, "vision.0 / matryoshka", 48)
    assert head["here"].endswith("feature=1")
    assert top["grid"] == [8, 8]
    assert all(image["src"].startswith("data:image/webp") for image in top["images"])
    bars = [each for each in at.get("bidi_component") if each.proto.component_name == "loupe_bars"]
    scores, names, tags = (json.loads(each.proto.json)["rows"] for each in bars)
    assert all(0 <= row["value"] <= 1 for row in names if row["value"] is not None)
    assert [row["name"] for row in scores] == ["judge (default)", "second"]
    assert len(scores[0]["marks"]) == 2
    assert tags[0]["marks"][0]["name"] == "share of all images"


def test_feature_shows_what_stands_around_it(opened: Opened) -> None:
    at = opened("feature", dictionary=SAE, feature="1")
    grids = [
        json.loads(each.proto.json)
        for each in at.get("bidi_component")
        if each.proto.component_name == "loupe_grid"
    ]
    near, elsewhere = (one["cards"] for one in grids)
    assert [card["id"] for card in near] == [2, 3, 4]
    assert all(card["note"].startswith("correlation 0.") for card in near)
    assert len(elsewhere) == 8
    assert [card["where"] for card in elsewhere][:2] == [
        "vision.1 / matryoshka",
        "vision.projection / matryoshka",
    ]
    assert all(", images " in card["note"] for card in elsewhere)


def test_feature_without_a_grid_or_of_neurons(opened: Opened) -> None:
    at = opened("feature", dictionary="clip-demo/vision.projection/neurons", feature="0")
    assert data(at, "topimages")["grid"] is None
    assert len(data(at, "topimages")["images"]) == 16


def test_feature_shows_captions_beside_images(opened: Opened) -> None:
    at = opened("feature", dictionary=SAE, feature="2")
    shown = data(at, "captions")
    assert shown["title"] == "Top 16 captions"
    assert all(row["src"].startswith("data:image/webp") for row in shown["rows"])
    assert all(row["href"].startswith("image?") for row in shown["rows"])
    assert sum(part[-1] is True for part in shown["rows"][0]["shown"]) == 1
    facts = {one["name"]: one for one in data(at, "factline")["facts"]}
    assert list(facts) == [
        "image density", "text density", "modality score", "pair correlation", "bridge score",
        "top overlap",
    ]  # fmt: skip
    assert 0 < facts["modality score"]["balance"]["value"] < 1
    assert facts["pair correlation"]["beside"].startswith("shuffled ")
    assert "feature=3" in facts["bridge score"]["link"]["href"]
    charts = [each.proto.spec for each in at.get("vega_lite_chart")]
    assert len(charts) == 2, "one of images, one of captions"


def test_feature_of_one_vector_a_caption(opened: Opened) -> None:
    at = opened("feature", dictionary="clip-demo/vision.projection/matryoshka", feature="2")
    shown = data(at, "captions")
    assert all(row["whole"] for row in shown["rows"])
    assert "one vector" in shown["note"]


def test_feature_says_why_it_has_no_captions(opened: Opened, tmp_path: Path) -> None:
    neurons = SAE.replace("matryoshka", "neurons")
    assert "not for raw neurons" in said(opened("feature", dictionary=neurons, feature="1"))
    folder = make_bundle(tmp_path / "lacking")
    with duckdb.connect(str(bundle_opening.open_bundle(folder).database)) as db:
        for name in ("overlap", "modality", "top_captions", "reconstruction"):
            db.execute(f"DELETE FROM {name} WHERE dictionary_id = ?", [SAE])
        at_one = ["clip-demo/vision.1.resid_post/matryoshka"]
        db.execute("DELETE FROM top_captions WHERE dictionary_id = ? AND feature_id = 2", at_one)
    at = opened("feature", path=folder, dictionary=SAE, feature="1")
    assert "Words do not reach this place" in said(at)
    assert not shows(at, "captions")
    at = opened("feature", path=folder, dictionary=at_one[0], feature="2")
    assert "No caption activates this feature" in said(at)
    assert shows(at, "topimages") and shows(at, "factline") and not shows(at, "captions")
    mute = make_bundle(tmp_path / "mute")
    with duckdb.connect(str(bundle_opening.open_bundle(mute).database)) as db:
        for name in ("captions", "read_captions", "overlap", "modality", "top_captions"):
            db.execute(f"DELETE FROM {name}")
        db.execute("DELETE FROM reconstruction WHERE token_type LIKE 'caption%'")
    at = opened("feature", path=mute, dictionary=SAE, feature="1")
    assert "No caption was read in this run" in said(at)


def test_feature_of_words_alone(opened: Opened) -> None:
    at = opened("browse", hook="vision.0", name="matryoshka", fires="words alone")
    number = next(
        card["id"] for card in data(at, "grid")["cards"] if card["unlabelled"] == "words only"
    )
    at = opened("feature", dictionary=SAE, feature=str(number))
    assert "it fires on words alone" in said(at)
    assert shows(at, "captions") and not shows(at, "topimages")
    assert data(at, "featurebar")["unlabelled"] == "words only"
    at = opened("feature", dictionary=SAE, feature=str(DEAD))
    assert data(at, "featurebar")["unlabelled"] == "dead"


def test_words_alone_are_not_dead(opened: Opened, tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "flagged")
    with duckdb.connect(str(bundle_opening.open_bundle(folder).database)) as db:
        db.execute("UPDATE artefacts SET dead = true, dense = true")
        sql = """SELECT feature_id FROM cards
            WHERE dictionary_id = ? AND n_active = 0 AND modality_score = 0 LIMIT 1"""
        wordy = db.execute(sql, [SAE]).fetchall()[0][0]
    flags = said(opened("feature", path=folder, dictionary=SAE, feature=str(wordy)))
    assert ">dense</span>" in flags and ">dead</span>" not in flags
    dead = said(opened("feature", path=folder, dictionary=SAE, feature=str(DEAD)))
    assert ">dead</span>" in dead


def test_lists_show_what_words_alone_are_about(opened: Opened, run: Path) -> None:
    address = {"hook": "vision.0", "name": "matryoshka", "fires": "words alone"}
    cards = data(opened("browse", **address), "grid")["cards"]
    mute = [card for card in cards if card["unlabelled"] == "words only"]
    root = bundle_opening.open_bundle(run).root
    with duckdb.connect() as db:
        for card in mute:
            text, share = db.execute(
                f"""SELECT text, text_density FROM '{root}/top_captions.parquet'
                JOIN '{root}/captions.parquet' USING (caption_id)
                JOIN '{root}/modality.parquet' USING (dictionary_id, feature_id)
                WHERE dictionary_id = ? AND feature_id = ? AND "rank" = 1""",
                [SAE, card["id"]],
            ).fetchall()[0]
            assert (card["spoken"], card["sheet"]) == (text, None)
            assert card["density"] == percent(share) != "0 %"
            assert "captions" in card["help"]["density"]
    assert mute
    rows = data(opened("browse", **address, view="table"), "table")["rows"]
    by_key = {row["key"]: row for row in rows}
    for card in mute:
        row = by_key[card["key"]]
        assert row["spoken"] == card["spoken"]
        assert row["density"]["text"] == card["density"] and "captions" in row["density"]["help"]
    pictured = [card for card in data(opened("browse"), "grid")["cards"] if card["sheet"]]
    assert pictured and not any(card["spoken"] for card in pictured)


def test_feature_of_a_dictionary_that_reads_words_beside_pictures(
    opened: Opened, tmp_path: Path
) -> None:
    folder = make_bundle(tmp_path / "mixed", mixed=1)
    here = "clip-demo/vision.0.resid_post/batchtopk"
    at = opened("feature", path=folder, dictionary=here, feature="2")
    assert shows(at, "captions") and shows(at, "topimages")
    assert data(at, "factline")["title"] == "Steering", "and nothing of two sides"
    assert "reads words beside the picture" in said(at)
    assert "Words do not reach" not in said(at)
    at = opened("browse", path=folder, hook="vision.0", name="batchtopk", least="0 images")
    assert not [s for s in at.slider if s.key in ("modality", "pairs")]
    mute = [card for card in data(at, "grid")["cards"] if card["spoken"]]
    assert all(c["unlabelled"] == "words only" and c["density"] == "–" for c in mute)


def test_dead_is_said_to_be_of_images(opened: Opened, older: Path) -> None:
    title = {c["key"]: c["title"] for c in data(opened(), "table")["columns"]}
    assert title["dead"] == "dead on images"
    plain = {c["key"]: c["title"] for c in data(opened(path=older), "table")["columns"]}
    assert plain["dead"] == "dead"


def test_feature_that_is_dead_or_fires_once(opened: Opened) -> None:
    at = opened("feature", dictionary=SAE, feature=str(DEAD))
    assert "No val image activates this feature" in said(at)
    assert data(at, "featurebar")["id"] == DEAD
    assert not shows(at, "topimages")
    at = opened("feature", dictionary=SAE, feature=str(SINGLE))
    assert len(data(at, "topimages")["images"]) == 1
    assert data(at, "featurebar")["msText"] == "–"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dictionary": "x/y/<b>z</b>", "feature": "1"}, "no dictionary"),
        ({"dictionary": SAE, "feature": "48"}, "features 0 to 47"),
        ({"dictionary": SAE, "feature": "-1"}, "features 0 to 47"),
        ({"dictionary": SAE, "feature": "1e3"}, "features 0 to 47"),
        ({"dictionary": SAE}, "features 0 to 47"),
    ],
)
def test_feature_says_what_its_address_lacks(
    opened: Opened, parameters: dict[str, str], message: str
) -> None:
    at = opened("feature", **parameters)
    assert message in said(at)
    assert "<b>" not in said(at)


def test_feature_without_an_address_shows_one(opened: Opened) -> None:
    assert data(opened("feature"), "topimages")["images"]


def test_missing_bundle_is_one_clear_message(opened: Opened, tmp_path: Path) -> None:
    at = opened(path=tmp_path / "gone")
    assert [error.value.replace("\\", "") for error in at.error] == [
        f"{tmp_path}/gone: no such folder; name a run (data/runs/NAME) or a bundle, "
        "or make the demo's with: make demo-data"
    ]
    assert not at.get("html")
    at = opened(path=tmp_path)
    assert "python -m pipeline run" in at.error[0].value


def test_bundle_of_another_version_names_the_remedy(opened: Opened, tmp_path: Path) -> None:
    path = make_bundle(tmp_path / "old", n_examples=24, d_sae=8, d_in=8, layers=1)
    manifest = path / "bundle" / "manifest.json"
    facts = json.loads(manifest.read_text()) | {"contract": "99.0"}
    manifest.write_text(json.dumps(facts))
    at = opened(path=path)
    assert "made for contract 99.0" in at.error[0].value
    assert "python -m pipeline run" in at.error[0].value


def test_damaged_database_is_one_clear_message(opened: Opened, tmp_path: Path) -> None:
    path = make_bundle(tmp_path / "hurt", n_examples=24, d_sae=8, d_in=8, layers=1)
    bundle_opening.open_bundle(path).database.write_bytes(b"no database")
    at = opened(path=path)
    assert "cannot be opened" in at.error[0].value
    assert not at.exception


def test_republished_bundle_is_picked_up(opened: Opened, tmp_path: Path) -> None:
    path = make_bundle(tmp_path / "again", n_examples=24, d_sae=8, d_in=8, layers=1)
    at = opened(path=path)
    assert len(data(at, "table")["rows"]) == 6
    make_bundle(path, n_examples=24, d_sae=8, d_in=8, layers=2)
    at.run()
    assert len(data(at, "table")["rows"]) == 9


def test_several_runs_can_be_chosen_from(opened: Opened, tmp_path: Path) -> None:
    for name, layers in (("one", 1), ("two", 2)):
        make_bundle(tmp_path / name, n_examples=24, d_sae=8, d_in=8, layers=layers)
    at = opened(path=tmp_path / "two")
    assert at.selectbox(key="run").options == ["two", "one"]
    assert len(data(at, "table")["rows"]) == 9
    at.selectbox(key="run").set_value("one").run()
    assert len(data(at, "table")["rows"]) == 6
    assert "run=one" in data(at, "table")["rows"][0]["href"]


def test_command_line_takes_one_path(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "--run", "x"])
    at = AppTest.from_file(str(APP), default_timeout=120).run()
    assert "streamlit run dashboard/app.py -- data/runs/demo" in at.error[0].value


def test_map(opened: Opened) -> None:
    at = opened("map")
    kinds = [each.proto.component_name for each in at.get("bidi_component")]
    assert kinds.count("loupe_map") == 3
    assert not at.exception
    at.multiselect(key="maps").set_value(["vision.0 / matryoshka", "vision.1 / matryoshka"]).run()
    at.segmented_control(key="colour_own").set_value("density").run()
    assert not at.exception
    at.multiselect(key="maps").set_value([]).run()
    assert any("Choose a dictionary" in each.proto.body for each in at.get("html"))


def test_map_of_one_plane(opened: Opened) -> None:
    at = opened("map", layout="one plane")
    shown = at.multiselect(key="plane").value
    assert len(shown) == 6, "all SAEs of the bundle"
    assert at.segmented_control(key="colour_one").value == "dictionary"
    assert not at.exception
    for colour in ("layer", "group", "ms"):
        at.segmented_control(key="colour_one").set_value(colour).run()
        assert not at.exception
    at.multiselect(key="plane").set_value(shown[:1]).run()
    assert "dictionary" not in at.segmented_control(key="colour_one").options
    assert not at.exception


def test_map_finds_by_number_and_by_label(opened: Opened) -> None:
    at = opened("map", layout="one plane", find="#7")
    cards = data(at, "grid")["cards"]
    assert [card["id"] for card in cards] == [7] * 6
    assert {card["label"] for card in cards} == {MARKUP}
    at.text_input(key="find").set_value("SCRIPT").run()
    assert [card["id"] for card in data(at, "grid")["cards"]] == [7] * 6
    at.text_input(key="find").set_value("no such thing").run()
    assert "Nothing on the map has this number or label" in said(at)
    at.text_input(key="find").set_value("e").run()
    first = data(at, "grid")
    assert first["pages"] > 1
    at.query_params["page"], at.query_params["of"] = "2", first["of"]
    at.run()
    second = data(at, "grid")
    assert second["page"] == 2
    both = [card["key"] for card in (*first["cards"], *second["cards"])]
    assert len(set(both)) == len(both) > 24


@pytest.mark.parametrize(
    ("without", "layouts"),
    [("basis = 'activations'", ["maps"]), ("basis = 'decoder'", ["plane"]), ("true", [])],
)
def test_map_of_bundles_with_less(
    opened: Opened, tmp_path: Path, without: str, layouts: list[str]
) -> None:
    path = make_bundle(tmp_path / "less")
    with duckdb.connect(str(bundle_opening.open_bundle(path).database)) as database:
        database.execute(f"DELETE FROM maps WHERE {without}")
        database.execute("DROP TABLE matches")
    at = opened("map", path=path)
    assert [each.key for each in at.multiselect] == layouts
    assert len(at.segmented_control) == len(layouts), "no choice of layouts"
    assert ("This bundle has no maps" in said(at)) == (not layouts)
    if layouts == ["maps"]:
        at.multiselect(key="maps").set_value(["vision.0 / matryoshka", "vision.1 / matryoshka"])
        at.run()
        assert not at.exception


def test_browse_leaves_artefacts_out(opened: Opened) -> None:
    at = opened("browse", hook="vision.0", name="matryoshka", least="1 image")
    before = data(at, "grid")["said"]
    at.multiselect(key="without").set_value(["dense", "on_cls"]).run()
    after = data(at, "grid")["said"]
    assert int(after.split()[0]) < int(before.split()[0])


LATER = (
    "labels", "example_features", "best_matches", "artefacts", "neighbors", "matches", "maps",
    "sample_examples", "captions", "caption_tokens", "top_captions", "read_captions", "modality",
    "overlap", "steering",
)  # fmt: skip
"""Tables that bundles of contract 1.0 do not have."""


@pytest.mark.parametrize("missing", LATER)
def test_a_feature_is_shown_without_any_one_table(
    opened: Opened, tmp_path: Path, missing: str
) -> None:
    folder = make_bundle(tmp_path / "lacking")
    with duckdb.connect(str(bundle_opening.open_bundle(folder).database)) as db:
        db.execute(f"DROP TABLE {missing}")
    at = opened("feature", path=folder, dictionary=SAE, feature="1")
    assert "damaged" not in said(at)
    assert shows(at, "topimages")
    grids = {each.proto.id for each in at.get("bidi_component")
             if each.proto.component_name == "loupe_grid"}  # fmt: skip
    assert len(grids) == 2 - (missing in ("neighbors", "matches"))


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as bundles of contract 1.0 have it: without what came later."""
    folder = make_bundle(tmp_path_factory.mktemp("runs") / "older")
    database = bundle_opening.open_bundle(folder).database
    with duckdb.connect(str(database)) as db:
        for name in LATER:
            db.execute(f"DROP TABLE {name}")
        db.execute("ALTER TABLE cards DROP COLUMN examples")
        for name in ("judges", "text"):
            db.execute(f"ALTER TABLE encoders DROP COLUMN {name}")
        for name in ("grid_fit", "learnt_from"):
            db.execute(f"ALTER TABLE dictionaries DROP COLUMN {name}")
        db.execute("DELETE FROM reconstruction WHERE token_type LIKE 'caption%'")
        for table in ("features", "cards"):
            for name in ("modality_score", "pair_correlation", "steering_score", "steers"):
                db.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
    return folder


@pytest.mark.parametrize(
    ("view", "parameters", "shown"),
    [
        ("overview", {}, "table"),
        ("browse", {}, "grid"),
        ("browse", {"view": "table"}, "table"),
        ("browse", {"without": "dense"}, "grid"),
        ("browse", {"q": "red", "by": "in labels"}, "grid"),
        ("browse", {"ms": ["0.9", "0.1"]}, "grid"),
        ("feature", {"dictionary": SAE, "feature": "1"}, "topimages"),
        ("browse", {"sort": "modality score", "modality": ["0.1", "0.5"]}, "grid"),
        ("map", {}, None),
        ("compare", {}, None),
        ("compare", {"features": f"{SAE}:1,2"}, "chosen"),
        ("image", {}, "strips"),
        ("lists", {"features": f"{SAE}:1"}, "grid"),
        ("browse", {"sort": "steering score", "steers": "yes"}, "grid"),
    ],
)
def test_older_bundles_open_in_every_room(
    opened: Opened, older: Path, view: str, parameters: dict[str, str], shown: str | None
) -> None:
    at = opened(view, path=older, **parameters)
    text = said(at)
    if shown is None:
        assert "Run the pipeline again" in text
    else:
        assert shows(at, shown), text


def test_an_older_bundle_says_what_would_show_captions(opened: Opened, older: Path) -> None:
    at = opened("feature", path=older, dictionary=SAE, feature="1")
    assert "before captions were read (contract 1.3)" in said(at)
    assert "before captions were read (contract 1.3)" in said(opened(path=older))
    at = opened("browse", path=older)
    assert not [s for s in at.slider if s.key in ("modality", "pairs")]
    assert all(card["sides"] is None for card in data(at, "grid")["cards"])


STEERED = {"hook": "vision.0", "name": "batchtopk", "least": "0 images"}


def test_browse_shows_who_steers(opened: Opened) -> None:
    shown = data(opened("browse", **STEERED, view="table", sort="feature id"), "table")
    assert "steering" in [column["key"] for column in shown["columns"]]
    told = {row["id"].split("#")[1]: row["steering"] for row in shown["rows"]}
    assert told["0"].endswith("✓") and told["2"].endswith("✗")
    assert told["1"] == "", "it was not tried"
    cards = data(opened("browse", **STEERED, steers="yes"), "grid")["cards"]
    assert cards and all(card["id"] % 6 == 0 for card in cards)
    assert all(card["steering"]["text"].endswith("✓") for card in cards)
    cards = data(opened("browse", **STEERED, steers="no"), "grid")["cards"]
    assert cards and all(card["id"] % 2 == 0 and card["id"] % 6 for card in cards)


def test_browse_has_no_such_column_where_nothing_was_steered(opened: Opened) -> None:
    at = opened("browse", hook="vision.0", name="matryoshka", view="table", steers="yes")
    shown = data(at, "table")
    assert shown["rows"] and "steering" not in [column["key"] for column in shown["columns"]]
    cards = data(opened("browse", hook="vision.0", name="matryoshka"), "grid")["cards"]
    assert not any(card["steering"] for card in cards)


def test_feature_says_what_came_of_turning_it_up(opened: Opened) -> None:
    name = SAE.replace("matryoshka", "batchtopk")
    facts = data(opened("feature", dictionary=name, feature="2"), "factline")["facts"]
    told = {fact["name"]: fact for fact in facts}
    assert told["steering score"]["text"].endswith("✗")
    assert told["steering score"]["beside"].startswith("unsteered")
    assert told["commonest answer"]["text"].startswith("“<script>"), "shown as text"
    way = next(fact["link"]["href"] for fact in facts if fact.get("link"))
    assert way.startswith("steering?features=") and way.endswith("%3A2")
    at = opened("feature", dictionary=name, feature="1")
    titles = [
        json.loads(each.proto.json)["title"]
        for each in at.get("bidi_component")
        if each.proto.component_name == "loupe_factline"
    ]
    assert titles == ["Pictures and words"]


def test_steering_scores(opened: Opened) -> None:
    at = opened("steering", look="Scores", scored="vision.1 / batchtopk")
    sums, features = [
        json.loads(each.proto.json)
        for each in at.get("bidi_component")
        if each.proto.component_name == "loupe_table"
    ]
    assert [row["short"] for row in sums["rows"]] == [
        "vision.0 / batchtopk",
        "vision.1 / batchtopk",
    ]
    assert [row["steer"] for row in sums["rows"]] == ["8 of 24", "8 of 24"]
    assert len(features["rows"]) == 24
    assert all("vision.1.resid_post%2Fbatchtopk" in row["href"] for row in features["rows"])
    assert [row["id"].endswith("✓") for row in features["rows"]] == [True] * 8 + [False] * 16
    assert "8 of 24 features steer" in said(at)
    assert at.get("vega_lite_chart")


def test_scores_tell_where_edits_reach_nothing(opened: Opened, tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "deaf")
    with duckdb.connect(str(bundle_opening.open_bundle(folder).database)) as db:
        db.execute("UPDATE steering SET changed = 0, gain = 0, steers = false")
    at = opened("steering", path=folder, look="Scores")
    assert "No answer changed" in at.warning[0].value


def test_scores_say_which_step_fills_them(opened: Opened, older: Path) -> None:
    assert "the step steer fills this look" in said(opened("steering", path=older, look="Scores"))
