"""The map of features in a real browser: painting, hover, click, zoom, lasso, links, themes."""

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
import pytest
from conftest import ROOT, serve
from PIL import Image

from dashboard.components import map as maps

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

ROWS, MIDDLE, BESIDE, NOWHERE = 3000, 7, 8, 9
SCRIPT = """
import json, sys
import numpy as np
import streamlit as st
sys.path.insert(0, "TESTS")
from test_map_component import square
from dashboard.components.map import HIDDEN, Panel, categories, map_view, ramp

st.set_page_config(layout="wide")
ask = st.query_params
x, y = square()
n = len(x)
hrefs = ("?" + ask.get("keep", "") + "&feature={feature}",) if "hrefs" in ask else ()
values = [np.linspace(0, 1, n)]
values[0][:3] = np.nan
panels = [Panel("<b>one</b>", ("a",), x, y, hrefs=hrefs)]
if ask.get("also") == "same":      # the same dictionary, in another order
    panels.append(Panel("two", ("a",), y[::-1], x[::-1], np.arange(n)[::-1]))
if ask.get("also") == "linked":    # another dictionary, whose row r is row n - 1 - r here
    links = {0: np.where(np.arange(n) % 2, -1, np.arange(n)[::-1])}
    panels.append(Panel("two", ("b",), y, x, links=links))
if ask.get("also") == "apart":
    panels.append(Panel("two", ("c",), y, x))
if ask.get("also") == "shared":    # two dictionaries in one plane
    of = (np.arange(n) >= 100).astype("u1")
    ids = np.where(of, np.arange(n) - 100, np.arange(n))
    panels = [Panel("both", ("a", "b"), x[::-1], y[::-1], ids[::-1], of[::-1])]
values *= len(panels)
if st.toggle("levels"):
    codes = (np.arange(n) % 3).astype("u1")
    codes[10] = HIDDEN
    colours = categories([codes] * len(panels), ["<i>low</i>", "mid", "high"],
                         ["#1c9a8a", "#c98a3a", "#5aa7c0"], title="level")
elif ask.get("also") == "shared":
    colours = categories([p.of for p in panels], ["first", "second"], ["#0072b2", "#e69f00"],
                         title="dictionary")
else:
    colours = ramp(values, title="MS", help="how single-minded")
if st.toggle("others"):
    panels = [Panel("others", ("d",), y[:2000], x[:2000])]
    colours = ramp([values[0][:2000]], title="MS")
if ask.get("also") == "empty":
    panels = [Panel("empty", ("a",), x[:0], y[:0]), Panel("nowhere", ("b",), x[:9] + np.nan, y[:9])]
    colours = ramp([p.x for p in panels], title="MS")
found = [np.array([3, 4])] * len(panels) if st.toggle("found") else None
def describe(dictionary, feature):
    return {"title": f"<u>{dictionary} {feature}</u>", "lines": ["MS 0.50"],
            "src": "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="}
got = map_view(panels, colours, describe=describe, found=found, key="map")
rows = got.selected and [got.selected.panel, got.selected.rows.tolist()]
st.text("GOT " + json.dumps({"selected": rows, "clicked": got.clicked}))
"""


def square() -> tuple[np.ndarray, np.ndarray]:
    """Points on a square from -10 to 10, none near the middle but two, and none close to the sides
    of the square from -5 to 5, so that a lasso along those has no doubtful ones."""
    random = np.random.default_rng(0)
    xy = random.uniform(-10, 10, (8 * ROWS, 2)).astype(np.float32)
    far = np.abs(xy).max(1)
    xy = xy[(far > 4) & (np.abs(far - 5) > 0.25)][:ROWS]
    xy[0], xy[1], xy[MIDDLE], xy[BESIDE], xy[NOWHERE] = -10, 10, 0, (2.5, 0), np.nan
    return xy[:, 0].copy(), xy[:, 1].copy()


def inside() -> list[int]:
    x, y = square()
    return np.flatnonzero(np.maximum(abs(x), abs(y)) < 5).tolist()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with a map and what `map_view` returns."""
    folder = tmp_path_factory.mktemp("map")
    script = folder / "app.py"
    script.write_text(SCRIPT.replace("TESTS", str(Path(__file__).parent)))
    with serve(script, log=folder / "log", env={"PYTHONPATH": str(ROOT)}) as address:
        yield address


class Map:
    """A map on a page: where its points are, and what Python knows of it."""

    def __init__(self, page: "Page", url: str, **ask: str) -> None:
        self.page = page
        page.goto(f"{url}/?{urlencode(ask)}")
        page.wait_for_function("performance.getEntriesByName('loupe-map-painted').length")
        self.got(selected=None)

    def plane(self, panel: int = 0) -> "Locator":
        return self.page.locator(".plane").nth(panel)

    def at(self, x: float, y: float, panel: int = 0) -> tuple[float, float]:
        """Where a point of the plane is on the screen while all of the plane is shown."""
        box = self.plane(panel).bounding_box()
        assert box
        k = (min(box["width"], box["height"]) - 2 - 36) / 20
        return box["x"] + box["width"] / 2 + x * k, box["y"] + box["height"] / 2 - y * k

    def unit(self) -> float:
        return self.at(1, 0)[0] - self.at(0, 0)[0]

    def hover(self, x: float, y: float) -> None:
        self.page.mouse.move(x, y)

    def shows(self, feature: int) -> None:
        self.page.locator(".tip .id", has_text=re.compile(f"^#{feature}$")).wait_for()

    def got(self, **wanted: Any) -> None:
        """Wait until Python has these."""
        said = json.dumps(wanted)[1:-1]
        self.page.wait_for_function(
            "(said) => document.querySelector('[data-testid=stApp]').textContent.includes(said)",
            arg=said,
        )

    def lasso(self) -> None:
        """Around the square from -5 to 5 of the first panel."""
        corners = [self.at(*c) for c in ((-5, -5), (5, -5), (5, 5), (-5, 5))]
        self.page.keyboard.down("Shift")
        self.page.mouse.move(*corners[0])
        self.page.mouse.down()
        for corner in [*corners[1:], corners[0]]:
            self.page.mouse.move(*corner, steps=6)

    def release(self) -> None:
        self.page.mouse.up()
        self.page.keyboard.up("Shift")

    def colourful(self, panel: int = 0) -> float:
        """Share of a panel's pixels that are no grey."""
        with Image.open(io.BytesIO(self.plane(panel).screenshot())) as image:
            pixels = np.asarray(image.convert("RGB"), np.int16)
        return float((np.ptp(pixels, axis=2) > 40).mean())


@pytest.mark.parametrize("way", ["webgl", "plain"])
def test_points_are_painted(page: "Page", url: str, way: str) -> None:
    if way == "plain":
        page.add_init_script(
            """const own = HTMLCanvasElement.prototype.getContext;
            HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
              return kind === 'webgl2' ? null : own.call(this, kind, ...more);
            };"""
        )
    shown = Map(page, url)
    seen = page.evaluate("performance.getEntriesByName('loupe-map-painted')[0].detail")
    if way == "webgl" and seen["painter"] != "webgl":
        pytest.skip("this browser has no WebGL 2")
    assert seen == {"map": "map", "points": ROWS, "painter": way}
    assert 0.01 < shown.colourful() < 0.5
    assert page.locator("figcaption").inner_text().startswith("<b>one</b>")


def test_hover_asks_for_one_feature_and_resends_nothing(page: "Page", url: str) -> None:
    taken = [0]

    def count(frame: bytes | str) -> None:
        taken[0] += len(frame)

    page.on("websocket", lambda socket: socket.on("framereceived", count))
    shown = Map(page, url)
    assert taken[0] > 9 * ROWS
    page.wait_for_timeout(500)
    taken[0] = 0
    shown.hover(*shown.at(0, 0))
    shown.shows(MIDDLE)
    page.locator(".tip .label", has_text=re.compile(rf"^<u>a {MIDDLE}</u>$")).wait_for()
    assert page.locator(".tip img").get_attribute("src").startswith("data:image/gif")
    shown.hover(*shown.at(2.5, 0))
    shown.shows(BESIDE)
    page.locator(".tip .label", has_text=f"a {BESIDE}<").wait_for()
    shown.hover(*shown.at(1.25, 1))
    page.locator(".tip").wait_for(state="hidden")
    assert 0 < taken[0] < 15_000, "two answers, and no points"


def test_click_goes_to_the_feature(page: "Page", url: str) -> None:
    shown = Map(page, url, hrefs="yes")
    page.mouse.click(*shown.at(2.5, 0))
    page.wait_for_url(re.compile(f"feature={BESIDE}$"))


def test_click_without_address_is_an_answer(page: "Page", url: str) -> None:
    shown = Map(page, url)
    page.mouse.click(*shown.at(0, 0))
    shown.got(clicked=["a", MIDDLE])
    page.get_by_text("levels").click()
    shown.got(clicked=None)


def test_wheel_drag_and_double_click(page: "Page", url: str) -> None:
    shown = Map(page, url)
    middle, unit = shown.at(0, 0), shown.unit()
    shown.hover(*middle)
    page.mouse.wheel(0, -200)
    page.mouse.wheel(0, -200)
    grown = np.exp(0.0022 * 400)
    shown.shows(MIDDLE)  # what is below the pointer stays there
    shown.hover(middle[0] + 2.5 * unit * grown, middle[1])
    shown.shows(BESIDE)
    empty = (middle[0], middle[1] + 60)
    page.mouse.move(*empty)
    page.mouse.down()
    page.mouse.move(empty[0] + 90, empty[1] + 40, steps=4)
    page.mouse.up()
    shown.hover(middle[0] + 90, middle[1] + 40)
    shown.shows(MIDDLE)
    page.mouse.dblclick(*empty)
    page.wait_for_timeout(400)
    shown.hover(*shown.at(2.5, 0))
    shown.shows(BESIDE)
    shown.got(clicked=None)


def test_keys_move_zoom_and_open(page: "Page", url: str) -> None:
    shown = Map(page, url, hrefs="yes")
    shown.plane().focus()
    assert "map of 2,999 features" in shown.plane().get_attribute("aria-label")
    before = shown.colourful()
    for _ in range(5):
        page.keyboard.press("+")
    shown.shows(MIDDLE)
    assert shown.colourful() != before
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    shown.shows(MIDDLE)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"feature={MIDDLE}$"))


def test_lasso_takes_exactly_what_is_inside(page: "Page", url: str) -> None:
    shown = Map(page, url)
    before = shown.colourful()
    shown.lasso()
    assert page.locator(".count").inner_text() == f"{len(inside())} selected", "while drawing"
    shown.release()
    shown.got(selected=[0, inside()])
    assert shown.colourful() < before, "the rest is faded"
    shown.plane().focus()
    page.keyboard.press("Escape")
    shown.got(selected=None)
    assert page.locator(".count").inner_text() == ""
    shown.lasso()
    shown.release()
    shown.got(selected=[0, inside()])
    page.get_by_role("button", name="clear the selection").click()
    shown.got(selected=None)


def test_lasso_tool_without_a_key(page: "Page", url: str) -> None:
    shown = Map(page, url)
    tool = page.get_by_role("button", name="select by drawing")
    tool.click()
    assert tool.get_attribute("aria-pressed") == "true"
    corners = [shown.at(*corner) for corner in ((-1, -1), (4, -1), (4, 1), (-1, 1))]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=5)
    page.mouse.up()
    shown.got(selected=[0, [MIDDLE, BESIDE]])


def test_many_rows_come_back_as_bits(page: "Page", url: str) -> None:
    shown = Map(page, url)
    corners = [shown.at(*c) for c in ((-10.5, -10.5), (10.5, -10.5), (10.5, 10.5), (-10.5, 10.5))]
    page.keyboard.down("Shift")
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=5)
    shown.release()
    shown.got(selected=[0, [row for row in range(ROWS) if row != NOWHERE]])


@pytest.mark.parametrize(
    ("also", "said"),
    [("same", "{n} of {all} match"), ("linked", "{even} of {all} match"),
     ("apart", "{all}, not linked")],
)  # fmt: skip
def test_selection_is_linked(page: "Page", url: str, also: str, said: str) -> None:
    shown = Map(page, url, also=also)
    before = shown.colourful(1)
    shown.lasso()
    shown.release()
    shown.got(selected=[0, inside()])
    # Of the rows here, those whose match there is even.
    even = sum((ROWS - 1 - row) % 2 == 0 for row in inside())
    text = said.format(n=len(inside()), even=even, all=f"{ROWS - 1:,} features")
    assert page.locator("figcaption .num").nth(1).inner_text() == text
    if also == "apart":
        assert shown.colourful(1) == pytest.approx(before, rel=0.1)
    else:
        assert shown.colourful(1) < before


def test_dictionaries_share_a_plane(page: "Page", url: str) -> None:
    shown = Map(page, url, also="shared")
    shown.hover(*shown.at(0, 0))
    page.locator(".tip .label", has_text=re.compile(rf"^<u>a {MIDDLE}</u>$")).wait_for()
    x, y = square()
    lone = next(r for r in range(100, ROWS) if np.sort(np.hypot(x - x[r], y - y[r]))[1] > 0.2)
    shown.hover(*shown.at(float(x[lone]), float(y[lone])))
    page.locator(".tip .label", has_text=re.compile(rf"^<u>b {lone - 100}</u>$")).wait_for()


def test_a_shared_plane_has_a_colour_for_each_dictionary(page: "Page", url: str) -> None:
    shown = Map(page, url, also="shared")
    assert page.locator(".item").all_inner_texts() == ["first", "second"]
    x, y = square()
    near = np.nan_to_num(np.hypot(x[:, None] - x, y[:, None] - y), nan=99) + 99 * np.eye(ROWS)
    lone = near.min(axis=1) > 0.25
    # Far from all others: a row of the first dictionary, and one of the second.
    rows = [int(np.flatnonzero(lone[a:b])[0]) + a for a, b in ((2, 100), (100, ROWS))]
    box = shown.plane().bounding_box()
    assert box
    with Image.open(io.BytesIO(shown.plane().screenshot())) as image:
        pixels = np.asarray(image.convert("RGB"), np.int16)
    for row, blue in zip(rows, (True, False), strict=True):
        px, py = shown.at(float(x[row]), float(y[row]))
        red, _, last = pixels[round(py - box["y"]), round(px - box["x"])]
        assert (last > red) == blue


def test_other_colours_keep_view_and_selection(page: "Page", url: str) -> None:
    shown = Map(page, url)
    shown.lasso()
    shown.release()
    shown.got(selected=[0, inside()])
    assert page.locator(".tick").all_inner_texts() == ["0.00", "0.50", "1.00"]
    page.get_by_text("not known").wait_for()
    page.get_by_text("levels").click()
    page.locator(".item", has_text="<i>low</i>").wait_for()
    assert page.locator(".count").inner_text() == f"{len(inside())} selected"
    page.locator("figcaption", has_text=f"{ROWS - 2:,}").wait_for()  # one is hidden, one nowhere


def test_other_points_start_anew(page: "Page", url: str) -> None:
    shown = Map(page, url)
    shown.lasso()
    shown.release()
    shown.got(selected=[0, inside()])
    page.get_by_text("others").first.click()
    page.locator("figcaption", has_text="1,999 features").wait_for()
    shown.got(selected=None)
    assert page.locator(".count").inner_text() == ""
    shown.hover(*shown.at(0, 2.5))
    page.locator(".tip .label", has_text=re.compile(rf"^<u>d {BESIDE}</u>$")).wait_for()


def test_no_points_are_no_error(page: "Page", url: str) -> None:
    shown = Map(page, url, also="empty")
    assert page.locator("figcaption .num").all_inner_texts() == ["0 features", "0 features"]
    shown.lasso()
    shown.release()
    page.wait_for_timeout(300)
    shown.got(selected=None)
    assert shown.colourful() == 0


def test_what_is_found_stands_out_below_a_selection(page: "Page", url: str) -> None:
    shown = Map(page, url, also="linked")
    count = page.locator(".count")
    before = shown.colourful()
    page.get_by_text("found", exact=True).click()
    page.locator(".count", has_text="4 found").wait_for()
    assert page.locator("figcaption .num").all_inner_texts() == ["2 of 2,999 features found"] * 2
    assert shown.colourful() < before
    assert not page.get_by_role("button", name="clear the selection").is_visible()
    shown.lasso()
    shown.release()
    shown.got(selected=[0, inside()])
    page.get_by_text("levels").click()
    page.locator(".item").first.wait_for()
    assert count.inner_text() == f"{len(inside())} selected", "said but once"
    page.get_by_role("button", name="clear the selection").click()
    shown.got(selected=None)
    assert count.inner_text() == "4 found"
    shown.lasso()
    shown.release()
    shown.got(selected=[0, inside()])
    page.get_by_text("found", exact=True).click()
    shown.got(selected=None)
    assert count.inner_text() == "", "another search takes a selection's place"


def test_space_selects_what_is_in_the_middle(page: "Page", url: str) -> None:
    shown = Map(page, url, also="linked")
    shown.plane(1).focus()
    for _ in range(5):
        page.keyboard.press("+")
    page.locator(".tip[role=status]", has_text=f"#{MIDDLE}").wait_for()
    page.keyboard.press("Space")
    shown.got(selected=[1, [MIDDLE]])
    # Row 7 of the second panel has no match in the first.
    said = page.locator("figcaption .num")
    assert said.all_inner_texts() == [
        "0 of 2,999 features match", "1 of 2,999 features selected",
    ]  # fmt: skip
    shown.plane(1).focus()
    page.keyboard.press("Space")
    shown.got(selected=None)
    assert said.all_inner_texts() == ["2,999 features"] * 2


def paced(page: "Page", frames: str, count: int) -> list[int]:
    """Every n-th point that is shown after each of `count` frames, which take what the JavaScript
    `frames` says of the number of points shown and of the frame's place."""
    source = (ROOT / "dashboard/components/map/pace.js").read_text()
    found: list[int] = page.evaluate(
        f"""() => {{
          {source}
          const all = 262144, pace = newPace(), steps = [], took = {frames};
          for (let i = 0; i < {count}; i++) {{
            keepPace(pace, took(all / pace.step, i), all);
            steps.push(pace.step);
          }}
          return steps;
        }}"""
    )
    return found


def test_pace_thins_while_points_are_too_many_and_comes_back(page: "Page") -> None:
    slow = paced(page, "(points, i) => (i < 60 ? Math.max(8, points / 2000) : 8)", 200)
    assert max(slow[:60]) == 8
    assert slow[-1] == 1


def test_pace_holds_between_slow_and_quick(page: "Page") -> None:
    steps = paced(page, "(points) => (points > 200000 ? 60 : 25)", 200)
    assert steps[-100:] == [2] * 100


def test_pace_sees_drawings_that_show_late(page: "Page") -> None:
    steps = paced(page, "(points, i) => (i % 2 ? 17 : points / 800)", 60)
    assert steps[-1] >= 8


def test_pace_leaves_points_that_cost_nothing(page: "Page") -> None:
    steps = paced(page, "() => 60", 100)
    assert max(steps) == 2
    assert steps[-1] == 1


def test_pace_tries_what_was_too_much_ever_more_rarely(page: "Page") -> None:
    steps = paced(page, "(points) => Math.max(8, points / 4000)", 600)
    changes = [i for i in range(1, 600) if steps[i] != steps[i - 1]]
    assert set(steps) == {1, 2, 4}
    assert 4 <= len(changes) < 30
    assert changes[-1] - changes[-3] > changes[5] - changes[3], "and ever more rarely"


def test_pace_does_not_mind_a_slow_hand(page: "Page", url: str) -> None:
    """The time between two moves of the pointer is not what a frame costs."""
    shown = Map(page, url)
    x, y = shown.at(0, 2)
    page.mouse.move(x, y)
    page.mouse.down()
    steps = set()
    for turn in range(12):
        page.mouse.move(x + 6 * turn, y)
        page.wait_for_timeout(60)
        steps.add(page.locator(".stage").get_attribute("data-every"))
    page.mouse.up()
    assert steps == {"1"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_are_readable(page: "Page", url: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    shown = Map(page, url)
    shown.hover(*shown.at(0, 0))
    shown.shows(MIDDLE)

    def readable(part: str) -> bool:
        ink = page.locator(part).first.evaluate("(node) => getComputedStyle(node).color")
        return (sum(map(int, re.findall(r"\d+", ink)[:3])) < 384) == (scheme == "light")

    for part in (".tip .title", ".legend .title", ".name"):
        until = time.monotonic() + 20  # Streamlit's own theme may come after the map
        while not readable(part):
            assert time.monotonic() < until, part
            page.wait_for_timeout(100)
    assert shown.colourful() > 0.01


@pytest.mark.parametrize("width", [390, 1280])
def test_fits_the_window(page: "Page", url: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    Map(page, url, also="same")
    wide = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollWidth")
    assert wide <= width


def test_ramp_and_categories() -> None:
    values = [np.array([0.0, 0.5, np.nan, 2.0]), np.array([1.0])]
    colours = maps.ramp(values, title="MS", high=1.0)
    assert [codes.tolist() for codes in colours.codes] == [[0, 126, maps.UNKNOWN, 253], [253]]
    assert colours.ticks == ((0.0, "0.00"), (0.5, "0.50"), (1.0, "1.00"))
    log = maps.ramp([np.array([1e-4, 1e-2, 0.0, 1.0])], title="density", log=True, text=str)
    assert log.codes[0].tolist() == [0, 126, maps.UNKNOWN, 253]
    assert [text for _, text in log.ticks] == ["0.0001", "0.01", "1.0"]
    empty = maps.ramp([np.array([np.nan])], title="MS")
    assert empty.codes[0].tolist() == [maps.UNKNOWN]
    with pytest.raises(ValueError, match="2 names and 1 colours"):
        maps.categories([np.zeros(1, np.uint8)], ["a", "b"], ["#000000"], title="x")


def test_what_does_not_fit_is_refused() -> None:
    x = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match="beside 3 values"):
        maps.pack_panels([maps.Panel("p", ("a",), x, x[:2])], key="k", height=None)
    colours = maps.ramp([np.zeros(2)], title="MS")
    with pytest.raises(ValueError, match=r"\(2,\) colours for \(3,\)"):
        maps.pack_colours([maps.Panel("p", ("a",), x, x)], colours, key="k")


def test_points_are_compact() -> None:
    x = np.zeros(262_144, np.float32)
    panel = maps.Panel("p", ("a",), x, x)
    plane, digest = maps.pack_panels([panel], key="k", height=None)
    colours = maps.pack_colours([panel], maps.ramp([x], title="MS"), key="k")
    assert len(plane) + len(colours) < 2.4e6
    other = maps.Panel("p", ("a",), x + 1, x)
    assert maps.pack_panels([other], key="k", height=None)[1] != digest
