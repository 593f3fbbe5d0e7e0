"""Every query of the pages, called as a page calls it: what bench/dashboard.py measures of them."""

import inspect
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb


def typical(connection: duckdb.DuckDBPyConnection, draw: random.Random) -> dict[str, Any]:
    """A value for each name of a parameter that queries have; other features each time."""
    from dashboard.records.features import Filter

    names = [row[0] for row in connection.execute(
        "SELECT dictionary_id FROM dictionaries WHERE basis = 'sae' ORDER BY depth, 1"
    ).fetchall()]  # fmt: skip
    one, other = draw.sample(names, 2)
    (features,) = connection.execute(
        "SELECT d_sae FROM dictionaries WHERE dictionary_id = ?", [one]
    ).fetchone()
    ids = [draw.randrange(features) for _ in range(24)]
    label = connection.execute(
        "SELECT label FROM features WHERE dictionary_id = ? AND label IS NOT NULL LIMIT 1", [one]
    ).fetchone()
    examples = connection.execute("SELECT example_id FROM thumbnails").fetchnumpy()["example_id"]
    shown = [int(examples[draw.randrange(len(examples))]) for _ in range(192)]
    text = str(label[0]) if label else "a"
    return {
        "dictionary_id": one, "other_id": other, "dictionary_ids": [one], "other_ids": [other],
        "before": other, "after": other, "band": "through", "names": [text],
        "feature_id": ids[0], "feature_ids": ids, "example_ids": shown, "example_id": shown[0],
        "keys": [(one, i) for i in ids], "threshold": 0.5,
        "features": [(one, i) for i in ids[:6]], "seed": draw.randrange(1000),
        "examples": 8, "limit": 24, "offset": 48, "sort": "ms", "descending": True,
        "chosen": Filter(), "text": text, "word": text, "label": text, "labels": [text],
        "encoder": connection.execute("SELECT encoder FROM encoders LIMIT 1").fetchone()[0],
        "fingerprint": "0" * 16, "modality": "image", "basis": "decoder", "kind": "decoder",
    }  # fmt: skip


def ways(given: Mapping[str, Any], names: set[str], every: list[str]) -> dict[str, dict[str, Any]]:
    """The calls of one query that pages make: plain, filtered, over all dictionaries."""
    from dashboard.records.features import Filter, Named

    found: dict[str, dict[str, Any]] = {"": {}}
    if "chosen" in names:
        strict = Filter(ms=(0.5, 0.9), density=(1e-4, 0.3), labels=tuple(given["labels"]),
                        without=("dense", "duplicate"))  # fmt: skip
        found["filtered"] = {"chosen": strict}
    if {"sort", "chosen"} <= names:
        found["by label, page 100"] = {"sort": "label", "offset": 2400}
    if "dictionary_ids" in names:
        found["all layers"] = {"dictionary_ids": every}
        if "chosen" in names:
            found["all layers, filtered"] = found["filtered"] | found["all layers"]
            named = Filter(named=Named(tuple(given["labels"]), automatic=True))
            found["all layers, by name"] = {"chosen": named} | found["all layers"]
    return found


def measured(database: Path, *, calls: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Milliseconds of each call by query, with the way of calling it, and what could not be called.

    Found by introspection of `dashboard.queries`; a parameter without a default whose name says
    nothing to `typical` makes its query one that could not be called.
    """
    from dashboard import queries
    from dashboard.bundle import opening

    connection = opening._connect.__wrapped__(str(database), "bench")
    every = [d.dictionary_id for d in queries.dictionaries(connection)]
    taken: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    for name, function in inspect.getmembers(queries, inspect.isfunction):
        draw = random.Random(0)
        first, *rest = inspect.signature(function).parameters.values()
        given = typical(connection, draw)
        needed = {p.name for p in rest if p.default is p.empty}
        if first.name != "connection" or needed - set(given):
            if first.name == "connection":
                missing[name] = ", ".join(sorted(needed - set(given)))
            continue
        accepted = {p.name for p in rest}
        for way, changed in ways(given, accepted, every).items():
            said = f"{name} ({way})" if way else name
            try:
                taken[said] = _timed(connection, function, accepted, needed, changed, draw, calls)
            except (duckdb.Error, ValueError, TypeError, KeyError, AttributeError) as problem:
                missing[said] = str(problem).splitlines()[0]
    return taken, missing


def _timed(
    connection: duckdb.DuckDBPyConnection,
    function: Callable[..., Any],
    accepted: set[str],
    needed: set[str],
    changed: Mapping[str, Any],
    draw: random.Random,
    calls: int,
) -> list[float]:
    taken = []
    for _ in range(calls + 3):
        given = typical(connection, draw)
        paged = {"limit", "offset", "chosen", "sort", "examples"} & accepted
        values = {k: given[k] for k in needed | (paged if "chosen" in accepted else set())}
        values |= {k: v for k, v in changed.items() if k in accepted}
        start = time.perf_counter()
        function(connection, **values)
        taken.append(1000 * (time.perf_counter() - start))
    return taken[3:]
