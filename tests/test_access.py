"""Who sees what: an invitation opens Annotate alone, a study closes the server's other pages."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import serve
from pages import open_page, said
from streamlit.testing.v1 import AppTest
from synthetic import make_bundle
from visitor import Visitor

from dashboard import gate, pages
from dashboard.people import access
from pipeline.annotations import Annotations
from pipeline.study.content import Content
from pipeline.study.creation import create
from pipeline.study.files import Study

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

PAGES = [page.name for page in pages.PAGES if page is not pages.ANNOTATE]
SAE = "clip-demo/vision.0.resid_post/matryoshka"
CLOSED, NO_PART = "opens only for its owner", "is no part of the study"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module", autouse=True)
def drawn(run: Path) -> Content:
    """A study, drawn before any page has the bundle open."""
    of = {"name": "mine", "bundle": run, "images": 4, "practice": 0, "draw": {"count": 4},
          "votes": 60}  # fmt: skip
    return create(Study.model_validate(of))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Annotations]:
    place = tmp_path / "annotations.sqlite"
    monkeypatch.setenv("LOUPE_ANNOTATIONS", str(place))
    opened = Annotations(str(place))
    yield opened
    opened.close()


def made(store: Annotations, drawn: Content, name: str = "mine") -> str:
    """The study under this name; its owner's token."""
    content = drawn.model_copy(update={"study": drawn.study.model_copy(update={"name": name})})
    return store.create_study(name, content.model_dump_json(), content.wanted)


def told(at: AppTest) -> str:
    return said(at).replace("\\", "")


def refused(at: AppTest) -> bool:
    """Whether the page says one line and nothing else."""
    text = told(at)
    kinds = {each.proto.component_name for each in at.get("bidi_component")}
    return len(at.error) == 1 and len(text.splitlines()) == 1 and kinds <= {
        "loupe_page", "loupe_badge"
    }  # fmt: skip


def test_without_a_study_the_pages_are_open(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content
) -> None:
    at = open_page(monkeypatch, run, "browse")
    assert not at.error
    at = open_page(monkeypatch, run, "results")
    assert refused(at) and "owner" in told(at)


@pytest.mark.parametrize("page", PAGES)
def test_a_study_closes_the_pages_to_all_but_its_owner(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content, page: str
) -> None:
    token = made(store, drawn)
    at = open_page(monkeypatch, run, page)
    assert refused(at) and CLOSED in told(at) and "LOUPE_OPEN=1" in told(at)
    at = open_page(monkeypatch, run, page, study="mine", owner=token)
    assert not any(CLOSED in error.value for error in at.error) and not refused(at)
    assert "owner" not in at.query_params, "the token leaves the address"
    assert not refused(at.run()), "the visit remembers"


@pytest.mark.parametrize(
    ("page", "way"),
    [
        *((page, "closed") for page in PAGES),
        *((page, way) for page in ("browse", "results") for way in ("open", "owner too")),
    ],
)
def test_an_invitation_opens_annotate_alone(
    monkeypatch: pytest.MonkeyPatch,
    run: Path,
    store: Annotations,
    drawn: Content,
    page: str,
    way: str,
) -> None:
    if way == "open":
        monkeypatch.setenv("LOUPE_OPEN", "1")
    token = made(store, drawn)
    invite = store.invite("mine")
    more = {"study": "mine", "owner": token} if way == "owner too" else {}
    at = open_page(monkeypatch, run, page, invite=invite, **more)
    assert refused(at) and NO_PART in told(at)
    if way != "owner too":
        del at.query_params["invite"]  # as one may in the address
        at.switch_page("views/annotate/page.py").run()
        assert not at.error, "the visit goes on by its invitation"
        at.switch_page(f"views/{page}/page.py").run()
        assert refused(at) and NO_PART in told(at)


def test_a_server_may_be_open(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content
) -> None:
    made(store, drawn)
    monkeypatch.setenv("LOUPE_OPEN", "1")
    assert not open_page(monkeypatch, run, "browse").error
    assert refused(open_page(monkeypatch, run, "results")), "but for what people said"
    assert refused(open_page(monkeypatch, run, "results", study="mine"))
    monkeypatch.setenv("LOUPE_OPEN", "yes")
    assert refused(open_page(monkeypatch, run, "browse")), "only 1 says so"


def test_a_store_that_does_not_answer_lets_no_annotator_look_around(
    monkeypatch: pytest.MonkeyPatch, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken").write_text("no database " * 100)
    monkeypatch.setenv("LOUPE_ANNOTATIONS", str(tmp_path / "broken"))
    assert not open_page(monkeypatch, run, "browse").error, "the rest goes on"
    monkeypatch.setattr(access, "cookies", lambda: {access.INVITED_COOKIE: "x" * 32})
    at = open_page(monkeypatch, run, "browse")
    assert len(at.error) == 1 and NO_PART in told(at)


def test_the_owner_of_many_studies_is_known_by_the_one_asked_for(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content
) -> None:
    token = made(store, drawn)
    stale = {f"{access.OWNER_COOKIE}old-{n}": "x" * 32 for n in range(access.MOST_COOKIES + 5)}
    kept = stale | {f"{access.OWNER_COOKIE}mine": token}
    monkeypatch.setattr(access, "cookies", lambda: kept)
    assert not refused(open_page(monkeypatch, run, "results", study="mine"))


def test_who_goes_back_to_the_first_page_goes_on_as_before(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content
) -> None:
    of = drawn.study.model_copy(update={"names": True})
    content = drawn.model_copy(update={"study": of})
    store.create_study("mine", content.model_dump_json(), content.wanted)
    at = open_page(monkeypatch, run, "annotate", invite=store.invite("mine", "Ann"))
    del at.query_params["invite"]
    at.query_params["study"] = "mine"
    at.run()
    assert "Go on where this browser stopped" in [button.label for button in at.button]


def test_who_comes_to_a_full_study_is_thanked(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content
) -> None:
    of = drawn.study.model_copy(update={"names": True, "people": 1})
    content = drawn.model_copy(update={"study": of})
    store.create_study("mine", content.model_dump_json(), content.wanted)
    store.invite("mine")
    at = open_page(monkeypatch, run, "annotate", study="mine")
    at.text_input[0].set_value("Bob")
    at.button[0].click().run()
    assert not at.exception and "Thank you for coming" in at.warning[0].value
    assert "invite" not in at.query_params


def test_a_page_that_stays_open_answers_nothing_once_a_study_closes_it(
    run: Path, store: Annotations, drawn: Content, tmp_path: Path
) -> None:
    """What it asks for after is refused as the page would be: parts that run alone, callbacks."""
    with serve("dashboard/app.py", str(run), log=tmp_path / "log", env={}) as url, \
            Visitor(url) as map_, Visitor(url) as feature, Visitor(url) as lists:  # fmt: skip
        map_.go("map", maps="vision.0 / matryoshka")
        feature.go("feature", dictionary=SAE, feature="3")
        lists.go("lists")
        pointed = {"dictionary": SAE, "feature": 3}
        map_.trigger("map-hover", "hover", pointed, fragment=map_.fragments["map-hover"])
        assert '"MS ' in map_.text
        made(store, drawn)
        map_.trigger(
            "map-hover", "hover", pointed | {"feature": 4}, fragment=map_.fragments["map-hover"]
        )
        assert '"MS ' not in map_.text and CLOSED in map_.text
        feature.press("star", fragment=feature.fragments["star"])
        assert CLOSED in feature.text and not store.stars("me")
        name = next(key for key in lists.ids if key.startswith("new-name"))
        lists.send(name, {"string_value": "mine now"})
        lists.press(name.replace("new-name", "create"))
        assert CLOSED in lists.text and not store.lists()


def test_a_file_of_a_page_is_made_while_the_page_is_open_alone(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access.st, "session_state", {"access-who": access.Visitor.ANYBODY})
        make = gate.while_open(lambda: b"file")
        assert make() == b"file"
        token = made(store, drawn)
        with pytest.raises(access.Closed, match=CLOSED):
            make()
        patch.setenv("LOUPE_OPEN", "1")
        assert make() == b"file"
        patch.delenv("LOUPE_OPEN")
        owner = {"access-who": access.Visitor.OWNER, "access-owned": {"mine": token}}
        patch.setattr(access.st, "session_state", owner)
        assert gate.while_open(lambda: b"file")() == b"file"


def test_results_need_the_owner_of_that_very_study(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content
) -> None:
    mine, other = made(store, drawn), made(store, drawn, "other")
    for token in (other, mine + "x", mine[:-1], "", "\0", "' OR 1=1 --", "x" * 10**6):
        at = open_page(monkeypatch, run, "results", study="mine", owner=token)
        assert len(at.error) == 1 and refused(at)
        assert not token.strip() or token not in told(at)
    at = open_page(monkeypatch, run, "results", study="mine", owner=mine)
    assert not refused(at)
    at.query_params["study"] = "other"
    assert refused(at.run()), "one study's owner is not another's"
    at.query_params["owner"] = other
    assert not refused(at.run())


@pytest.mark.parametrize("token", ["", "x", "\0", "=1+1", "<b>", "' OR 1=1 --", "x" * 10**5])
def test_a_bad_invitation_is_one_calm_line(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content, token: str
) -> None:
    owner = made(store, drawn)
    for bad in (token, owner):
        at = open_page(monkeypatch, run, "annotate", invite=bad)
        assert refused(at) and "opens no study" in told(at)
    assert refused(open_page(monkeypatch, run, "annotate"))


def test_who_is_erased_is_out(
    monkeypatch: pytest.MonkeyPatch, run: Path, store: Annotations, drawn: Content
) -> None:
    made(store, drawn)
    token = store.invite("mine")
    at = open_page(monkeypatch, run, "annotate", invite=token)
    assert not at.error
    found = store.annotator_of(token)
    assert found is not None and store.erase("mine", found.annotator)
    assert refused(at.run()) and "opens no study" in told(at)


OWNER = {"is_logged_in": True, "email": "Ann@X.org", "email_verified": True}


@pytest.mark.parametrize(
    ("claims", "owns"),
    [
        (OWNER, True),
        (OWNER | {"email_verified": "true"}, True),
        (OWNER | {"email_verified": False}, False),
        (OWNER | {"email_verified": "false"}, False),
        ({k: v for k, v in OWNER.items() if k != "email_verified"}, False),
        (OWNER | {"is_logged_in": False}, False),
        (OWNER | {"email": "bob@x.org"}, False),
        (OWNER | {"email": ""}, False),
        (OWNER | {"email": "ann@x.org,c@x.org"}, False),
    ],
)
def test_a_listed_address_owns_where_its_provider_vouches_for_it(
    claims: dict[str, object], owns: bool
) -> None:
    assert access.owner_by(claims, " ann@x.org , c@x.org,") is owns
    assert not access.owner_by(claims, "") and not access.owner_by(claims, ",")


# In a browser


class Served:
    """A server with two studies, and what it wrote to its log."""

    def __init__(self, url: str, store: Annotations, owner: str) -> None:
        self.url, self.store, self.owner = url, store, owner

    def invitation(self) -> str:
        return self.store.invite("mine")


@pytest.fixture(scope="module")
def served(
    run: Path,
    drawn: Content,
    tmp_path_factory: pytest.TempPathFactory,
    dashboard_server: Callable[..., str],
) -> Served:
    place = str(tmp_path_factory.mktemp("kept") / "annotations.sqlite")
    store = Annotations(place)
    return Served(dashboard_server(run, LOUPE_ANNOTATIONS=place), store, made(store, drawn))


def shown(page: "Page") -> str:
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    main = page.locator("[data-testid=stMain]")
    main.get_by_text(re.compile(r"\w")).first.wait_for()
    return main.inner_text()


def tab(context: "BrowserContext", url: str) -> str:
    page = context.new_page()
    page.goto(url)
    text = shown(page)
    page.close()
    return text


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_an_annotators_browser_opens_no_other_page(page: "Page", served: Served) -> None:
    token = served.invitation()
    page.goto(f"{served.url}/annotate?invite={token}")
    assert "Which group" in shown(page)
    assert page.locator("[data-testid=stTopNavLink], [data-testid=stSidebarNavLink]").count() == 0
    assert page.locator(".st-key-run-picker, .st-key-tray-box").count() == 0
    assert token not in page.locator("body").inner_text()
    context = page.context
    for name in PAGES[1:]:
        assert NO_PART in tab(context, f"{served.url}/{name}"), "typed in a new tab"
    assert NO_PART in tab(context, served.url)
    assert NO_PART in tab(context, f"{served.url}/browse?invite={token}")
    assert "Which group" in tab(context, f"{served.url}/annotate"), "and this one goes on"
    page.evaluate(
        """() => { history.pushState({}, "", "/browse");
        window.dispatchEvent(new PopStateEvent("popstate", { state: {} })); }"""
    )
    page.get_by_text(NO_PART).wait_for()


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_an_owners_browser_opens_every_page_from_then_on(page: "Page", served: Served) -> None:
    page.goto(f"{served.url}/browse")
    assert CLOSED in shown(page)
    page.goto(f"{served.url}/browse?study=mine&owner={served.owner}")
    page.locator(".card").first.wait_for()
    page.wait_for_function("!location.search.includes('owner=')")
    assert "Results" in page.locator("[data-testid=stHeader]").inner_text()
    for name in ("map", "lists", "results?study=mine"):
        text = tab(page.context, f"{served.url}/{name}")
        assert CLOSED not in text and "owner" not in text, name
    kept = {each["name"]: each for each in page.context.cookies()}
    assert kept["loupe_owner.mine"]["sameSite"] == "Strict"
    assert "Which group" in tab(page.context, f"{served.url}/annotate?invite={served.invitation()}")
    assert CLOSED not in tab(page.context, f"{served.url}/map"), "an owner who tries an invitation"


@pytest.mark.browser
def test_an_owners_cookie_of_another_study_or_server_opens_nothing(
    page: "Page", served: Served
) -> None:
    for name, value in (("loupe_owner.mine", "x" * 32), ("loupe_owner.none", served.owner)):
        page.context.clear_cookies()
        page.context.add_cookies([{"name": name, "value": value, "url": served.url}])
        assert CLOSED in tab(page.context, f"{served.url}/browse")


@pytest.mark.browser
def test_no_log_holds_a_token(page: "Page", run: Path, drawn: Content, tmp_path: Path) -> None:
    from conftest import serve

    place = str(tmp_path / "annotations.sqlite")
    store, log = Annotations(place), tmp_path / "log"
    owner, invite = made(store, drawn), store.invite("mine")
    with serve("dashboard/app.py", str(run), log=log, env={"LOUPE_ANNOTATIONS": place}) as url:
        tab(page.context, f"{url}/annotate?invite={invite}")
        tab(page.context, f"{url}/map?study=mine&owner={owner}")
    assert not re.search(f"{re.escape(owner)}|{re.escape(invite)}", log.read_text())
