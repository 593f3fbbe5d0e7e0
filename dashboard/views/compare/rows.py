"""What the parts of Compare share: the threshold, cards by id, rows of matches."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboard import address, queries
from dashboard.bundle import opening
from dashboard.bundle.opening import Run
from dashboard.cards import feature
from dashboard.components.aligned import aligned
from dashboard.components.grid import grid
from dashboard.exports.rows import matches
from dashboard.page import downloads
from dashboard.people import annotations
from dashboard.records.dictionaries import Dictionary
from dashboard.records.matches import Aligned, Pair
from dashboard.style import hints, numbers, palette
from pipeline.metrics.relations import MATCH_THRESHOLD

TILES, TILE, ROWS, CARDS = (4, 2), 96, 8, 24
THRESHOLDS = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def choose_threshold() -> float:
    """From which correlation on a best match counts as one."""
    chosen: float = st.select_slider(
        "Found again from correlation", THRESHOLDS, MATCH_THRESHOLD, **address.own("threshold"),
        help=hints.THRESHOLD, width=260,
    )  # fmt: skip
    return chosen


def cards(run: Run, of: Dictionary, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The cards of these features by id."""
    found = queries.cards_of(run.connection, of.dictionary_id, ids, examples=TILES[0] * TILES[1])
    if len(found) < len(set(ids)):
        raise opening.Lacking(f"cards of {of.short} are missing")
    sheets = run.contact(found, tiles=TILES, tile=TILE)
    return {c.feature_id: feature.card(c, of, s) for c, s in zip(found, sheets, strict=True)}


def show_rows(
    run: Run,
    columns: Sequence[Dictionary],
    rows: Sequence[Aligned],
    *,
    everything: Callable[[], Sequence[Aligned]],
    threshold: float,
    said: str,
    page: int,
    pages: int,
    of: str,
) -> None:
    """Features of the first column, each beside its best match in every other one; `everything`
    gives the rows of all pages, for a file."""
    mine = cards(run, columns[0], [row.feature_id for row in rows])
    theirs = [
        cards(run, column, [p.match for row in rows if (p := row.pairs[i]) and held(p, threshold)])
        for i, column in enumerate(columns[1:])
    ]
    made = [
        [mine[row.feature_id]]
        + [_cell(pair, theirs[i], threshold) for i, pair in enumerate(row.pairs)]
        for row in rows
    ]
    about = ["The reference.", *["The best match of the card on the left."] * len(theirs)]
    heads = [
        {"name": d.short, "about": text, "colour": colour}
        for d, text, colour in zip(columns, about, palette.COLUMNS, strict=False)
    ]
    aligned(heads, made, tiles=TILES, said=said, page=page, pages=pages, of=of, key="rows")
    ids = [d.dictionary_id for d in columns]
    downloads.table_downloads(
        lambda: matches(ids[0], ids[1:], everything(), threshold=threshold),
        name=f"{run.name}-{columns[0].short}-matches", key="export-rows",
    )  # fmt: skip


def show_cards(
    run: Run,
    dictionary: Dictionary,
    ids: Sequence[int],
    *,
    everything: Callable[[], Sequence[int]],
    total: int,
    said: str,
    page: int,
    pages: int,
    of: str,
) -> None:
    """Features of one dictionary, a page of `total`; `everything` gives all, for files."""
    made = list(cards(run, dictionary, ids).values())
    grid(made, tiles=TILES, said=said, page=page, pages=pages, of=of, key="alone")
    downloads.list_downloads(
        run, lambda: [(dictionary.dictionary_id, one) for one in everything()],
        annotations.said([dictionary]), count=total, name=f"{run.name}-{dictionary.short}",
        key="export-alone",
    )  # fmt: skip


def held(pair: Pair, threshold: float) -> bool:
    """Whether a best match is one."""
    return pair.correlation >= threshold


def _cell(pair: Pair | None, there: dict[int, dict[str, Any]], threshold: float) -> dict[str, Any]:
    if pair is None:
        return {"none": "no match", "about": "nothing fires with it"}
    said = f"correlation {numbers.number(pair.correlation)}"
    if not held(pair, threshold):
        return {"none": "no match", "about": f"best: #{pair.match}, {said}"}
    return there[pair.match] | {"note": f"{said}, images {numbers.percent(pair.jaccard)}"}
