"""Browse: the features of one dictionary as cards, filtered, sorted and paged."""

import streamlit as st

from dashboard import connection, queries, state, widgets, words
from dashboard.components.grid import grid

PER_PAGE, TILES, TILE = 24, (4, 2), 96
SORTS = {
    "ms": "MS", "density": "density", "max": "max activation", "mean": "mean activation",
    "label_score": "label score", "feature_id": "feature id",
}  # fmt: skip
DENSITIES = [0.0, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0]


def choose_dictionary(every: list[queries.Dictionary]) -> queries.Dictionary:
    """Hook point and dictionary; at first the SAE of the highest mean MS."""
    best = max(every, key=lambda d: (d.basis == "sae", d.ms or -1.0))
    hooks = list(dict.fromkeys(f"{d.model}/{d.hook}" for d in every))
    models = {d.model for d in every}
    places = {
        f"{d.model}/{d.hook}": widgets.plain(d.place if len(models) == 1 else f"{d.model} {d.place}")
        for d in every
    }
    names = list(dict.fromkeys(d.name for d in every))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        hook = st.segmented_control(
            "Hook point", hooks, default=f"{best.model}/{best.hook}", format_func=places.get,
            key="hook", bind="query-params", required=True,
            help="Where in the model the activations are read.",
        )  # fmt: skip
        name = st.segmented_control(
            "Dictionary", names, default=best.name, format_func=widgets.plain,
            key="dictionary", bind="query-params", required=True,
            help="A set of features: a sparse autoencoder, or the raw neurons as the baseline.",
        )  # fmt: skip
    here = [d for d in every if f"{d.model}/{d.hook}" == hook]
    return next((d for d in here if d.name == name), here[0])


def choose_filter(labels: list[str]) -> queries.Filter:
    """The filters of the sidebar; an end of a range that is not moved lets all pass."""
    low, high = st.slider(
        "MS", 0.0, 1.0, (0.0, 1.0), 0.01, key="ms", bind="query-params", help=words.MS
    )
    thin, dense = st.select_slider(
        "Density", DENSITIES, (0.0, 1.0), format_func=widgets.percent, key="density",
        bind="query-params", help=words.DENSITY,
    )  # fmt: skip
    chosen = []
    if labels:
        chosen = st.multiselect(
            "Label", labels, key="label", bind="query-params", placeholder="any", help=words.LABEL
        )
    dead = st.toggle("Show dead features", key="dead", bind="query-params", help=words.DEAD)
    return queries.Filter(
        ms=(low if low > 0 else None, high if high < 1 else None),
        density=(thin if thin > 0 else None, dense if dense < 1 else None),
        labels=tuple(chosen),
        live=not dead,
    )


def choose_order() -> tuple[str, bool]:
    """The column to sort by, and whether from high to low."""
    sort = st.selectbox("Sort by", list(SORTS), format_func=SORTS.get, key="sort", bind="query-params")
    order = st.segmented_control(
        "Order", ["high", "low"], default="high", format_func="{} first".format,
        key="order", bind="query-params", required=True, label_visibility="collapsed",
    )  # fmt: skip
    return sort, order == "high"


run = connection.current()
dictionary = choose_dictionary(connection.dictionaries(run.connection, run.key))
with st.sidebar:
    spark = st.container()
    chosen = choose_filter(queries.labels(run.connection))
    sort, descending = choose_order()
total = queries.count(run.connection, dictionary.dictionary_id, chosen)
with spark:
    every, passed = queries.ms_histogram(run.connection, dictionary.dictionary_id, chosen)
    widgets.sparkline(every, passed, name="features by MS, from 0 to 1")

pages = max(1, -(-total // PER_PAGE))
with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    widgets.figures([("features", f"{total:,} of {dictionary.d_sae:,}", "That pass the filters.")])
    at = st.pagination(pages, key="page", bind="query-params")
cards = queries.page(
    run.connection, dictionary.dictionary_id, chosen, sort=sort, descending=descending,
    limit=PER_PAGE, offset=(at - 1) * PER_PAGE, examples=TILES[0] * TILES[1],
)  # fmt: skip
if cards:
    wanted = {(run.key, c.dictionary_id, c.feature_id, TILE): c.examples for c in cards}
    sheets = run.sheets.get(
        wanted, lambda ids: queries.pictures(run.connection, ids), columns=TILES[0]
    )
    shown = [widgets.card(c, dictionary, s) for c, s in zip(cards, sheets, strict=True)]
    grid(shown, tiles=TILES, key="cards", on_open=state.opener("cards"))
else:
    widgets.empty("No feature passes these filters. Widen MS or density, or take labels out.")
