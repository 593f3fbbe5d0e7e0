"""Token text: captions with their tokens marked, as data and in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import ROOT, serve
from synthetic import MARKUP

from dashboard.cards.marked_captions import MOST, SIGHT, Marked, marked
from dashboard.records.captions import TopCaption

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


def caption(
    pieces: list[str],
    acts: dict[int, float],
    *,
    text: str | None = None,
    cut: int = 0,
    rank: int = 1,
    whole: float | None = None,
) -> TopCaption:
    """A caption of these pieces with activations by token; `whole` of one that is one vector."""
    strongest = None if whole is not None else max(acts, key=acts.__getitem__)
    most = whole if strongest is None else acts[strongest]
    assert most is not None
    said = "".join(pieces) if text is None else text
    return TopCaption(
        0, rank, rank, rank, said, most, strongest, sorted(acts), [acts[i] for i in sorted(acts)],
        pieces, cut,
    )  # fmt: skip


def words(count: int) -> list[str]:
    return [f" word{i}" for i in range(count)]


def shown(one: Marked) -> str:
    return "".join(part.text for part in one.shown)


def whole_text(one: Marked) -> str:
    return "".join(part.text for part in [*one.before, *one.shown, *one.after])


# --- as data --------------------------------------------------------------------------------------


def test_tokens_are_marked_without_the_blank_before_them() -> None:
    made = marked(caption(["a", " red", " circle"], {1: 2.0, 2: 0.5}))
    assert [(p.text, p.act, p.strongest) for p in made.shown] == [
        ("a ", 0.0, False), ("red", 2.0, True), (" ", 0.0, False), ("circle", 0.5, False),
    ]  # fmt: skip
    assert (made.before, made.after, made.unread) == ([], [], "")


def test_a_letter_of_several_tokens_is_as_strong_as_the_strongest_of_them() -> None:
    made = marked(caption(["a", " 🦊", "", "", " runs"], {1: 0.5, 3: 2.0}))
    assert [(p.text, p.act, p.strongest) for p in made.shown if p.act] == [("🦊", 2.0, True)]
    first = marked(caption(["", "犬", " runs"], {0: 1.5, 2: 0.5}))
    assert [(p.text, p.act, p.strongest) for p in first.shown if p.strongest] == [("犬", 1.5, True)]


@pytest.mark.parametrize("strongest", [0, 1, 700, 1498, 1499])
def test_a_long_caption_is_clipped_around_its_strongest_token(strongest: int) -> None:
    pieces = words(1500)
    one = caption(pieces, {strongest: 3.0, (strongest + 750) % 1500: 1.0})
    made = marked(one)
    assert SIGHT / 2 < len(shown(made)) <= SIGHT
    assert [p.text for p in made.shown if p.strongest] == [f"word{strongest}"]
    assert len(whole_text(made)) <= MOST
    assert made.start + len(whole_text(made)) + made.end == len(one.text)
    assert one.text[made.start :].startswith(whole_text(made))


def test_a_piece_of_ten_thousand_letters_is_cut() -> None:
    made = marked(caption(["go", "a" * 10_000, "od"], {1: 1.0}))
    assert len(shown(made)) <= SIGHT
    assert len(whole_text(made)) <= MOST
    assert any(p.strongest for p in made.shown)


def test_what_is_a_little_too_long_is_not_folded() -> None:
    made = marked(caption(["a" * SIGHT, " b"], {1: 1.0}))
    assert (made.before, made.after) == ([], [])


def test_one_vector_marks_nothing_and_tells_what_is_not_read() -> None:
    made = marked(caption([], {}, text="a red circle and more", cut=9, whole=0.7))
    assert [(p.text, p.act) for p in made.shown] == [("a red circle", 0.0)]
    assert made.unread == " and more"
    empty = marked(caption([], {}, text="", whole=0.1))
    assert shown(empty) == ""


# --- in a browser ---------------------------------------------------------------------------------

SCRIPT = """
import sys
import streamlit as st
sys.path.insert(0, "TESTS")
from test_captions import caption, listed
from dashboard.features.captions import rows
from dashboard.components.captions import captions

st.set_page_config(layout="wide")
dot = bytes.fromhex("52494646240000005745425056503820180000003001009d012a010001000200340025a400"
                    "0370 00fefb940000".replace(" ", ""))
which = st.query_params.get("which", "tokens")
captions(rows(listed(which), {1: dot, 2: dot}), title="Top <b>captions</b>", help="why", key="it")
"""
RTL = ["قطة", " سوداء", "\u202e", " تنام"]


def listed(which: str) -> list[TopCaption]:
    """What the page shows."""
    if which == "vectors":
        return [caption([], {}, text=f"caption {i}", whole=2.0 / i, rank=i) for i in range(1, 5)]
    texts = [
        (["a", " red", " circle"], {0: 0.4, 1: 4.0, 2: 2.0}),
        ([*MARKUP.split("!")[0:1], "!" + MARKUP.split("!", 1)[1]], {1: 3.0}),
        (words(1500), {700: 2.5, 10: 1.0}),
        (RTL, {1: 2.0}),
        (["👩", "\u200d", "🚀", " flies", "Z" + "\u0351" * 40], {0: 1.0, 3: 0.5}),
        (["x" * 10_000], {0: 0.5}),
    ]
    return [caption(pieces, acts, rank=i + 1) for i, (pieces, acts) in enumerate(texts)]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with captions and nothing else."""
    folder = tmp_path_factory.mktemp("captions")
    script = folder / "app.py"
    script.write_text(SCRIPT.replace("TESTS", str(Path(__file__).parent)))
    with serve(script, log=folder / "log", env={"PYTHONPATH": str(ROOT)}) as address:
        yield address


def opened(page: "Page", url: str, which: str = "tokens") -> "Locator":
    page.goto(f"{url}/?which={which}")
    page.wait_for_selector("ol > li")
    return page.locator("ol > li")


def ground(mark: "Locator") -> tuple[float, ...]:
    """The background that is painted, as red, green and blue from 0 to 255."""
    found = mark.evaluate(
        """(node) => {
          const pen = Object.assign(document.createElement('canvas'), {width: 1, height: 1})
            .getContext('2d');
          pen.fillStyle = getComputedStyle(node).backgroundColor;
          pen.fillRect(0, 0, 1, 1);
          return [...pen.getImageData(0, 0, 1, 1).data];
        }"""
    )
    return tuple(found[:3])


def contrast(mark: "Locator") -> float:
    """Of the letters on their ground, by WCAG."""
    ink = mark.evaluate("(node) => getComputedStyle(node).color")
    dark = re.match(r"(lch|oklch|lab)\(0[ .]", ink) or re.match(r"rgba?\(0, 0, 0", ink)

    def light(channels: tuple[float, ...]) -> float:
        linear = [
            c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4
            for c in channels
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([0.0 if dark else 1.0, light(ground(mark))])
    return (high + 0.05) / (low + 0.05)


browser_test = pytest.mark.usefixtures("quiet")


@pytest.mark.browser
@browser_test
def test_a_hostile_caption_is_shown_as_text(page: "Page", url: str) -> None:
    items = opened(page, url)
    assert MARKUP in items.nth(1).locator(".said").inner_text()
    assert page.title() != "owned"
    assert page.locator("li script, li img[src*=evil], h2 b").count() == 0


@pytest.mark.browser
@browser_test
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_stronger_a_token_the_stronger_its_ground(page: "Page", url: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    first = opened(page, url).first
    marks = {m.inner_text(): m for m in first.locator("mark").all()}
    assert list(marks) == ["a", "red", "circle"]
    page_ground = ground(page.locator("[data-testid=stApp]"))
    far = {
        name: max(abs(a - b) for a, b in zip(ground(m), page_ground, strict=True))
        for name, m in marks.items()
    }
    assert far["a"] < far["circle"] < far["red"]
    assert ground(marks["red"]) == (253, 231, 37), "the last colour of the scale"
    for mark in page.locator("mark:visible").all():
        assert contrast(mark) >= 4.5, mark.inner_text()
    assert first.locator("mark.strongest").inner_text() == "red"
    assert marks["circle"].get_attribute("title") == "activation 2.000"


@pytest.mark.browser
@browser_test
def test_a_long_caption_unfolds_by_keyboard(page: "Page", url: str) -> None:
    long = opened(page, url).nth(2)
    said = long.locator(".said")
    before = said.inner_text()
    assert "word700" in before and before.startswith("…") and before.endswith("…")
    assert len(before) < SIGHT + 10
    more = long.get_by_role("button", name="more of caption 3")
    more.focus()
    page.keyboard.press("Enter")
    after = said.inner_text()
    assert len(after) > MOST * 0.9 and "letters" in after
    assert more.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Enter")
    assert said.inner_text() == before


@pytest.mark.browser
@browser_test
@pytest.mark.parametrize("width", [390, 1280])
def test_no_script_or_length_leaves_its_row(page: "Page", url: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    items = opened(page, url)
    assert items.nth(3).locator(".said").evaluate("n => getComputedStyle(n).direction") == "rtl"
    assert items.nth(4).locator("mark.strongest").inner_text() == "👩"
    for item in items.all():
        box, row = item.locator(".caption").bounding_box(), item.bounding_box()
        assert box and row
        assert row["x"] <= box["x"] and box["x"] + box["width"] <= row["x"] + row["width"]
        assert row["height"] < 260
    wide = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollWidth")
    assert wide <= width


@pytest.mark.browser
@browser_test
def test_pictures_are_shown_on_demand_and_remembered(page: "Page", url: str) -> None:
    items = opened(page, url)
    picture = items.first.get_by_role("link", name="the image of caption 1")
    assert picture.is_visible()
    assert re.search(r"image\?.*example=1", picture.get_attribute("href") or "")
    page.get_by_label("Pictures").uncheck()
    assert not picture.is_visible()
    assert not opened(page, url).first.locator("img").is_visible()
    page.get_by_label("Pictures").check()
    assert picture.is_visible()


@pytest.mark.browser
@browser_test
def test_one_vector_a_caption_is_one_bar(page: "Page", url: str) -> None:
    items = opened(page, url, "vectors")
    assert page.locator("mark").count() == 0
    wide = [i.locator(".whole .token").evaluate("n => n.offsetWidth") for i in items.all()]
    assert wide == sorted(wide, reverse=True)
    assert wide[1] == pytest.approx(wide[0] / 2, abs=2)


@pytest.mark.browser
@browser_test
@pytest.mark.parametrize("which", ["tokens", "vectors"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: "Page", url: str, which: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    opened(page, url, which)
    # Streamlit's own way past the navigation is in no region on a page that has none.
    every = Axe().run(page).response["violations"]
    found = [one for one in every if one["id"] != "region"]
    assert not found, "\n".join(
        f"{e['help']}: {node['html'][:200]} {node.get('failureSummary')}"
        for e in found
        for node in e["nodes"]
    )
