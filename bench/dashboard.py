"""How fast the dashboard is in a real browser, on a bundle of a real run's size and on the demo.

    python bench/dashboard.py                       everything, about a quarter of an hour
    python bench/dashboard.py --parts queries       every query alone
    python bench/dashboard.py --samples 40 --json figures.json

The large bundle (6 layers x 65,536 features x 50,000 distinct images) is made by
bench/large_bundle.py in data/runs/bench-large where it is not there yet. Times are from the click
in the page until the second frame after what was asked for is decoded; each click opens what was
not opened before. `top 16` is the head of Feature with its top images, `whole` all of the page, its
layout shift counted from the top images on. `st.image` is the same grid of 16 images as Streamlit's
own columns and images show it, on a page with nothing else.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).parents[1]
sys.path[0] = str(ROOT)  # else this file would stand for the package of its name
APP = ROOT / "dashboard/app.py"
PARTS = ("pages", "lists", "keys", "plain", "queries", "crowd", "memory", "demo")
PLAIN = """
import sys
import duckdb
import streamlit as st

st.set_page_config(layout="wide")

@st.cache_resource
def opened():
    return duckdb.connect(f"{sys.argv[1]}/loupe.duckdb", read_only=True)

def on():
    st.session_state.number = st.session_state.get("number", 0) + 1

st.button("next", on_click=on)
cursor = opened().cursor()
one = cursor.execute(
    "SELECT dictionary_id, feature_id FROM features WHERE n_active >= 16 LIMIT 1 OFFSET ?",
    [97 * st.session_state.get("number", 0)],
).fetchone()
top = cursor.execute(
    "SELECT image, activation FROM top_examples JOIN thumbnails USING (example_id) WHERE "
    "dictionary_id = ? AND modality = 'image' AND feature_id = ? ORDER BY rank", one,
).fetchall()
for start in (0, 8):
    for column, (image, activation) in zip(st.columns(8), top[start : start + 8]):
        column.image(image, caption=f"{activation:.2f}", width="stretch")
"""
GOALS = {
    "feature top": 300, "feature whole": 1000, "feature shift": 0.01, "next top": 300,
    "next whole": 1000, "next shift": 0.01, "browse page": 400, "sort": 400, "filter": 400,
}  # fmt: skip
SAID = {
    "feature top": "Feature from a card: head and top 16, ms",
    "feature whole": "Feature from a card: whole, ms",
    "feature shift": "Feature from a card: layout shift",
    "next top": "next Feature by its key: head and top 16, ms",
    "next whole": "next Feature by its key: whole, ms",
    "next shift": "next Feature by its key: layout shift",
    "browse page": "Browse: next page of 24 cards, ms",
    "sort": "Browse: another order, ms",
    "filter": "Browse: a label chosen, ms",
}
Row = dict[str, Any]


def row(what: str, on: str, values: Sequence[float], goal: str = "") -> Row:
    ordered = sorted(values)
    slow = ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else math.nan
    middle = statistics.median(ordered) if ordered else math.nan
    return {"what": what, "on": on, "median": middle, "p95": slow, "n": len(ordered), "goal": goal}


def shown(one: Row) -> str:
    digits = 3 if "shift" in one["what"] else 1 if one["median"] < 10 else 0
    numbers = [f"{one[name]:,.{digits}f}" for name in ("median", "p95")]
    cells = [one["what"], one["on"], *numbers, str(one["n"]), one["goal"]]
    return "| " + " | ".join(cells) + " |"


def addresses(dictionaries: Sequence[Any], filled: int) -> list[str]:
    """Pages of Browse that have a next one, each dictionary in turn: every second page, so that
    what follows each is new too; `filled` is how many features fill a page and the next."""
    pages = max(1, max(d.d_sae for d in dictionaries) // filled)
    return [
        "/browse?" + urlencode({"hook": d.place, "name": d.name, "page": 2 * turn + 1})
        for turn in range(min(pages, 200))
        for d in dictionaries
        if turn < max(1, d.d_sae // filled)
    ]


class Bench:
    """One run of the bench: what was asked for, and the rows so far."""

    def __init__(self, options: argparse.Namespace, say: Callable[[str], None]) -> None:
        self.options, self.say = options, say
        self.rows: list[Row] = []

    def note(self, *some: Row) -> None:
        for one in some:
            self.rows.append(one)
            self.say(shown(one))

    def pages(self, bundle: Path, on: str, parts: Sequence[str]) -> None:
        from bench import dashboard_browser, dashboard_sessions

        options, every = self.options, _dictionaries(bundle)
        seen = addresses(every, 96)
        with (
            dashboard_sessions.served(APP, bundle) as (url, _),
            dashboard_browser.opened() as page,
        ):
            for part, measure in (
                ("pages", dashboard_browser.browse_and_feature),
                ("lists", dashboard_browser.filter_and_sort),
            ):
                if part in parts:
                    # Half of the pages for one part, half for the other.
                    own = seen[: len(seen) // 2] if part == "pages" else seen[len(seen) // 2 :]
                    own = own if len(own) > options.warm + 3 else seen
                    count = min(options.samples, len(own) - options.warm)
                    found = measure(page, url, own, samples=count, warm=options.warm)
                    for name, values in found.items():
                        goal = f"<= {GOALS[name]:g}"
                        self.note(row(SAID[name], on, values, goal))
            if "keys" in parts:
                moved = dashboard_browser.held_key(page, url)
                self.note(row("arrow key held for 40 presses: moved by", on, moved, "40"))

    def plain(self, bundle: Path) -> None:
        from bench import dashboard_browser, dashboard_sessions

        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "plain.py"
            script.write_text(PLAIN, encoding="utf-8")
            with (
                dashboard_sessions.served(script, bundle) as (url, _),
                dashboard_browser.opened() as page,
            ):
                taken = dashboard_browser.plain_grid(
                    page, url, samples=self.options.samples, warm=self.options.warm
                )
        self.note(row("the same 16 images by `st.image`, alone, ms", "large", taken))

    def queries(self, bundle: Path) -> None:
        from bench import dashboard_queries

        taken, missing = dashboard_queries.measured(
            bundle / "loupe.duckdb", calls=self.options.samples
        )
        for name, values in taken.items():
            taken_along = name in ("profiles", "table")  # made when a file is asked for
            goal = "" if taken_along else "<= 30"
            self.note(row(f"query `{name}`, ms", "large", values, goal))
        for name, why in missing.items():
            self.say(f"query `{name}` is not measured: the bench cannot call it ({why})")

    def sessions(self, bundle: Path, parts: Sequence[str]) -> None:
        from bench import dashboard_sessions

        options = self.options
        every = [(d.dictionary_id, d.place, d.d_sae) for d in _dictionaries(bundle)]
        if "crowd" in parts:
            with dashboard_sessions.served(APP, bundle) as (url, _):
                taken, said = dashboard_sessions.crowd(
                    url, every, people=options.people, seconds=options.seconds
                )
            what = f"{options.people} people at once: a page made, ms"
            self.note(row(what, "large", [1000 * t for t in taken], "<= 1000"))
            self.complain(said)
        if "memory" in parts:
            with dashboard_sessions.served(APP, bundle) as (url, process):
                held, said = dashboard_sessions.growth(
                    url, process, every, changes=options.changes, warm=options.changes // 2
                )
            for turn, one in enumerate(held):
                self.note(row(f"server after {100 * turn} page changes, MiB", "large", [one]))
            grown = row("grown since the first, MiB", "large", [held[-1] - held[0]], "0")
            self.note(grown)
            self.complain(said)

    def complain(self, said: Sequence[str]) -> None:
        for problem in sorted(set(said))[:5]:
            self.say(f"a page complained: {problem}")


def _dictionaries(bundle: Path) -> list[Any]:
    from dashboard import queries
    from dashboard.bundle import opening

    opened = opening._connect.__wrapped__(str(bundle / "loupe.duckdb"), "bench")
    return queries.dictionaries(opened)


def main() -> None:
    from bench import large_bundle

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--bundle", type=Path, default=large_bundle.FOLDER, help="the large run")
    parser.add_argument("--demo", type=Path, default=ROOT / "data/runs/demo", help="the demo's run")
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--warm", type=int, default=4, help="samples before those that count")
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60, help="for which they browse")
    parser.add_argument("--changes", type=int, default=500, help="of page, for the memory")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    large = large_bundle.ensure(options.bundle, large_bundle.Sizes())
    bench = Bench(options, lambda line: print(line, flush=True))
    bench.say("| what | bundle | median | p95 | n | goal |")
    bench.say("|" + "---|" * 6)
    bundle = (large / "bundle").resolve()
    bench.pages(bundle, "large", [p for p in ("pages", "lists", "keys") if p in options.parts])
    if "plain" in options.parts:
        bench.plain(bundle)
    if "queries" in options.parts:
        bench.queries(bundle)
    bench.sessions(bundle, options.parts)
    if "demo" in options.parts:
        if (options.demo / "bundle").exists():
            # Too small for the rest: a label may be on no feature, 40 features on is the end.
            bench.pages((options.demo / "bundle").resolve(), "demo", ["pages"])
        else:
            bench.say(f"{options.demo}: no run here; make it with: make demo-data")
    if options.json:
        options.json.write_text(json.dumps(bench.rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
