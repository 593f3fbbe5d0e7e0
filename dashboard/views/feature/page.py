"""Feature: one feature's numbers, top images with patch heat maps, and what they share."""

import streamlit as st

from dashboard import address, queries
from dashboard.bundle import cached, opening
from dashboard.cards import bars as score_bars
from dashboard.cards import feature as feature_cards
from dashboard.cards import images
from dashboard.charts import features
from dashboard.components.bars import bars
from dashboard.components.factline import factline
from dashboard.components.featurebar import featurebar
from dashboard.components.grid import grid
from dashboard.components.strips import strips
from dashboard.components.topimages import topimages
from dashboard.features import captions, remarks, steering_outcome
from dashboard.page import furniture
from dashboard.records.captions import TopCaption
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Feature, Filter
from dashboard.records.images import Example
from dashboard.records.matches import Related
from dashboard.style import hints, palette

TILES, TILE, MOST_CARDS = (4, 1), 96, 8


def first(run: opening.Run, every: list[Dictionary]) -> tuple[Dictionary, int]:
    """The most monosemantic feature, where the address names none, among those not too rare."""
    best = max(every, key=lambda d: (d.basis == "sae", d.ms or -1.0))
    common = Filter(n_active=16)
    cards = queries.page(run.connection, [best.dictionary_id], common, limit=1, examples=0)
    return best, cards[0].feature_id if cards else 0


def choose(run: opening.Run, every: list[Dictionary]) -> tuple[Dictionary, int]:
    """The dictionary and feature that the address names; says so and stops where it names none."""
    asked, feature_id = address.asked_feature()
    if asked is None:
        return first(run, every)
    found = next((d for d in every if d.dictionary_id == asked), None)
    if found is None:
        furniture.empty(f"This run has no dictionary {asked!r}. Choose one in Browse.")
        st.stop()
    if feature_id is None or feature_id >= found.d_sae:
        furniture.empty(
            f"{found.short} has features 0 to {found.d_sae - 1:,}: the address names none of them. "
            "Choose one in Browse."
        )
        st.stop()
    return found, feature_id


def quantiles(run: opening.Run, dictionary: Dictionary, one: Feature) -> list[tuple[float, float]]:
    """Where the examples beyond the top come from; of neurons only the top is in the tables."""
    if dictionary.basis != "sae":
        return []
    return queries.quantiles(run.connection, one.card.dictionary_id, one.card.feature_id)


def show_top(
    run: opening.Run,
    dictionary: Dictionary,
    one: Feature,
    said: list[TopCaption],
) -> list[Example]:
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
                images.top_images(
                    one.top, known, queries.pictures(run.connection, ids),
                    whole=dictionary.grid_fit == "whole",
                ),
                grid=dictionary.grid, key="top", beside=bool(said),
                note=hints.READ_AT_CLS if dictionary.tokens == "cls" else "",
                unmapped=hints.NO_PATCH if dictionary.grid else hints.ONE_VECTOR,
            )  # fmt: skip
    if said:
        with beside:
            captions.show(run, said)
    outcome = queries.steering_of(run.connection, one.card.dictionary_id, one.card.feature_id)
    if outcome is not None:
        factline(
            steering_outcome.facts(outcome), title="Steering", help=hints.STEERS, key="steered"
        )
    found = captions.two_sides(run, dictionary, one.card.feature_id)
    if found:
        captions.show_sides(found, dictionary, said=bool(said))
    elif dictionary.dictionary_id in cached.worded(run):
        st.caption(hints.MIXED)
    return list(known.values())


def show_numbers(
    run: opening.Run,
    dictionary: Dictionary,
    one: Feature,
    known: list[Example],
) -> None:
    """What explains the top images."""
    left, middle, right = st.columns(3, gap="large")
    with left:
        furniture.section("Activations", "The val images that activate it, by how much.")
        accent = palette.ACCENT.get(st.context.theme.type or "light", palette.ACCENT["light"])
        marks = quantiles(run, dictionary, one)
        st.vega_lite_chart(
            spec=features.histogram(one.edges, one.counts, accent=accent, marks=marks),
            width="stretch", height=230,
            alt="Histogram of the activations that are above 0, with their quantiles.",
        )  # fmt: skip
        captions.show_histogram(run, dictionary, one.card.feature_id)
    with middle:
        rows = score_bars.score_bars(
            queries.scores(run.connection, one.card.dictionary_id, one.card.feature_id)
        )
        bars(rows, title="MS by encoder", help=f"{hints.MS} {hints.CONTROLS}",
             empty="no encoder has scored it", key="scores")  # fmt: skip
        names = queries.auto_labels(run.connection, one.card.dictionary_id, one.card.feature_id)
        if names:
            bars(score_bars.name_bars(names), title="Names found for it", help=hints.NAMES,
                 empty="", key="names")  # fmt: skip
    with right:
        rows = score_bars.tag_bars(known, cached.tag_rates(run))
        bars(rows, title="Tags of the top images", help=hints.LABEL,
             empty="these images have no tags", key="tags")  # fmt: skip


KINDS = {
    "decoder": ("Nearest directions", hints.NEAREST),
    "jaccard": ("Fires together with", hints.TOGETHER),
    "correlation": ("Most correlated", hints.ALIKE),
}


def show_around(run: opening.Run, dictionary: Dictionary, one: Feature) -> None:
    """What stands near the feature: examples beyond the top, its neighbours, its path through the
    other dictionaries."""
    at = (one.card.dictionary_id, one.card.feature_id)
    drawn = queries.samples(run.connection, *at)
    if drawn:
        ids = [sample.example_id for sample in drawn]
        furniture.section("Beyond the top", hints.BEYOND)
        known, shown = queries.examples(run.connection, ids), queries.pictures(run.connection, ids)
        strips(images.strips(drawn, known, shown), key="beyond")
    every = {d.dictionary_id: d for d in cached.dictionaries(run)}
    near = queries.neighbors(run.connection, *at, examples=TILES[0] * TILES[1])
    kinds = [kind for kind in KINDS if any(n.kind == kind for n in near)]
    if kinds:
        kind = furniture.segments(
            "Neighbours", kinds, default=kinds[0], format_func=lambda kind: KINDS[kind][0],
            **address.own("near"),
            help=" ".join(KINDS[kind][1] for kind in kinds),
        )  # fmt: skip
        cards(run, [n for n in near if n.kind == kind][:MOST_CARDS], every, key="neighbors")
    others = queries.matches(run.connection, *at, examples=TILES[0] * TILES[1])
    if others:
        furniture.section("Best match elsewhere", hints.PATH)
        order = {name: place for place, name in enumerate(every)}
        # The same dictionary at other hook points first: the feature's path through the layers.
        others.sort(key=lambda m: (every[m.kind].name != dictionary.name, order[m.kind]))
        cards(run, others, every, key="matches")


def cards(
    run: opening.Run,
    near: list[Related],
    every: dict[str, Dictionary],
    *,
    key: str,
) -> None:
    """Small cards of features that stand near one."""
    sheets = run.contact([n.card for n in near], tiles=TILES, tile=TILE)
    grid(
        feature_cards.related(near, every, sheets),
        tiles=TILES,
        said="",
        page=1,
        pages=1,
        of="",
        key=key,
    )


run = opening.current()
dictionary, feature_id = choose(run, cached.dictionaries(run))
feature = queries.feature(run.connection, dictionary.dictionary_id, feature_id)
if feature is None:
    furniture.empty(
        f"{dictionary.short} #{feature_id} is not in this bundle. Choose one in Browse."
    )
    st.stop()
top = queries.top_captions(run.connection, dictionary.dictionary_id, [feature_id])
said = top.get(feature_id, [])
featurebar(feature_cards.feature_head(feature.card, dictionary, spoken=bool(said)), key="head")
remarks.bar(run, dictionary, feature_id)
found = queries.artefacts(run.connection, dictionary.dictionary_id, feature_id)
feature_cards.flags(found, spoken=bool(said))
known = show_top(run, dictionary, feature, said)
if feature.top:
    show_numbers(run, dictionary, feature, known)
    show_around(run, dictionary, feature)
elif said:
    captions.show_histogram(run, dictionary, feature_id)
    furniture.empty(hints.WORDS_ONLY)
else:
    furniture.empty(
        "No val image activates this feature: it is dead here. Go on with the arrow keys, or "
        "choose a live one in Browse."
    )
if dictionary.dictionary_id not in cached.worded(run):
    captions.say_why_none(run, dictionary)
