"""How the dashboard is served: its settings from every folder, what answers say to browsers."""

import asyncio
import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from conftest import ROOT, PageLog, serve
from synthetic import make_bundle

from dashboard import pages

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAME = "clip-demo/vision.0.resid_post/matryoshka"
HEADERS = ("content-security-policy", "x-frame-options", "x-content-type-options",
           "referrer-policy")  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def url(run: Path, dashboard_server: Callable[..., str]) -> str:
    return dashboard_server(run)


def got(url: str, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and content of an answer to `path`, sent as it is."""
    connection = http.client.HTTPConnection(str(urlsplit(url).netloc), timeout=30)
    connection.request(method, path)
    reply = connection.getresponse()
    return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()


def first_message(url: str) -> Any:
    """What the server tells a browser of its settings."""
    import websockets
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    async def ask() -> Any:
        address = f"{url.replace('http', 'ws', 1)}/_stcore/stream"
        async with websockets.connect(address, max_size=None) as socket:
            asked = BackMsg()
            asked.rerun_script.query_string = ""
            await socket.send(asked.SerializeToString())
            while True:
                message = ForwardMsg.FromString(await socket.recv())
                if message.WhichOneof("type") == "new_session":
                    return message.new_session

    return asyncio.run(ask())


def test_the_settings_hold_from_every_folder(run: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".streamlit").mkdir(parents=True)
    (elsewhere / ".streamlit" / "config.toml").write_text(
        '[browser]\ngatherUsageStats = true\n[server]\naddress = "0.0.0.0"\n'
    )
    log, env = tmp_path / "log", {"PYTHONPATH": str(ROOT)}
    script = ROOT / "dashboard" / "app.py"
    with serve(script, str(run), log=log, env=env, cwd=elsewhere) as url:
        told = first_message(url)
        assert not told.config.gather_usage_stats
        assert told.custom_theme.base_font_size == 15
        assert got(url, "/_stcore/metrics")[0] == 404
        port = urlsplit(url).port
        assert port is not None
        listening = Path("/proc/net/tcp").read_text().split("\n")[1:]
        bound = {line.split()[1] for line in listening if f":{port:04X} 00000000:0000 0A" in line}
        assert bound == {f"0100007F:{port:04X}"}, "on this machine alone"


def test_without_its_settings_it_does_not_start(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "dashboard", tmp_path / "dashboard", symlinks=True)
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.port", "0"]
    env = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=120)
    assert done.returncode != 0
    assert b"would start without its settings" in done.stdout + done.stderr


def test_metrics_are_closed(url: str) -> None:
    for path in ("", "/", "?families=active_sessions", "/?x=1", "%2F"):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            status, _, said = got(url, f"/_stcore/metrics{path}", method)
            assert status in {404, 405} or b"<!DOCTYPE html>" in said, (path, method)
            assert b"# TYPE" not in said and b"active_sessions" not in said
    assert got(url, "/_stcore/metric%73")[0] == 404
    assert got(url, "/_stcore/health")[0] == 200


def test_every_answer_says_what_a_browser_may_do(url: str) -> None:
    page = got(url, "/browse")[2].decode()
    script = page.split('src="./static/js/')[1].split('"')[0]
    for path in ("/", "/browse", "/annotate?invite=x", "/_stcore/health", "/_stcore/metrics",
                 f"/static/js/{script}", "/media/none.png", "/component/none/x"):  # fmt: skip
        _, headers, _ = got(url, path)
        assert [name for name in HEADERS if name not in headers] == [], path
    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'self'" and policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    assert "*" not in headers["content-security-policy"]


@contextmanager
def framing(url: str) -> Iterator[str]:
    """A page of another server that shows the dashboard in a frame."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<iframe id="f" src="{url}/browse"></iframe>'.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.browser
def test_no_page_stands_in_a_frame(strict_page: "Page", page_log: PageLog, url: str) -> None:
    with framing(url) as address:
        strict_page.goto(address)
        strict_page.wait_for_timeout(1000)
        (frame,) = [one for one in strict_page.frames if one != strict_page.main_frame]
        assert frame.locator("[data-testid=stApp]").count() == 0
    assert any("frame-ancestors" in error or "X-Frame" in error for error in page_log.errors)


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_every_page_works_under_the_policy(
    strict_page: "Page", page_log: PageLog, url: str
) -> None:
    feature = f"dictionary={NAME}&feature=3"
    every = [page.address for page in pages.PAGES]
    more = ["modalities?look=Layers", "compare?look=Flow", f"feature?{feature}", "image?example=3"]
    for path in (*every, *more):
        strict_page.goto(f"{url}/{path}")
        strict_page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
        strict_page.wait_for_timeout(500)
        assert strict_page.locator("[data-testid=stException]").count() == 0, path
    assert page_log.errors == []
    ran = strict_page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        " document.body.append(s); return window.ran ?? 0; }"
    )
    assert ran == 0, "a script that is put into the page does not run"
    assert "Content Security Policy" in page_log.errors.pop()
