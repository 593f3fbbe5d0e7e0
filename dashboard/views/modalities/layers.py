"""Modalities' layers: how features share themselves out between pictures and words, by depth."""

from collections.abc import Sequence

import streamlit as st

from dashboard import address, queries
from dashboard.bundle.opening import Run
from dashboard.charts import modalities
from dashboard.page import furniture
from dashboard.records.dictionaries import Dictionary
from dashboard.records.modalities import Correlations, Overlap
from dashboard.style import hints, numbers
from dashboard.views.modalities.features import left_out, two_sided
from pipeline.metrics.modality import THRESHOLD

HIGH = 225
Dictionaries = Sequence[Dictionary]


def show(run: Run, every: Dictionaries) -> None:
    """For each dictionary name the shares by layer, by threshold, and the correlation by layer."""
    offered = two_sided(run, every)
    if not offered:
        return
    known = overlaps(run.connection, run.key, [d.dictionary_id for d in offered])
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        layers = of_model(offered)
        threshold = choose_threshold(known)
        places = list(dict.fromkeys(d.place for d in layers))
        place = st.selectbox(
            "Layer of the curve", places, len(places) - 1, **address.own("layer"),
            format_func=lambda name: name.removeprefix(f"{layers[0].model} "),
            help=hints.BY_THRESHOLD, width=200,
        )  # fmt: skip
    said = numbers.percent(threshold)
    st.caption(
        f"A feature fires on pictures if it does on more than {said} of the val images, and on "
        f"words if a caption of more than {said} of them activates it."
    )
    furniture.line_legend(modalities.LEGEND)
    for name in dict.fromkeys(d.name for d in layers):
        line(run, [d for d in layers if d.name == name], known, threshold, place)
    if out := left_out(run, every, offered):
        st.caption(out)


def of_model(offered: Dictionaries) -> list[Dictionary]:
    """The dictionaries of the model chosen, in order of depth."""
    models = list(dict.fromkeys(d.model for d in offered))
    model = models[0]
    if len(models) > 1:
        model = st.selectbox("Model", models, **address.own("model"), width=200)
    return sorted((d for d in offered if d.model == model), key=lambda d: d.depth)


def choose_threshold(known: Sequence[Overlap]) -> float:
    """Which density counts as firing: one of those that the table holds."""
    values = sorted({one.threshold for one in known})
    nearest = min(values, key=lambda value: abs(value - THRESHOLD))
    chosen: float = st.select_slider(
        "Fires above a density of", values, nearest, format_func=numbers.percent,
        **address.own("above"), help=hints.FIRING, width=300,
    )  # fmt: skip
    return chosen


def line(
    run: Run,
    layers: Dictionaries,
    known: Sequence[Overlap],
    threshold: float,
    place: str,
) -> None:
    """The three charts of the dictionaries of one name."""
    here = {o.dictionary_id: o for o in known if o.threshold == threshold}
    shares, curve, pairs = st.columns(3, gap="medium")
    name = layers[0].name
    with shares:
        furniture.section(f"{name}: who fires on what", hints.SHARES)
        st.altair_chart(
            modalities.shares_by_layer(layers, here), width="stretch", height=HIGH,
            alt=f"Shares of the features of {name} by layer.",
        )  # fmt: skip
    with curve:
        one = next((d for d in layers if d.place == place), layers[-1])
        furniture.section(f"by threshold, at {one.place}", hints.BY_THRESHOLD)
        mine = [o for o in known if o.dictionary_id == one.dictionary_id]
        st.altair_chart(
            modalities.shares_by_threshold(mine, threshold), width="stretch", height=HIGH,
            alt=f"Shares of the features of {one.short} by threshold.",
        )  # fmt: skip
    with pairs:
        furniture.section("correlation of image and caption", hints.BY_LAYER)
        spreads = {
            d.dictionary_id: found
            for d in layers
            if (found := correlations(run.connection, run.key, d.dictionary_id)) is not None
        }
        if spreads:
            st.altair_chart(
                modalities.correlation_by_layer(layers, spreads), width="stretch", height=HIGH,
                alt=f"Pair correlation of the features of {name} by layer, and shuffled.",
            )  # fmt: skip
        else:
            furniture.empty("No feature fires on both pictures and words.")


@st.cache_data(max_entries=4, show_spinner=False)
def overlaps(_connection: queries.Connection, key: str, ids: list[str]) -> list[Overlap]:
    """`queries.overlaps`, once a bundle."""
    return queries.overlaps(_connection, ids)


@st.cache_data(max_entries=256, show_spinner=False)
def correlations(
    _connection: queries.Connection, key: str, dictionary_id: str
) -> Correlations | None:
    """`queries.correlations`, once a bundle."""
    return queries.correlations(_connection, dictionary_id)
