"""Compare's columns: dictionaries side by side, matched features row by row."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import address, queries
from dashboard.bundle import cached
from dashboard.bundle.opening import Run
from dashboard.charts import features as feature_charts
from dashboard.components.chips import chips
from dashboard.components.matrix import matrix
from dashboard.exports.rows import found_again
from dashboard.page import downloads, furniture
from dashboard.records.dictionaries import Agreement, Dictionary
from dashboard.records.matches import Aligned
from dashboard.style import hints, markdown, numbers, palette
from dashboard.views.compare.rows import CARDS, ROWS, choose_threshold, show_cards, show_rows

Dictionaries = Sequence[Dictionary]
SORTS = {
    "correlation": "correlation", "ms": "MS", "found": "columns with a match",
    "difference": "most different MS",
}  # fmt: skip
SPREADS = {"ms": "MS", "density": "density"}


def show(run: Run, every: Dictionaries) -> None:
    """Columns chosen, their distributions and shares, and their features."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        columns = choose(every)
        threshold = choose_threshold()
    if columns:
        with st.container(key="presets"):
            chips(presets(columns, every), name="Compare with", key="preset-links")
    if len(columns) < 2:
        furniture.empty(
            "Choose two or more dictionaries above: a feature is one dictionary's, and its best "
            "matches are others'."
        )
        return
    overview(run, columns, threshold)
    features(run, columns, threshold)


def choose(every: Dictionaries) -> list[Dictionary]:
    """Two to four dictionaries; at first the best SAE, and its namesake at the next hook point."""
    by_name = {d.short: d for d in every}
    best = max(every, key=lambda d: (d.basis == "sae", d.ms or -1.0))
    others = [d for d in every if d is not best]
    next_to = min(others, key=lambda d: (d.name != best.name, abs(d.depth - best.depth)))
    names = st.multiselect(
        "Dictionaries", list(by_name), default=[best.short, next_to.short],
        **address.own("columns"), max_selections=queries.MOST_COLUMNS, help=hints.COLUMNS,
        placeholder="choose two to four",
    )  # fmt: skip
    return [by_name[name] for name in names]


def presets(columns: Dictionaries, every: Dictionaries) -> list[tuple[str, str, str]]:
    """Links to what else the reference could be compared with."""
    one = columns[0]
    others = [d for d in every if d is not one]
    here = [d for d in others if (d.model, d.hook) == (one.model, one.hook)]
    line = [d for d in others if (d.model, d.name) == (one.model, one.name)]
    near = sorted(line, key=lambda d: abs(d.depth - one.depth))[: queries.MOST_COLUMNS - 1]
    elsewhere = [d for d in others if d.model != one.model]
    alike = sorted(elsewhere, key=lambda d: (d.name != one.name, abs(d.depth - one.depth)))
    ways = {
        "next layer": [d for d in line if d.depth > one.depth][:1],
        "previous layer": [d for d in line if d.depth < one.depth][-1:],
        "nearest layers": sorted(near, key=lambda d: d.depth) if len(near) > 1 else [],
        "neurons here": [d for d in here if d.basis == "neurons"][:1],
        "other SAE here": [d for d in here if d.basis != "neurons"][:1],
        "other model": alike[:1],
    }
    links = []
    for text, with_ in ways.items():
        names = [one.short, *(d.short for d in with_)]
        if with_ and names != [d.short for d in columns]:
            links.append((text, address.to_columns(names), ", ".join(names)))
    return links


def overview(run: Run, columns: Dictionaries, threshold: float) -> None:
    """Distributions overlaid, and who finds whom again."""
    chart, table = st.columns(2, gap="large")
    with chart:
        spread = furniture.segments(
            "Distribution", list(SPREADS), default="ms", format_func=SPREADS.__getitem__,
            **address.own("spread"), label_visibility="collapsed",
            help=hints.MS,
        )  # fmt: skip
        colours = {d.short: c for d, c in zip(columns, palette.COLUMNS, strict=False)}
        held, scale = spreads(run, columns, spread)
        st.altair_chart(
            feature_charts.overlaid(held, colours, **scale), width="stretch", height=230,
            alt=f"{SPREADS[spread]} of the features of each dictionary.",
        )  # fmt: skip
    with table:
        ids = [d.dictionary_id for d in columns]
        said = shares(run.connection, run.key, ids, threshold)
        cells = [[_share(said.get((i, j))) for j in range(len(columns))]
                 for i in range(len(columns))]  # fmt: skip
        furniture.section("Found again", hints.FOUND_AGAIN)
        matrix(
            [d.short for d in columns], cells, key="shares",
            colours=palette.COLUMNS[: len(columns)],
            said="Of the live features of each row, the share that the column has too.",
        )  # fmt: skip
        downloads.table_downloads(
            lambda: found_again(ids, said), name=f"{run.name}-found-again", key="export-shares"
        )


@st.cache_data(max_entries=64, show_spinner=False)
def shares(
    _connection: queries.Connection, key: str, ids: list[str], threshold: float
) -> dict[tuple[int, int], Agreement]:
    """How far each of the dictionaries is found again in each other, once a bundle."""
    return {
        (i, j): queries.agreement(_connection, one, other, threshold=threshold)
        for i, one in enumerate(ids)
        for j, other in enumerate(ids)
        if i != j
    }


def features(run: Run, columns: Dictionaries, threshold: float) -> None:
    """The features that the columns share, or that one of them has alone."""
    one, others = columns[0], columns[1:]
    alone = {f"only-{d.dictionary_id}": f"only in {d.short}" for d in columns}
    kinds = {"matched": "matched"} | alone
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        shown = furniture.segments(
            "Features", list(kinds), default="matched", **address.own("show"),
            format_func=lambda kind: markdown.plain(kinds[kind]),
            help=hints.MATCHED,
        )  # fmt: skip
        sort = "ms"
        if shown == "matched":
            sorts = [name for name in SORTS if name != "found" or len(others) > 1]
            sort = st.selectbox(
                "Sort by", sorts, format_func=SORTS.__getitem__, **address.own("rows-by"),
                help=hints.ROWS_BY, width=240,
            )  # fmt: skip
    ids = [d.dictionary_id for d in others]
    of = address.name_of([d.dictionary_id for d in columns], shown, sort, threshold)
    if shown != "matched":
        place = list(kinds).index(shown) - 1
        elsewhere = ids if place == 0 else [one.dictionary_id]
        _show_alone(run, columns[place], elsewhere, threshold, of, named=columns)
        return
    live, lost = counts(run.connection, run.key, one.dictionary_id, ids, threshold)
    pages = max(1, -(-(live - lost) // ROWS))
    page = min(address.asked_page(of), pages)

    def matched(limit: int, offset: int = 0) -> list[Aligned]:
        return queries.aligned(
            run.connection, one.dictionary_id, ids, threshold=threshold, sort=sort, limit=limit,
            offset=offset,
        )  # fmt: skip

    rows = matched(ROWS, (page - 1) * ROWS)
    if not rows:
        furniture.empty(
            f"No feature of {one.short} is found again from correlation {threshold} on. Ask for "
            "less, or choose another dictionary."
        )
        return
    said = f"{live - lost:,} of {live:,} live features of {one.short} have a match"
    show_rows(
        run, columns, rows, everything=lambda: matched(live), threshold=threshold, said=said,
        page=page, pages=pages, of=of,
    )  # fmt: skip


@st.cache_data(max_entries=64, show_spinner=False)
def counts(
    _connection: queries.Connection, key: str, one: str, others: list[str], threshold: float
) -> tuple[int, int]:
    """(live features, those that none of the others has), once a bundle."""
    live = queries.agreement(_connection, one, others[0], threshold=threshold).live
    return live, queries.count_unmatched(_connection, one, others, threshold=threshold)


def _show_alone(
    run: Run,
    one: Dictionary,
    others: list[str],
    threshold: float,
    of: str,
    *,
    named: Dictionaries,
) -> None:
    _, total = counts(run.connection, run.key, one.dictionary_id, others, threshold)
    pages = max(1, -(-total // CARDS))
    page = min(address.asked_page(of), pages)

    def found(limit: int, offset: int = 0) -> list[int]:
        return queries.unmatched(
            run.connection, one.dictionary_id, others, threshold=threshold, limit=limit,
            offset=offset,
        )  # fmt: skip

    ids = found(CARDS, (page - 1) * CARDS)
    there = " or ".join(d.short for d in named if d.dictionary_id in others)
    if not ids:
        furniture.empty(f"Every live feature of {one.short} has a match in {there}.")
        return
    said = f"{total:,} features of {one.short} without a match in {there}"
    show_cards(
        run, one, ids, everything=lambda: found(total), total=total, said=said, page=page,
        pages=pages, of=of,
    )  # fmt: skip


def spreads(
    run: Run, columns: Dictionaries, spread: str
) -> tuple[dict[str, list[int]], dict[str, Any]]:
    """(each dictionary's histogram by name, what `charts.overlaid` is told of its scale)."""
    if spread == "ms":
        held = {d.short: cached.ms_histogram(run, [d.dictionary_id]) for d in columns}
        return held, {"title": "MS"}
    held = {d.short: queries.density_histogram(run.connection, d.dictionary_id) for d in columns}
    scale = {"title": "density, log scale", "ends": (queries.LEAST_DENSITY, 1), "log": True}
    return held, scale


def _share(said: Agreement | None) -> dict[str, object]:
    if said is None:
        return {"text": "", "about": "itself", "shade": None}
    share = said.matched / said.live if said.live else None
    about = (
        f"{said.matched:,} of {said.live:,} live features; mean correlation of the best matches "
        f"{numbers.number(said.mean)}"
    )
    return {"text": numbers.percent(share), "about": about, "shade": share}
