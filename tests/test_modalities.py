"""Modalities: its queries against the Parquet files, its states, and its way in a real browser."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from databases import connection
from pages import data, open_page, said, shows
from streamlit.testing.v1 import AppTest
from synthetic import DEAD, make_bundle

from dashboard import address, queries
from dashboard.charts import modalities
from dashboard.features import modality_scatter
from dashboard.records.dictionaries import Reconstruction
from dashboard.records.modalities import Sides
from dashboard.style import hints
from dashboard.style.numbers import percent
from dashboard.views.modalities import tokens
from pipeline.bundle import opening as bundle_opening
from pipeline.metrics.convergence import TOLERANCE
from pipeline.metrics.modality import THRESHOLD, overlap_curve

if TYPE_CHECKING:
    from playwright.sync_api import Page

HERE = "clip-demo/vision.0.resid_post/matryoshka"
NEXT = "clip-demo/vision.1.resid_post/matryoshka"
LAST = "clip-demo/vision.projection/matryoshka"
NEURONS = "clip-demo/vision.0.resid_post/neurons"
LATER = ("captions", "caption_tokens", "top_captions", "modality", "overlap", "read_captions")
"""Tables that bundles before contract 1.3 lack."""
Database = duckdb.DuckDBPyConnection
Opened = Callable[..., AppTest]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo", n_examples=200, d_sae=400)


@pytest.fixture(scope="module")
def bundle(run: Path) -> bundle_opening.Bundle:
    return bundle_opening.open_bundle(run)


@pytest.fixture(scope="module")
def db(bundle: bundle_opening.Bundle) -> Database:
    return connection(bundle)


@pytest.fixture
def opened(run: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """opened(PARAMETER=VALUE..., path=RUN): Modalities, run once."""

    def start(*, path: Path = run, **parameters: str | list[str]) -> AppTest:
        return open_page(monkeypatch, path, "modalities", **parameters)

    return start


def rows(bundle: bundle_opening.Bundle, table: str, dictionary_id: str) -> pa.Table:
    """The rows of one dictionary, as the Parquet file has them."""
    return pq.read_table(
        bundle.root / f"{table}.parquet", filters=[("dictionary_id", "=", dictionary_id)]
    )


def column(table: pa.Table, name: str) -> np.ndarray:
    """A column with NaN for what is not known."""
    return np.array([np.nan if v is None else v for v in table[name].to_pylist()], np.float64)


# --- The queries ---


def test_sides_are_the_columns_of_the_table(bundle: bundle_opening.Bundle, db: Database) -> None:
    found, table = queries.sides(db, HERE), rows(bundle, "modality", HERE)
    assert found.feature_id.tolist() == list(range(400))
    for name in ("image_active", "text_active", "image_density", "text_density",
                 "modality_score", "correlation", "top_overlap"):  # fmt: skip
        np.testing.assert_allclose(getattr(found, name), column(table, name), rtol=1e-6)
    np.testing.assert_allclose(found.ms, column(rows(bundle, "features", HERE), "ms"), rtol=1e-6)
    assert len(queries.sides(db, NEURONS).feature_id) == 0


def test_only_dictionaries_that_read_captions_have_two_sides(
    bundle: bundle_opening.Bundle, db: Database
) -> None:
    found = queries.two_sided(db)
    every = db.execute("SELECT dictionary_id, basis FROM dictionaries").fetchall()
    assert sorted(found) == sorted(name for name, basis in every if basis == "sae")
    tables = [rows(bundle, "modality", name) for name in found]
    means = [np.nan_to_num(column(table, "correlation")).mean() for table in tables]
    assert means == sorted(means, reverse=True), "those that go together most come first"


def test_the_sides_of_some_features(bundle: bundle_opening.Bundle, db: Database) -> None:
    table = rows(bundle, "modality", HERE).to_pylist()
    found = queries.modality_of(db, HERE, [7, 2, 395, 400])
    assert sorted(found) == [2, 7, 395]
    for number, one in found.items():
        wanted = table[number]
        assert {name: getattr(one, name) for name in vars(one)} == {
            name: wanted[name] for name in vars(one)
        }


def test_overlaps_rise_by_threshold(bundle: bundle_opening.Bundle, db: Database) -> None:
    found = queries.overlaps(db, [HERE, LAST, "gone"])
    for name in (HERE, LAST):
        mine = [vars(one) for one in found if one.dictionary_id == name]
        assert mine == rows(bundle, "overlap", name).to_pylist()
    assert {one.dictionary_id for one in found} == {HERE, LAST}


def test_correlations_are_quartiles(bundle: bundle_opening.Bundle, db: Database) -> None:
    found, table = queries.correlations(db, HERE), rows(bundle, "modality", HERE)
    assert found is not None
    for name, start in (("correlation", "p"), ("correlation_shuffled", "shuffled_p")):
        values = column(table, name)
        wanted = np.nanpercentile(values, [25, 50, 75])
        told = [getattr(found, f"{start}{share}") for share in (25, 50, 75)]
        np.testing.assert_allclose(told, wanted, rtol=1e-5)
    assert found.known == np.isfinite(column(table, "correlation")).sum()
    assert queries.correlations(db, NEURONS) is None


def test_reconstruction_has_its_squared_error(bundle: bundle_opening.Bundle, db: Database) -> None:
    table = pq.read_table(bundle.root / "reconstruction.parquet").to_pylist()
    wanted = {(r["dictionary_id"], r["token_type"]): r["mse"] for r in table}
    assert {(r.dictionary_id, r.token_type): r.mse for r in queries.reconstruction(db)} == wanted


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A run as bundles before contract 1.3 have it."""
    folder = make_bundle(tmp_path / "older")
    with duckdb.connect(str(bundle_opening.open_bundle(folder).database)) as writer:
        for name in LATER:
            writer.execute(f"DROP TABLE {name}")
        for name in ("caption", "caption_alone"):
            writer.execute("DELETE FROM reconstruction WHERE token_type = ?", [name])
    return folder


@pytest.fixture
def wordless(tmp_path: Path) -> Path:
    """A run of images without captions: its tables are there, and empty."""
    folder = make_bundle(tmp_path / "wordless")
    with duckdb.connect(str(bundle_opening.open_bundle(folder).database)) as writer:
        for name in LATER:
            writer.execute(f"DELETE FROM {name}")
        writer.execute("DELETE FROM reconstruction WHERE token_type LIKE 'caption%'")
    return folder


def test_older_bundles_answer_with_nothing(older: Path) -> None:
    db = connection(older)
    assert queries.two_sided(db) == []
    assert queries.overlaps(db, [HERE]) == []
    assert queries.correlations(db, HERE) is None


# --- What is scattered ---


def made_up(image: list[int], text: list[int], correlation: list[float]) -> Sides:
    count, n = len(image), 1000
    known = np.array(correlation, np.float32)
    return Sides(
        np.arange(count, dtype=np.int32), np.array(image), np.array(text),
        np.array(image, np.float32) / n, np.array(text, np.float32) / n,
        known, known, known, np.linspace(0, 1, count, dtype=np.float32),
    )  # fmt: skip


def test_places_are_logarithms_with_a_lane_for_silence() -> None:
    one = made_up([100, 100, 0, 0, 1], [10, 0, 50, 0, 1000], [np.nan] * 5)
    low = modality_scatter._least(one)
    assert low == pytest.approx(-3)
    x, y = (modality_scatter._places(one, side, low) for side in ("image", "text"))
    lane = modality_scatter._axis("", low).lane
    np.testing.assert_allclose(x[:2], -1, atol=0.01)
    assert y[0] == pytest.approx(-2, abs=0.03)
    assert all(lane[0] < at < lane[1] for at in (x[2], y[1]))
    assert np.isnan(x[3]) and np.isnan(y[3]), "dead features have no place"
    assert lane[1] < x[4] < -2.8, "one image is not in the lane of none"
    assert modality_scatter._axis("", low).span[1] > y[4]


def test_features_with_equal_counts_do_not_hide_each_other() -> None:
    one = made_up([3] * 50, [0] * 50, [0.0] * 50)
    x, y = (modality_scatter._places(one, side, -3.0) for side in ("image", "text"))
    assert len({(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)}) == 50
    assert x.max() < np.log10(4 / 1000) and x.min() > np.log10(2 / 1000)


def test_ticks_say_their_place() -> None:
    axis = modality_scatter._axis("fires", -2.5)
    assert axis.ticks[0][1:] == ("0", 0)
    tenfold = [text for _, text, level in axis.ticks[1:] if level == 0]
    assert tenfold == ["1 %", "10 %", "100 %"]
    for at, text, _ in axis.ticks[1:]:
        assert 10**at * 100 == pytest.approx(float(text.removesuffix(" %")), rel=0.06)


def test_the_most_correlated_come_first_then_the_most_active() -> None:
    one = made_up([9, 9, 1, 9], [9, 9, 0, 0], [0.2, 0.9, np.nan, np.nan])
    two = made_up([9], [9], [0.5])
    found = modality_scatter.best([one, two], {0: np.arange(4), 1: np.arange(1)})
    assert found.tolist() == [[0, 1], [1, 0], [0, 0], [0, 3], [0, 2]]
    assert modality_scatter.meeting(one, np.ones(4, bool)).tolist() == [0, 1]
    assert modality_scatter.best([one], {}).shape == (0, 2)


def test_filters_hide_points_and_leave_the_scale() -> None:
    one = made_up([100, 1, 0], [0, 1, 500], [0.1, 0.5, 0.9])
    shown = modality_scatter.passing(one, ms=0.0, density=0.1)
    assert shown.tolist() == [True, False, True], "either side is enough"
    assert modality_scatter.passing(one, ms=0.6, density=0.0).tolist() == [False, False, True]
    made = modality_scatter.coloured([one], "correlation", [shown])
    assert made.codes[0].tolist()[1] == 255
    every = modality_scatter.coloured([one], "correlation", [np.ones(3, bool)])
    assert made.ticks == every.ticks
    assert made.codes[0][0] == every.codes[0][0]
    assert made.ticks[0][1] == "≤ 0"


# --- Where image and text converge ---


def measured(*kinds: tuple[str, str, float | None]) -> dict[tuple[str, str], Reconstruction]:
    return {(d, k): Reconstruction(d, k, 10, fvu, 0.9, 8.0) for d, k, fvu in kinds}


def test_layers_that_converge_are_named(db: Database) -> None:
    layers = [d for d in queries.dictionaries(db) if d.name == "matryoshka"]
    a, b, c = (d.dictionary_id for d in layers)
    known = measured(
        (a, "patch", 1.0), (a, "caption", 0.2), (a, "caption_alone", 0.2), (b, "patch", 0.5),
        (b, "caption", 0.5), (b, "caption_alone", 0.2), (c, "image", 0.2),
        (c, "caption_alone", 0.19),
    )  # fmt: skip
    met = tokens.meetings(layers, known, 0.1)
    assert met == {"caption": ("vision.1", 2), "caption_alone": ("vision.projection", 3)}
    assert tokens.meeting(layers, met) == "vision.projection"
    text = tokens.in_words(met, 0.1)
    assert "image and text behind the image are alike from vision.1 on" in text
    strict = tokens.meetings(layers, known, 0.02)
    assert tokens.meeting(layers, strict) == "vision.1", "behind the image alone"
    assert tokens.meeting(layers, {"caption": (None, 3), "text": ("vision.1", 3)}) is None
    assert "image and text alone do not come together (3 layers)" in tokens.in_words(strict, 0.02)
    apart = measured((a, "patch", 1.0), (a, "caption_alone", 0.2), (b, "patch", 0.5))
    apart |= measured((b, "caption_alone", None), (c, "image", 0.2), (c, "caption", None))
    known = tokens.meetings(layers, apart, 0.1)
    assert known == {"caption": (None, 0), "caption_alone": (None, 1)}
    text = tokens.in_words(known, 0.1)
    assert "image and text behind the image are not measured" in text
    assert "image and text alone do not come together (1 layer)" in text


def test_charts_mark_what_is_chosen(db: Database) -> None:
    layers = [d for d in queries.dictionaries(db) if d.name == "matryoshka"]
    known = queries.overlaps(db, [d.dictionary_id for d in layers])
    here = {o.dictionary_id: o for o in known if o.threshold == 0.01}
    spec = modalities.shares_by_layer(layers, here).to_dict()
    values = [r for r in _values(spec) if r["kind"] == "both"]
    assert [r["at"] for r in values] == [d.place for d in layers]
    assert [r["share"] for r in values] == [here[d.dictionary_id].shared for d in layers]
    assert rings(spec) == [modalities.SHUFFLED]
    spreads = {HERE: queries.correlations(db, HERE)}
    assert rings(modalities.correlation_by_layer(layers, spreads).to_dict()) == [modalities.OTHERS]
    curve = [o for o in known if o.dictionary_id == HERE]
    drawn = modalities.shares_by_threshold(curve, 0.01).to_dict()
    assert {"at": "1 %"} in _values(drawn)
    scales = [layer["encoding"]["x"]["scale"] for layer in drawn["layer"] if "encoding" in layer]
    assert scales and all(s["padding"] > 0.5 for s in scales), "the last label has room"
    marked = modalities.by_token(
        layers, queries.reconstruction(db), metric="mse", title="mse", mark="vision.1",
        names=hints.TOKEN_NAMES,
    ).to_dict()  # fmt: skip
    assert {"at": "vision.1"} in _values(marked)
    assert {r["kind"] for r in _values(marked) if "kind" in r} == {
        "image", "text behind the image", "text alone"
    }  # fmt: skip


def rings(spec: dict[str, Any]) -> list[str]:
    """The kinds of which a chart draws hollow points, each of them told in the legend as dashed."""
    hollow = [
        layer["transform"][0]["filter"]
        for layer in spec["layer"]
        if layer["mark"]["type"] == "point" and not layer["mark"]["filled"]
    ]
    told = [
        name
        for lines in modalities.LEGEND.values()
        for name, _, style in lines
        if style == "dashed"
    ]
    return [name for name in told if any(f"'{name}'" in each for each in hollow)]


def _values(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows that a chart draws."""
    return [row for rows in spec["datasets"].values() for row in rows]


# --- The page's states ---


def ids(at: AppTest) -> list[int]:
    return [card["id"] for card in data(at, "both")["cards"]]


def test_it_opens_on_the_best_correlated_features(opened: Opened, db: Database) -> None:
    at = opened()
    cards = data(at, "both")["cards"]
    assert len(cards) == 12
    name = str(cards[0]["key"]).rpartition(":")[0]
    one = queries.sides(db, name)
    enough = np.minimum(one.image_active, one.text_active) >= modality_scatter.ENOUGH
    wanted = sorted(np.flatnonzero(enough), key=lambda i: -one.correlation[i])[:12]
    assert ids(at) == [int(i) for i in wanted]
    card = cards[0]
    top = queries.top_captions(db, name, [card["id"]], count=4)[card["id"]]
    assert [c["act"] for c in card["captions"]] == [t.activation for t in top]
    assert card["sheet"].startswith("data:image/")
    assert [n["name"] for n in card["numbers"]] == [
        "modality score", "pair correlation", "bridge score", "top overlap"
    ]  # fmt: skip
    assert "neurons: captions are read through SAEs alone" in said(at)
    assert [o for o in at.selectbox(key="left").options if "neurons" in o] == []


def test_the_address_chooses_features(opened: Opened) -> None:
    at = opened(features=f"{NEXT}:5,9", left="vision.1 / matryoshka")
    assert sorted(ids(at)) == [5, 9]
    assert shows(at, "chips")
    at = opened(features=f"{HERE}:1", left="vision.1 / matryoshka")
    assert f"Not among the dictionaries shown: {HERE}:1" in at.warning[0].value.replace("\\", "")
    assert len(ids(at)) == 12


def test_a_feature_of_one_side_says_so(opened: Opened, db: Database) -> None:
    one = queries.sides(db, HERE)
    mute = int(np.flatnonzero((one.text_active == 0) & (one.image_active > 0))[0])
    at = opened(features=f"{HERE}:{mute}", left="vision.0 / matryoshka")
    (card,) = data(at, "both")["cards"]
    assert card["text"] == card["text"] | {"density": "0 %", "fires": False}
    assert card["image"]["fires"]
    at = opened(features=f"{HERE}:{DEAD}", left="vision.0 / matryoshka")
    (card,) = data(at, "both")["cards"]
    assert (card["image"]["fires"], card["captions"]) == (False, [])


def test_two_dictionaries_share_the_cards(opened: Opened) -> None:
    at = opened(left="vision.0 / matryoshka", right="vision.1 / matryoshka")
    found = {card["where"] for card in data(at, "both")["cards"]}
    assert found == {"vision.0 / matryoshka", "vision.1 / matryoshka"}
    at = opened(left="vision.0 / matryoshka", right="vision.0 / matryoshka")
    assert len(ids(at)) == 12


def test_filters_leave_no_empty_page(opened: Opened) -> None:
    at = opened(fires="50 %", ms="1.0")
    assert "No feature passes" in said(at)
    assert not shows(at, "both")


def test_pages_hold_the_rest(opened: Opened) -> None:
    first = data(opened(), "both")
    assert first["pages"] > 1
    second = data(opened(page="2", of=first["of"]), "both")
    assert not {c["key"] for c in first["cards"]} & {c["key"] for c in second["cards"]}


def test_what_reads_words_beside_pictures_is_told_apart(opened: Opened, tmp_path: Path) -> None:
    path = make_bundle(tmp_path / "mixed", mixed=1)
    with duckdb.connect(str(bundle_opening.open_bundle(path).database)) as writer:
        for name in ("top_captions", "modality", "overlap", "reconstruction"):
            writer.execute(f"DELETE FROM {name} WHERE dictionary_id = ?", [HERE])
    for look in ("Features", "Layers"):
        text = said(opened(path=path, look=look))
        assert "vision.0 / matryoshka: no words get there" in text
        names = ", ".join(f"vision.{at} / batchtopk" for at in (0, 1, "projection"))
        assert f"{names}: words are read beside the picture" in text
        assert "give tokens = patches" in text
    path = make_bundle(tmp_path / "none", mixed=1)
    with duckdb.connect(str(bundle_opening.open_bundle(path).database)) as writer:
        for name in ("modality", "overlap"):
            writer.execute(f"DELETE FROM {name}")
    text = said(opened(path=path))
    assert "every dictionary that they went through reads words beside the picture" in text


def test_the_first_threshold_tells_more_than_chance(db: Database) -> None:
    """At 0 what is shared is never above what shuffling gives, whatever the features are."""
    every = queries.two_sided(db)
    at = {0.0: [o for o in queries.overlaps(db, every) if o.threshold == 0]}
    assert all(o.shared <= o.shared_shuffled + 1e-9 for o in at[0.0])
    n = np.linspace(0.06, 0.5, 50)
    own = np.concatenate([n, np.full(200, 0.01)])
    drawn = overlap_curve(own, own, (0.0, THRESHOLD))
    assert drawn["shared"][0] == drawn["shared_shuffled"][0] == 1
    assert drawn["shared"][1] > 2 * drawn["shared_shuffled"][1]
    assert "at 0" in hints.SHARES and "never above" in hints.SHARES


def test_layers_state_the_threshold(opened: Opened) -> None:
    at = opened(look="Layers")
    text = said(at)
    assert "if it does on more than 5 % of the val images" in text
    assert len(at.get("vega_lite_chart")) == 6, "three of each of two dictionaries"
    for name in ("batchtopk", "matryoshka"):
        assert f"{name}: who fires on what" in text
    assert "more than 10 %" in said(opened(look="Layers", above="10 %"))


def test_reconstruction_tells_each_measure(opened: Opened) -> None:
    at = opened(look="Reconstruction")
    assert len(at.get("vega_lite_chart")) == 2
    assert f"By fvu, within {percent(TOLERANCE)}" in said(at)
    for measure in ("cosine", "l0", "mse"):
        assert not opened(look="Reconstruction", measure=measure).exception


@pytest.mark.parametrize("look", ["Features", "Layers"])
def test_bundles_without_two_sides_say_what_fills_them(
    opened: Opened, older: Path, wordless: Path, look: str
) -> None:
    assert "python -m pipeline run CONFIG" in said(opened(path=older, look=look))
    text = said(opened(path=wordless, look=look))
    assert "No caption was read in this run" in text


def test_a_prompt_is_no_caption(opened: Opened, wordless: Path) -> None:
    with duckdb.connect(str(bundle_opening.open_bundle(wordless).database)) as writer:
        writer.execute(
            """INSERT INTO reconstruction BY NAME SELECT * REPLACE ('text' AS token_type)
            FROM reconstruction WHERE token_type = 'patch'"""
        )
    text = said(opened(path=wordless, look="Reconstruction"))
    assert "No caption was read in this run" in text
    assert "image and prompt are alike" in text


def test_what_cannot_be_measured_is_said(opened: Opened, tmp_path: Path) -> None:
    path = make_bundle(tmp_path / "one")
    with duckdb.connect(str(bundle_opening.open_bundle(path).database)) as writer:
        writer.execute("UPDATE reconstruction SET fvu = NULL WHERE token_type = 'caption_alone'")
    at = opened(path=path, look="Reconstruction")
    assert "image and text alone are not measured" in said(at)
    assert "text alone do not come together" not in said(at)


def test_reconstruction_shows_what_words_reach(opened: Opened, tmp_path: Path) -> None:
    path = make_bundle(tmp_path / "one")
    with duckdb.connect(str(bundle_opening.open_bundle(path).database)) as writer:
        writer.execute(
            """DELETE FROM reconstruction WHERE token_type LIKE 'caption%'
            AND dictionary_id LIKE '%/batchtopk'"""
        )
    at = opened(path=path, look="Reconstruction")
    assert len(at.get("vega_lite_chart")) == 1
    assert "batchtopk, which no words reach" in said(at)


def test_reconstruction_of_images_alone(opened: Opened, older: Path, wordless: Path) -> None:
    for path in (older, wordless):
        at = opened(path=path, look="Reconstruction")
        assert len(at.get("vega_lite_chart")) == 2
        assert "No layer here has both image and text" in said(at)


def test_several_models_are_chosen_from(tmp_path: Path, opened: Opened) -> None:
    path = make_bundle(tmp_path / "two", models=2)
    for look in ("Layers", "Reconstruction"):
        at = opened(path=path, look=look)
        assert at.selectbox(key="model").options == ["clip-demo", "other-1"]
        if look == "Layers":
            assert at.selectbox(key="layer").options == [
                "vision.0",
                "vision.1",
                "vision.projection",
            ]
        assert len(at.get("vega_lite_chart")) == (6 if look == "Layers" else 2)


def test_a_choice_is_an_address() -> None:
    assert address.choosing(f"{HERE}:1") == f"&{urlencode({'features': HERE + ':1'})}"


# --- In a browser ---


@pytest.fixture(scope="module")
def url(run: Path, dashboard_server: Callable[..., str]) -> str:
    return dashboard_server(run)


def point(page: "Page", places: tuple[float, float], one: Sides) -> tuple[float, float]:
    """Where a point of the scatter is on the screen while all of it is shown."""
    low = modality_scatter._least(one)
    axis = modality_scatter._axis("", low)
    box = page.locator(".plane").first.bounding_box()
    assert box
    wide, high, length = box["width"] - 2, box["height"] - 2, axis.span[1] - axis.span[0]
    k = min((wide - 58 - 8) / length, (high - 40 - 8) / length)
    middle = sum(axis.span) / 2
    x = box["x"] + 1 + 58 + (wide - 58) / 2 + (places[0] - middle) * k
    y = box["y"] + 1 + (high - 40) / 2 - (places[1] - middle) * k
    return x, y


def lonely(one: Sides) -> int:
    """A feature with both sides, and no other near it."""
    low = modality_scatter._least(one)
    xy = np.stack([modality_scatter._places(one, side, low) for side in ("image", "text")], axis=1)
    far = np.nan_to_num(np.linalg.norm(xy[:, None] - xy, axis=2), nan=9) + 9 * np.eye(len(xy))
    return int(np.nanargmax(np.where(np.isfinite(one.correlation), far.min(axis=1), -1)))


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_from_a_point_to_its_feature(page: "Page", url: str, db: Database) -> None:
    one = queries.sides(db, HERE)
    number = lonely(one)
    low = modality_scatter._least(one)
    at = tuple(
        float(modality_scatter._places(one, side, low)[number]) for side in ("image", "text")
    )
    page.goto(f"{url}/modalities?{urlencode({'left': 'vision.0 / matryoshka'})}")
    page.wait_for_function("performance.getEntriesByName('loupe-map-painted').length")
    page.locator("article.both").nth(11).wait_for()
    page.wait_for_timeout(500)
    page.mouse.move(*point(page, at, one))
    page.locator(".tip .id", has_text=re.compile(f"^#{number}$")).wait_for()
    page.mouse.click(*point(page, at, one))
    page.wait_for_url(re.compile("features="))
    card = page.locator("article.both")
    page.wait_for_function("() => true")
    page.get_by_text("1 chosen", exact=True).first.wait_for()
    page.locator(".both .id", has_text=re.compile(f"^#{number}$")).wait_for()
    assert card.count() == 1
    assert card.locator("img.sheet").evaluate("(node) => node.naturalWidth") > 0
    assert card.locator("li .said").count() == 4
    assert card.locator("li mark.token").count() > 0
    assert page.title() != "owned"
    page.reload()
    page.locator(".both .id", has_text=re.compile(f"^#{number}$")).wait_for()
    assert card.count() == 1
    page.locator("article.both .name").click()
    page.wait_for_url(re.compile(f"/feature.*feature={number}$"))
    page.go_back()
    page.locator(".both .id", has_text=re.compile(f"^#{number}$")).wait_for()
    page.get_by_role("link", name="show the most correlated").click()
    page.locator("article.both").nth(11).wait_for()
    assert "features=" not in page.url


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_a_lasso_takes_the_features_inside(page: "Page", url: str, db: Database) -> None:
    one = queries.sides(db, HERE)
    low = modality_scatter._least(one)
    x, y = (modality_scatter._places(one, side, low) for side in ("image", "text"))
    edge = low - 0.2  # between the lanes of 0 and the lowest counts
    inside = int(((x > edge) & (y > edge)).sum())
    query = {"left": "vision.0 / matryoshka", "right": "vision.1 / matryoshka"}
    page.goto(f"{url}/modalities?{urlencode(query)}")
    page.wait_for_function("performance.getEntriesByName('loupe-map-painted').length")
    page.locator("article.both").nth(11).wait_for()
    page.wait_for_timeout(500)
    other = queries.sides(db, NEXT)
    both = one if low <= modality_scatter._least(other) else other
    corners = [
        point(page, c, both) for c in ((edge, edge), (0.04, edge), (0.04, 0.04), (edge, 0.04))
    ]
    page.keyboard.down("Shift")
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in [*corners[1:], corners[0]]:
        page.mouse.move(*corner, steps=6)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.get_by_text(f"{inside} features selected, most correlated first").wait_for()
    where = page.locator("article.both .where").all_inner_texts()
    assert set(where) == {"vision.0 / matryoshka"}
    page.locator("article.both .choose").first.check()
    page.get_by_text("1 feature", exact=False).first.wait_for()


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_looks_stay_in_the_address(page: "Page", url: str) -> None:
    page.goto(f"{url}/modalities?{urlencode({'features': f'{NEXT}:5,8'})}")
    page.locator("article.both").first.wait_for()
    assert page.locator(".both .where").all_inner_texts() == ["vision.1 / matryoshka"] * 2
    page.get_by_text("Layers", exact=True).click()
    page.wait_for_url(re.compile("look=Layers"))
    page.get_by_text("batchtopk: who fires on what").wait_for()
    page.reload()
    page.get_by_text("batchtopk: who fires on what").wait_for()
    page.get_by_text("Reconstruction", exact=True).click()
    page.wait_for_url(re.compile("look=Reconstruction"))
    page.get_by_text(re.compile("By fvu, within 10 %")).first.wait_for()
    page.go_back()
    page.get_by_text("batchtopk: who fires on what").wait_for()


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("look", ["Features", "Layers", "Reconstruction"])
def test_nothing_is_wider_than_the_window(page: "Page", url: str, look: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{url}/modalities?look={look}")
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_timeout(2000)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width
