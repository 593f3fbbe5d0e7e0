"""In a real browser: pages keep their choices to themselves, nothing moves by being shown, and
text is plain."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("quiet")]

READY = "[data-testid=stApp][data-test-script-state=notRunning]"
PHONE = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36"
OPENED = [
    "browse?ms=0.1&ms=0.9&sort=density", "steering?find=red", "image", "lists",
    "feature?dictionary=clip-demo/vision.0.resid_post/matryoshka&feature=2",
    "compare", "map", "modalities",
]  # fmt: skip
INPUTS = """() => [...document.querySelectorAll(
    '[data-testid=stPopoverBody] input, [data-testid=stPopoverBody] textarea, ' +
    '[data-testid=stExpander] input, [data-testid=stExpander] [role=slider]'
  )].map((one) => [
    one.getAttribute('aria-label'), one.value ?? one.getAttribute('aria-valuenow'),
  ])"""


@pytest.fixture(scope="module")
def url(shared_url: str) -> str:
    return shared_url


def still(page: "Page") -> None:
    """Wait until the script has run, also what a moved control set off a moment later."""
    page.wait_for_timeout(300)
    page.wait_for_selector(READY)


def again(page: "Page") -> None:
    """Run the script once more, as it runs when something else on the page is used."""
    page.evaluate("dispatchEvent(new PopStateEvent('popstate', { state: {} }))")
    still(page)


def inputs(page: "Page") -> list[Any]:
    """The controls that are unfolded, once all of them have come: some are loaded when shown."""
    before = None
    for _ in range(20):
        now = page.evaluate(INPUTS)
        if now == before:
            break
        before = now
        page.wait_for_timeout(600)
    return list(now)


def unfolded(page: "Page") -> list[Any]:
    """What the controls are at that stand in popovers and expanders, each opened in turn."""
    found = []
    for fold in page.locator("[data-testid=stExpander] details:not([open]) summary").all():
        fold.click()
        still(page)
    found += inputs(page)
    for place in range(page.locator("[data-testid=stPopover] button").count()):
        button = page.locator("[data-testid=stPopover] button").nth(place)
        if button.is_visible() and button.is_enabled():
            button.click()
            page.locator("[data-testid=stPopoverBody]").first.wait_for()
            still(page)
            found += inputs(page)
            page.keyboard.press("Escape")
            still(page)
    assert not page.locator("[data-testid=stException]").count()
    return found


@pytest.mark.parametrize("opened", OPENED)
@pytest.mark.parametrize("agent", [None, PHONE], ids=["desk", "phone"])
def test_no_control_changes_a_value_by_being_shown(
    browser: "Browser", url: str, opened: str, agent: str | None
) -> None:
    seen = []
    for rerun in (False, True):
        context = browser.new_context(user_agent=agent)
        page = context.new_page()
        page.goto(f"{url}/{opened}")
        page.locator(".stBidiComponent").nth(1).wait_for(state="attached")
        still(page)
        if rerun:
            again(page)
        before = page.url
        seen.append(unfolded(page))
        again(page)
        assert page.url == before
        context.close()
    assert seen[0] == seen[1]


def test_choices_stay_on_their_page_by_the_menu_and_by_back(page: "Page", url: str) -> None:
    page.goto(f"{url}/modalities")
    page.get_by_text("Layers", exact=True).click()
    page.wait_for_url(re.compile("look=Layers"))
    still(page)
    page.get_by_role("link", name="Compare", exact=True).first.click()
    page.wait_for_url(re.compile("/compare$"))
    page.get_by_text("Flow", exact=True).click()
    page.wait_for_url(re.compile(r"/compare\?look=Flow"))
    still(page)
    page.go_back()
    page.wait_for_url(re.compile("/compare$"))
    still(page)
    page.go_back()
    page.wait_for_url(re.compile(r"/modalities\?look=Layers"))
    page.get_by_text("Layer of the curve").wait_for()
    page.go_forward()
    page.wait_for_url(re.compile("/compare$"))
    page.locator(".st-key-columns").wait_for()
    page.go_forward()
    page.wait_for_url(re.compile(r"/compare\?look=Flow"))
    page.locator(".st-key-flow").wait_for()
    assert not page.locator("[data-testid=stException]").count()


TEXTS = [
    "https://evil.invalid/a?b=c", "see www.evil.invalid now", "WWW.EVIL.INVALID", "me@evil.invalid",
    "mailto:me@evil.invalid", "ftp://x.invalid/", "![x](http://evil.invalid/x.png)",
    "[a](http://e.invalid)", "<http://e.invalid>", "<b>bold</b>", "$a^2$ $$x$$", "# head", "- item",
    "**bold** _em_ __u__ snake_case_name ~~del~~", ":material/home: :red[hi] :smile: :streamlit:",
    "1. item", "12) item", "> quote", "    code", "`code`", "a -> b <- c <-> d >= e <= f", "&amp;",
    "| a | b |", "---", "a\nb", "[^1]: note [^1]", "\\* x \\", ":small[x] :blue-badge[y]", "* star",
    "<script>1</script>", "https://[::1]/", "a: b", "x@y.co.uk,https://q.invalid",
]  # fmt: skip
SHOWS = """
import json, sys
import streamlit as st
sys.path.insert(0, {root!r})
from dashboard.page import furniture
from dashboard.style.markdown import plain
for place, text in enumerate(json.loads({texts!r})):
    said = plain(text)
    with st.container(key=f"shown-{{place}}"):
        st.caption(said)
        st.error(said)
        st.button(said, key=f"button-{{place}}", help=said)
        st.pills("x", [text], format_func=plain, key=f"pill-{{place}}")
        furniture.badge(text, about=text)
st.caption("all")
"""
MARKUP = re.compile(r"<(a|img|em|strong|del|code|h\d|li|ul|ol|blockquote|table|hr|pre|sup)\b|katex")


def test_plain_text_is_shown_as_it_is(page: "Page", tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    root = str(Path(__file__).parents[1])
    script.write_text(SHOWS.format(root=root, texts=json.dumps(TEXTS)), encoding="utf-8")
    with serve(script, log=tmp_path / "log", env={}) as url:
        page.goto(url)
        page.get_by_text("all", exact=True).wait_for()
        still(page)
        for place, text in enumerate(TEXTS):
            room = page.locator(f".st-key-shown-{place}")
            shown = " ".join(text.split())
            for part in (
                "stCaptionContainer",
                "stAlert",
                "stButton",
                "stButtonGroup",
                "stMarkdownBadge",
            ):
                one = room.locator(f"[data-testid={part}], .{part}").first
                found = " ".join(one.inner_text().replace("\u2060", "").split())
                assert found.removeprefix("x ") == shown, (part, text, found)
                assert not MARKUP.search(one.inner_html()), (part, text)
        page.goto("about:blank")


def test_no_address_in_an_address_becomes_a_link(page: "Page", url: str) -> None:
    """Of what pages say of parameters, names of files and of what people write."""
    evil = "https://evil.invalid/x www.evil.invalid me@evil.invalid ![i](http://evil.invalid/i.png)"
    for at in (
        f"steering?mode={evil}&model={evil}&features={evil}&along={evil}",
        f"compare?features={evil}", f"lists?features={evil}", f"browse?q={evil}&by=in labels",
        f"feature?dictionary={evil}&feature=1", f"modalities?features={evil}",
        f"annotate?study={evil}", f"results?study={evil}",
        f"browse?run={evil}&like={evil}",
    ):  # fmt: skip
        page.goto(f"{url}/{at}")
        page.locator(".stBidiComponent").first.wait_for(state="attached")
        still(page)
        links = page.eval_on_selector_all("a", "all => all.map((a) => a.href)")
        assert not [one for one in links if "evil" in one and not one.startswith(url)], at
        assert not page.locator("[data-testid=stException]").count(), at
