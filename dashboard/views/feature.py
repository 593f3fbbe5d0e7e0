"""Feature: one feature's numbers, top images with patch heat maps, and what they share."""

import streamlit as st

from dashboard import (
    captions,
    charts,
    connection,
    outcomes,
    palette,
    queries,
    records,
    remarks,
    state,
    widgets,
    words,
)
from dashboard.components.bars import bars
from dashboard.components.factline import factline
from dashboard.components.featurebar import featurebar
from dashboard.components.grid import grid
from dashboard.components.strips import strips
from dashboard.components.topimages import topimages
from dashboard.modality import TopCaption

TILES, TILE, MOST_CARDS = (4, 1), 96, 8


def first(run: connection.Run, every: list[records.Dictionary]) -> tuple[records.Dictionary, int]:
    """The most monosemantic feature, where the address names none, among those not too rare."""
    best = max(every, key=lambda d: (d.basis == "sae", d.ms or -1.0))
    common = records.Filter(n_active=16)
    cards = queries.page(run.connection, [best.dictionary_id], common, limit=1, examples=0)
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


def quantiles(dictionary: records.Dictionary, one: records.Feature) -> list[tuple[float, float]]:
    """Where the examples beyond the top come from; of neurons only the top is in the tables."""
    if dictionary.basis != "sae":
        return []
    return queries.quantiles(run.connection, one.card.dictionary_id, one.card.feature_id)


def show_top(
    run: connection.Run,
    dictionary: records.Dictionary,
    one: records.Feature,
    said: list[TopCaption],
) -> list[records.Example]:
    """The top images, beside the top captions where there are some (`said`); gives what is known
    of the images."""
    ids = [top.example_id for top in one.top]
    known = queries.examples(run.connection, ids)
    room = beside = st.container()
    if said and ids:
        with st.container(key="beside"):
            room, beside = st.columns(2, gap="large")
    if ids:
        with room:
            topimages(
                widgets.top_images(
                    one.top, known, queries.pictures(run.connection, ids),
                    whole=dictionary.grid_fit == "whole",
                ),
                grid=dictionary.grid, key="top", beside=bool(said),
                note=words.READ_AT_CLS if dictionary.tokens == "cls" else "",
                unmapped=words.NO_PATCH if dictionary.grid else words.ONE_VECTOR,
            )  # fmt: skip
    if said:
        with beside:
            captions.show(run, said)
    outcome = queries.steering_of(run.connection, one.card.dictionary_id, one.card.feature_id)
    if outcome is not None:
        factline(outcomes.facts(outcome), title="Steering", help=words.STEERS, key="steered")
    found = captions.two_sides(run, dictionary, one.card.feature_id)
    if found:
        captions.show_sides(found, dictionary, said=bool(said))
    elif dictionary.dictionary_id in connection.worded(run.connection, run.key):
        st.caption(words.MIXED)
    return list(known.values())


def show_numbers(
    run: connection.Run,
    dictionary: records.Dictionary,
    one: records.Feature,
    known: list[records.Example],
) -> None:
    """What explains the top images."""
    left, middle, right = st.columns(3, gap="large")
    with left:
        widgets.section("Activations", "The val images that activate it, by how much.")
        accent = palette.ACCENT.get(st.context.theme.type or "light", palette.ACCENT["light"])
        marks = quantiles(dictionary, one)
        st.vega_lite_chart(
            spec=charts.histogram(one.edges, one.counts, accent=accent, marks=marks),
            width="stretch", height=230,
            alt="Histogram of the activations that are above 0, with their quantiles.",
        )  # fmt: skip
        captions.show_histogram(run, dictionary, one.card.feature_id)
    with middle:
        rows = widgets.score_bars(
            queries.scores(run.connection, one.card.dictionary_id, one.card.feature_id)
        )
        bars(rows, title="MS by encoder", help=f"{words.MS} {words.CONTROLS}",
             empty="no encoder has scored it", key="scores")  # fmt: skip
        names = queries.auto_labels(run.connection, one.card.dictionary_id, one.card.feature_id)
        if names:
            bars(widgets.name_bars(names), title="Names found for it", help=words.NAMES,
                 empty="", key="names")  # fmt: skip
    with right:
        rows = widgets.tag_bars(known, connection.tag_rates(run.connection, run.key))
        bars(rows, title="Tags of the top images", help=words.LABEL,
             empty="these images have no tags", key="tags")  # fmt: skip


KINDS = {
    "decoder": ("Nearest directions", words.NEAREST),
    "jaccard": ("Fires together with", words.TOGETHER),
    "correlation": ("Most correlated", words.ALIKE),
}


def show_around(run: connection.Run, dictionary: records.Dictionary, one: records.Feature) -> None:
    """What stands near the feature: examples beyond the top, its neighbours, its path through the
    other dictionaries."""
    at = (one.card.dictionary_id, one.card.feature_id)
    drawn = queries.samples(run.connection, *at)
    if drawn:
        ids = [sample.example_id for sample in drawn]
        widgets.section("Beyond the top", words.BEYOND)
        known, shown = queries.examples(run.connection, ids), queries.pictures(run.connection, ids)
        strips(widgets.strips(drawn, known, shown), key="beyond")
    every = {d.dictionary_id: d for d in connection.dictionaries(run.connection, run.key)}
    near = queries.neighbors(run.connection, *at, examples=TILES[0] * TILES[1])
    kinds = [kind for kind in KINDS if any(n.kind == kind for n in near)]
    if kinds:
        kind = widgets.segments(
            "Neighbours", kinds, default=kinds[0], format_func=lambda kind: KINDS[kind][0],
            **state.own("near"),
            help=" ".join(KINDS[kind][1] for kind in kinds),
        )  # fmt: skip
        cards(run, [n for n in near if n.kind == kind][:MOST_CARDS], every, key="neighbors")
    others = queries.matches(run.connection, *at, examples=TILES[0] * TILES[1])
    if others:
        widgets.section("Best match elsewhere", words.PATH)
        order = {name: place for place, name in enumerate(every)}
        # The same dictionary at other hook points first: the feature's path through the layers.
        others.sort(key=lambda m: (every[m.kind].name != dictionary.name, order[m.kind]))
        cards(run, others, every, key="matches")


def cards(
    run: connection.Run,
    near: list[records.Related],
    every: dict[str, records.Dictionary],
    *,
    key: str,
) -> None:
    """Small cards of features that stand near one."""
    sheets = run.contact([n.card for n in near], tiles=TILES, tile=TILE)
    grid(
        widgets.related(near, every, sheets), tiles=TILES, said="", page=1, pages=1, of="", key=key
    )


run = connection.current()
dictionary, feature_id = choose(run, connection.dictionaries(run.connection, run.key))
feature = queries.feature(run.connection, dictionary.dictionary_id, feature_id)
if feature is None:
    widgets.empty(f"{dictionary.short} #{feature_id} is not in this bundle. Choose one in Browse.")
    st.stop()
top = queries.top_captions(run.connection, dictionary.dictionary_id, [feature_id])
said = top.get(feature_id, [])
featurebar(widgets.feature_head(feature.card, dictionary, spoken=bool(said)), key="head")
remarks.bar(run, dictionary, feature_id)
found = queries.artefacts(run.connection, dictionary.dictionary_id, feature_id)
widgets.flags(found, spoken=bool(said))
known = show_top(run, dictionary, feature, said)
if feature.top:
    show_numbers(run, dictionary, feature, known)
    show_around(run, dictionary, feature)
elif said:
    captions.show_histogram(run, dictionary, feature_id)
    widgets.empty(words.WORDS_ONLY)
else:
    widgets.empty(
        "No val image activates this feature: it is dead here. Go on with the arrow keys, or "
        "choose a live one in Browse."
    )
if dictionary.dictionary_id not in connection.worded(run.connection, run.key):
    captions.say_why_none(run, dictionary)
