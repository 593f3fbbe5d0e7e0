"""Browse: features of any number of dictionaries as cards or rows: searched, filtered, sorted."""

import streamlit as st

from dashboard import address, queries
from dashboard.bundle import cached, opening
from dashboard.cards import feature
from dashboard.components.grid import grid
from dashboard.components.table import table
from dashboard.features import captions, filters, search
from dashboard.page import downloads, furniture
from dashboard.people import annotations
from dashboard.records.features import Card, Filter, Key
from dashboard.style import hints, numbers

PER_PAGE, TILES, TILE = {"cards": 24, "table": 50}, (4, 2), 96
STRIP = (6, 1)
ORDERS = filters.SORTS | filters.SIDES | filters.STEERED
COLUMNS = [
    {"key": key, "title": title, "kind": kind, "sort": ORDERS.get(sort), "help": about}
    for key, title, kind, sort, about in (
        ("id", "feature", "link", "feature_id", hints.FEATURE),
        ("label", "label", "text", "label", hints.LABEL),
        ("ms", "MS", "meter", "ms", hints.MS),
        ("sides", "modality", "balance", "modality_score", hints.MODALITY_SCORE),
        ("pairs", "pairs", "number", "pair_correlation", hints.PAIR_CORRELATION),
        (
            "steering",
            "steering",
            "number",
            "steering_score",
            f"{hints.STEERING_SCORE} {hints.STEERS}",
        ),
        ("density", "density", "number", "density", hints.DENSITY),
        ("active", "active on", "number", "n_active", hints.ACTIVE),
        ("max", "max", "number", "max", hints.MAX),
        ("mean", "mean", "number", "mean", hints.MEAN),
        ("score", "label score", "number", "label_score", hints.LABEL),
        ("note", "", "number", "", ""),
    )
]


def found(
    chosen: Filter, near: search.Query | None, *, page: int, size: int, by: str, down: bool
) -> tuple[list[Card], dict[str, str]]:
    """The cards of the page, and what is noted on each by its key."""
    ids = [d.dictionary_id for d in here]
    window = {"limit": size, "offset": (page - 1) * size}
    tiles = TILES[0] * TILES[1]
    if near is None:
        cards = queries.page(
            run.connection, ids, chosen, sort=by, descending=down, examples=tiles, **window
        )
        return cards, {}
    best = search.nearest(run, here, chosen, near, **window)
    cards = queries.cards_at(run.connection, [(d, f) for d, f, _ in best], examples=tiles)
    return cards, {
        address.feature_key(d, f): f"nearness {numbers.number(score)}" for d, f, score in best
    }


def every_key() -> list[Key]:
    """All that the list holds, for a file of it."""
    ids = [d.dictionary_id for d in here]
    if near is None:
        return queries.keys(run.connection, ids, chosen, sort=sort, descending=descending)
    best = search.nearest(run, here, chosen, near, limit=total, offset=0)
    return [(name, number) for name, number, _ in best]


def as_cards(cards: list[Card], notes: dict[str, str], said: str) -> None:
    """The gallery."""
    sheets = run.contact(cards, tiles=TILES, tile=TILE)
    said_of = captions.spoken(run, cards)
    shown = [
        feature.card(
            c, by_id[c.dictionary_id], s, spoken=said_of.get((c.dictionary_id, c.feature_id))
        )
        for c, s in zip(cards, sheets, strict=True)
    ]
    for one in shown:
        one["note"] = notes.get(one["key"])
    grid(shown, tiles=TILES, said=said, key="cards", page=page, pages=pages, of=of)


def as_table(cards: list[Card], notes: dict[str, str], said: str) -> None:
    """The same as rows, sorted by a press on a column's head."""
    sheets = run.contact(cards, tiles=STRIP, tile=48)
    said_of = captions.spoken(run, cards)
    rows = [
        feature.row(
            c, by_id[c.dictionary_id], s, spoken=said_of.get((c.dictionary_id, c.feature_id))
        )
        | {"note": notes.get(address.feature_key(c.dictionary_id, c.feature_id), "")}
        for c, s in zip(cards, sheets, strict=True)
    ]
    left_out = {"note"} if not notes else set()
    if not two_sided:
        left_out |= {"sides", "pairs"}
    if not steered:
        left_out |= {"steering"}
    columns = [c for c in COLUMNS if c["key"] not in left_out]
    order = None if notes else {"by": ORDERS[sort], "descending": descending}
    table(columns, rows, order=order, said=said, key="rows", page=page, pages=pages, of=of)


run = opening.current()
every = cached.dictionaries(run.connection, run.key)
here = filters.dictionaries(every)
by_id = {d.dictionary_id: d for d in here}
two_sided, steered = filters.two_sided(run, here), filters.steered(run, here)
panel, gallery = furniture.panelled("browse", "Filter and sort")
with gallery:
    text, near, view = search.bar(run)
with panel:
    spark = st.container()
    chosen = filters.features(run, here, search=text)
    if near is None:
        sort, descending = filters.order(sides=two_sided, steered=steered)
    else:
        sort, descending = "nearness", True
        st.caption("The nearest first.")
ids = [d.dictionary_id for d in here]
passed, total = queries.ms_histogram(run.connection, ids, chosen)
if near is not None and near.vector is None:
    total = 0
with panel:
    downloads.list_downloads(
        run, every_key, annotations.said(here), count=total, key="export-browse"
    )
with spark:
    everything = cached.ms_histogram(run.connection, run.key, tuple(ids))
    feature.sparkline(everything, passed, name="features by MS, from 0 to 1")
size = PER_PAGE[view]
pages = max(1, -(-total // size))
of = address.name_of(ids, chosen, sort, descending, view, near and near.name)
page = min(address.asked_page(of), pages)
with gallery:
    cards, notes = found(chosen, near, page=page, size=size, by=sort, down=descending)
    if cards:
        said = f"{total:,} of {sum(d.d_sae for d in here):,} features"
        (as_cards if view == "cards" else as_table)(cards, notes, said)
    elif near is not None and near.vector is None:
        furniture.empty("Nothing to rank by: search for other words.")
    elif not annotations.notice():
        furniture.empty(
            "No feature passes these filters. Widen the sliders, ask for fewer images, take "
            "labels out, or search for other words."
        )
annotations.notice()
