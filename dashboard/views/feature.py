"""Feature: one feature's numbers, top images with patch heat maps, and what they share."""

import streamlit as st

from dashboard import charts, connection, palette, queries, records, state, widgets, words
from dashboard.components.bars import bars
from dashboard.components.featurebar import featurebar
from dashboard.components.topimages import topimages


def first(run: connection.Run, every: list[records.Dictionary]) -> tuple[records.Dictionary, int]:
    """The most monosemantic feature, where the address names none, among those not too rare."""
    best = max(every, key=lambda d: (d.basis == "sae", d.ms or -1.0))
    common = records.Filter(n_active=16)
    cards = queries.page(run.connection, best.dictionary_id, common, limit=1, examples=0)
    return best, cards[0].feature_id if cards else 0


def choose(run: connection.Run, every: list[records.Dictionary]) -> tuple[records.Dictionary, int]:
    """The dictionary and feature that the address names; says so and stops where it names none."""
    asked, feature_id = state.asked_feature()
    if asked is None:
        return first(run, every)
    found = next((d for d in every if d.dictionary_id == asked), None)
    if found is None:
        widgets.empty(f"This run has no dictionary {asked!r}. Choose one in Browse.")
        st.stop()
    if feature_id is None or feature_id >= found.d_sae:
        widgets.empty(
            f"{found.short} has features 0 to {found.d_sae - 1:,}: the address names none of them. "
            "Choose one in Browse."
        )
        st.stop()
    return found, feature_id


def show(run: connection.Run, dictionary: records.Dictionary, one: records.Feature) -> None:
    """Top images first, then what explains them."""
    ids = [top.example_id for top in one.top]
    known = queries.examples(run.connection, ids)
    pictures = queries.pictures(run.connection, ids)
    topimages(
        widgets.top_images(one.top, known, pictures, whole=dictionary.grid_fit == "whole"),
        grid=dictionary.grid, key="top",
        note=words.READ_AT_CLS if dictionary.tokens == "cls" else "",
        unmapped=words.NO_PATCH if dictionary.grid else words.ONE_VECTOR,
    )  # fmt: skip
    left, middle, right = st.columns(3, gap="large")
    with left:
        widgets.section("Activations", "The val images that activate it, by how much.")
        accent = palette.ACCENT.get(st.context.theme.type or "light", palette.ACCENT["light"])
        st.altair_chart(
            charts.histogram(one.edges, one.counts, accent=accent), width="stretch", height=230,
            alt="Histogram of the activations that are above 0.",
        )  # fmt: skip
    with middle:
        rows = widgets.score_bars(
            queries.scores(run.connection, one.card.dictionary_id, one.card.feature_id)
        )
        bars(rows, title="MS by encoder", help=f"{words.MS} {words.CONTROLS}",
             empty="no encoder has scored it", key="scores")  # fmt: skip
    with right:
        rows = widgets.tag_bars(list(known.values()), connection.tag_rates(run.connection, run.key))
        bars(rows, title="Tags of the top images", help=words.LABEL,
             empty="these images have no tags", key="tags")  # fmt: skip


run = connection.current()
dictionary, feature_id = choose(run, connection.dictionaries(run.connection, run.key))
feature = queries.feature(run.connection, dictionary.dictionary_id, feature_id)
if feature is None:
    widgets.empty(f"{dictionary.short} #{feature_id} is not in this bundle. Choose one in Browse.")
    st.stop()
featurebar(widgets.feature_head(feature.card, dictionary), key="head")
if feature.top:
    show(run, dictionary, feature)
else:
    widgets.empty(
        "No val image activates this feature: it is dead here. Go on with the arrow keys, or "
        "choose a live one in Browse."
    )
