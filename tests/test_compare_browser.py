"""Compare in a real browser: columns, pages, the flow, chosen features, Back."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from synthetic import make_bundle

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

SAE = "clip-demo/vision.0.resid_post/matryoshka"
THREE = ["vision.0 / matryoshka", "vision.1 / matryoshka", "vision.0 / neurons"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, dashboard_server: Callable[..., str]) -> str:
    run = make_bundle(tmp_path_factory.mktemp("runs") / "demo", n_examples=400, d_sae=120)
    return dashboard_server(run)


def columns(names: list[str]) -> str:
    return f"/compare?{urlencode({'columns': names}, doseq=True)}"


def heads(page: "Page") -> list[str]:
    return page.locator(".rows > .heads:not(.again) .column").all_inner_texts()


def test_columns_are_chosen_paged_and_kept_in_the_address(page: "Page", url: str) -> None:
    page.goto(url + columns(THREE[:2]))
    page.locator(".held .card").first.wait_for()
    assert heads(page) == THREE[:2]
    page.locator(".st-key-columns").get_by_role("combobox").click()
    page.get_by_role("option", name=THREE[2]).click()
    page.keyboard.press("Escape")
    page.wait_for_function("new URLSearchParams(location.search).getAll('columns').length == 3")
    page.locator(".column", has_text=THREE[2]).wait_for()
    assert heads(page) == THREE
    first = page.locator(".card .id").all_inner_texts()
    page.get_by_role("link", name="page 2").first.click()
    page.locator("[aria-current=page]", has_text="2").first.wait_for()
    assert page.locator(".card .id").all_inner_texts() != first
    page.go_back()
    page.locator("[aria-current=page]", has_text="1").first.wait_for()
    assert page.locator(".card .id").all_inner_texts() == first
    page.reload()
    page.locator(".held .card").first.wait_for()
    assert heads(page) == THREE


def test_a_preset_changes_the_columns_and_back_brings_them_back(page: "Page", url: str) -> None:
    page.goto(url + columns(THREE[:2]))
    page.locator(".held .card").first.wait_for()
    page.get_by_role("link", name="neurons here").click()
    page.locator(".column", has_text=THREE[2]).first.wait_for()
    assert heads(page) == [THREE[0], THREE[2]]
    page.go_back()
    page.locator(".column", has_text=THREE[1]).first.wait_for()
    assert heads(page) == THREE[:2]


def test_a_press_on_the_flow_lists_its_features(page: "Page", url: str) -> None:
    page.goto(f"{url}/compare")
    page.get_by_text("Flow", exact=True).click()
    page.locator("svg .ribbon").first.wait_for()
    assert page.locator("svg .ribbon").count() == 2
    page.get_by_role(
        "link", name=re.compile("vision.1 are found again in vision.projection")
    ).click()
    page.wait_for_url(re.compile("part=1-next"))
    page.locator(".column", has_text="vision.projection").first.wait_for()
    page.get_by_role("link", name=re.compile("share .* best matches in vision.1")).click()
    page.wait_for_url(re.compile("part=0-merged"))
    page.get_by_text(re.compile(r"features of vision.0 / \w+ share \d+ best matches")).wait_for()
    band = page.get_by_role("link", name=re.compile("^vision.1.* only here$"))
    band.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("part=1-alone"))
    page.locator(".cards .card").first.wait_for()
    page.go_back()
    page.wait_for_url(re.compile("part=0-merged"))
    page.locator(".held .card").first.wait_for()
    page.locator(".held .card").first.click()
    page.wait_for_url(re.compile("/feature"))


def test_chosen_features_open_by_their_link(page: "Page", url: str) -> None:
    page.goto(f"{url}/compare?{urlencode({'features': f'{SAE}:1~{SAE}:2~{SAE}:7~gone'})}")
    page.locator("section.column .tile img").first.wait_for()
    assert page.locator("section.column .id").all_inner_texts() == ["#1", "#2", "#7"]
    page.get_by_text("No such feature in this bundle: gone").wait_for()
    assert page.title() != "owned"
    page.locator("section.column .title").nth(1).click()
    page.wait_for_url(re.compile("/feature.*feature=2$"))
    page.go_back()
    page.locator("section.column .tile img").first.wait_for()


def test_shared_images_are_marked_wherever_they_stand(page: "Page", url: str) -> None:
    page.goto(f"{url}/compare?{urlencode({'features': f'{SAE}:1~{SAE}:1~{SAE}:20'})}")
    page.locator("section.column").nth(1).wait_for()
    assert page.locator("section.column").count() == 2, "each feature once"
    every = "~".join(f"clip-demo/vision.0.resid_post/neurons:{i}" for i in range(6))
    page.goto(f"{url}/compare?{urlencode({'features': every})}")
    tile = page.locator(".tile.shared").first
    tile.hover()
    same = page.locator(".tile.same")
    same.nth(1).wait_for()
    assert {one.get_attribute("data-id") for one in same.all()} == {tile.get_attribute("data-id")}


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(
    ("path", "sign"),
    [
        (columns(THREE), ".held .card"),
        ("/compare?look=Flow", "svg .ribbon"),
        (f"/compare?{urlencode({'features': f'{SAE}:1~{SAE}:2~{SAE}:7'})}", ".tile img"),
    ],
)
def test_nothing_is_wider_than_the_window(
    page: "Page", url: str, path: str, sign: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(url + path)
    page.locator(sign).first.wait_for()
    page.wait_for_timeout(1000)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width
