"""The room Image: in each of its states, and in a real browser."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import duckdb
import numpy as np
import pytest
from pages import data, open_page
from PIL import Image
from small_run import make_run
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import FileUploader
from synthetic import MARKUP, make_bundle

from dashboard import queries
from dashboard.bundle import opening
from dashboard.exports.tables import csv_bytes, parquet_bytes
from dashboard.images import patches
from dashboard.live import images, models
from dashboard.records.images import Fired
from pipeline.bundle import opening as bundle_opening

if TYPE_CHECKING:
    from conftest import PageLog
    from playwright.sync_api import Page

Opened = Callable[..., AppTest]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A folder with a model and a finished run of it."""
    return make_run(tmp_path_factory.mktemp("image"), encoder=tiny_encoder)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without a model."""
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """opened(RUN, PARAMETER=VALUE...): the page, made once."""

    def start(run: Path, **parameters: object) -> AppTest:
        models.shared.clear()
        return open_page(
            monkeypatch, run, "image", **{name: str(value) for name, value in parameters.items()}
        )

    return start


def connect(run: Path) -> duckdb.DuckDBPyConnection:
    """As the pages do: one process opens a file in one way only."""
    database = str(bundle_opening.open_bundle(run).database)
    return duckdb.connect(database, read_only=True, config=opening._HARDENED)


def val_ids(run: Path) -> list[int]:
    with connect(run) as opened_file:
        return [one.example_id for one in queries.drawn(opened_file, 0, limit=8)]


def alike(run: Path) -> tuple[int, int]:
    """Two images with a feature in common, that differ in others."""
    with connect(run) as opened_file:
        rows = opened_file.execute(
            """SELECT a.example_id, b.example_id FROM activations a JOIN activations b
            USING (dictionary_id, feature_id) WHERE a.example_id < b.example_id
            AND dictionary_id = 'clip/vision.1.resid_post/patches'
            GROUP BY ALL ORDER BY count(*), 1, 2 LIMIT 1"""
        ).fetchall()
    return rows[0]


def uploader(at: AppTest) -> FileUploader:
    (found,) = at.file_uploader
    return found


def warned(at: AppTest) -> str:
    assert not at.exception, at.exception
    return "\n".join(str(each.value).replace("\\", "") for each in at.warning)


# --- States ---


def test_an_image_by_link_live(opened: Opened, home: Path) -> None:
    wanted = val_ids(home / "run")[3]
    at = opened(home / "run", example=wanted, layer="vision.1", set="patches")
    assert warned(at) == ""
    shown = data(at, "patches")
    assert len(shown["pictures"]) == 1
    assert shown["pictures"][0]["src"].startswith("data:image/webp")
    assert shown["grid"] == [4, 4]
    listed = shown["groups"][0]["ids"]
    by_id = {f["id"]: f for f in shown["features"]}
    acts = [by_id[one]["acts"][0] for one in listed]
    assert acts == sorted(acts, reverse=True)
    with connect(home / "run") as opened_file:
        known = queries.fired(opened_file, "clip/vision.1.resid_post/patches", wanted)
    assert listed == known[0].tolist()
    assert max(by_id[listed[0]]["heat"][0]["acts"]) == pytest.approx(acts[0], abs=1e-3)
    cards = data(at, "grid")["cards"]
    assert [card["id"] for card in cards] == listed[:12]
    assert re.search(r"activation \d+\.\d\d, on \d+ of 16 patches", cards[0]["note"])


def test_a_dictionary_of_cls_says_what_the_patches_are(opened: Opened, home: Path) -> None:
    at = opened(home / "run", layer="vision.1", set="cls")
    assert any("reads the CLS token" in each.value for each in at.caption)
    assert data(at, "patches")["pictures"][0]["mapped"]


def test_without_patches_there_is_a_list(opened: Opened, home: Path) -> None:
    shown = data(opened(home / "run", layer="vision.projection", set="patches"), "patches")
    assert not shown["pictures"][0]["mapped"]
    assert shown["groups"][0]["ids"]
    assert "one vector an image" in shown["hint"]


def test_two_images_side_by_side(opened: Opened, home: Path) -> None:
    one, two = alike(home / "run")
    at = opened(home / "run", example=one, **{"with": two}, layer="vision.1", set="patches")
    shown = data(at, "patches")
    both, first, second = (group["ids"] for group in shown["groups"])
    by_id = {f["id"]: f["acts"] for f in shown["features"]}
    assert all(None not in by_id[f] for f in both)
    assert all(by_id[f][1] is None for f in first)
    assert all(by_id[f][0] is None for f in second)
    assert both
    weaker = [min(by_id[f]) for f in both]
    assert weaker == sorted(weaker, reverse=True)


@pytest.mark.parametrize(
    "parameters",
    [{"example": "x"}, {"with": "-1"}, {"layer": "nowhere", "set": "none"}, {"pick": "a"}],
)
def test_the_page_outlives_any_address(
    opened: Opened, home: Path, parameters: dict[str, str]
) -> None:
    assert data(opened(home / "run", **parameters), "patches")["groups"]


def test_an_image_that_is_not_in_the_run(opened: Opened, home: Path) -> None:
    at = opened(home / "run", example=12)
    assert "This run has no image 12" in warned(at)
    assert data(at, "strips")["rows"][0]["images"]


def test_search_finds_by_caption_tag_and_id_and_takes_text_as_it_is(
    opened: Opened, home: Path
) -> None:
    wanted = val_ids(home / "run")[0]
    rows = data(opened(home / "run", find=wanted), "strips")["rows"]
    assert [image["href"].split("example=")[1].split("&")[0] for image in rows[0]["images"]] == [
        str(wanted)
    ]
    found = data(opened(home / "run", find="RED"), "strips")["rows"][0]["images"]
    assert found
    assert all("red" in image["caption"] for image in found)
    for text in ("%", "_", "~", "'; DROP TABLE examples"):
        at = opened(home / "run", find=text)
        assert any("No val image" in each.value for each in at.caption)


def test_a_search_finds_all_of_its_words_wherever_they_stand(opened: Opened, home: Path) -> None:
    rows = data(opened(home / "run", find="square RED"), "strips")["rows"]
    assert rows[0]["name"] == "found"
    said = [image["caption"] for image in rows[0]["images"]]
    assert said
    assert all("red" in one and "square" in one for one in said)
    assert not all("square red" in one for one in said)


def test_a_search_that_finds_nothing_leaves_an_image_to_look_at(opened: Opened, home: Path) -> None:
    wanted = val_ids(home / "run")[3]
    at = opened(home / "run", find="xyzzy", example=wanted)
    assert data(at, "patches")["pictures"]
    assert str(wanted) in at.query_params["example"]
    rows = data(opened(home / "run", find="xyzzy"), "strips")["rows"]
    assert rows[0]["name"] == "some images of this run"
    assert rows[0]["images"]


def test_without_the_model_the_tables_tell(opened: Opened, made_up: Path) -> None:
    wanted = val_ids(made_up)[2]
    at = opened(made_up, example=wanted, layer="vision.1", set="matryoshka")
    assert "From the tables only" in warned(at)
    assert "does not say how to load clip-demo" in warned(at)
    shown = data(at, "patches")
    with connect(made_up) as opened_file:
        known = queries.fired(opened_file, "clip-demo/vision.1.resid_post/matryoshka", wanted)
    assert shown["groups"][0]["ids"] == known[0].tolist()
    assert not shown["pictures"][0]["mapped"]
    assert "small picture" in shown["pictures"][0]["note"]


def test_no_feature_fires_is_said(opened: Opened, made_up: Path) -> None:
    with connect(made_up) as opened_file:
        train = opened_file.execute(
            "SELECT example_id FROM examples WHERE split = 'train' LIMIT 1"
        ).fetchone()
    shown = data(opened(made_up, example=train[0]), "patches")
    assert shown["groups"] == [{"title": "", "ids": [], "none": "No feature fires on it."}]


def test_markup_stays_text(opened: Opened, made_up: Path) -> None:
    at = opened(made_up, find="<script>")
    assert data(at, "strips")["rows"][0]["images"], MARKUP


def test_given_images_go_before_those_of_the_run(opened: Opened, home: Path) -> None:
    beside = val_ids(home / "run")[0]
    at = opened(home / "run", **{"with": beside}, layer="vision.1", set="patches")
    uploader(at).upload("mine.png", png("red"), "image/png").run()
    shown = data(at, "patches")
    assert [each["title"] == "mine.png" for each in shown["pictures"]] == [True, False]
    uploader(at).set_value(
        [("a.png", png("red"), "image/png"), ("b.png", png("blue"), "image/png")]
    ).run()
    assert [each["title"] for each in data(at, "patches")["pictures"]] == ["a.png", "b.png"]


def addresses(at: AppTest) -> list[dict]:
    return data(at, "strips")["rows"][0]["images"]


def test_thumbnails_stand_beside_a_given_image(opened: Opened, home: Path) -> None:
    ids = val_ids(home / "run")
    at = opened(home / "run", example=ids[0], layer="vision.1", set="patches")
    uploader(at).upload("mine.png", png("red"), "image/png").run()
    assert "example" not in at.query_params
    asked = [parse_qs(urlsplit(one["beside"]).query) for one in addresses(at)]
    assert [(one["with"], "example" in one) for one in asked] == [([str(i)], False) for i in ids]
    at.query_params["with"] = str(ids[2])
    at.run()
    shown = data(at, "patches")["pictures"]
    assert [one["title"] == "mine.png" for one in shown] == [True, False]
    assert [one["shown"] for one in addresses(at)] == [i == 2 for i in range(len(ids))]


def test_a_press_on_a_thumbnail_goes_before_a_given_image(opened: Opened, home: Path) -> None:
    ids = val_ids(home / "run")
    at = opened(home / "run", example=ids[0], layer="vision.1", set="patches")
    before = data(at, "patches")["pictures"][0]["title"]
    uploader(at).upload("mine.png", png("red"), "image/png").run()
    at.query_params["example"] = str(ids[0])
    at.run()
    assert [one["title"] for one in data(at, "patches")["pictures"]] == [before]
    uploader(at).set_value(
        [("a.png", png("red"), "image/png"), ("b.png", png("blue"), "image/png")]
    ).run()
    assert not any(one["beside"] for one in addresses(at)), "no room for a third"


def test_others_at_random_have_an_address(opened: Opened, home: Path) -> None:
    at = opened(home / "run", find="red")
    (again,) = [button for button in at.button if button.label == "Others at random"]
    again.click().run()
    seed = at.query_params["seed"]
    seed = seed if isinstance(seed, str) else seed[0]
    assert at.text_input(key="find").value == ""
    drawn = addresses(at)
    assert all(parse_qs(urlsplit(one["href"]).query)["seed"] == [seed] for one in drawn)
    assert addresses(opened(home / "run", seed=seed)) == drawn
    for bad in ("x", "-1", str(2**62)):
        assert len(addresses(opened(home / "run", seed=bad))) == 8


def test_features_that_show_images_like_one(opened: Opened, home: Path) -> None:
    one, two = alike(home / "run")
    at = opened(home / "run", example=one, **{"with": two}, layer="vision.1", set="patches")
    links = [urlsplit(link["href"]) for link in data(at, "chips")["links"]]
    assert [(to.path, parse_qs(to.query)["like"]) for to in links] == [
        ("browse", [str(one)]), ("browse", [str(two)]),
    ]  # fmt: skip


def test_the_listed_features_make_a_table(opened: Opened, home: Path) -> None:
    one, two = alike(home / "run")
    at = opened(home / "run", example=one, **{"with": two}, layer="vision.1", set="patches")
    keys = [each.proto.id for each in at.get("download_button")]
    assert len([key for key in keys if "export-image" in key]) == 2
    fired = Fired(
        np.array([5, 2, 9]), np.array([3, 1, 0], np.float32),
        np.array([0, 1, 1]), np.array([5, 5, 2]), np.ones(3, np.float32),
    )  # fmt: skip
    with connect(home / "run") as opened_file:
        name = "clip/vision.1.resid_post/patches"
        (here,) = [d for d in queries.dictionaries(opened_file) if d.dictionary_id == name]
    rows = patches.rows([images.Look("mine", None)], [fired], here, {5: "red"})
    assert [(r.image, r.feature_id, r.label, r.activation, r.patches) for r in rows] == [
        ("mine", 5, "red", 3.0, 2), ("mine", 2, None, 1.0, 1),
    ]  # fmt: skip
    assert csv_bytes(rows) and parquet_bytes(rows)


def test_a_broken_image_is_one_line(opened: Opened, home: Path) -> None:
    at = opened(home / "run")
    uploader(at).upload("mine.png", b"<svg/>", "image/png").run()
    assert "mine.png: this image cannot be used: not an image" in warned(at)


def png(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(out, "PNG")
    return out.getvalue()


# --- The queries and what is shown ---


def test_older_bundles_without_the_index_give_the_same(made_up: Path, tmp_path: Path) -> None:
    with connect(made_up) as opened_file:
        ids = [one.example_id for one in queries.drawn(opened_file, 1, limit=20)]
        name = "clip-demo/vision.0.resid_post/batchtopk"
        new = [queries.fired(opened_file, name, one) for one in ids]
        with duckdb.connect(str(tmp_path / "old.duckdb")) as old:
            old.execute("CREATE TABLE activations AS FROM read_parquet(?)", [
                str(bundle_opening.open_bundle(made_up).table("activations"))
            ])  # fmt: skip
            before = [queries.fired(old, name, one) for one in ids]
    for one, two in zip(new, before, strict=True):
        assert one[0].tolist() == two[0].tolist()
        assert one[1].tolist() == two[1].tolist()
    assert sum(len(one[0]) for one in new) > 20


def test_what_is_sent_is_bounded() -> None:
    """A dense dictionary: the strongest of each patch, and all places of what is listed."""
    cells, size = 400, 300
    rng = np.random.default_rng(0)
    act = rng.uniform(1, 2, (cells, size)).astype(np.float32)
    order = np.argsort(-act, axis=1)
    fired = Fired(
        np.arange(size), np.linspace(9, 1, size, dtype=np.float32),
        np.repeat(np.arange(cells), size), order.ravel(),
        np.take_along_axis(act, order, 1).ravel(),
    )  # fmt: skip
    cell, feature, _ = patches._strong(fired)
    assert len(cell) < cells * (patches.PER_PATCH + patches.ON_IMAGE)
    assert (np.bincount(feature, minlength=size)[: patches.ON_IMAGE] == cells).all()
    assert (np.bincount(cell) >= patches.ON_IMAGE).all()
    strongest = {(c, order[c, 0]) for c in range(cells)}
    assert strongest <= set(zip(cell.tolist(), feature.tolist(), strict=True))


def test_shared_features_by_the_weaker_activation() -> None:
    acts = [{1: 5.0, 2: 1.0, 3: 4.0, 4: 0.0}, {1: 2.0, 2: 9.0, 5: 3.0, 4: 2.0}]
    made = patches.groups([[1, 3, 2], [2, 5, 1, 4]], acts)
    assert [group["ids"] for group in made] == [[1, 2], [3], [5, 4]]


# --- In the browser ---


@pytest.fixture(scope="module")
def url(home: Path, dashboard_server: Callable[..., str]) -> str:
    return dashboard_server(home / "run")


@pytest.fixture
def quiet(page_log: "PageLog"):
    """Nothing leaves the machine and nothing goes wrong."""
    yield
    assert page_log.outside == []
    assert page_log.errors == []


def room(run: Path, **more: object) -> str:
    ids = val_ids(run)
    choice = {"example": ids[0], "layer": "vision.1", "set": "patches"} | more
    return f"/image?{urlencode(choice)}"


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
class TestBrowser:
    def test_patches_and_features(self, page: "Page", url: str, home: Path) -> None:
        page.goto(url + room(home / "run"))
        page.get_by_role("heading", name="On the image").wait_for()
        layer = page.locator(".layer")
        box = layer.bounding_box()
        assert box
        for patch in range(16):
            row, column = divmod(patch, 4)
            x, y = box["width"] * (column + 0.4) / 4, box["height"] * (row + 0.4) / 4
            layer.hover(position={"x": x, "y": y})
            page.get_by_role(
                "heading", name=f"Patch at row {row + 1}, column {column + 1}"
            ).wait_for()
            strongest = page.locator(".feature .act").all_inner_texts()
            if len(strongest) > 1:
                break
        assert len(strongest) > 1
        assert [float(t) for t in strongest] == sorted(map(float, strongest), reverse=True)
        page.mouse.move(2, 2)
        page.get_by_role("heading", name="On the image").wait_for()
        chosen = page.locator(".feature").first
        number = chosen.locator(".id").inner_text().removeprefix("#")
        chosen.click()
        page.wait_for_url(re.compile(f"pick={number}"))
        page.locator(".heat.on").wait_for()
        assert chosen.get_attribute("aria-pressed") == "true"
        page.reload()
        page.locator(".heat.on").wait_for()
        assert page.locator(".feature[aria-pressed=true] .id").inner_text() == f"#{number}"
        page.get_by_role("link", name=f"open feature {number}", exact=True).click()
        page.wait_for_url(re.compile(rf"/feature\?.*feature={number}$"))
        page.locator(".tile a").first.click()
        page.wait_for_url(re.compile(r"/image\?example=\d+$"))
        page.get_by_role("heading", name="On the image").wait_for()

    def test_by_keyboard(self, page: "Page", url: str, home: Path) -> None:
        page.goto(url + room(home / "run"))
        page.locator(".layer").focus()
        page.keyboard.press("ArrowRight")
        page.get_by_role("heading", name="Patch at row 1, column 1").wait_for()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowRight")
        page.get_by_role("heading", name="Patch at row 2, column 2").wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("heading", name="On the image").wait_for()
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.locator(".heat.on").wait_for()
        second = page.locator(".feature").nth(1)
        assert second.get_attribute("aria-pressed") == "true"

    def test_side_by_side_keeps_the_layer(self, page: "Page", url: str, home: Path) -> None:
        page.goto(url + room(home / "run", layer="vision.projection", set="cls"))
        page.get_by_role("link", name=re.compile("side by side with")).first.click()
        page.wait_for_url(re.compile("with="))
        page.get_by_role("heading", name="On the two images").wait_for()
        assert page.locator(".picture .frame").count() == 2
        page.get_by_role("heading", name=re.compile("Only on the second")).wait_for()
        assert page.get_by_role("radio", name="vision.projection").is_checked()
        page.go_back()
        page.get_by_role("heading", name="On the image").wait_for()

    def test_an_image_of_ones_own(self, page: "Page", url: str, home: Path) -> None:
        page.goto(url + room(home / "run"))
        page.get_by_role("button", name="Images of yours").click()
        given = {"name": "mine.png", "mimeType": "image/png", "buffer": png("orange")}
        page.locator("input[type=file]").set_input_files(given)
        page.locator(".picture figcaption", has_text="mine.png").wait_for()
        page.locator(".feature").first.wait_for()
        page.keyboard.press("Escape")
        page.locator(".layer").hover(position={"x": 20, "y": 20})
        page.get_by_role("heading", name="Patch at row 1, column 1").wait_for()
        page.get_by_role("link", name=re.compile("side by side with")).first.click()
        page.get_by_role("heading", name="On the two images").wait_for()
        page.locator(".picture figcaption", has_text="mine.png").wait_for()
        page.locator(".pictures .way").nth(1).click()
        page.get_by_role("heading", name="On the image").wait_for()
        page.locator(".picture figcaption", has_text="mine.png").wait_for(state="detached")
        assert page.locator(".picture.shown").count() == 1

    def test_others_at_random_by_link(self, page: "Page", url: str, home: Path) -> None:
        page.goto(url + room(home / "run"))
        page.locator(".pictures img").first.wait_for()
        page.get_by_role("button", name="Others at random").click()
        page.wait_for_url(re.compile(r"seed=\d+"))
        page.locator(".way[href*=seed]").first.wait_for()
        links = "all => all.map((one) => one.getAttribute('href'))"
        drawn = page.locator(".way").evaluate_all(links)
        page.reload()
        page.locator(".way").first.wait_for()
        assert page.locator(".way").evaluate_all(links) == drawn
        page.go_back()
        page.wait_for_url(lambda to: "seed=" not in to)
        page.locator(".way[href*=seed]").first.wait_for(state="detached")
        page.locator(".way").first.wait_for()

    def test_browse_by_an_image(self, page: "Page", url: str, home: Path) -> None:
        page.goto(url + room(home / "run"))
        page.get_by_role("link", name="features that show images like this one").click()
        page.wait_for_url(re.compile(rf"/browse\?.*like={val_ids(home / 'run')[0]}"))
        page.get_by_role("img", name="the image searched by").wait_for()
