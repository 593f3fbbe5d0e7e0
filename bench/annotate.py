"""From press to the next pair in Annotate, in a real browser: alone, and with others at once.

    python bench/annotate.py data/runs/demo

The next pair shows when the store has acknowledged the vote, which is on the disk then. The others
are clients of Streamlit's protocol that judge as fast as people who hurry; the one that is measured
is a browser.
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from dashboard_browser import opened
from dashboard_sessions import ROOT, Person, served

from pipeline.annotations import Annotations
from pipeline.study.creation import create
from pipeline.study.files import Study

HURRY = (1.0, 3.0)
"""Seconds for which the others look at a pair."""
LOOK_MS = 700
JUDGE = """async (look) => {
  const holders = [...document.querySelectorAll("*")].filter((node) => node.shadowRoot);
  const root = holders.map((node) => node.shadowRoot).find((each) => each.querySelector(".trial"));
  const number = () => root.querySelector(".trial[data-painted]")?.dataset.trial;
  const frame = () => new Promise(requestAnimationFrame);
  while (number() === undefined) await frame();
  const before = number();
  await new Promise((go) => setTimeout(go, look));
  const pressed = performance.now();
  document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
  while ([undefined, before].includes(number())) await frame();
  return performance.now() - pressed;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--votes", type=int, default=60, help="votes that are measured, each way")
    parser.add_argument("--people", type=int, default=10, help="people at once, in the second way")
    parser.add_argument("--store", help="database to keep them in; SQLite in a new folder if none")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = asked.store or str(Path(folder) / "annotations.sqlite")
        os.environ["LOUPE_ANNOTATIONS"] = place
        store = Annotations(place)
        study = Study.model_validate(
            {"name": "bench", "bundle": asked.run, "practice": 0, "rest_every": 0, "votes": 1000}
            | {"draw": {"how": "random", "count": 3 * asked.votes}}
        )
        content = create(study)
        store.create_study(study.name, content.model_dump_json(), content.wanted)
        with served(ROOT / "dashboard" / "app.py", asked.run) as (url, _):
            tell("alone", measure(url, invited(store), votes=asked.votes))
            with judging(url, store, people=asked.people - 1) as others:
                tell(f"{asked.people} at once", measure(url, invited(store), votes=asked.votes))
            print(f"the others cast {sum(others)} votes meanwhile")


def invited(store: Annotations) -> str:
    """The token of someone who has agreed."""
    token = store.invite("bench")
    found = store.annotator_of(token)
    assert found is not None
    store.consent("bench", found.annotator)
    return token


def measure(url: str, token: str, *, votes: int) -> list[float]:
    """Milliseconds from each press to when all images of the next pair are on the screen."""
    with opened() as page:
        page.goto(f"{url}/annotate?invite={token}")
        page.locator(".trial[data-seen]").wait_for()
        taken = [page.evaluate(JUDGE, LOOK_MS) for _ in range(votes + 5)]
    return taken[5:]


def tell(what: str, taken: list[float]) -> None:
    middle, late = np.percentile(taken, [50, 95])
    print(f"{what}: {len(taken)} votes, median {middle:.0f} ms, p95 {late:.0f} ms")


class Annotator(Person):
    """One who judges, without a browser."""

    shown: tuple[str, dict[str, Any]] | None = None

    def _note(self, element: Any) -> None:
        super()._note(element)
        found = element.bidi_component
        if found.component_name.endswith("annotate"):
            self.shown = found.id, json.loads(found.json)

    async def judge(self, token: str, draw: random.Random) -> None:
        """Answer the trial that is shown."""
        assert self.shown is not None, self.problems
        name, data = self.shown
        answer = draw.choice(["left", "right"])
        said = {"trial": data["trial"], "answer": answer, "request": f"{draw.random()}", "ms": 900}
        self.widgets[name] = {"said": said}
        await self.ask("annotate", {"invite": token})


@contextmanager
def judging(url: str, store: Annotations, *, people: int) -> Iterator[list[int]]:
    """So many others judge meanwhile; the votes of each, which rise."""
    tokens, over = [invited(store) for _ in range(people)], threading.Event()
    votes = [0] * people

    async def live(at: int) -> None:
        import websockets

        address = f"{url.replace('http', 'ws', 1)}/_stcore/stream"
        async with websockets.connect(address, max_size=None, ping_interval=None) as socket:
            one, draw = Annotator(socket), random.Random(at)
            for _ in range(2):
                await one.ask("annotate", {"invite": tokens[at]})
            while not over.is_set():
                await asyncio.sleep(draw.uniform(*HURRY))
                await one.judge(tokens[at], draw)
                votes[at] += 1

    async def together() -> None:
        await asyncio.gather(*map(live, range(people)))

    thread = threading.Thread(target=lambda: asyncio.run(together()))
    thread.start()
    try:
        yield votes
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    main()
