"""Captions beside pictures on the page of a feature: token text, and the two sides in numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import address, queries
from dashboard.bundle import cached, opening
from dashboard.cards import feature, marked_captions
from dashboard.cards.contact_sheets import data_uri
from dashboard.charts import features
from dashboard.components.captions import captions
from dashboard.components.factline import factline
from dashboard.page import furniture
from dashboard.records.captions import Modality, Spoken, TopCaption
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Card, Key
from dashboard.style import hints, markdown, palette
from dashboard.style.numbers import number, percent


def rows(
    top: Sequence[TopCaption], pictures: Mapping[int, bytes] | None = None
) -> list[dict[str, Any]]:
    """Each caption as the component `captions` takes it: its tokens' activations, clipped around
    the strongest, and the small picture that it belongs to, where `pictures` (WebP bytes by
    example) has it."""
    return [_row(one, (pictures or {}).get(one.example_id)) for one in top]


def _row(one: TopCaption, picture: bytes | None) -> dict[str, Any]:
    made = marked_captions.marked(one)
    return {
        "rank": one.rank, "act": one.activation, "text": number(one.activation),
        "whole": one.token is None, "before": _parts(made.before), "shown": _parts(made.shown),
        "after": _parts(made.after), "start": made.start, "end": made.end, "unread": made.unread,
        "src": picture and data_uri(picture), "href": address.to_image(one.example_id),
    }  # fmt: skip


def _parts(parts: Sequence[marked_captions.Stretch]) -> list[list[Any]]:
    """[text, activation, whether it is the strongest]; of a stretch that is 0 the text alone."""
    return [
        [p.text, round(p.act, 5), p.strongest] if p.act or p.strongest else [p.text] for p in parts
    ]


def spoken(run: opening.Run, cards: Sequence[Card]) -> dict[Key, Spoken]:
    """The strongest caption of those of `cards` that no image activates, where one has any."""
    mute = [(one.dictionary_id, one.feature_id) for one in cards if not one.n_active]
    return queries.spoken(run.connection, mute)


def show(run: opening.Run, top: Sequence[TopCaption], *, key: str = "captions") -> None:
    """The top captions of one feature with their tokens marked and their pictures."""
    pictures = queries.pictures(run.connection, [one.example_id for one in top])
    captions(
        rows(top, pictures), title=f"Top {len(top)} captions", help=hints.CAPTIONS, key=key,
        note=hints.ONE_VECTOR_TEXT if all(one.token is None for one in top) else "",
    )  # fmt: skip


def two_sides(run: opening.Run, dictionary: Dictionary, feature_id: int) -> Modality | None:
    """How the feature's two sides compare; None where no caption went through the dictionary."""
    if dictionary.dictionary_id not in cached.two_sided(run):
        return None
    found = queries.modality_of(run.connection, dictionary.dictionary_id, [feature_id])
    return found.get(feature_id)


def show_sides(found: Modality, dictionary: Dictionary, *, said: bool) -> None:
    """How the feature fires on pictures and on words, in numbers; `said`: it has captions."""
    factline(facts(found, dictionary), title="Pictures and words", help=hints.SIDES, key="sides")
    if not said:
        st.caption(hints.SILENT_ON_TEXT if found.image_active else hints.SILENT_ON_BOTH)


def facts(found: Modality, dictionary: Dictionary) -> list[dict[str, Any]]:
    """The same as the component `factline` takes them."""
    shuffled = found.correlation_shuffled
    pairs: dict[str, Any] = {"text": number(found.correlation)}
    if shuffled is not None:
        pairs["beside"] = f"shuffled {number(shuffled)}"
    bridge: dict[str, Any] = {"text": f"{found.bridge:.3g}"}
    if found.bridge_feature is not None and found.bridge_best is not None:
        bridge["beside"] = f"best {found.bridge_best:.3g} with"
        href = address.to_feature(dictionary.dictionary_id, found.bridge_feature)
        bridge["link"] = {"text": f"#{found.bridge_feature}", "href": href}
    score = found.modality_score
    return [
        {"name": "image density", "help": hints.IMAGE_DENSITY,
         "text": percent(found.image_density), "beside": furniture.images(found.image_active)},
        {"name": "text density", "help": hints.TEXT_DENSITY,
         "text": percent(found.text_density), "beside": furniture.images(found.text_active)},
        {"name": "modality score", "help": hints.MODALITY_SCORE, "balance": feature.sides(score)},
        {"name": "pair correlation", "help": hints.PAIR_CORRELATION} | pairs,
        {"name": "bridge score", "help": hints.BRIDGE} | bridge,
        {"name": "top overlap", "help": hints.TOP_OVERLAP, "text": percent(found.top_overlap)},
    ]  # fmt: skip


def show_histogram(run: opening.Run, dictionary: Dictionary, feature_id: int) -> None:
    """The feature's activations on captions, in small; nothing where no caption activates it."""
    edges, counts = queries.text_histogram(run.connection, dictionary.dictionary_id, feature_id)
    if not counts:
        return
    furniture.section("Activations on captions", hints.TEXT_HISTOGRAM)
    st.vega_lite_chart(
        spec=features.histogram(edges, counts, accent=palette.TEXT, small=True), width="stretch",
        height=110,
        alt="Histogram of the activations on captions that are above 0, image by image.",
    )  # fmt: skip


def say_why_none(run: opening.Run, dictionary: Dictionary) -> None:
    """Why no caption went through the dictionary."""
    furniture.section("Captions", hints.CAPTIONS)
    if cached.worded(run):
        neurons = dictionary.basis == "neurons"
        st.caption(hints.NEURONS_READ_NONE if neurons else hints.NO_TEXT)
    else:
        known = queries.captioned(run.connection) is not None
        st.caption(markdown.plain(hints.NO_WORDS if known else hints.NO_SIDES))
