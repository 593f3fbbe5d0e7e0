"""A whole small study as people meet it: made by the command, judged by two at their links with
the keyboard alone, read by its owner; what stands there is counted here from the keys pressed."""

import re
from collections import defaultdict
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from synthetic import make_bundle
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.annotations import Annotations
from pipeline.study.content import Content

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

STUDY = """
name = "small"
bundle = "{bundle}"
images = 4
votes = 2
practice = 1
rest_every = 4
consent = "I agree."
[draw]
how = "random"
count = 6
[checks]
catch = 1
catch_every = 4
repeat_every = 4
gap = 2
"""
WORTH = {"ArrowLeft": 1.0, "ArrowRight": 0.0, "ArrowDown": 0.5}
"""Of a key, for what is shown left."""
HABITS = (
    ["ArrowLeft", "ArrowLeft", "ArrowRight"],
    ["ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowDown"],
)
"""What each of the two presses, over and over."""
SEEN = ".trial[data-seen]"


def command(*words: object) -> str:
    done = CliRunner().invoke(app, ["study", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def judged(page: "Page", link: str, habit: list[str]) -> dict[int, str]:
    """Goes through the study by keyboard; trial -> the key pressed, the last time it was."""
    page.goto(link)
    page.get_by_role("checkbox").press("Space")
    page.locator("button:enabled", has_text="Begin").press("Enter")
    page.locator(SEEN).wait_for()
    pressed: dict[int, str] = {}
    over = page.get_by_text("That is all")
    taken_back = False
    for key in cycle(habit):
        number = int(page.locator(SEEN).get_attribute("data-trial") or -1)
        page.keyboard.press(key)
        pressed[number] = key
        other = page.locator(f'{SEEN}:not([data-trial="{number}"]), .go')
        other.or_(over).first.wait_for()
        if over.count():
            return pressed
        if page.locator(".go").count():
            page.keyboard.press("Enter")
            page.locator(f'{SEEN}:not([data-trial="{number}"])').wait_for()
        if number == 4 and not taken_back:
            taken_back = True
            page.keyboard.press("u")
            page.locator('.trial[data-seen][data-trial="4"]').wait_for()
    raise AssertionError("unreachable: the study ends")


def share(value: float) -> str:
    return f"{value * 100:.0f}\u00a0%"


@pytest.mark.parametrize("kept_in", ["sqlite", "postgres"])
def test_two_people_judge_and_the_owner_reads(
    browser: "Browser", tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    dashboard_server: Callable[..., str], request: pytest.FixtureRequest, kept_in: str,
) -> None:  # fmt: skip
    bundle, place = make_bundle(tmp_path / "runs" / "demo"), str(tmp_path / "kept.sqlite")
    servers = 1
    if kept_in == "postgres":  # which several servers share
        place, servers = request.getfixturevalue("postgres").database(), 2
    monkeypatch.setenv("LOUPE_ANNOTATIONS", place)
    url, *others = [dashboard_server(bundle, LOUPE_ANNOTATIONS=place) for _ in range(servers)]
    file = tmp_path / "small.toml"
    file.write_text(STUDY.format(bundle=bundle), encoding="utf-8")
    (owner,) = re.findall(r"http\S+owner=\S+", command("create", file, "--url", url))
    links = re.findall(r"http\S+invite=\S+", command("invite", "small", "--count", 2, "--url", url))
    links[1:] = [
        link.replace(url, other) for link, other in zip(links[1:], others or [url], strict=True)
    ]
    people = []
    for link, habit in zip(links, HABITS, strict=True):
        with browser.new_context() as context:
            people.append(judged(context.new_page(), link, habit))

    store = Annotations(place)
    content = Content.model_validate_json(store.study_content("small"))
    by_link = [store.annotator_of(link.partition("invite=")[2]) for link in links]
    worth: dict[int, list[float]] = defaultdict(list)
    for who, pressed in zip(by_link, people, strict=True):
        assert who is not None
        trials = store.trials("small", who.annotator)
        assert {one.role for one in trials} == {"practice", "trial", "catch", "repeat"}
        assert sorted(pressed) == [one.trial for one in trials], "every trial was shown once"
        for trial in trials:
            if trial.role == "trial":
                left = WORTH[pressed[trial.trial]]
                worth[trial.item].append(1 - left if trial.swapped else left)
    undone = [vote for vote in store.votes("small") if vote.answer == "undone"]
    assert len(undone) == 2 and all(vote.trial.trial == 4 for vote in undone)
    store.close()
    assert sorted(worth) == list(range(6)) and {len(both) for both in worth.values()} == {2}
    agreed = []
    for item, (one, two) in worth.items():
        sides = content.items[item].sides
        x, y = (content.features[side.feature or 0].scores["ms"] for side in sides)
        if one + two != 1:
            agreed.append(0.5 if x == y else float((one + two > 1) == (x > y)))  # type: ignore[operator]
    alike = sum(one == two for one, two in worth.values()) / 6

    with browser.new_context() as context:
        page = context.new_page()
        page.goto(owner)
        for who in by_link:
            page.get_by_text(who.annotator if who else "").wait_for()
        said = page.locator("[data-testid=stMain]").inner_text()
        pairs = "1 pair" if len(agreed) == 1 else f"{len(agreed)} pairs"
        found = re.search(r"in (\d+\u00a0%)[^;]* of (\d+ pairs?);", said)
        if agreed:  # chance decides on which side each of the two sees what
            assert found and found.groups() == (share(sum(agreed) / len(agreed)), pairs)
        else:
            assert not found and "people are divided on every pair" in said
        assert f"Two people say the same in {share(alike)}" in said
        assert "12 of 12" in said and "2 of 2" in said
