"""From click to painted, in a real browser: what bench/dashboard.py measures on the pages."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
SLOWEST_MS = 60_000

WATCH = Path(__file__).with_name("dashboard_watch.js")
VISIT = """(address) => {
  history.pushState({}, "", address);
  window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}"""

Samples = dict[str, list[float]]


@contextmanager
def opened() -> Iterator[Any]:
    """A page of headless Chromium, 1280 x 800, that notes when what is painted.

    Raises:
        SystemExit: no Chromium is installed.
    """
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        raise SystemExit(f"no browser: install one of {', '.join(NAMES)}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.add_init_script(path=WATCH)
        page.set_default_timeout(SLOWEST_MS)
        yield page
        browser.close()


def until(page: Any, what: str) -> dict[str, float]:
    found: dict[str, float] = page.evaluate("(what) => window.bench.until(what)", what)
    return found


def whole(page: Any) -> dict[str, float]:
    found: dict[str, float] = page.evaluate("window.bench.whole()")
    return found


def visit(page: Any, address: str) -> None:
    """Go there within the app, and wait until all is painted."""
    page.evaluate(VISIT, address)
    page.wait_for_timeout(150)
    whole(page)


def browse_and_feature(
    page: Any, url: str, addresses: Sequence[str], *, samples: int, warm: int
) -> Samples:
    """The page of Browse after each address, a card of it opened, and the feature after that."""
    found: Samples = {
        name: []
        for name in ("browse page", "feature top", "feature whole", "feature shift", "next top",
                     "next whole", "next shift")
    }  # fmt: skip
    page.goto(f"{url}/browse")
    whole(page)
    for turn in range(samples + warm):
        visit(page, addresses[turn])
        page.get_by_role("link", name="next page").first.click()
        cards = until(page, "cards")["ms"]
        whole(page)
        page.locator(".card").nth(turn * 5 % 12).click()
        opened, ended = until(page, "feature"), whole(page)
        page.locator("body").press("ArrowRight")
        after, last = until(page, "feature"), whole(page)
        if turn < warm:
            continue
        found["browse page"].append(cards)
        for name, first, rest in (("feature", opened, ended), ("next", after, last)):
            if first["images"] == 16:
                found[f"{name} top"].append(first["ms"])
            found[f"{name} whole"].append(rest["ms"])
            found[f"{name} shift"].append(rest["shift"])
    return found


def filter_and_sort(
    page: Any, url: str, addresses: Sequence[str], *, samples: int, warm: int
) -> Samples:
    """Browse at each address sorted another way, and filtered by a label."""
    found: Samples = {"sort": [], "filter": []}
    page.goto(f"{url}/browse")
    whole(page)
    for turn, address in enumerate(addresses[: samples + warm]):
        visit(page, address)
        sort = ("max activation", "mean activation")[turn % 2]
        _choose(page, "sort", page.get_by_role("option", name=sort))
        sorted_in = until(page, "cards")["ms"]
        whole(page)
        visit(page, address)
        _choose(page, "label", page.get_by_role("option").nth(turn % 5))
        filtered_in = until(page, "cards")["ms"]
        whole(page)
        page.keyboard.press("Escape")  # the list of labels stays open for more
        if turn >= warm:
            found["sort"].append(sorted_in)
            found["filter"].append(filtered_in)
    return found


def _choose(page: Any, key: str, option: Any) -> None:
    """Open a list and press one of its options; a rerun that is still under way may close it."""
    from playwright.sync_api import TimeoutError as TooLong

    for _ in range(3):
        page.locator(f".st-key-{key} [role=combobox]").click()
        try:
            option.click(timeout=3000)
        except TooLong:
            continue
        return
    option.click(timeout=3000)


def held_key(page: Any, url: str, *, presses: int = 40, every_ms: int = 30) -> list[int]:
    """Features moved on by so many presses of the arrow key, out of so many, three times."""
    moved = []
    for start in (1001, 2001, 3001):
        page.goto(f"{url}/feature")
        whole(page)
        count = int(page.locator(".jump").get_attribute("max")) + 1
        at = start % max(1, count - presses)
        page.locator(".jump").fill(str(at))
        page.locator(".jump").press("Enter")
        until(page, "feature")
        whole(page)
        page.evaluate("document.activeElement.blur()")
        page.locator("body").focus()
        for _ in range(presses):
            page.keyboard.down("ArrowRight")
            page.wait_for_timeout(every_ms)
        page.keyboard.up("ArrowRight")
        page.wait_for_timeout(3000)
        whole(page)
        moved.append(int(page.locator("h1 .num").inner_text().removeprefix("#")) - at)
    return moved


def plain_grid(page: Any, url: str, *, samples: int, warm: int) -> list[float]:
    """Click to painted of the same top images by `st.image` in `st.columns`."""
    page.goto(url)
    page.get_by_role("button", name="next").wait_for()
    whole(page)
    taken = []
    for _ in range(samples + warm):
        page.get_by_role("button", name="next").click()
        taken.append(until(page, "plain")["ms"])
        whole(page)
    return taken[warm:]
