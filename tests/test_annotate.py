"""Annotate: what is kept of what a browser sends, what it is told; a study in a real browser."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from synthetic import make_bundle

from pipeline.annotations import Annotations
from pipeline.study import judging, presentation
from pipeline.study.content import Content
from pipeline.study.creation import create
from pipeline.study.files import Study

if TYPE_CHECKING:
    from playwright.sync_api import Page, WebSocket, WebSocketRoute

HEAD = ",".join(f"text_{n},group_{n}" for n in (1, 2, 3))
CHOICES = f"""{HEAD},question,answer
one,as it was,two,steered-so,three,prompted-so,,2
four,as it was,five,steered-so,six,prompted-so,,1
""" + "\n".join(
    f"a <b>dog</b> {n},as it was,cat {n},steered-so,=1+{n},prompted-so,What?," for n in range(7)
)
OUTPUTS = "text,group,question,concept\n" + "\n".join(
    f"a <b>dog</b> {n},steered-so,What?,a dog" for n in range(8)
)
SETTINGS: dict[str, dict[str, Any]] = {
    "pairs": {"practice": 2, "checks": {"catch": 1, "catch_every": 4, "repeat_every": 5, "gap": 2}},
    "rating": {"kind": "rating", "practice": 0},
    "intruder": {"kind": "intruder", "practice": 1, "checks": {"catch": 1}},
    "choice": {"kind": "choice", "practice": 1, "checks": {"catch": 1}},
    "outputs": {"kind": "outputs", "practice": 0},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def drawn(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Content]:
    """Studies of the three kinds, drawn before any page has the bundle open."""
    common = {
        "bundle": run, "images": 4, "draw": {"count": 8}, "consent": "I agree <b>to</b> it.",
        "votes": 60,  # so many that no test takes from the next one what it is to judge
    }  # fmt: skip
    files, how = tmp_path_factory.mktemp("texts"), {}
    for name, text in (("choice", CHOICES), ("outputs", OUTPUTS)):
        (files / name).write_text(text)
        how[name] = {"draw": {"how": "list", "file": files / name}}
    more = {"names": True, "contact": "Ann", "rest_every": 3}
    every = SETTINGS | {"tried": {"kind": "rating", "practice": 3}}
    return {
        name: create(
            Study.model_validate({"name": name} | common | more | settings | how.get(name, {}))
        )
        for name, settings in every.items()
    }


def put(store: Annotations, content: Content) -> None:
    store.create_study(content.study.name, content.model_dump_json(), content.wanted)


def joined(store: Annotations, study: str) -> str:
    found = store.annotator_of(store.invite(study))
    assert found is not None
    return found.annotator


@pytest.fixture
def store(tmp_path: Path, drawn: dict[str, Content]) -> Iterator[Annotations]:
    opened = Annotations(str(tmp_path / "annotations.sqlite"))
    for content in drawn.values():
        put(opened, content)
    yield opened
    opened.close()


def said(trial: object, answer: object, request: object = "r", ms: object = 900) -> dict:
    return {"trial": trial, "answer": answer, "request": request, "ms": ms}


# What is kept


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_an_answer_means_the_same_whichever_way_it_was_shown(
    store: Annotations, drawn: dict[str, Content], kind: str
) -> None:
    content = drawn[kind]
    swapped = set()
    for person in range(12):
        ann = joined(store, kind)
        trial = judging.standing(store, content, ann).open[0]
        item = content.items[trial.item]
        stood = presentation.sides(content, ann, trial)
        swapped.add(trial.swapped)
        if kind == "pairs":
            place = "left" if set(stood[0]) == set(item.sides[0].images) else "right"
            assert judging.meant(content, ann, trial, place) == "x"
        elif kind == "intruder":
            assert item.answer is not None
            place = str(stood[0].index(int(item.answer)))
            assert judging.meant(content, ann, trial, place) == item.answer
        elif kind == "choice":
            assert item.answer is not None
            said_first = list(presentation.texts(content, ann, trial).values())
            place = str(said_first.index(item.texts[int(item.answer) - 1]) + 1)
            assert judging.meant(content, ann, trial, place) == item.answer
        else:
            place = str(person % 5 + 1)
            assert judging.meant(content, ann, trial, place) == place
        heard = judging.keep(store, content, ann, said(trial.trial, place))
        assert heard.answered and not heard.line
        if content.study.practice:
            assert heard.feedback == judging.Feedback(0, True, place)
    assert swapped == {True, False}


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_an_export_tells_what_stood_where(
    store: Annotations, drawn: dict[str, Content], kind: str
) -> None:
    content, ann = drawn[kind], joined(store, kind)
    at = judging.standing(store, content, ann)
    names = {number: f"picture {number}" for number in content.images}
    sent: Any = judging.data(content, ann, at, names, unseen=at.open[:1], heard=None)
    judging.keep(store, content, ann, said(0, "skip"))
    (vote,) = store.votes(kind)
    told = presentation.as_kept(content, vote)
    if kind == "choice":
        texts = content.items[vote.trial.item].texts
        assert [texts[int(number) - 1] for number in told.split()] == sent["texts"]
        assert len(set(told.split())) == 3
    else:
        stood = [[names[int(one)] for one in side.split()] for side in told.split("|")]
        assert stood == sent["sides"][0] and (kind == "outputs" or all(stood))
        assert len(stood) == (2 if kind == "pairs" else 1)


def test_sides_and_order_are_each_annotators_own(
    store: Annotations, drawn: dict[str, Content]
) -> None:
    content = drawn["pairs"]
    orders, left = Counter(), Counter()
    for _ in range(60):
        ann = joined(store, "pairs")
        trial = judging.standing(store, content, ann).open[0]  # the same practice for all
        stood = presentation.sides(content, ann, trial)
        assert stood == presentation.sides(content, ann, trial), "the same after a reload"
        orders[tuple(stood[0])] += 1
        left[set(stood[0]) == set(content.items[trial.item].sides[0].images)] += 1
    assert len(orders) > 20, "of 48 ways to show one of two sides"
    assert min(left.values()) >= 15, "each side left for about half of them"


FORGED = [
    said(1, "left"),  # comes after the one that is shown
    said(99, "left"), said(-1, "left"), said(True, "left"), said("0", "left"), said(0.0, "left"),
    said(None, "left"), said([0], "left"), said(10**30, "left"),
    said(0, "x"), said(0, "undone"), said(0, "6"), said(0, None), said(0, 1), said(0, ["left"]),
    said(0, "left" * 10**5), said(0, "=cmd()"), said(0, "'; DROP TABLE votes; --"),
    said(0, "left", ""), said(0, "left", None), said(0, "left", 5), said(0, "left", "r" * 10**6),
    said(0, "undo"), {}, {"answer": {}}, {"trial": 0},
]  # fmt: skip


@pytest.mark.parametrize("forged", FORGED, ids=lambda each: repr(each)[:60])
def test_what_is_no_answer_is_not_kept_and_said_in_a_line(
    store: Annotations, drawn: dict[str, Content], forged: dict
) -> None:
    content, ann = drawn["pairs"], joined(store, "pairs")
    judging.standing(store, content, ann)
    heard = judging.keep(store, content, ann, forged)
    assert heard.line and len(heard.line) < 200 and "\n" not in heard.line
    assert not heard.answered and heard.feedback is None
    assert store.votes("pairs") == []
    assert judging.keep(store, content, ann, said(0, "left")).answered, "and it goes on"


@pytest.mark.parametrize("kind", list(SETTINGS))
@pytest.mark.parametrize("answer", ["9" * 5000, "007", "-1", "1e0", "²"])
def test_a_number_that_is_none_is_no_answer(
    store: Annotations, drawn: dict[str, Content], kind: str, answer: str
) -> None:
    ann = joined(store, kind)
    judging.standing(store, drawn[kind], ann)
    assert judging.keep(store, drawn[kind], ann, said(0, answer)).line.startswith("Not kept: ")
    assert store.votes(kind) == []


@pytest.mark.parametrize("ms", [None, "900", -1, 2**40, float("nan"), True, [1]])
def test_a_time_that_is_none_costs_no_vote(
    store: Annotations, drawn: dict[str, Content], ms: object
) -> None:
    content, ann = drawn["pairs"], joined(store, "pairs")
    judging.standing(store, content, ann)
    assert judging.keep(store, content, ann, said(0, "left", ms=ms)).answered
    assert [vote.response_ms for vote in store.votes("pairs")] == [None]


def test_one_annotator_answers_no_other_ones_trial(
    store: Annotations, drawn: dict[str, Content]
) -> None:
    content, ann, bob = drawn["pairs"], joined(store, "pairs"), joined(store, "pairs")
    for number in range(3):
        judging.standing(store, content, ann)
        judging.keep(store, content, ann, said(number, "left", f"a{number}"))
    judging.standing(store, content, bob)
    assert judging.keep(store, content, bob, said(2, "right", "b")).line
    assert judging.keep(store, content, bob, said(2, "undo", "c")).line
    assert {vote.annotator for vote in store.votes("pairs")} == {ann}


def test_what_is_sent_again_late_or_out_of_order_counts_once(
    store: Annotations, drawn: dict[str, Content]
) -> None:
    content, ann = drawn["pairs"], joined(store, "pairs")

    def send(trial: int, answer: str, request: str) -> judging.Outcome:
        heard = judging.keep(store, content, ann, said(trial, answer, request))
        judging.standing(store, content, ann)
        return heard

    judging.standing(store, content, ann)
    for number in range(3):
        assert send(number, "left", f"r{number}").answered
        assert send(number, "left", f"r{number}").answered, "the acknowledgement was lost"
    assert "another window" in send(1, "right", "other").line
    for _ in range(3):
        assert send(2, "undo", "u").line == "", "sent again it takes back no second answer"
    assert send(1, "undo", "v").line == ""
    send(2, "left", "r2")
    send(1, "left", "r1")
    states = [trial.state for trial in store.trials("pairs", ann)]
    assert states[:3] == ["voted", "open", "open"], "late copies of what was taken back"
    assert send(1, "right", "w").answered
    assert [vote.answer for vote in store.votes("pairs") if vote.trial.trial == 1][1:] == [
        "undone", judging.meant(content, ann, store.trials("pairs", ann)[1], "right"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "=1+1", "'; DROP TABLE x;--"])
def test_names_are_text(store: Annotations, name: str) -> None:
    found = store.annotator_of(store.invite("pairs", name))
    assert found is not None and found.name == name


def test_a_login_is_one_annotator_of_a_pseudonym_that_tells_nothing(store: Annotations) -> None:
    first = store.annotator_by_login("pairs", "https://id", "ann@x.org")
    assert store.annotator_by_login("pairs", "https://id", "ann@x.org") == first
    others = {
        store.annotator_by_login(study, issuer, subject).annotator
        for study, issuer, subject in [
            ("rating", "https://id", "ann@x.org"),
            ("pairs", "https://id2", "ann@x.org"),
            ("pairs", "https://id", "bob@x.org"),
        ]
    }
    assert len(others | {first.annotator}) == 4
    assert re.fullmatch("[0-9a-f]{16}", first.annotator) and first.name == ""
    place = Path(store.place)
    kept = b"".join(each.read_bytes() for each in place.parent.iterdir() if each.is_file())
    assert b"ann@x.org" not in kept and b"https://id" not in kept


def test_an_annotator_is_erased_from_the_command_line(
    store: Annotations, drawn: dict[str, Content]
) -> None:
    from typer.testing import CliRunner

    from pipeline.__main__ import app

    content, ann = drawn["pairs"], joined(store, "pairs")
    judging.standing(store, content, ann)
    judging.keep(store, content, ann, said(0, "left"))
    command = ["study", "erase", "pairs", ann, "--store", store.place]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and "erased" in done.output
    assert store.votes("pairs") == []
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2 and "nobody of this pseudonym" in again.output
    assert "Traceback" not in again.output


# In a browser


class Place:
    """A server with the three studies."""

    def __init__(self, url: str, store: Annotations, drawn: dict[str, Content]) -> None:
        self.url, self.store, self.drawn = url, store, drawn

    def invite(self, study: str) -> tuple[str, str]:
        """A link, and who it is of; they agreed already."""
        token = self.store.invite(study)
        found = self.store.annotator_of(token)
        assert found is not None
        self.store.consent(study, found.annotator)
        return f"{self.url}/annotate?invite={token}", found.annotator

    def answers(self, study: str, annotator: str) -> list[tuple[int, str]]:
        votes = self.store.votes(study)
        return [(v.trial.trial, v.answer) for v in votes if v.annotator == annotator]


@pytest.fixture(scope="module")
def place(
    run: Path, drawn: dict[str, Content], tmp_path_factory: pytest.TempPathFactory,
    dashboard_server: Callable[..., str],
) -> Place:  # fmt: skip
    database = str(tmp_path_factory.mktemp("kept") / "annotations.sqlite")
    store = Annotations(database)
    for content in drawn.values():
        put(store, content)
    return Place(dashboard_server(run, LOUPE_ANNOTATIONS=database), store, drawn)


def at_trial(page: "Page", number: int) -> None:
    page.locator(f'.trial[data-trial="{number}"][data-seen]').wait_for()


def go_on(page: "Page", number: int) -> None:
    """Past what stands between two trials, to this one."""
    after = page.locator(f'.trial[data-trial="{number}"][data-seen]')
    page.locator(".go").or_(after).first.wait_for()
    if page.locator(".go").count():
        page.keyboard.press("Enter")
    after.wait_for()


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_a_study_by_keyboard_from_a_name_to_the_last_page(page: "Page", place: Place) -> None:
    page.goto(f"{place.url}/annotate?study=pairs")
    page.get_by_role("textbox", name="A name for you in this study").fill("<b>s'; u 1</b>")
    page.keyboard.press("Enter")
    page.wait_for_function("location.search.includes('invite=')")
    page.get_by_role("checkbox").press("Space")
    page.locator("button:enabled", has_text="Begin").press("Enter")
    at_trial(page, 0)
    link, keys = page.url, ["ArrowLeft", "ArrowRight", "ArrowDown", "s"]
    page.keyboard.press(keys[0])
    page.locator(".told strong").wait_for()
    assert page.locator(".trial").get_attribute("data-trial") == "0", "told on the trial it is of"
    assert page.locator(".side.meant").count() == 1
    number = 1
    while number < 5:
        go_on(page, number)
        page.keyboard.press(keys[number % 4])
        number += 1
    go_on(page, number)
    page.keyboard.press("u")
    at_trial(page, number - 1)
    other = page.context.browser.new_context().new_page()  # type: ignore[union-attr]
    other.goto(link)
    at_trial(other, number - 1)
    other.context.close()
    for _ in range(40):
        now = page.locator(".trial").get_attribute("data-trial")
        assert now is not None
        page.keyboard.press("ArrowLeft")
        over = page.get_by_text("That is all")
        page.locator(f'.trial[data-seen]:not([data-trial="{now}"]), .go').or_(over).first.wait_for()
        if over.count():
            break
        if page.locator(".go").count():
            page.keyboard.press("Enter")
            page.locator(".trial[data-seen]").wait_for()
    end = page.locator("[data-testid=stMain]").inner_text()
    assert "That is all" in end and "ask Ann" in end
    (who,) = re.findall("[0-9a-f]{16}", end)
    trials = place.store.trials("pairs", who)
    assert {trial.role for trial in trials} == {"practice", "trial", "catch", "repeat"}
    assert len([t for t in trials if t.role == "trial"]) == 8
    assert all(trial.state != "open" for trial in trials)
    page.get_by_role("button", name="Take my last answer back").click()
    at_trial(page, len(trials) - 1)


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kind", ["rating", "intruder", "choice", "outputs"])
def test_the_other_kinds_by_keyboard(page: "Page", place: Place, kind: str) -> None:
    link, who = place.invite(kind)
    page.goto(link)
    at_trial(page, 0)
    if kind in ("rating", "outputs"):
        page.keyboard.press("4")
    elif kind == "choice":
        page.keyboard.press("2")
        page.locator(".text.meant").wait_for()
    else:
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.locator(".image.meant").wait_for()
    go_on(page, 1)
    trial = place.store.trials(kind, who)[0]
    content = place.drawn[kind]
    wanted = "4"
    if kind == "intruder":
        wanted = str(presentation.sides(content, who, trial)[0][1])
    elif kind == "choice":
        wanted = list(presentation.texts(content, who, trial))[1]
    assert place.answers(kind, who) == [(0, wanted)]


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_a_rating_is_practised(page: "Page", place: Place) -> None:
    link, who = place.invite("tried")
    page.goto(link)
    for number, (key, told) in enumerate(
        [("4", "As expected: 4 or 5"), ("4", "Expected was 1 or 2"), ("1", "Expected was 4 or 5")]
    ):
        at_trial(page, number)
        page.keyboard.press(key)
        assert told in page.locator(".told strong").inner_text()
        page.keyboard.press("Enter")
    at_trial(page, 3)
    assert place.answers("tried", who) == [(0, "4"), (1, "4"), (2, "1")]


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_the_time_runs_from_the_first_sight_to_the_press(page: "Page", place: Place) -> None:
    link, who = place.invite("rating")
    page.goto(link)
    at_trial(page, 0)
    page.wait_for_timeout(700)
    around = page.evaluate("performance.now()")
    page.keyboard.press("3")
    at_trial(page, 1)
    (vote,) = [v for v in place.store.votes("rating") if v.annotator == who]
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert vote.response_ms is not None
    after = page.evaluate("performance.now()")
    assert 700 <= vote.response_ms < after - paint and around >= 700


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_keys_do_nothing_while_an_image_is_enlarged(page: "Page", place: Place) -> None:
    link, who = place.invite("pairs")
    page.goto(link)
    at_trial(page, 0)
    page.locator(".image").nth(2).click()
    page.locator("dialog[open]").wait_for()
    for key in ("ArrowLeft", "ArrowRight", "s", "ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="hidden")
    assert page.locator("[aria-busy], .chosen").count() == 0
    page.keyboard.press("ArrowLeft")
    go_on(page, 1)
    assert len(place.answers("pairs", who)) == 1


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_what_is_pressed_twice_or_elsewhere_is_one_answer(page: "Page", place: Place) -> None:
    link, who = place.invite("rating")
    page.goto(link)
    at_trial(page, 0)
    page.get_by_test_id("stMainMenu").get_by_role("button").click()
    page.get_by_text("Print").wait_for()
    page.keyboard.press("3")
    page.keyboard.press("Escape")
    page.get_by_text("Print").wait_for(state="hidden")
    assert place.answers("rating", who) == [], "the menu has the keys while it is open"
    page.keyboard.press("5")
    page.locator('.trial[data-trial="1"][data-painted]').wait_for()
    page.keyboard.press("5")
    at_trial(page, 1)
    page.locator("[data-answer='2']").dblclick()
    at_trial(page, 2)
    page.wait_for_timeout(500)
    assert place.answers("rating", who) == [(0, "5"), (1, "2")]


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_an_acknowledgement_that_is_lost_holds_nobody_up(page: "Page", place: Place) -> None:
    link, who = place.invite("rating")
    sockets, swallow = list["WebSocketRoute"](), [False]

    def through(socket: "WebSocketRoute") -> None:
        server = socket.connect_to_server()
        sockets.append(socket)
        server.on_message(lambda message: None if swallow[0] else socket.send(message))

    page.route_web_socket(re.compile("_stcore/stream"), through)
    page.goto(link)
    at_trial(page, 0)
    swallow[0] = True
    page.keyboard.press("4")
    until = time.monotonic() + 20
    while not place.answers("rating", who) and time.monotonic() < until:
        page.wait_for_timeout(50)
    page.wait_for_timeout(500)
    swallow[0] = False
    sockets[-1].close(code=1001)
    for number in (1, 2, 3):
        go_on(page, number)
        page.keyboard.press("4")
    go_on(page, 4)
    assert place.answers("rating", who) == [(n, "4") for n in range(4)]
    assert len(sockets) > 1, "it came back by itself"


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_two_windows_of_one_annotator_answer_each_trial_once(page: "Page", place: Place) -> None:
    link, who = place.invite("rating")
    second = page.context.new_page()
    for each in (page, second):
        each.goto(link)
        at_trial(each, 0)
    page.keyboard.press("5")
    at_trial(page, 1)
    second.keyboard.press("1")
    at_trial(second, 1)
    second.get_by_text("perhaps in another window").wait_for()
    assert place.answers("rating", who) == [(0, "5")]
    second.keyboard.press("2")
    at_trial(second, 2)
    page.keyboard.press("u")  # takes back what this window knows: no longer the last
    at_trial(page, 2)
    assert place.answers("rating", who) == [(0, "5"), (1, "2")]


@pytest.mark.browser
@pytest.mark.parametrize("kind", list(SETTINGS))
def test_nothing_that_the_browser_gets_tells_what_is_judged(
    page: "Page", place: Place, kind: str
) -> None:
    frames: list[bytes] = []

    def listen(socket: "WebSocket") -> None:
        socket.on("framereceived", lambda data: frames.append(bytes(data)))

    page.on("websocket", listen)
    page.goto(place.invite(kind)[0])
    at_trial(page, 0)
    for number in range(5):
        page.keyboard.press("s")
        go_on(page, number + 1)
    got = b"\n".join(frames)
    content = place.drawn[kind]
    assert (content.items[0].asked or content.study.asked).encode() in got, "these are the frames"
    assert b"data:image" in got or not content.images
    # Without the pictures themselves, in whose letters anything may stand.
    bare = re.sub(rb"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", b"", got)
    told = {one.dictionary_id for one in content.features} | {"matryoshka", "clip-demo"}
    told |= {one.fingerprint for one in content.features}
    told |= {image.uri for image in content.images.values()}
    told |= {image.sha256 for image in content.images.values()}
    told |= {f"{score:.3f}" for one in content.features for score in one.scores.values() if score}
    told |= {
        "feature_id",
        "dictionary",
        "example_id",
        '"catch"',
        '"repeat"',
        "swapped",
        "resid_post",
    }
    assert [each for each in told if each.encode() in bare] == []
    sent = [each for frame in frames for each in trials_in(frame)]
    assert len(sent) >= 6
    for each in sent:
        assert set(each) == SENT
        images = [image for sides in each["sides"].values() for side in sides for image in side]
        assert all(image.startswith("data:image/") for image in images)


SENT = {
    "trial", "next", "heard", "kind", "sides", "question", "tie", "skip", "undo", "done", "of",
    "note", "feedback", "pause", "texts", "prompt", "ends",
}  # fmt: skip
"""All that the page is told of a trial: its number among the annotator's own, never an item's."""


def trials_in(frame: bytes) -> Iterator[dict[str, Any]]:
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    found = ForwardMsg.FromString(frame).delta.new_element.bidi_component
    if found.component_name == "loupe_annotate":
        yield json.loads(found.json)


@pytest.mark.browser
def test_a_server_that_stops_loses_nothing(
    page: "Page", run: Path, drawn: dict[str, Content], tmp_path: Path
) -> None:
    import subprocess
    import sys
    import time

    from conftest import ROOT, answers, free_port

    database, port = str(tmp_path / "annotations.sqlite"), free_port()
    store = Annotations(database)
    put(store, drawn["rating"])
    found = Place(f"http://localhost:{port}", store, drawn)
    link, who = found.invite("rating")

    def start() -> subprocess.Popen[bytes]:
        import os

        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.port",
             str(port), "--", str(run)],
            cwd=ROOT, env=os.environ | {"LOUPE_ANNOTATIONS": database},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while not answers(f"{found.url}/_stcore/health"):
            assert process.poll() is None
            time.sleep(0.1)
        return process

    server = start()
    try:
        page.goto(link)
        at_trial(page, 0)
        page.keyboard.press("2")
        at_trial(page, 1)
        server.kill()
        server.wait()
        page.keyboard.press("4")
        page.locator(".trial[aria-busy]").wait_for()
        server = start()
        page.locator('.trial[data-trial="2"][data-seen]').wait_for(timeout=60_000)
        assert found.answers("rating", who) == [(0, "2"), (1, "4")]
    finally:
        server.kill()
        server.wait()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", list(SETTINGS))
def test_axe_finds_nothing(page: "Page", place: Place, kind: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(place.invite(kind)[0])
    at_trial(page, 0)
    found = Axe().run(page).response["violations"]
    if kind in ("pairs", "choice"):
        page.keyboard.press("ArrowLeft" if kind == "pairs" else "1")
        page.locator(".go").wait_for()
        found += Axe().run(page).response["violations"]
    assert not found, "\n".join(
        f"{each['help']}: {node['target']} {node['html'][:200]}"
        for each in found
        for node in each["nodes"]
    )


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_the_answers_are_in_sight(page: "Page", place: Place, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(place.invite("pairs")[0])
    at_trial(page, 0)
    for node in page.locator(".answer").all():
        box = node.bounding_box()
        assert box is not None and box["y"] + box["height"] <= height
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
