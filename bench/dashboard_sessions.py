"""The dashboard's server, and people at it without browsers: clients of Streamlit's protocol."""

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

ROOT = Path(__file__).parents[1]
Dictionaries = Sequence[tuple[str, str, int]]
"""Of each its id, its hook point as Browse names it, and how many features it has."""
THINKING = (0.5, 2.5)
"""Seconds between an answer and the next question of one person."""
_DONE = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR)
"""Not where a run ends to begin anew at once."""


@contextmanager
def served(script: Path, bundle: Path) -> Iterator[tuple[str, int]]:
    """The script under Streamlit over a bundle, in a process of its own: its address, its process.

    Raises:
        SystemExit: it does not start; with what it said.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [*command, "--", str(bundle)], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        try:
            url, end = f"http://localhost:{port}", time.monotonic() + 60
            while not _answers(f"{url}/_stcore/health"):
                if server.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise SystemExit(f"the server does not start:\n{log.read().decode()}")
                time.sleep(0.1)
            yield url, server.pid
        finally:
            server.kill()
            server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def memory(process: int) -> float:
    """MiB that the process holds in memory (Linux)."""
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass
class Person:
    """One session: what its browser would send, and how long the answers take."""

    socket: Any
    page: str = ""
    query: str = ""
    widgets: dict[str, dict[str, Any]] = field(default_factory=dict)
    buttons: dict[str, str] = field(default_factory=dict)
    received: int = 0
    problems: list[str] = field(default_factory=list)

    async def ask(
        self, page: str, choices: Mapping[str, str | int] | None = None, *, press: str = ""
    ) -> float:
        """Go to an address of the app; seconds until the script has run.

        Args:
            press: the key of a button that was there, which is pressed.
        """
        message = BackMsg()
        asked = message.rerun_script
        asked.page_name, asked.query_string = page, urlencode(choices or {})
        asked.is_history_navigation = True
        asked.context_info.timezone, asked.context_info.locale = "UTC", "en"
        asked.context_info.url = f"http://localhost/{page}"
        for identity, state in self.widgets.items():
            asked.widget_states.widgets.add(id=identity, json_value=json.dumps(state))
        if press:
            asked.widget_states.widgets.add(id=self.buttons[press], trigger_value=True)
        start = time.perf_counter()
        await self.socket.send(message.SerializeToString())
        await self._answered()
        return time.perf_counter() - start

    async def _answered(self) -> None:
        while True:
            data = await self.socket.recv()
            self.received += len(data)
            message = ForwardMsg.FromString(data)
            kind = message.WhichOneof("type")
            if kind == "delta":
                self._note(message.delta.new_element)
            elif kind == "script_finished" and message.script_finished in _DONE:
                return

    def _note(self, element: Any) -> None:
        kind = element.WhichOneof("type")
        if kind == "bidi_component" and element.bidi_component.component_name.endswith("page"):
            self.widgets[element.bidi_component.id] = {"there": True}  # as the browser's code tells
        elif kind == "button":
            self.buttons[element.button.id.partition("-steer-")[2]] = element.button.id
        elif kind in ("exception", "alert"):
            self.problems.append(str(getattr(element, kind))[:300])


async def arrive(url: str) -> Person:
    """A new session that has seen its first page."""
    import websockets

    address = f"{url.replace('http', 'ws', 1)}/_stcore/stream"
    person = Person(await websockets.connect(address, max_size=None, ping_interval=None))
    await person.ask("browse")
    await person.ask("browse")
    return person


def wander(draw: random.Random, dictionaries: Dictionaries) -> Iterator[tuple[str, dict[str, Any]]]:
    """Addresses as one opens them: a page of Browse, a feature and those after it, and again."""
    while True:
        name, hook, features = draw.choice(dictionaries)
        order = draw.choice(["MS", "density", "max activation"])
        page = draw.randrange(1, features // 60 + 2)
        yield "browse", {"hook": hook, "sort": order, "page": page}
        feature = draw.randrange(features - 3)
        for step in range(3):
            yield "feature", {"dictionary": name, "feature": feature + step}


def crowd(
    url: str, dictionaries: Dictionaries, *, people: int, seconds: float
) -> tuple[list[float], list[str]]:
    """Seconds of each rerun while so many people browse, and what the pages complained of."""

    async def live(person: Person, draw: random.Random, end: float) -> list[float]:
        taken = []
        for page, choices in wander(draw, dictionaries):
            await asyncio.sleep(draw.uniform(*THINKING))
            if time.monotonic() > end:
                break
            taken.append(await person.ask(page, choices))
        await person.socket.close()
        return taken

    async def together() -> tuple[list[float], list[str]]:
        sessions = [await arrive(url) for _ in range(people)]
        end = time.monotonic() + seconds
        lives = (live(one, random.Random(i), end) for i, one in enumerate(sessions))
        taken = await asyncio.gather(*lives)
        return list(chain(*taken)), list(chain(*(one.problems for one in sessions)))

    return asyncio.run(together())


def growth(
    url: str, process: int, dictionaries: Dictionaries, *, changes: int, warm: int
) -> tuple[list[float], list[str]]:
    """MiB that the server holds after `warm` page changes of one person and after every hundred
    more, and what the pages complained of."""

    async def alone() -> tuple[list[float], list[str]]:
        person, held = await arrive(url), []
        for turn, (page, choices) in enumerate(wander(random.Random(99), dictionaries)):
            if turn >= warm and (turn - warm) % 100 == 0:
                held.append(memory(process))
            if turn >= warm + changes:
                break
            await person.ask(page, choices)
        await person.socket.close()
        return held, person.problems

    return asyncio.run(alone())
