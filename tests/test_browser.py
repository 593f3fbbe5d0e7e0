"""The pages in a real browser: links, Back, keys, heat map, themes, and that they keep still."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from synthetic import DEAD, make_bundle

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

SAE = "clip-demo/vision.0.resid_post/matryoshka"
SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
}).observe({ type: 'layout-shift', buffered: true });
"""
MOST_SHIFT = 0.05


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, dashboard_server: Callable[..., str]) -> str:
    run = make_bundle(tmp_path_factory.mktemp("runs") / "demo", n_examples=400, d_sae=120)
    return dashboard_server(run)


def feature(number: int, dictionary: str = SAE) -> str:
    return f"/feature?{urlencode({'dictionary': dictionary, 'feature': number})}"


def still(page: "Page") -> None:
    """Wait until the script has run."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


def shows_feature(page: "Page", number: int) -> None:
    """Wait until the page shows this feature, whole."""
    page.wait_for_function(
        """(number) => {
          const find = (key, what) => document.querySelector(`.st-key-${key} .stBidiComponent *`)
            && [...document.querySelectorAll(`.st-key-${key} *`)].map((n) => n.shadowRoot)
              .find(Boolean)?.querySelector(what);
          const head = find('head', '.root');
          return head && !head.classList.contains('busy')
            && find('head', 'h1')?.textContent.endsWith(`#${number}`);
        }""",
        arg=number,
    )


def test_a_point_of_the_steering_scores_leads_to_its_feature(page: "Page", url: str) -> None:
    page.goto(f"{url}/steering?look=Scores")
    points = page.locator(".stVegaLiteChart path[aria-roledescription=circle]")
    points.nth(4).wait_for()
    still(page)
    feature = re.search(r"feature: #(\d+)", points.nth(4).get_attribute("aria-label") or "")
    assert feature
    points.nth(4).dispatch_event("click")
    card = page.locator(".st-key-steered-card .card")
    card.wait_for()
    assert card.locator(".id").inner_text() == f"#{feature[1]}"
    card.click()
    page.wait_for_url(re.compile(rf"/feature\?.*&feature={feature[1]}$"))
    page.go_back()
    page.wait_for_url(re.compile(r"/steering\?look=Scores"))
    points.nth(4).wait_for()


def test_overview_leads_to_browse_and_feature_and_back(page: "Page", url: str) -> None:
    page.goto(url)
    page.get_by_role("link", name="vision.0 / neurons").click()
    page.wait_for_url(re.compile(r"/browse\?.*name=neurons"))
    card = page.locator(".card").nth(2)
    number = int(card.locator(".id").inner_text().removeprefix("#"))
    card.click()
    page.wait_for_url(re.compile(rf"/feature\?dictionary=.*&feature={number}$"))
    shows_feature(page, number)
    assert page.locator("h1").inner_text() == f"vision.0 / neurons #{number}"
    page.locator(".tile").first.wait_for()
    page.go_back()
    page.wait_for_url(re.compile(r"/browse\?.*name=neurons"))
    # Feature shows cards too, which may still be there.
    page.locator(".st-key-cards .card").nth(2).wait_for()
    assert page.locator(".st-key-cards .card .id").nth(2).inner_text() == f"#{number}"
    page.go_back()
    page.get_by_role("heading", name="Dictionaries").wait_for()
    assert page.url.rstrip("/") == url


def test_browse_keeps_its_choices_in_the_address(page: "Page", url: str) -> None:
    page.goto(f"{url}/browse")
    page.get_by_text("neurons", exact=True).click()
    page.wait_for_url(re.compile("name=neurons"))
    page.get_by_text("of 144 features").wait_for()
    page.get_by_role("button", name="matryoshka", exact=True).click()
    page.get_by_text("of 24 features").wait_for()
    page.locator(".st-key-sort").get_by_role("combobox").click()
    page.get_by_role("option", name="feature id").click()
    page.wait_for_url(re.compile(r"sort=feature\+id"))
    page.get_by_text("low first").click()
    page.wait_for_function("location.search.includes('low')")
    page.locator(".cards > div:first-child .id", has_text=re.compile("^#0$")).wait_for()
    first = page.locator(".card .id").all_inner_texts()
    assert first[:3] == ["#0", "#1", "#2"]
    page.goto(page.url)
    page.locator(".card").first.wait_for()
    assert page.locator(".card .id").all_inner_texts() == first


def test_back_undoes_choices_one_by_one(page: "Page", url: str) -> None:
    page.goto(url)
    page.get_by_role("link", name="Browse", exact=True).first.click()
    page.wait_for_url("**/browse")
    page.locator(".card").first.wait_for()
    first = page.url
    page.get_by_role("button", name="neurons", exact=True).click()
    page.get_by_text("of 144 features").wait_for()
    both = page.url
    page.get_by_text("table", exact=True).click()
    page.locator("tbody tr").first.wait_for()
    page.go_back()
    page.locator(".card").first.wait_for()
    assert page.url == both
    page.go_back()
    page.get_by_text("of 120 features").wait_for()
    assert page.url == first
    page.go_back()
    page.get_by_role("heading", name="Dictionaries").wait_for()
    page.go_forward()
    page.get_by_text("of 120 features").wait_for()


def test_pages_of_cards(page: "Page", url: str) -> None:
    page.goto(f"{url}/browse")
    page.locator(".card").first.wait_for()
    first = page.locator(".card .id").all_inner_texts()
    page.get_by_role("link", name="page 2").first.click()
    page.wait_for_url(re.compile("page=2"))
    page.locator("[aria-current=page]", has_text="2").first.wait_for()
    assert not set(first) & set(page.locator(".card .id").all_inner_texts())
    page.go_back()
    page.locator("[aria-current=page]", has_text="1").first.wait_for()
    assert page.locator(".card .id").all_inner_texts() == first


def test_another_choice_shows_its_first_page(page: "Page", url: str) -> None:
    page.goto(f"{url}/browse")
    page.get_by_role("link", name="page 2").first.click()
    page.locator("[aria-current=page]", has_text="2").first.wait_for()
    page.get_by_text("low first").click()
    page.locator("[aria-current=page]", has_text="1").first.wait_for()
    page.get_by_role("link", name="page 2").first.click()
    page.locator("[aria-current=page]", has_text="2").first.wait_for()
    page.reload()
    page.locator("[aria-current=page]", has_text="2").first.wait_for()


def test_chosen_features_go_from_page_to_page(page: "Page", url: str) -> None:
    page.goto(f"{url}/browse")
    page.locator(".cards .choose").first.focus()
    page.keyboard.press("Space")
    first = page.locator(".card .id").first.inner_text().removeprefix("#")
    page.get_by_text("1 feature chosen").wait_for()
    page.get_by_role("link", name="page 2").first.click()
    page.locator("[aria-current=page]", has_text="2").first.wait_for()
    page.locator(".cards .choose").nth(3).check(force=True)
    second = page.locator(".card .id").nth(3).inner_text().removeprefix("#")
    page.get_by_text("2 features chosen").wait_for()
    page.get_by_role("link", name="Compare", exact=True).last.click()
    page.wait_for_url(re.compile(rf"/compare\?features=.*%3A{first}%2C{second}$"))
    page.get_by_text(f"#{second}").first.wait_for()
    page.go_back()
    page.locator("[aria-current=page]", has_text="2").first.wait_for()
    assert page.locator(".cards .choose").nth(3).is_checked(), "the choice is still there"
    page.get_by_role("button", name="choose all here").click()
    assert page.locator(".cards .choose:checked").count() == page.locator(".card").count()
    page.get_by_role("button", name="Clear", exact=True).click()
    page.get_by_text("features chosen").wait_for(state="detached")
    assert page.locator(".cards .choose:checked").count() == 0


def test_a_press_on_a_column_sorts_the_table(page: "Page", url: str) -> None:
    page.goto(f"{url}/browse?view=table&least=1+image")
    density = page.get_by_role("columnheader", name="density")
    density.get_by_role("link").click()
    page.locator("th[aria-sort=descending]", has_text="density").wait_for()
    falling = page.locator("tbody tr .go").all_inner_texts()
    density.get_by_role("link").click()
    page.locator("th[aria-sort=ascending]", has_text="density").wait_for()
    assert page.locator("tbody tr .go").all_inner_texts() != falling
    page.go_back()
    page.locator("th[aria-sort=descending]", has_text="density").wait_for()
    assert page.locator("tbody tr .go").all_inner_texts() == falling


def test_the_guide_is_open_once(page: "Page", url: str) -> None:
    page.goto(url)
    page.get_by_text("One direction in the model's activations").wait_for()
    page.get_by_role("button", name="Got it").click()
    page.get_by_text("One direction in the model's activations").wait_for(state="hidden")
    page.goto(url)
    page.get_by_role("button", name="New here?").wait_for()
    assert page.get_by_text("One direction in the model's activations").is_hidden()
    page.get_by_role("button", name="New here?").click()
    assert page.get_by_text("One direction in the model's activations").is_visible()


def test_a_star_a_label_and_a_note_stay(page: "Page", url: str) -> None:
    page.goto(url + feature(8))
    page.get_by_role("button", name="☆ Star").click()
    page.get_by_role("button", name="★ Starred").wait_for()
    page.get_by_role("button", name="Label and note").click()
    page.get_by_role("textbox", name="Your label").fill("<b>eyes</b>")
    page.get_by_role("textbox", name="Your label").press("Enter")
    page.get_by_role("textbox", name="Your note").fill("like *this*")
    page.get_by_role("textbox", name="Your note").press("Control+Enter")
    page.get_by_text("like *this* (me)").wait_for()
    page.goto(url + feature(8))
    page.get_by_role("button", name="★ Starred").wait_for()
    page.get_by_text("<b>eyes</b>").first.wait_for()
    page.goto(f"{url}/browse?hook=vision.0&name=matryoshka&mine=starred&least=0+images")
    page.get_by_text("1 of 120 features").wait_for()
    page.goto(f"{url}/browse?hook=vision.0&name=matryoshka&q=EYES&by=in+labels&least=0+images")
    page.get_by_text("1 of 120 features").wait_for()


def test_what_was_typed_stays_on_escape(page: "Page", url: str) -> None:
    page.goto(url + feature(9))
    for field, text in (("Your note", "typed, then Escape"), ("Your label", "nose")):
        page.get_by_role("button", name="Label and note").click()
        page.get_by_role("textbox", name=field).fill(text)
        page.keyboard.press("Escape")
        page.get_by_role("textbox", name=field).wait_for(state="hidden")
        page.get_by_text(text).first.wait_for()
    page.goto(url + feature(9))
    page.get_by_text("typed, then Escape (me)").wait_for()


def test_no_explanation_lies_in_the_way(page: "Page", url: str) -> None:
    page.goto(f"{url}/compare")
    export = page.get_by_role("button", name="Export").first
    export.hover()
    tip = page.get_by_role("tooltip")
    tip.wait_for()
    box = tip.bounding_box()
    assert box is not None
    under = page.evaluate(
        "([x, y]) => !document.elementFromPoint(x, y).closest('[role=tooltip]')",
        [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2],
    )
    assert under, "a press on what it covers goes through it"
    export.click()
    tip.wait_for(state="hidden")


@pytest.mark.parametrize("path", ["/modalities", "/browse?q=a&by=in+labels", "/compare"])
def test_what_is_said_of_a_list_does_not_lie_over_it(page: "Page", url: str, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(url + path)
    head = page.locator(".head > .said").first
    head.wait_for()
    bottom, top = head.evaluate(
        """(node) => {
          const list = node.closest('.head').nextElementSibling;
          return [node.getBoundingClientRect().bottom, list.getBoundingClientRect().top];
        }"""
    )
    assert bottom <= top


def test_cards_open_by_keyboard(page: "Page", url: str) -> None:
    page.goto(f"{url}/browse")
    card = page.get_by_role("link", name=re.compile(r"#\d+, .*MS 0\.\d\d, density")).first
    card.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/feature"))


def test_no_arrow_press_is_lost(page: "Page", url: str) -> None:
    page.goto(url + feature(20))
    shows_feature(page, 20)
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    shows_feature(page, 30)
    page.wait_for_url(re.compile("feature=30$"))
    for _ in range(4):
        page.keyboard.press("ArrowLeft", delay=40)
    shows_feature(page, 26)
    page.get_by_role("button", name="next feature").click()
    shows_feature(page, 27)


def test_arrows_in_a_field_stay_there(page: "Page", url: str) -> None:
    page.goto(url + feature(20))
    shows_feature(page, 20)
    box = page.get_by_role("spinbutton", name="feature id")
    box.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    still(page)
    shows_feature(page, 20)
    box.fill("77")
    page.keyboard.press("Enter")
    shows_feature(page, 77)
    page.go_back()
    shows_feature(page, 20)


def test_ends_of_a_dictionary(page: "Page", url: str) -> None:
    page.goto(url + feature(0))
    shows_feature(page, 0)
    assert page.get_by_role("button", name="previous feature").is_disabled()
    page.keyboard.press("ArrowLeft")
    still(page)
    shows_feature(page, 0)


def test_heat_map_goes_on_and_off_and_is_remembered(page: "Page", url: str) -> None:
    page.goto(url + feature(1))
    toggle = page.get_by_role("checkbox", name="Heat map")
    heat = page.locator("canvas.heat").first
    toggle.wait_for()
    opacity = "(node) => Number(getComputedStyle(node).opacity)"
    page.wait_for_function(
        "(node) => getComputedStyle(node).opacity > 0.5", arg=heat.element_handle()
    )
    toggle.uncheck()
    page.wait_for_function(
        "(node) => getComputedStyle(node).opacity == 0", arg=heat.element_handle()
    )
    page.keyboard.press("ArrowRight")
    shows_feature(page, 2)
    assert not page.get_by_role("checkbox", name="Heat map").is_checked()
    page.reload()
    toggle.wait_for()
    assert heat.evaluate(opacity) == 0
    toggle.check()
    page.get_by_role("slider", name="heat map opacity").fill("0.9")
    page.wait_for_function(
        "(node) => getComputedStyle(node).opacity > 0.85", arg=heat.element_handle()
    )


def test_dead_feature_can_be_walked_past(page: "Page", url: str) -> None:
    page.goto(url + feature(DEAD))
    page.get_by_text("No val image activates this feature").wait_for()
    page.keyboard.press("ArrowRight")
    shows_feature(page, DEAD + 1)
    page.locator(".tile").first.wait_for()


def test_markup_in_data_is_shown_as_text(page: "Page", url: str) -> None:
    page.goto(f"{url}/feature")
    page.locator(".tile").first.wait_for()
    page.goto(url)
    page.get_by_role("heading", name="Synthetic run <script>").wait_for()
    page.get_by_text("inputs skipped, and why").click()
    page.get_by_text("big.png: <script>").wait_for()
    page.goto(url + feature(7))
    page.locator(".chip", has_text="<script>").wait_for()
    assert page.title() != "owned"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_theme_follows_the_system(page: "Page", url: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{url}/browse")
    page.locator(".card").first.wait_for()
    colours = page.evaluate(
        """() => [document.querySelector('.stApp'),
                  document.querySelector('.st-key-cards .stBidiComponent *')]
          .map((node) => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color])"""
    )
    brightness = [sum(map(int, re.findall(r"\d+", colours[0][i])[:3])) for i in (0, 1)]
    assert (brightness[0] > brightness[1]) == (scheme == "light")
    assert colours[1][1] == colours[0][1], "components take the page's colour of text"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(page: "Page", url: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for path, sign in (("/", "table"), ("/browse", ".card"), (feature(1), ".tile")):
        page.goto(url + path)
        page.locator(sign).first.wait_for()
        wide = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollWidth")
        assert wide <= width, path


@pytest.mark.parametrize(
    ("path", "sign"), [("/", "table"), ("/browse", ".card"), (feature(1), ".tile")]
)
def test_page_keeps_still_while_it_loads(page: "Page", url: str, path: str, sign: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.add_init_script(SHIFTS)
    page.goto(url + path)
    page.locator(sign).first.wait_for()
    still(page)
    page.wait_for_timeout(1500)
    assert sum(page.evaluate("window.shifts")) < MOST_SHIFT


def test_next_feature_keeps_still(page: "Page", url: str) -> None:
    page.add_init_script(SHIFTS)
    page.goto(url + feature(10))
    shows_feature(page, 10)
    page.wait_for_timeout(1500)
    page.evaluate("window.shifts.length = 0")
    page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight' }))")
    shows_feature(page, 11)
    page.wait_for_timeout(1000)
    assert sum(page.evaluate("window.shifts")) < MOST_SHIFT


def test_missing_bundle_names_the_remedy(
    page: "Page", dashboard_server: Callable[..., str], tmp_path
) -> None:
    page.goto(dashboard_server(tmp_path / "gone"))
    page.get_by_text("no such folder; name a run").wait_for()


def test_captions_lead_to_their_images_and_to_the_bridge(page: "Page", url: str) -> None:
    page.goto(url + feature(2))
    shows_feature(page, 2)
    page.locator("mark.strongest").nth(15).wait_for()
    page.get_by_role("link", name="#3", exact=True).click()
    page.wait_for_url(re.compile(r"feature=3"))
    page.go_back()
    shows_feature(page, 2)
    page.get_by_role("link", name="the image of caption 1", exact=True).click()
    page.wait_for_url(re.compile(r"/image\?.*example="))
    still(page)
    page.locator(".patches, .stage, img").first.wait_for()


def test_headings_side_by_side_stand_on_one_line(page: "Page", url: str) -> None:
    page.set_viewport_size({"width": 1600, "height": 900})
    page.goto(url + feature(2, "clip-demo/vision.projection/matryoshka"))
    tops = []
    for name in ("Top 16 images", "Top 16 captions"):
        box = page.get_by_role("heading", name=name).bounding_box()
        assert box
        tops.append(box["y"] + box["height"] / 2)
    assert tops[0] == pytest.approx(tops[1], abs=0.6)


def test_a_caption_stands_where_there_are_no_images(page: "Page", url: str) -> None:
    here = f"{url}/browse?hook=vision.0&name=matryoshka&fires=words+alone"
    here += "&sort=density&order=low+first"
    page.goto(here)
    card = page.locator(".card:has(.spoken)").first
    picture = page.locator(".card:not(:has(.spoken))").first
    said, sheet = card.locator(".sheet").bounding_box(), picture.locator(".sheet").bounding_box()
    assert said and sheet and said["height"] == pytest.approx(sheet["height"], abs=1)
    assert card.locator("q").inner_text()
    assert "captions" in (card.locator(".facts > .num").get_attribute("title") or "")
    page.goto(f"{here}&view=table")
    cell = page.locator("th:has(.spoken)").first
    box, row = cell.locator(".spoken").bounding_box(), cell.bounding_box()
    assert box and row and box["height"] <= row["height"]


def test_modality_filters_stay_in_the_address(page: "Page", url: str) -> None:
    page.goto(f"{url}/browse?hook=vision.0&name=matryoshka&modality=0.2&modality=0.8")
    page.locator(".card").first.wait_for()
    still(page)
    few = page.locator(".said").first.inner_text()
    low = page.get_by_role("slider", name="Modality score").first
    low.focus()
    low.press("ArrowRight")
    page.wait_for_url(re.compile(r"modality=0.21"))
    still(page)
    assert int(few.split()[0]) < 120
    assert page.locator(".card .balance .fill").count() > 0
