"""What several test files share: the folders of real data, a browser, a running dashboard."""

import hashlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import durations
import pytest

if TYPE_CHECKING:  # Playwright takes half a second to import, which few runs need
    from playwright.sync_api import Browser, ConsoleMessage, Page
    from postgres import Server

ROOT = Path(__file__).parents[1]
LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGS = [
    "--no-sandbox",  # Chromium refuses to start as root with it
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Other names lead nowhere, so that a request to one fails at once and is seen below.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]
START_SECONDS = 60


def keep_bytecode() -> None:
    """Where Python is told to write no bytecode, keep it in the tests' cache: they start some
    hundred processes, and each would compile all that it imports, for seconds."""
    if sys.dont_write_bytecode:
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(ROOT / ".pytest_cache" / "bytecode")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix


def share_cores() -> None:
    """Beside other workers, as many threads as are this one's share of the cores: more would wait
    for each other."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        threads = max(1, (os.cpu_count() or 1) // workers)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))


keep_bytecode()
share_cores()


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    durations.mark_slow(items)
    durations.longest_first(items)


def missing(what: str) -> None:
    """Skip the test, with the reason; in CI fail it, since there everything is to be had."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def folder_from(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} names no folder: set it to {what}")
    path = Path(value)
    assert path.is_dir(), f"{variable}={value} is no folder"
    return path


@pytest.fixture(scope="session")
def photos_dir() -> Path:
    """A folder of real photographs."""
    return folder_from("LOUPE_TEST_PHOTOS", "a folder of photographs with a CSV of captions")


@pytest.fixture(scope="session")
def clip_dir() -> Path:
    """A real CLIP in Hugging Face's format."""
    return folder_from("LOUPE_TEST_CLIP", "a folder that holds a Hugging Face CLIPModel")


@dataclass
class PageLog:
    """What a page did that a good page does not: asserted to be empty."""

    outside: list[str] = field(default_factory=list)
    """Addresses asked for that are not on this machine."""
    errors: list[str] = field(default_factory=list)
    """Errors in the console, and exceptions that nothing caught."""

    def note_address(self, url: str) -> None:
        host = urlsplit(url).hostname  # none in data: and blob:
        if host and host not in LOCAL_HOSTS:
            self.outside.append(url)

    def note_message(self, message: "ConsoleMessage") -> None:
        if message.type == "error" and not self.is_probe(message):
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    @staticmethod
    def is_probe(message: "ConsoleMessage") -> bool:
        """Streamlit looks for its server below a deep link's path first, and gets a 404."""
        path = urlsplit(message.location.get("url", "")).path
        return "404" in message.text and path.endswith(("/_stcore/health", "/_stcore/host-config"))


@pytest.fixture(scope="module")  # not longer: while it lives, asyncio.run() fails in this thread
def browser() -> Iterator["Browser"]:
    """The system's Chromium, headless."""
    found = filter(None, map(shutil.which, CHROMIUM_NAMES))
    executable = next(found, None)
    if executable is None:
        missing(f"no browser: none of {', '.join(CHROMIUM_NAMES)} is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)
        yield running
        running.close()


@pytest.fixture
def page_log() -> PageLog:
    """What `page` records; ask for both to assert on it."""
    return PageLog()


@contextmanager
def fresh_page(browser: "Browser", page_log: PageLog, *, bypass_csp: bool) -> Iterator["Page"]:
    """A fresh page with its own cookies, 1440 x 900, which records into `page_log`."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=bypass_csp)
    context.set_default_timeout(60_000)  # other tests share the machine
    context.on("request", lambda request: page_log.note_address(request.url))
    opened = context.new_page()
    opened.on("websocket", lambda socket: page_log.note_address(socket.url))
    opened.on("console", page_log.note_message)
    opened.on("pageerror", lambda error: page_log.errors.append(str(error)))
    yield opened
    context.close()


@pytest.fixture
def page(browser: "Browser", page_log: PageLog) -> Iterator["Page"]:
    """A fresh page. Playwright asks in the page itself whether what it waits for is there, which
    the server's policy forbids, so that here it does not hold; see `strict_page`."""
    with fresh_page(browser, page_log, bypass_csp=True) as opened:
        yield opened


@pytest.fixture
def strict_page(browser: "Browser", page_log: PageLog) -> Iterator["Page"]:
    """The same, under the server's Content-Security-Policy, as people have it."""
    with fresh_page(browser, page_log, bypass_csp=False) as opened:
        yield opened


@contextmanager
def bare_main() -> Iterator[None]:
    """No script as the main module, which AppTest leaves there: processes that are spawned would
    run it."""
    before = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = before


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@contextmanager
def serve(
    script: Path | str, *arguments: str, log: Path, env: dict[str, str], cwd: Path = ROOT
) -> Iterator[str]:
    """A Streamlit script in a process of its own, from the folder `cwd`; its address, once it
    answers."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    command += ["--server.port", str(port), "--", *arguments]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=cwd, env=os.environ | env, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            url = f"http://localhost:{port}"
            deadline = time.monotonic() + START_SECONDS
            while not answers(f"{url}/_stcore/health"):
                said = log.read_text(encoding="utf-8", errors="replace")
                assert process.poll() is None, f"{script} stopped:\n{said}"
                assert time.monotonic() < deadline, f"{script} does not answer:\n{said}"
                time.sleep(0.1)
            yield url
        finally:
            process.kill()


@pytest.fixture(scope="module")
def dashboard_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """dashboard_server(RUN, NAME=VALUE...) -> address: the dashboard over a run or bundle.

    Names and values go to its environment. It runs until the test file ends.
    """
    with ExitStack() as servers:

        def start(run: Path | str, **env: str) -> str:
            log = tmp_path_factory.mktemp("dashboard") / "log"
            of = str(Path(run).absolute())
            return servers.enter_context(serve("dashboard/app.py", of, log=log, env=env))

        yield start


@pytest.fixture(scope="session")
def shared_url(tmp_path_factory: pytest.TempPathFactory, _annotations: None) -> Iterator[str]:
    """The address of a dashboard over a small made-up bundle, for tests that only read. It runs
    until the last test has ended."""
    from synthetic import make_bundle

    run = make_bundle(tmp_path_factory.mktemp("runs") / "demo")
    log = tmp_path_factory.mktemp("dashboard") / "log"
    with serve("dashboard/app.py", str(run), log=log, env={}) as url:
        yield url


@pytest.fixture(autouse=True, scope="session")
def _annotations(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests write what people say into a folder of their own, never into the checkout's."""
    place = tmp_path_factory.mktemp("annotations") / "annotations.sqlite"
    os.environ["LOUPE_ANNOTATIONS"] = str(place)


@pytest.fixture(autouse=True, scope="module")
def _pseudonyms(request: pytest.FixtureRequest) -> Iterator[None]:
    """What annotators are shown hangs on their pseudonyms: in a test's own process these, and the
    tokens, are the same each time, so that a test cannot fail by ill luck."""
    import secrets
    from types import SimpleNamespace

    from pipeline.annotations import annotators, elsewhere, studies

    numbers = itertools.count()

    def token_hex(count: int) -> str:
        seed = f"{request.module.__name__} {next(numbers)}"
        return hashlib.sha256(seed.encode()).hexdigest()[: 2 * count]

    drawn = SimpleNamespace(
        token_hex=token_hex, token_urlsafe=token_hex, compare_digest=secrets.compare_digest
    )
    with pytest.MonkeyPatch.context() as patch:
        for module in (annotators, elsewhere, studies):
            patch.setattr(module, "secrets", drawn)
        yield


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Server]":
    """A real PostgreSQL; `postgres.database()` gives the URL of an empty database."""
    from postgres import server

    with server() as running:
        yield running


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a tiny CLIPModel with random weights."""
    import tiny  # torch and transformers take seconds to import, which many runs do not need

    return tiny.clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a tiny ResNet with random weights."""
    import tiny

    return tiny.resnet(tmp_path_factory.mktemp("models") / "encoder")


@pytest.fixture(scope="session")
def speaking_run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """The folder of a small run of the shipped CLIP, which reads words."""
    from small_run import make_speaking_run

    return make_speaking_run(tmp_path_factory.mktemp("speaking"), encoder=tiny_encoder) / "run"


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the embedded demo's run, made as `make demo-data` makes it."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "pipeline", "run", "pipeline/configs/demo.toml"]
    subprocess.run([*command, "--out", str(folder)], cwd=ROOT, check=True, timeout=1200)
    return folder


@pytest.fixture
def quiet(page_log: "PageLog") -> Iterator[None]:
    """Nothing leaves the machine and nothing goes wrong in the browser, whatever a test does."""
    yield
    assert page_log.outside == []
    assert page_log.errors == []
