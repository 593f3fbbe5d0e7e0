"""Lists: the page in each of its states, what it does, and its main path in a browser."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from pages import APP, data, open_page, said, shows
from streamlit.testing.v1 import AppTest
from synthetic import DEAD, make_bundle

from pipeline.annotations import Annotations, FeatureKey

if TYPE_CHECKING:
    from conftest import PageLog
    from playwright.sync_api import Locator, Page

HOSTILE = "<b>bold</b> ![x](http://x/y.png) $a$"
NAMES = [f"clip-demo/vision.{i}.resid_post/matryoshka" for i in range(2)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def prints(run: Path) -> dict[str, str]:
    """Fingerprints by dictionary."""
    rows = pq.read_table(next(run.glob("**/dictionaries.parquet"))).to_pylist()
    return {row["dictionary_id"]: row["fingerprint"] for row in rows}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "annotations.sqlite"
    monkeypatch.setenv("LOUPE_ANNOTATIONS", str(path))
    return path


@pytest.fixture
def store(place: Path) -> Iterator[Annotations]:
    opened = Annotations(str(place))
    yield opened
    opened.close()


@pytest.fixture
def opened(run: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """opened(PARAMETER=VALUE...): the page Lists."""

    def start(**parameters: str) -> AppTest:
        return open_page(monkeypatch, run, "lists", **parameters)

    return start


def plain(markdown: str) -> str:
    """Text that was escaped for Markdown."""
    return markdown.replace("\\", "")


def features(prints: dict[str, str], *ids: int) -> list[tuple[FeatureKey, str]]:
    """These features of two dictionaries in turn."""
    return [(FeatureKey(prints[NAMES[n % 2]], i), NAMES[n % 2]) for n, i in enumerate(ids)]


def shown(at: AppTest) -> list[tuple[str, int]]:
    """Where, and the id, of each card."""
    return [(card["where"], card["id"]) for card in data(at, "grid")["cards"]]


def roster(at: AppTest) -> list[tuple[str, str, str, bool]]:
    entries = data(at, "roster")["entries"]
    return [(one["title"], one["count"], one["about"], one["here"]) for one in entries]


def new(at: AppTest, what: str) -> str:
    """The key of a widget of the popover for a new list: the popover is a fresh one each time."""
    (key,) = (
        w.key for w in (*at.text_input, *at.button) if re.fullmatch(rf"{what}-\w+-\d+", w.key)
    )
    return str(key)


def make_list(at: AppTest, name: str) -> None:
    at.text_input(key=new(at, "new-name")).set_value(name).run()
    at.button(key=new(at, "create")).click().run()


def field(at: AppTest, name: str) -> str:
    """The key of the field for a list's "name" or "note"."""
    (key,) = (w.key for w in (*at.text_input, *at.text_area) if str(w.key).startswith(f"{name}-"))
    return str(key)


def test_nothing_yet(opened: Callable[..., AppTest]) -> None:
    at = opened()
    assert "You have no stars yet" in said(at)
    assert roster(at) == [("My stars", "0", "of me", True)]
    assert not shows(at, "grid")


def test_stars_are_the_visitors_own(
    opened: Callable[..., AppTest], store: Annotations, prints: dict[str, str]
) -> None:
    for n, feature in enumerate(features(prints, 1, 2, 3)):
        store.star("me" if n else "ann", *feature)
    at = opened()
    assert shown(at) == [("vision.0 / matryoshka", 3), ("vision.1 / matryoshka", 2)]
    at.text_input(key="people-name").set_value(" ann ").run()
    assert shown(at) == [("vision.0 / matryoshka", 1)]
    assert roster(at)[0] == ("My stars", "1", "of ann", True)
    at.text_input(key="people-name").set_value("   ").run()
    assert roster(at)[0] == ("My stars", "2", "of me", True)


def test_a_list_in_its_order_with_what_people_say(
    opened: Callable[..., AppTest], store: Annotations, prints: dict[str, str]
) -> None:
    uuid = store.create_list(HOSTILE, "ann", HOSTILE)
    chosen = features(prints, 9, 4, 1, DEAD)
    store.add(uuid, chosen)
    store.write_label("bob", *chosen[1], HOSTILE)
    store.write_note("cy", *chosen[1], "a note")
    at = opened(list=uuid)
    words = said(at)
    assert "&lt;b&gt;bold" in words and "by ann" in words
    assert HOSTILE in [text.value for text in at.text]
    assert shown(at) == [
        ("vision.0 / matryoshka", 9), ("vision.1 / matryoshka", 4), ("vision.0 / matryoshka", 1),
        ("vision.1 / matryoshka", DEAD),
    ]  # fmt: skip
    cards = data(at, "grid")["cards"]
    assert cards[1]["words"] == [f"“{HOSTILE}” bob", "“a note” cy"]
    assert cards[0]["words"] == []
    assert cards[0]["sheet"].startswith("data:image/")
    assert roster(at)[1] == (HOSTILE, "4", "by ann", True)


def test_an_empty_list_and_none(opened: Callable[..., AppTest], store: Annotations) -> None:
    uuid = store.create_list("empty", "ann")
    assert "This list is empty" in said(opened(list=uuid))
    for name in ("no-such-list", "\0", "é" * 3000, "'; DROP TABLE lists; --"):
        assert "There is no such list" in said(opened(list=name))
    assert [one.uuid for one in store.lists()] == [uuid]


def test_orphans_are_named_and_never_shown_as_another_feature(
    opened: Callable[..., AppTest], store: Annotations, prints: dict[str, str]
) -> None:
    uuid = store.create_list("old", "ann")
    here = features(prints, 5)
    store.add(uuid, [
        (FeatureKey("0" * 16, 5), NAMES[0]), *here, (FeatureKey("1" * 16, 7), "gone/hook/sae"),
        (FeatureKey(prints[NAMES[0]], 10**6), NAMES[0]),
    ])  # fmt: skip
    at = opened(list=uuid)
    assert shown(at) == [("vision.0 / matryoshka", 5)]
    rows = data(at, "table")["rows"]
    assert [row["name"] for row in rows] == [f"{NAMES[0]} #5", "gone/hook/sae #7",
                                             f"{NAMES[0]} #1000000"]  # fmt: skip
    assert "another version of vision.0 / matryoshka" in rows[0]["why"]
    assert "does not hold" in rows[1]["why"]
    at.segmented_control(key="view").set_value("arrange").run()
    arranged = data(at, "arrange")["rows"]
    assert [row["href"] is None for row in arranged] == [True, False, True, True]
    assert [row["sheet"] is None for row in arranged] == [True, False, True, True]
    assert [row["sides"] is None for row in arranged] == [True, False, True, True]
    assert ", pair correlation " in arranged[1]["about"]
    store.remove(uuid, [here[0][0]])
    assert not shows(opened(list=uuid), "grid")


def test_pages_of_a_long_list(
    opened: Callable[..., AppTest], store: Annotations, prints: dict[str, str]
) -> None:
    uuid = store.create_list("long", "ann")
    store.add(uuid, [(FeatureKey(prints[NAMES[0]], i), NAMES[0]) for i in range(30)])
    first = data(opened(list=uuid), "grid")
    assert (len(first["cards"]), first["pages"], first["said"]) == (24, 2, "30 features")
    second = data(opened(list=uuid, page="2", of=first["of"]), "grid")
    assert [card["id"] for card in second["cards"]] == list(range(24, 30))


def test_create_edit_delete(opened: Callable[..., AppTest], store: Annotations) -> None:
    at = opened()
    make_list(at, "  ")
    assert [plain(warning.value) for warning in at.warning] == ["name: empty; write something"]
    make_list(at, "zebras")
    assert at.text_input(key=new(at, "new-name")).value == "", "a fresh field for the next one"
    (made,) = store.lists()
    assert (made.name, made.author, made.count) == ("zebras", "me", 0)
    assert "This list is empty" in said(at)
    assert at.query_params["list"] == made.uuid
    at.text_input(key=field(at, "name")).set_value("apes")
    at.text_area(key=field(at, "note")).set_value("a note")
    at.button(key="save").click().run()
    assert roster(at)[1] == ("apes", "0", "by me", True)
    assert "a note" in [text.value for text in at.text]
    at.button(key="delete-it").click().run()
    assert store.lists() == []
    assert "You have no stars yet" in said(at)


def test_saving_keeps_what_others_wrote_since(
    opened: Callable[..., AppTest], store: Annotations
) -> None:
    uuid = store.create_list("zebras", "ann", "first")
    at = opened(list=uuid)
    store.edit_list(uuid, name="apes")
    at.text_area(key=field(at, "note")).set_value("mine")
    at.button(key="save").click().run()
    one = store.list_of(uuid)
    assert one is not None and (one.name, one.note) == ("apes", "mine")
    assert at.text_input(key=field(at, "name")).value == "apes", "no outdated text in the field"
    store.edit_list(uuid, note="theirs")
    at.text_input(key=field(at, "name")).set_value("cats").run()
    assert at.text_area(key=field(at, "note")).value == "theirs"
    assert at.text_input(key=field(at, "name")).value == "cats", "what is being written stays"
    at.button(key="save").click().run()
    one = store.list_of(uuid)
    assert one is not None and (one.name, one.note) == ("cats", "theirs")


def test_label_and_note_are_those_of_who_is_named(
    run: Path, store: Annotations, prints: dict[str, str], place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    feature = (FeatureKey(prints[NAMES[0]], 3), NAMES[0])
    for who in ("ann", "bob"):
        store.write_label(who, *feature, f"label of {who}")
        store.write_note(who, *feature, f"note of {who}")
    monkeypatch.setattr(sys, "argv", ["app.py", str(run)])
    at = AppTest.from_file(str(APP), default_timeout=120)
    at.run()
    at.switch_page("views/feature/page.py")
    at.query_params["dictionary"], at.query_params["feature"] = NAMES[0], "3"
    at.run()
    for who, whose in (("ann", "ann"), ("bob", "bob"), ("", None)):
        at.text_input(key="people-name").set_value(who).run()
        (label,) = (one for one in at.text_input if one.label == "Your label")
        (note,) = (one for one in at.text_area if one.label == "Your note")
        wanted = (f"label of {whose}", f"note of {whose}") if whose else ("", "")
        assert (label.value, note.value) == wanted


def test_chosen_features_go_into_a_list(
    opened: Callable[..., AppTest], store: Annotations, prints: dict[str, str]
) -> None:
    old = store.create_list("old", "ann")
    store.add(old, features(prints, 3))
    address = f"{NAMES[0]}:3,5~{NAMES[1]}:2~gone:1~{NAMES[0]}:9999999~nonsense"
    at = opened(features=address)
    assert shown(at) == [
        ("vision.0 / matryoshka", 3), ("vision.0 / matryoshka", 5), ("vision.1 / matryoshka", 2),
    ]  # fmt: skip
    assert "Not in this run: nonsense, gone:1" in plain(said(at))
    at.button(key="add").click().run()
    assert [(i.key.feature_id, i.dictionary_id) for i in store.items_of(old)] == [
        (3, NAMES[0]), (5, NAMES[0]), (2, NAMES[1]),
    ]  # fmt: skip
    assert at.success[0].value == "2 added; the list held the other 1."
    assert len(shown(at)) == 3 and roster(at)[1][3]
    at = opened(features=f"{NAMES[1]}:2")
    make_list(at, "new")
    assert {one.name: one.count for one in store.lists()} == {"new": 1, "old": 3}
    assert "None of the features" in said(opened(features="gone:1"))


def test_import(opened: Callable[..., AppTest], store: Annotations, tmp_path: Path, prints) -> None:
    other = Annotations(str(tmp_path / "other.sqlite"))
    other.star("me", *features(prints, 4)[0])
    other.create_list("brought", "me")
    at = opened()
    at.file_uploader(key="lists-file").upload("x.json", b'{"a": 1}', "application/json").run()
    assert "a: Extra inputs" in plain(at.warning[0].value)
    at = opened()
    file = other.export().encode()
    at.file_uploader(key="lists-file").upload("y.json", file, "application/json").run()
    assert at.success[0].value.startswith("Imported. New here: 1 stars, 0 notes, 0 labels, 1 lists")
    assert "others" not in at.success[0].value
    assert shown(at) == [("vision.0 / matryoshka", 4)]
    other.write_note("bob", *features(prints, 4)[0], "of bob")
    file = other.export().encode()
    at.file_uploader(key="lists-file").upload("z.json", file, "application/json").run()
    assert "what the file says others said, 1 in all" in at.success[0].value.lower()
    assert store.export() == other.export()


def test_a_store_that_cannot_be_opened_is_said_in_one_line(
    opened: Callable[..., AppTest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a database " * 100)
    for place in (str(tmp_path / "file"), "mysql://me:secret@host/x", "postgresql://x/y?host=/no"):
        monkeypatch.setenv("LOUPE_ANNOTATIONS", place)
        at = opened()
        assert not at.exception and "cannot be read" in said(at)
        (warning,) = at.warning
        assert "LOUPE_ANNOTATIONS" in plain(warning.value)
        assert "secret" not in warning.value
        at = opened(features=f"{NAMES[0]}:3")
        assert shown(at) == [("vision.0 / matryoshka", 3)], "the rest goes on"


# In a browser


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared") / "annotations.sqlite"


@pytest.fixture(scope="module")
def url(run: Path, shared: Path, dashboard_server: Callable[..., str]) -> str:
    return dashboard_server(run, LOUPE_ANNOTATIONS=str(shared))


@pytest.fixture
def quiet(page_log: "PageLog") -> Iterator[None]:
    yield
    assert page_log.outside == []
    assert page_log.errors == []


def rows_of(page: "Page") -> list[str]:
    return page.locator("li .title").all_inner_texts()


def entry(page: "Page", name: str) -> "Locator":
    return page.locator(".entry", has_text=name)


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_a_lists_life(page: "Page", url: str, shared: Path, prints: dict[str, str]) -> None:
    page.goto(f"{url}/lists")
    page.get_by_text("You have no stars yet").wait_for()
    page.get_by_role("button", name="New list").click()
    page.get_by_label("Name", exact=True).fill(HOSTILE)
    page.get_by_label("Name", exact=True).press("Enter")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name=HOSTILE).wait_for()
    page.wait_for_url(re.compile(r"/lists\?.*list=[0-9a-f-]{36}"))
    page.get_by_text("This list is empty").wait_for()
    page.get_by_role("button", name="Create").wait_for(state="hidden")
    store = Annotations(str(shared))
    (made,) = (one for one in store.lists() if one.name == HOSTILE)
    store.add(made.uuid, features(prints, 3, 5, 7))
    store.write_label("ann", *features(prints, 3)[0], HOSTILE)
    page.reload()
    page.locator(".card").nth(2).wait_for()
    assert page.locator(".card .id").all_inner_texts() == ["#3", "#5", "#7"]
    assert page.locator(".words").all_inner_texts() == [f"“{HOSTILE}” ann"]
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Name", exact=True).fill("zebras")
    page.get_by_label("Note", exact=True).fill(HOSTILE)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="zebras").wait_for()
    page.keyboard.press("Escape")
    page.locator(".card").first.click()
    page.wait_for_url(re.compile("/feature"))
    page.go_back()
    page.get_by_role("heading", name="zebras").wait_for()
    entry(page, "My stars").click()
    page.get_by_text("You have no stars yet").wait_for()
    page.go_back()
    page.locator(".card").nth(2).wait_for()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    page.get_by_text("You have no stars yet").wait_for()
    assert store.list_of(made.uuid) is None


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_quick_presses_arrange_a_list(
    page: "Page", url: str, shared: Path, prints: dict[str, str]
) -> None:
    store = Annotations(str(shared))
    uuid = store.create_list("to arrange", "ann")
    store.add(uuid, [(FeatureKey(prints[NAMES[0]], i), NAMES[0]) for i in range(8)])
    page.goto(f"{url}/lists?list={uuid}&view=arrange")
    page.locator("li").nth(7).wait_for()
    name = "vision.0 / matryoshka #7"
    up = page.get_by_role("button", name=f"up: {name}")
    for _ in range(5):
        up.press("Enter")
    page.get_by_role("button", name=re.compile("remove: .*#0")).click()
    page.get_by_role("button", name=re.compile("remove: .*#4")).click()
    page.get_by_role("button", name=re.compile("first: .*#6")).click()
    wanted = [6, 1, 7, 2, 3, 5]
    assert [int(text.rpartition("#")[2]) for text in rows_of(page)] == wanted
    page.locator("ol[aria-busy=false]").wait_for()
    assert [int(text.rpartition("#")[2]) for text in rows_of(page)] == wanted
    page.reload()
    page.locator("li").nth(5).wait_for()
    assert [int(text.rpartition("#")[2]) for text in rows_of(page)] == wanted
    assert [item.key.feature_id for item in store.items_of(uuid)] == wanted


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_stars_are_taken_away(page: "Page", url: str, shared: Path, prints: dict[str, str]) -> None:
    store = Annotations(str(shared))
    for feature in features(prints, 3, 5, 7):
        store.star("me", *feature)
    page.goto(f"{url}/lists?view=arrange")
    page.locator("li").nth(2).wait_for()
    assert page.get_by_role("button", name=re.compile("^up")).count() == 0
    for left in (2, 1, 0):
        page.get_by_role("button", name=re.compile("^remove")).first.press("Enter")
        assert len(rows_of(page)) == left
    page.get_by_text("You have no stars yet").wait_for()
    assert store.stars("me") == []


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_a_list_goes_out_and_in(
    page: "Page", url: str, shared: Path, prints: dict[str, str], tmp_path: Path
) -> None:
    store = Annotations(str(shared))
    uuid = store.create_list("to share", "ann")
    store.add(uuid, features(prints, 3, 5))
    page.goto(f"{url}/lists?list={uuid}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Share").click()
    file = tmp_path / "list.json"
    download.value.save_as(file)
    assert download.value.suggested_filename == "loupe-list-to-share.json"
    assert json.loads(file.read_text())["lists"][0]["uuid"] == uuid
    store.delete_list(uuid)
    page.get_by_role("button", name="Import, export").click()
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_text(
        "Imported. New here: 0 stars, 0 notes, 0 labels, 1 lists, 2 features"
    ).wait_for()
    assert [item.key.feature_id for item in store.items_of(uuid)] == [3, 5]


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_a_name_outlives_the_visit(page: "Page", url: str, prints: dict[str, str]) -> None:
    def named() -> str:
        page.get_by_role("textbox", name="Your name").wait_for()
        return page.get_by_role("textbox", name="Your name").input_value()

    def name(text: str, then: str) -> None:
        page.get_by_role("textbox", name="Your name").fill(text)
        page.get_by_role("textbox", name="Your name").press("Enter")
        entry(page, f"of {then}").wait_for()

    hostile = 'Ann; path=/x, \u00e9\U0001f993 %41 <b>="'
    page.goto(f"{url}/lists")
    page.get_by_text("is everybody who gives no name").wait_for()
    name(hostile, hostile)
    page.get_by_text("is everybody who gives no name").wait_for(state="hidden")
    page.wait_for_function("document.cookie.includes('loupe_name=Ann')")
    page.reload()
    entry(page, f"of {hostile}").wait_for()
    assert named() == hostile
    other = page.context.new_page()
    other.goto(f"{url}/feature?dictionary={NAMES[0]}&feature=3")
    other.get_by_role("button", name="Label and note").click()
    other.get_by_role("textbox", name="Your name").fill("bob")
    other.get_by_role("textbox", name="Your name").press("Enter")
    other.wait_for_function("document.cookie.includes('loupe_name=bob')")
    other.close()
    page.get_by_role("button", name="Import, export").click()  # the older tab runs anew
    page.get_by_role("link", name="Browse").click()
    page.wait_for_url(re.compile("/browse"))
    page.go_back()
    entry(page, f"of {hostile}").wait_for()
    page.reload()
    entry(page, "of bob").wait_for()
    name("", "me")
    page.wait_for_function("!document.cookie.includes('loupe_name')")
    page.reload()
    entry(page, "of me").wait_for()


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("value", ["a" * 201, "%00", "%ff%fe", "a%0Ab", "%ED%A0%80", "%20"])
def test_a_kept_name_that_is_none_is_refused(page: "Page", url: str, value: str) -> None:
    page.context.add_cookies([{"name": "loupe_name", "value": value, "url": url}])
    page.goto(f"{url}/lists")
    entry(page, "of me").wait_for()


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_adding_is_one_step_of_history(
    page: "Page", url: str, shared: Path, prints: dict[str, str]
) -> None:
    page.goto(f"{url}/lists?features={NAMES[0]}:3")
    page.locator(".card").first.wait_for()
    steps = page.evaluate("history.length")
    page.get_by_role("button", name="New list of them").click()
    page.get_by_label("Name", exact=True).fill("one step")
    page.get_by_label("Name", exact=True).press("Enter")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("heading", name="one step").wait_for()
    page.get_by_role("button", name="Create").wait_for(state="hidden")
    assert "features" not in page.url
    assert page.evaluate("history.length") == steps + 1
    page.go_back()
    page.get_by_role("heading", name="Chosen features").wait_for()
    page.go_forward()
    page.get_by_role("heading", name="one step").wait_for()


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_an_export_that_fails_gives_no_file(page: "Page", url: str, shared: Path) -> None:
    store = Annotations(str(shared))
    uuid = store.create_list("to lose", "ann")
    page.goto(f"{url}/lists?list={uuid}")
    page.get_by_role("heading", name="to lose").wait_for()
    store.delete_list(uuid)
    page.on("download", lambda download: pytest.fail(f"a file: {download.suggested_filename}"))
    page.get_by_role("button", name="Share").click()
    page.get_by_text("Failed to generate file").wait_for()
    entry(page, "My stars").click()
    page.get_by_text(f"there is no list '{uuid}': it may have been deleted").wait_for()
