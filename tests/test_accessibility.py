"""axe on every room, light and dark: names on controls, contrast, roles, order."""

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest

from dashboard import pages

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SAE = "clip-demo/vision.0.resid_post/matryoshka"
WORDS = {"hook": "vision.0", "name": "matryoshka", "fires": "words alone"}
ROOMS = {
    "overview": "",
    "browse": "browse",
    "table": "browse?view=table",
    "browse, words alone": f"browse?{urlencode(WORDS)}",
    "table, words alone": f"browse?{urlencode(WORDS | {'view': 'table'})}",
    "map": "map",
    "modalities": "modalities",
    "modalities, two": f"modalities?{urlencode({'right': 'vision.1 / batchtopk'})}",
    "modalities, layers": "modalities?look=Layers",
    "modalities, reconstruction": "modalities?look=Reconstruction",
    "compare": "compare",
    "features side by side": f"compare?features={quote(SAE + ':1,2')}",
    "steering": f"steering?{urlencode({'features': SAE + ':1', 'at': 2})}",
    "steering, scores": "steering?look=Scores",
    "feature": f"feature?dictionary={quote(SAE)}&feature=1",
    "image": "image",
    "lists": "lists",
}


def test_every_page_is_looked_at() -> None:
    looked_at = {path.partition("?")[0] for path in ROOMS.values()}
    assert looked_at == {page.address for page in pages.PAGES if page.sees is pages.For.READERS}


@pytest.fixture(scope="module")
def url(shared_url: str) -> str:
    return shared_url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("room", list(ROOMS))
def test_axe_finds_nothing(page: "Page", url: str, room: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{url}/{ROOMS[room]}")
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_timeout(1500)
    found = Axe().run(page).response["violations"]
    assert not found, "\n".join(
        f"{each['help']}: {node['target']} {node['html'][:200]}"
        for each in found
        for node in each["nodes"]
    )
