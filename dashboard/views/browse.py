"""Browse: the features of one dictionary as cards, filtered, sorted and paged."""

import streamlit as st

from dashboard import connection, queries, records, state, widgets, words
from dashboard.components.grid import grid

PER_PAGE, TILES, TILE = 24, (4, 2), 96
SORTS = {
    "ms": "MS", "density": "density", "max": "max activation", "mean": "mean activation",
    "label_score": "label score", "feature_id": "feature id",
}  # fmt: skip
LEAST = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
DENSITIES = [0.0, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0]


def choose_filter(labels: list[str], flags: list[str]) -> records.Filter:
    """The filters; an end of a range that is not moved lets all pass."""
    low, high = st.slider(
        "MS",
        0.0,
        1.0,
        (0.0, 1.0),
        0.01,
        key="ms",
        bind="query-params",
        help=words.MS,
    )
    thin, dense = st.select_slider(
        "Density", DENSITIES, (0.0, 1.0), format_func=widgets.percent, key="density",
        bind="query-params", help=words.DENSITY,
    )  # fmt: skip
    chosen = []
    if labels:
        chosen = st.multiselect(
            "Label", labels, key="label", bind="query-params", placeholder="any",
            help=words.LABEL,
        )  # fmt: skip
    least = st.select_slider(
        "Active on at least", LEAST, TILES[0] * TILES[1], format_func=widgets.images, key="least",
        bind="query-params", help=words.LEAST,
    )  # fmt: skip
    without = []
    if flags:
        without = st.multiselect(
            "Leave out", flags, format_func=lambda flag: words.FLAG_NAMES[flag], key="without",
            bind="query-params", placeholder="nothing", help=words.WITHOUT,
        )  # fmt: skip
    return records.Filter(
        ms=(low if low > 0 else None, high if high < 1 else None),
        density=(thin if thin > 0 else None, dense if dense < 1 else None),
        labels=tuple(chosen),
        n_active=least,
        without=tuple(without),
    )


def choose_order() -> tuple[str, bool]:
    """The column to sort by, and whether from high to low."""
    sort = st.selectbox(
        "Sort by", list(SORTS), format_func=SORTS.__getitem__, key="sort", bind="query-params",
    )  # fmt: skip
    order = st.segmented_control(
        "Order", ["high", "low"], default="high", format_func="{} first".format,
        key="order", bind="query-params", required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    return sort, order == "high"


run = connection.current()
dictionary = widgets.choose_dictionary(connection.dictionaries(run.connection, run.key))
panel, gallery = widgets.panelled("browse", "Filter and sort")
with panel:
    spark = st.container()
    chosen = choose_filter(queries.labels(run.connection), queries.flags(run.connection))
    sort, descending = choose_order()
total = queries.count(run.connection, dictionary.dictionary_id, chosen)
every, passed = queries.ms_histogram(run.connection, dictionary.dictionary_id, chosen)
with spark:
    widgets.sparkline(every, passed, name="features by MS, from 0 to 1")
pages = max(1, -(-total // PER_PAGE))
of = state.name_of(dictionary.dictionary_id, chosen, sort, descending)
page = min(state.asked_page(of), pages)
cards = queries.page(
    run.connection, dictionary.dictionary_id, chosen, sort=sort, descending=descending,
    limit=PER_PAGE, offset=(page - 1) * PER_PAGE, examples=TILES[0] * TILES[1],
)  # fmt: skip
with gallery:
    if cards:
        wanted = {(run.key, c.dictionary_id, c.feature_id, TILE): c.examples for c in cards}
        sheets = run.sheets.get(
            wanted, lambda ids: queries.pictures(run.connection, ids), tiles=TILES
        )
        shown = [widgets.card(c, dictionary, s) for c, s in zip(cards, sheets, strict=True)]
        said = f"{total:,} of {dictionary.d_sae:,} features"
        grid(shown, tiles=TILES, said=said, page=page, pages=pages, of=of, key="cards")
    else:
        widgets.empty(
            "No feature passes these filters. Widen MS or density, ask for fewer images, or take "
            "labels out."
        )
