"""What a page's controls are at stays on that page; and the server's log has no warning."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import serve
from synthetic import make_bundle
from visitor import Visitor

from dashboard import pages

PAGES = tuple(page.address for page in pages.PAGES)
LOOKS = {
    "modalities": ("Features", "Layers", "Reconstruction"), "compare": ("Dictionaries", "Flow"),
    "steering": ("Steer", "Scores"),
}  # fmt: skip
STARTS = [(page, look) for page in PAGES for look in LOOKS.get(page, ("",))]
KEPT = ("people-name", "label-", "note-")
"""Controls that show what is kept on purpose: the visitor's name, what people say of features."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "log"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo", models=2)


@pytest.fixture(scope="module")
def url(run: Path, log: Path) -> Iterator[str]:
    with serve("dashboard/app.py", str(run), log=log, env={}) as address:
        yield address


@pytest.fixture(autouse=True)
def _quiet(log: Path, url: str) -> Iterator[None]:
    """Whatever a test does, the server has nothing to warn of."""
    yield
    said = log.read_text(encoding="utf-8")
    assert not [one for one in ("Traceback", "WARNING", "ERROR", "Warning") if one in said], said


def values(one: Visitor) -> dict[str, Any]:
    """What the page's controls show, by their keys."""
    assert not one.exceptions, one.exceptions
    return {key: at.value for key, at in one.controls.items() if not key.startswith(KEPT)}


@pytest.fixture(scope="module")
def untouched(url: str) -> dict[str, dict[str, Any]]:
    """What the controls of each page show as it opens, each in a session of its own."""
    found = {}
    for page in PAGES:
        with Visitor(url) as one:
            found[page] = values(one.menu(page))
    return found


@pytest.mark.parametrize(("page", "look"), STARTS)
def test_what_is_chosen_on_a_page_reaches_no_other(
    url: str, page: str, look: str, untouched: dict[str, dict[str, Any]]
) -> None:
    with Visitor(url) as one:
        one.menu(page)
        if look:
            one.send("look", {"string_array_value": [look]})
        moved = set[str]()
        while left := [key for key in values(one) if key not in moved and key != "look"]:
            moved.add(left[0])
            one.send(left[0], one.controls[left[0]].other)
        for other in PAGES:
            if other != page:
                assert values(one.menu(other)) == untouched[other], (page, look, other)


def test_a_page_comes_back_as_it_was_left(url: str) -> None:
    with Visitor(url) as one:
        one.menu("browse").send("sort", {"string_value": "density"})
        one.menu("").menu("feature").menu("browse")
        assert one.controls["sort"].value == ["density"]


def test_a_bundle_may_be_another_one_under_an_open_page(url: str, run: Path) -> None:
    """Published anew with fewer dictionaries, features and images, once every control was moved."""
    with ExitStack() as opened:
        visitors = {start: opened.enter_context(Visitor(url)) for start in STARTS}
        for (page, look), one in visitors.items():
            one.go(page, **({"look": look} if look else {}))
            for key in list(one.controls):
                if key in one.controls and key != "look":
                    one.send(key, one.controls[key].other)
        other = make_bundle(run.parent / "other", layers=1, d_sae=12, n_examples=40)
        shutil.move(run / "bundle", run / "before")
        shutil.move(other, run / "after")
        (run / "bundle").symlink_to("after/bundle")
        for start, one in visitors.items():
            assert not one.again().exceptions, start
            assert not one.menu(start[0]).exceptions, start
