"""How long one waits for a steered answer on the page while others browse, and how long they do.

In turns on one server: answers with nobody else there, and with so many people browsing, each
answer of another seed. Times are from the press of Run to the whole page. Twice: by turns, as Loupe
serves, and with pages beside the model, as it would be without `dashboard/live/share.py`.

    python bench/steering_browsed.py data/runs/demo-llava

--each answers a turn, --turns turns of each kind.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
from dashboard_sessions import THINKING, Dictionaries, Person, arrive, served, wander

ROOT = Path(__file__).parents[1]
BESIDE = """
import contextlib
from dashboard.live import share
share.Share.page = share.Share.model = lambda self: contextlib.nullcontext()
share.Share.give_way = lambda self: None
from dashboard import front
front.page()
"""
"""The dashboard without turns."""


def known(run: Path) -> tuple[Dictionaries, str]:
    """The dictionaries of a run, and a feature of its language model that fires."""
    with duckdb.connect(str(run / "bundle" / "loupe.duckdb"), read_only=True) as database:
        rows = database.execute("SELECT dictionary_id, hook, d_sae FROM dictionaries").fetchall()
        (name, feature) = database.execute(
            "SELECT dictionary_id, feature_id FROM features WHERE dictionary_id LIKE "
            "'%/language.%' AND dictionary_id NOT LIKE '%/neurons' AND n_active > 20 "
            "ORDER BY ms DESC NULLS LAST LIMIT 1"
        ).fetchone()
    return rows, f"{name}:{feature}"


async def steered(person: Person, feature: str, seed: int) -> float:
    """Seconds from Run to the answer."""
    choices: dict[str, Any] = {"features": feature, "at": "2", "random": seed}
    await person.ask("steering", choices)
    return await person.ask("steering", choices, press="run")


async def browse(url: str, dictionaries: Dictionaries, seed: int, on: asyncio.Event,
                 taken: list[float]) -> None:  # fmt: skip
    """One who browses while `on` is set."""
    person, draw = await arrive(url), random.Random(seed)
    for page, choices in wander(draw, dictionaries):
        await asyncio.sleep(draw.uniform(*THINKING))
        await on.wait()
        taken.append(await person.ask(page, choices))


async def measure(url: str, run: Path, *, people: int, each: int, turns: int) -> None:
    """Print the table."""
    dictionaries, feature = known(run)
    person = await arrive(url)
    await person.ask("steering", {"features": feature, "at": "2"})
    await steered(person, feature, 0)  # loads the model
    on, pages = asyncio.Event(), list[float]()
    on.set()
    crowd = [asyncio.create_task(browse(url, dictionaries, i, on, pages)) for i in range(people)]
    await asyncio.sleep(10)
    pages.clear()
    await asyncio.sleep(10)
    undisturbed, seed = list(pages), 0
    waits: dict[bool, list[float]] = {False: [], True: []}
    beside = list[float]()
    for turn in range(2 * turns):
        busy = turn % 2 == 1
        on.set() if busy else on.clear()
        await asyncio.sleep(3)
        pages.clear()
        for _ in range(each):
            seed += 1
            waits[busy].append(await steered(person, feature, seed))
        beside += pages if busy else []
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    print("| what | median s | longest s | n |")
    print("|---|---|---|---|")
    for name, values in (
        ("a steered answer, nobody else there", waits[False]),
        (f"a steered answer, {people} browsing", waits[True]),
        (f"a page, {people} browsing, meanwhile", beside),
        (f"a page, {people} browsing, nobody steering", undisturbed),
    ):
        middle, longest = statistics.median(values or [0]), max(values, default=0)
        print(f"| {name} | {middle:.2f} | {longest:.2f} | {len(values)} |")
    ratio = statistics.median(waits[True]) / statistics.median(waits[False])
    print(f"\nsteered with {people} browsing: {ratio:.1f} times alone", flush=True)
    if person.problems:
        raise SystemExit(f"the page complained: {person.problems[:3]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--each", type=int, default=3)
    parser.add_argument("--turns", type=int, default=4)
    asked = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        beside = Path(folder, "app.py")
        beside.write_text(BESIDE, encoding="utf-8")
        for name in ("views", ".streamlit"):
            Path(folder, name).symlink_to(ROOT / "dashboard" / name)
        for title, script in (
            ("Pages beside the model", beside),
            ("By turns", ROOT / "dashboard" / "app.py"),
        ):
            print(f"\n{title}:\n", flush=True)
            with served(script, asked.run) as (url, _):
                how = {"people": asked.people, "each": asked.each, "turns": asked.turns}
                asyncio.run(measure(url, asked.run, **how))
    print(f"took {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
