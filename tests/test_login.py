"""Signing in by Streamlit's login: a real authorization-code flow with a provider on this machine.

The provider is at 127.0.0.1 and the dashboard at localhost: two sites, as in life, so that cookies
of the one do not come along from the other.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import PageLog, free_port, serve
from pages import APP, open_page, said
from streamlit.testing.v1 import AppTest
from synthetic import make_bundle
from typer.testing import CliRunner

from dashboard import pages
from dashboard.people import access, login
from pipeline.annotations import Annotations, Annotator, FeatureKey
from pipeline.study.content import Content
from pipeline.study.creation import create
from pipeline.study.files import Study

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config")  # the provider's older Authlib

PAGES = [page.name for page in pages.PAGES if page is not pages.ANNOTATE]
CLOSED, NOT_SIGNED_IN = "opens only for its owner", "You are not signed in."
STYLE = "https://cdn.jsdelivr.net/npm/@picocss/pico@2/css/pico.min.css"
"""What the provider's own pages ask for; it is kept from them."""
OWNER = "ann@example.org"
PEOPLE = {
    "subject-of-ann": {"email": OWNER, "email_verified": True},
    "subject-of-mallory": {"email": OWNER, "email_verified": False},
    "subject-of-bob": {"email": "bob@example.org", "email_verified": True},
}
STUDIES: dict[str, dict[str, Any]] = {"plain": {}, "mailed": {"emails": True}}


class Provider:
    """An OpenID provider that anyone in PEOPLE can sign in at, with a press."""

    def __init__(self, start: Callable[[], AbstractContextManager[object]], url: str) -> None:
        self.url, self._start, self._running = url, start, ExitStack()
        self._running.enter_context(start())

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self._running.enter_context(self._start())

    def stop(self) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    from authlib.deprecate import AuthlibDeprecationWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AuthlibDeprecationWarning)  # the provider's own
        from oidc_provider_mock import User, run_server_in_thread

        users = [User(sub=sub, claims=claims) for sub, claims in PEOPLE.items()]
        port = free_port()
        running = Provider(
            lambda: run_server_in_thread(port, require_nonce=True, user_claims=users),
            f"http://127.0.0.1:{port}",
        )
        yield running
        running.stop()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module", autouse=True)
def drawn(run: Path) -> Content:
    """A study, drawn before any page has the bundle open."""
    checks = {"catch": 0, "catch_every": 0, "repeat_every": 0}
    of = {"name": "plain", "bundle": run, "images": 4, "practice": 0, "draw": {"count": 4},
          "consent": "I agree to it.", "login": True, "checks": checks, "votes": 60}  # fmt: skip
    return create(Study.model_validate(of))


def put(store: Annotations, drawn: Content) -> None:
    for name, settings in STUDIES.items():
        study = drawn.study.model_copy(update={"name": name} | settings)
        content = drawn.model_copy(update={"study": study})
        store.create_study(name, content.model_dump_json(), content.wanted)


class Served:
    """A server with a login, its studies, and what it wrote to its log."""

    def __init__(self, url: str, store: Annotations, log: Path) -> None:
        self.url, self.store, self.log = url, store, log

    def person(self, study: str, subject: str, issuer: str) -> Annotator:
        """Who signed in as this person of the provider."""
        return self.store.annotator_by_login(study, issuer, subject)


@pytest.fixture(scope="module")
def served(
    run: Path, drawn: Content, provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("kept")
    store = Annotations(str(folder / "annotations.sqlite"))
    put(store, drawn)
    secrets = folder / "secrets.toml"
    settings = (
        'client_id = "loupe"\n'
        'client_secret = "of the test"\n'
        f'server_metadata_url = "{provider.url}/.well-known/openid-configuration"\n'
    )
    secrets.write_text(
        "[auth]\n"
        'redirect_uri = "http://localhost:{port}/oauth2callback"\n'
        'cookie_secret = "the cookies of the test are signed by it"\n'
        f"{settings}[auth.campus]\n{settings}"
    )
    env = {
        "LOUPE_ANNOTATIONS": store.place, "LOUPE_OWNERS": f"eve@example.org, {OWNER}",
        "STREAMLIT_SECRETS_FILES": str(secrets),
    }  # fmt: skip
    log = folder / "log"
    with serve("dashboard/app.py", str(run), log=log, env=env) as url:
        yield Served(url, store, log)
    store.close()


@pytest.fixture
def page(page: "Page", page_log: PageLog) -> Iterator["Page"]:
    """A page on which nothing goes wrong, and which asks for nothing outside."""
    page.context.route(STYLE, lambda route: route.fulfill(body="", content_type="text/css"))
    yield page
    assert [each for each in page_log.outside if each != STYLE] == []
    assert page_log.errors == []


def refusal(page: "Page", url: str) -> str:
    """What the page says that does not open."""
    page.goto(url)
    page.get_by_text(CLOSED).wait_for()
    page.get_by_role("button", name=re.compile("Sign")).last.wait_for()
    return page.locator("[data-testid=stMain]").inner_text()


def press(page: "Page", name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def sign_in(page: "Page", provider: Provider, subject: str, *, by: str = "Sign in") -> None:
    """From a page with the button to the provider and back."""
    press(page, by)
    page.wait_for_url(f"{provider.url}/**")
    press(page, subject)


def sign_out(page: "Page", served: Served, provider: Provider) -> None:
    press(page, "Sign out")
    page.wait_for_url(f"{provider.url}/**")
    press(page, "End session")
    page.wait_for_url(f"{served.url}/**")


def begin(page: "Page") -> None:
    page.get_by_role("checkbox").press("Space")
    page.locator("button:enabled", has_text="Begin").press("Enter")


def at_trial(page: "Page", number: int) -> None:
    page.locator(f'.trial[data-trial="{number}"][data-seen]').wait_for()


def wait_back(page: "Page", served: Served, study: str) -> None:
    page.wait_for_url(f"{served.url}/annotate?study={study}")
    page.get_by_text(NOT_SIGNED_IN).wait_for()


def kept(store: Annotations) -> bytes:
    place = Path(store.place)
    return b"".join(each.read_bytes() for each in place.parent.glob(f"{place.name}*"))


def one_trial(page: "Page", served: Served, provider: Provider, study: str, subject: str) -> None:
    """From the study's address through the login to the second trial."""
    address = f"{served.url}/annotate?study={study}"
    page.goto(address)
    sign_in(page, provider, subject)
    page.wait_for_url(address)
    begin(page)
    at_trial(page, 0)
    page.keyboard.press("ArrowLeft")
    at_trial(page, 1)


def exported(served: Served, study: str, out: Path) -> str:
    from pipeline.__main__ import app

    command = ["study", "export", study, "--out", str(out), "--store", served.store.place]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return "\n".join(each.read_text() for each in out.iterdir()) + done.output


@pytest.mark.browser
def test_who_signs_in_takes_part_and_goes_on_where_they_stopped(
    page: "Page", served: Served, provider: Provider, tmp_path: Path
) -> None:
    subject, address = "subject-of-bob", f"{served.url}/annotate?study=plain"
    one_trial(page, served, provider, "plain", subject)
    for other in (address, served.url):
        second = page.context.new_page()
        second.goto(other)
        at_trial(second, 1)
        assert second.url == address
        second.close()

    who = served.person("plain", subject, provider.url)
    assert who.consented is not None and re.fullmatch("[0-9a-f]{16}", who.annotator)
    assert who.name == ""
    assert [vote.annotator for vote in served.store.votes("plain")] == [who.annotator]
    everything = exported(served, "plain", tmp_path / "out")
    assert who.annotator in everything
    log = served.log.read_text()
    for secret in (subject, str(PEOPLE[subject]["email"]), provider.url):
        assert secret not in everything and secret not in log
        assert secret.encode() not in kept(served.store)

    sign_out(page, served, provider)
    wait_back(page, served, "plain")
    page.goto(address)
    sign_in(page, provider, subject)
    at_trial(page, 1)


@pytest.mark.browser
def test_an_address_is_kept_where_the_study_asks_for_it_and_is_not_exported(
    page: "Page", served: Served, provider: Provider, tmp_path: Path
) -> None:
    subject = "subject-of-bob"
    one_trial(page, served, provider, "mailed", subject)
    who = served.person("mailed", subject, provider.url)
    assert who.name == PEOPLE[subject]["email"]
    everything = exported(served, "mailed", tmp_path / "out")
    assert who.annotator in everything and who.name not in everything


@pytest.mark.browser
def test_of_several_providers_each_has_a_button(
    page: "Page", served: Served, provider: Provider
) -> None:
    assert "Sign in with campus" in refusal(page, served.url)
    sign_in(page, provider, "subject-of-ann", by="Sign in with campus")
    page.get_by_text(f"Signed in as {OWNER}").wait_for()
    sign_out(page, served, provider)
    page.get_by_text(CLOSED).wait_for()


@pytest.mark.browser
def test_a_listed_address_owns_every_study_until_it_signs_out(
    page: "Page", served: Served, provider: Provider
) -> None:
    results = f"{served.url}/results?study=plain"
    assert "Sign in" in refusal(page, results)
    sign_in(page, provider, "subject-of-ann")
    page.wait_for_url(f"{served.url}/")
    for name in ("browse", *(f"results?study={study}" for study in STUDIES)):
        page.goto(f"{served.url}/{name}")
        page.get_by_role("button", name="Sign out").wait_for()  # the last that a page shows
        text = page.locator("[data-testid=stMain]").inner_text()
        assert f"Signed in as {OWNER}" in text
        assert CLOSED not in text and "owner" not in text, name
    assert "Results" in page.locator("[data-testid=stHeader]").inner_text()
    sign_out(page, served, provider)
    page.get_by_text(CLOSED).wait_for()
    assert "Sign in" in refusal(page, results)


@pytest.mark.browser
def test_an_address_that_the_provider_does_not_vouch_for_owns_nothing(
    page: "Page", served: Served, provider: Provider
) -> None:
    page.goto(served.url)
    sign_in(page, provider, "subject-of-mallory")
    page.wait_for_url(f"{served.url}/")
    for name in ("", "browse", "results?study=plain"):
        text = refusal(page, f"{served.url}/{name}")
        assert "Sign out" in text and "Sign in\n" not in text, name
    page.goto(f"{served.url}/annotate?study=mailed")
    page.get_by_role("checkbox").wait_for()
    assert served.person("mailed", "subject-of-mallory", provider.url).name == ""


@pytest.mark.browser
def test_an_owner_may_take_part_and_is_led_there_once(
    page: "Page", served: Served, provider: Provider
) -> None:
    address = f"{served.url}/annotate?study=plain"
    page.goto(address)
    sign_in(page, provider, "subject-of-ann")
    page.wait_for_url(address)
    page.get_by_role("checkbox").wait_for()
    page.get_by_role("link", name="Overview").click()
    page.wait_for_url(f"{served.url}/")
    page.wait_for_function("!document.cookie.includes('loupe_joining')")


@pytest.mark.browser
def test_a_login_that_comes_to_nothing_is_a_calm_line(
    page: "Page", served: Served, provider: Provider
) -> None:
    address = f"{served.url}/annotate?study=plain"
    page.goto(address)
    page.get_by_role("button", name="Sign in", exact=True).wait_for()
    with provider.stopped():
        press(page, "Sign in")
        page.get_by_text(login.SILENT).wait_for()
        assert page.url == address
    press(page, "Sign in")
    page.wait_for_url(f"{provider.url}/**")
    (state,) = re.findall("[?&]state=([^&]+)", page.url)
    press(page, "Deny")
    wait_back(page, served, "plain")
    for query in (f"code=x&state={state}", "code=x&state=y", "error=<b>a</b>&state=y"):
        page.goto(f"{served.url}/oauth2callback?{query}")
        wait_back(page, served, "plain")
        assert page.locator("[data-testid=stException], [data-testid=stAlert]").count() == 0
    sign_in(page, provider, "subject-of-bob")
    page.get_by_role("button", name="Sign out").wait_for()
    with provider.stopped():
        press(page, "Sign out")
        wait_back(page, served, "plain")


# Without a browser


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: Content) -> Iterator[Annotations]:
    place = tmp_path / "annotations.sqlite"
    monkeypatch.setenv("LOUPE_ANNOTATIONS", str(place))
    opened = Annotations(str(place))
    put(opened, drawn)
    yield opened
    opened.close()


def buttons(at: AppTest) -> list[str]:
    return [each.label for each in at.button]


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch, run: Path) -> Callable[..., AppTest]:
    """visit(view, user) -> the page, as this user of the login sees it."""
    monkeypatch.setattr("sys.argv", ["app.py", str(run)])

    def opened(view: str, user: dict[str, object], **auth: object) -> AppTest:
        at = AppTest.from_file(str(APP), default_timeout=120)
        at.user, at.secrets["auth"] = user, auth
        at.run()
        return at if view == "overview" else at.switch_page(f"views/{view}/page.py").run()

    return opened


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("verified", [True, False])
def test_every_page_opens_by_an_address_that_is_vouched_for(
    monkeypatch: pytest.MonkeyPatch, visit: Callable[..., AppTest], verified: bool
) -> None:
    monkeypatch.setenv(access.OWNERS, OWNER)
    user = {"is_logged_in": True, "email": OWNER, "email_verified": verified}
    for name in PAGES:
        at = visit(name, user)
        assert not at.exception and buttons(at)[-1] == "Sign out"
        assert (CLOSED in said(at)) is not verified, name


def test_an_import_writes_as_who_is_signed_in(
    monkeypatch: pytest.MonkeyPatch, visit: Callable[..., AppTest], store: Annotations,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv(access.OWNERS, OWNER)
    feature = FeatureKey("f" * 16, 3)
    store.write_note("bob", feature, "model/hook/sae", "bob's own")
    other = Annotations(str(tmp_path / "other.sqlite"))
    other.write_note("bob", feature, "model/hook/sae", "not bob's")
    other.write_label("bob", feature, "model/hook/sae", "not bob's")
    at = visit("lists", {"is_logged_in": True, "email": OWNER, "email_verified": True})
    file = other.export().encode()
    at.file_uploader(key="lists-file").upload("x.json", file, "application/json").run()
    assert "others said 2 of what it holds" in at.success[0].value
    assert {(one.author, one.text) for one in store.notes_of(feature)} == {
        ("bob", "bob's own"), (OWNER, "bob: not bob's"),
    }  # fmt: skip
    assert {one.author for one in store.labels_of(feature)} == {OWNER}


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"email": "ann@x.org"}, "ann@x.org"),
        ({"email": "ann@x.org", "email_verified": False, "name": "A"}, "A"),
        ({"email": "ann@x.org", "email_verified": "false", "sub": "7"}, "7"),
        ({"email": " ", "name": "me", "sub": "7"}, "7"),
        ({"is_logged_in": False, "email": "ann@x.org"}, "ann@x.org (not signed in)"),
    ],
)
def test_nobody_speaks_in_the_name_of_one_who_signs_in(
    monkeypatch: pytest.MonkeyPatch, claims: dict[str, object], name: str
) -> None:
    import streamlit as st

    from dashboard.people import annotations

    monkeypatch.setattr(st, "user", {"is_logged_in": True} | claims)
    monkeypatch.setattr(st, "session_state", {annotations.AUTHOR: "ann@x.org"})
    assert annotations.author() == name
    monkeypatch.setattr(st, "session_state", {annotations.AUTHOR: "n" * 200})
    assert len(annotations.author()) <= 200


@pytest.mark.usefixtures("store")
def test_without_a_login_nothing_speaks_of_one(monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    at = open_page(monkeypatch, run, "annotate", study="plain")
    assert len(at.error) == 1 and said(at) == at.error[0].value and buttons(at) == []
    assert "no login just now" in said(at)
    for name in ("browse", "results"):
        at = open_page(monkeypatch, run, name)
        assert CLOSED in said(at) and buttons(at) == []
        assert not re.search("(?i)log ?in|sign(ed)? in|sign out", said(at))


@pytest.mark.usefixtures("store")
def test_settings_of_the_default_provider_are_no_provider(visit: Callable[..., AppTest]) -> None:
    one = {"client_id": "loupe"}
    for auth, wanted in (
        (one | {"client_kwargs": {"prompt": "login"}}, ["Sign in"]),
        ({"campus": one, "home": one}, ["Sign in with campus", "Sign in with home"]),
        ({}, ["Sign in"]),
    ):
        assert buttons(visit("browse", {"is_logged_in": False}, **auth)) == wanted


@pytest.mark.usefixtures("store")
def test_a_provider_that_is_no_longer_there_is_a_calm_line(visit: Callable[..., AppTest]) -> None:
    one = {"client_id": "loupe"}
    at = visit("browse", {"is_logged_in": False}, campus=one, home=one)
    at.secrets["auth"] = {"home": one}
    at.button[0].click().run()
    assert not at.exception and [each.value for each in at.warning] == [login.NOT_SET_UP]
    assert buttons(at) == ["Sign in with home"]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("path", "way", "line"),
    [
        ("/.well-known/openid-configuration", "closed", login.NOT_SET_UP),  # the rest lacks
        ("/nowhere", "open", login.SILENT),
        (None, "open", login.NOT_SET_UP),
    ],
)
def test_a_login_that_is_set_up_badly_is_a_calm_line(
    monkeypatch: pytest.MonkeyPatch, provider: Provider, visit: Callable[..., AppTest],
    path: str | None, way: str, line: str,
) -> None:  # fmt: skip
    if way == "open":
        monkeypatch.setenv(access.OPEN, "1")
    auth = {} if path is None else {"server_metadata_url": provider.url + path}
    at = visit("results", {"is_logged_in": False}, **auth)
    assert len(at.error) == 1 and buttons(at) == ["Sign in"]
    at.button[0].click().run()
    assert not at.exception and [each.value for each in at.warning] == [line]
    assert len(at.error) == 1 and buttons(at) == ["Sign in"]
    assert not at.run().warning, "said once"
