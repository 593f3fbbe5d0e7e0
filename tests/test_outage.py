"""A store that stops answering while people judge, and answers again: nothing is lost, nobody reads
what is not for them. On SQLite, whose file is taken away, and on a real PostgreSQL, which stops."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pages import APP, data, open_page, said, shows
from streamlit.testing.v1 import AppTest
from synthetic import make_bundle

from dashboard.people import access
from dashboard.style import hints
from pipeline.annotations import Annotations
from pipeline.study.content import Content
from pipeline.study.creation import create
from pipeline.study.files import Study

if TYPE_CHECKING:
    from playwright.sync_api import Page
    from postgres import Server

NAME = "clip-demo/vision.0.resid_post/matryoshka"
Away = Callable[[], AbstractContextManager[None]]
PASSWORD = "not-to-be-told"
TECHNICAL = ("LOUPE_ANNOTATIONS", "cannot be used", "postgresql", "sqlite", PASSWORD)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module", autouse=True)
def drawn(run: Path) -> Content:
    """A study, drawn before any page has the bundle open."""
    of = {"name": "mine", "bundle": run, "kind": "rating", "images": 4, "practice": 0,
          "names": True, "votes": 60, "draw": {"count": 6}}  # fmt: skip
    return create(Study.model_validate(of))


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "annotations.sqlite")
    server: Server = request.getfixturevalue("postgres")
    return server.database().replace("loupe@", f"loupe:{PASSWORD}@")


@pytest.fixture
def away(place: str, request: pytest.FixtureRequest, tmp_path: Path) -> Away:
    """`with away():` the store does not answer."""
    if "://" in place:
        server: Server = request.getfixturevalue("postgres")
        return server.stopped

    @contextmanager
    def taken() -> Iterator[None]:
        kept = Path(place).rename(tmp_path / "kept")
        Path(place).mkdir()
        yield
        Path(place).rmdir()
        kept.rename(place)

    return taken


@pytest.fixture
def store(place: str, drawn: Content, monkeypatch: pytest.MonkeyPatch) -> Iterator[Annotations]:
    monkeypatch.setenv("LOUPE_ANNOTATIONS", place)
    opened = Annotations(place)
    yield opened
    opened.close()


def made(store: Annotations, drawn: Content) -> str:
    return store.create_study("mine", drawn.model_dump_json(), drawn.wanted)


def invited(store: Annotations) -> tuple[str, str]:
    """A link's token, and who it is of; they agreed already."""
    token = store.invite("mine")
    found = store.annotator_of(token)
    assert found is not None
    store.consent("mine", found.annotator)
    return token, found.annotator


def everything(at: AppTest) -> str:
    warnings = "\n".join(each.value for each in at.warning)
    return f"{said(at)}\n{warnings}".replace("\\", "")


def test_who_judges_reads_that_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content, away: Away
) -> None:
    made(store, drawn)
    token, who = invited(store)
    at = open_page(monkeypatch, run, "annotate", invite=token)
    before = data(at, "annotate")
    with away():
        for _ in range(2):
            at.run()
            assert data(at, "annotate") == before | {"note": hints.AWAY_JUDGING}
        pages = [at]
        for parameters in ({"invite": token}, {"study": "mine"}):
            new = open_page(monkeypatch, run, "annotate", **parameters)
            assert hints.AWAY_TO_JUDGE in everything(new) and not shows(new, "annotate")
            pages.append(new)
        for each in pages:
            text = everything(each)
            assert "opens no study" not in text
            assert [sign for sign in TECHNICAL if sign in text] == []
    assert data(at.run(), "annotate")["note"] == ""
    assert [shows(new.run(), "annotate") for new in pages[1:]] == [True, False]
    assert "Take part" in [button.label for button in pages[2].button]
    assert store.trials("mine", who)


def test_who_signed_in_stays_at_their_trial(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content, away: Away
) -> None:
    of = drawn.study.model_copy(update={"names": False, "login": True})
    content = drawn.model_copy(update={"study": of})
    store.create_study("mine", content.model_dump_json(), content.wanted)
    monkeypatch.setattr("sys.argv", ["app.py", str(run)])
    at = AppTest.from_file(str(APP), default_timeout=120)
    at.user = {"is_logged_in": True, "iss": "https://id", "sub": "7"}
    at.secrets["auth"] = {}
    at.run()
    at.query_params["study"] = "mine"
    at.switch_page("views/annotate/page.py").run()
    at.button[0].click().run()
    before = data(at, "annotate")
    with away():
        at.run()
        assert data(at, "annotate") == before | {"note": hints.AWAY_JUDGING}
    assert data(at.run(), "annotate")["note"] == ""


@pytest.mark.parametrize("page", ["lists", "feature", "results", "annotate"])
def test_an_owner_reads_why(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content, away: Away,
    page: str,
) -> None:  # fmt: skip
    token = made(store, drawn)
    feature = {"dictionary": NAME, "feature": "3"} if page == "feature" else {}
    at = open_page(monkeypatch, run, page, study="mine", owner=token, **feature)
    assert not at.error and not at.warning
    with away():
        text = everything(at.run())
        assert "LOUPE_ANNOTATIONS" in text and "cannot be used" in text
        assert PASSWORD not in text and "opens only for its owner" not in text
        other = open_page(monkeypatch, run, page, study="mine", owner=token, **feature)
        seen = everything(other)
        expected = hints.AWAY_TO_JUDGE if page == "annotate" else hints.AWAY_TO_OWN
        assert expected in seen, "who cannot be proved to be the owner"
        assert [sign for sign in TECHNICAL if sign in seen] == []
    assert "cannot be used" not in everything(at.run())


def test_a_listed_login_stays_an_owner(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content, away: Away
) -> None:
    made(store, drawn)
    monkeypatch.setattr(access, "_owns_every", lambda: True)
    at = open_page(monkeypatch, run, "results")
    assert not at.error
    with away():
        text = everything(at.run())
        assert "LOUPE_ANNOTATIONS" in text and not at.error


def test_a_note_waits_until_it_is_kept(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, away: Away
) -> None:
    at = open_page(monkeypatch, run, "feature", dictionary=NAME, feature="3")
    with away():
        at.text_area[0].set_value("what I saw").run()
        assert hints.WAITING in everything(at) and at.text_area[0].value == "what I saw"
        assert hints.WAITING in everything(at.run())
    at.run()
    assert hints.WAITING not in everything(at) and not at.warning
    with store.reading() as connection:
        rows = connection.exec_driver_sql("SELECT author, text FROM notes").all()
    assert [tuple(row) for row in rows] == [("me", "what I saw")]


@pytest.mark.browser
def test_what_is_pressed_meanwhile_is_kept_once(
    page: "Page", run: Path, store: Annotations, drawn: Content, away: Away, place: str,
    dashboard_server: Callable[..., str],
) -> None:  # fmt: skip
    made(store, drawn)
    token, who = invited(store)
    url = dashboard_server(run, LOUPE_ANNOTATIONS=place)
    page.goto(f"{url}/annotate?invite={token}")

    def at_trial(number: int) -> None:
        page.locator(f'.trial[data-trial="{number}"][data-seen]').wait_for()

    def kept() -> list[tuple[int, str]]:
        return [(v.trial.trial, v.answer) for v in store.votes("mine") if v.annotator == who]

    at_trial(0)
    page.keyboard.press("2")
    at_trial(1)
    with away():
        page.keyboard.press("4")
        note = page.locator(".note")
        note.get_by_text(re.compile("sent again")).wait_for()
        page.wait_for_timeout(5000)  # it is sent again meanwhile
        text: Any = page.locator("body").inner_text()
        assert "sent again" in note.inner_text() and "opens no study" not in text
        assert [sign for sign in TECHNICAL if sign in text] == []
        second = page.context.new_page()
        second.goto(f"{url}/annotate?invite={token}")
        second.get_by_text(hints.AWAY_TO_JUDGE).wait_for()
    at_trial(2)
    assert kept() == [(0, "2"), (1, "4")]
    page.keyboard.press("5")
    at_trial(3)
    until = time.monotonic() + 60
    while len(kept()) < 3 and time.monotonic() < until:
        page.wait_for_timeout(50)
    assert kept() == [(0, "2"), (1, "4"), (2, "5")]
    second.locator(".trial").wait_for()  # the other window went on by itself
