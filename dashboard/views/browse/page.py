"""Browse: features of any number of dictionaries as cards or rows: searched, filtered, sorted."""

import streamlit as st

from dashboard import address, queries
from dashboard.bundle import cached, opening
from dashboard.cards import feature
from dashboard.features import filters, search
from dashboard.page import downloads, furniture
from dashboard.people import annotations
from dashboard.views.browse.listing import Listing

PER_PAGE = {"cards": 24, "table": 50}

run = opening.current()
here = filters.dictionaries(cached.dictionaries(run))
known = filters.known(run, here)
panel, gallery = furniture.panelled("browse", "Filter and sort")
with gallery:
    text, near, view = search.bar(run)
with panel:
    spark = st.container()
    chosen = filters.features(run, here, search=text)
    if near is None:
        sort, descending = filters.order(known)
    else:
        sort, descending = "nearness", True
        st.caption("The nearest first.")
ids = [d.dictionary_id for d in here]
passed, total = queries.ms_histogram(run.connection, ids, chosen)
if near is not None and near.vector is None:
    total = 0
size = PER_PAGE[view]
pages = max(1, -(-total // size))
of = address.name_of(ids, chosen, sort, descending, view, near and near.name, *chosen.ranges)
page = min(address.asked_page(of), pages)
listing = Listing(run, here, chosen, near, sort, descending, total, size, page, pages, of)
with panel:
    downloads.list_downloads(
        run, listing.keys, annotations.said(here), count=total, key="export-browse"
    )
with spark:
    everything = cached.ms_histogram(run, ids)
    feature.sparkline(everything, passed, name="features by MS, from 0 to 1")
with gallery:
    cards, notes = listing.found()
    if cards:
        said = f"{total:,} of {sum(d.d_sae for d in here):,} features"
        if view == "cards":
            listing.as_cards(cards, notes, said)
        else:
            listing.as_table(cards, notes, said, known)
    elif near is not None and near.vector is None:
        furniture.empty("Nothing to rank by: search for other words.")
    elif not annotations.notice():
        furniture.empty(
            "No feature passes these filters. Widen the sliders, ask for fewer images, take "
            "labels out, or search for other words."
        )
annotations.notice()
