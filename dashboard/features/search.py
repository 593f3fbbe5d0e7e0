"""Browse's search: by a label's text, by words, and by an image."""

import difflib
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import address, queries
from dashboard.bundle import cached, nearness, opening
from dashboard.cards.contact_sheets import data_uri
from dashboard.components.chips import chips
from dashboard.images import uploads
from dashboard.live import models
from dashboard.page import furniture
from dashboard.records.dictionaries import Dictionary, Encoder
from dashboard.records.features import Filter
from dashboard.records.images import Embeddings
from dashboard.style import hints, markdown

KINDS = {"label": "in labels", "words": "by what it shows"}
LIMIT = 200
"""Characters of a search."""
MOST_NAMES = 256
"""Names of features whose mean stands for what all words have in common."""
MOST_LIKE, LEAST_LIKE = 3, 0.6
"""Words offered in the place of an unknown one, and how like it they are at least (difflib)."""
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, eq=False)
class Query:
    """What features are to be near to, as an embedding of one of the run's encoders.

    Attributes:
        name: tells this query from another one.
        vector: None where the encoder knows nothing of what was asked: no feature is near to that.
    """

    name: str
    encoder: str
    vector: NDArray[np.float32] | None


def bar(run: opening.Run) -> tuple[str, Query | None, str]:
    """The search field and its kind, an image to search by, and cards or table.

    Returns the text to look for in labels, what to be near to, and the view.
    """
    encoders = queries.encoders(run.connection)
    speaks = next((e for e in encoders if e.text), None)
    first = speaks or next(iter(encoders), Encoder("any encoder", "", True))
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="search"):
        text = st.text_input(
            "Search", **address.own("q"), max_chars=LIMIT, label_visibility="collapsed",
            placeholder="Search features" if speaks else "Search features by label", type="search",
        )  # fmt: skip
        kind = "label"
        if speaks:
            kind = furniture.segments(
                "Search", list(KINDS), default="words", format_func=KINDS.__getitem__,
                **address.own("by"), label_visibility="collapsed", help=hints.SEARCH,
            )  # fmt: skip
        with st.popover("By an image"):
            file = st.file_uploader(
                "An image", type=["png", "jpg", "jpeg", "webp"], max_upload_size=20, key="drop",
                help=hints.SEARCH_IMAGE,
            )  # fmt: skip
        view = furniture.segments(
            "View", ["cards", "table"], default="cards", **address.own("view"),
            label_visibility="collapsed",
        )  # fmt: skip
    text = (text or "").strip()
    given = uploads.first(file, most=1)
    if given:
        st.caption("Features that show images like yours. Take it out again to search by words.")
        return "", _by_file(run, first, given[0][1]), view
    like = address.asked_number("like")
    if like is not None and not text:
        return "", _by_example(run, first, like), view
    if text and kind == "words" and speaks:
        return "", _by_words(run, speaks, text), view
    return text, None, view


def nearest(
    run: opening.Run,
    dictionaries: Sequence[Dictionary],
    chosen: Filter,
    query: Query,
    *,
    limit: int,
    offset: int,
) -> list[tuple[str, int, float]]:
    """(dictionary, feature, nearness) of those that pass the filter, from the nearest on."""
    if query.vector is None:
        return []
    similarity = cached.embeddings(run, query.encoder).vectors @ query.vector
    scores = []
    for one in dictionaries:
        ids = queries.passing(run.connection, one.dictionary_id, chosen)
        places = cached.places(run, one, query.encoder)
        scores.append((one.dictionary_id, ids, nearness.nearness(similarity, places)))
    return nearness.best(scores, limit=limit, offset=offset)


def held(run: opening.Run, encoder: Encoder) -> Embeddings:
    """What the run's images are known by, to compare with.

    Raises:
        live.Unavailable: it is missing.
    """
    found = cached.embeddings(run, encoder.encoder)
    if not len(found.ids):
        raise models.Unavailable(f"the bundle has no embeddings by {encoder.encoder}")
    return found


def _by_words(run: opening.Run, encoder: Encoder, text: str) -> Query | None:
    try:
        (known,) = models.known(run, encoder.encoder, (text,))
        if known.unknown or not known.text:
            _say_unknown(run, encoder, known.unknown, ranked=bool(known.text))
        if not known.text:
            return Query(text, encoder.encoder, None)
        # Words have in common that they are words: without their mean, features that resemble any
        # text at all would come first.
        names = cached.label_names(run)[:MOST_NAMES]
        vector = models.embed_words(run, encoder.encoder, (known.text,))[0]
        if names:
            vector = vector - models.embed_words(run, encoder.encoder, tuple(names)).mean(0)
        held(run, encoder)
    except models.Unavailable as problem:
        st.warning(markdown.plain(f"Search by words is not at hand: {problem}"))
        return None
    return Query(text, encoder.encoder, vector / max(float(np.linalg.norm(vector)), 1e-12))


def _say_unknown(
    run: opening.Run, encoder: Encoder, unknown: Sequence[str], *, ranked: bool
) -> None:
    """Say which words the encoder does not know, and offer words like them that it knows."""
    listed = ", ".join(f"“{word}”" for word in unknown) or "any of these signs"
    what = "ranked by the other words" if ranked else "nothing is ranked"
    st.warning(markdown.plain(f"The encoder {encoder.encoder} does not know {listed}: {what}."))
    names = cached.label_names(run)
    there = tuple(dict.fromkeys(word for name in names for word in _WORD.findall(name)))
    like = dict.fromkeys(
        near
        for word in unknown
        for near in difflib.get_close_matches(word.lower(), there, MOST_LIKE, LEAST_LIKE)
    )
    known = [one.text for one in models.known(run, encoder.encoder, tuple(like)) if not one.unknown]
    links = [(word, address.with_values(q=word), "Search by this word") for word in known if word]
    if links:
        chips(links, name="Words like it that it knows", key="search-like")


def _by_file(run: opening.Run, encoder: Encoder, data: bytes) -> Query | None:
    try:
        image = models.opened(data)
        vector = models.embed_image(run, encoder.encoder, image)
        held(run, encoder)
    except models.Unavailable as problem:
        st.warning(markdown.plain(f"Search by this image is not at hand: {problem}"))
        return None
    return Query(address.name_of(data), encoder.encoder, vector)


def _by_example(run: opening.Run, encoder: Encoder, example_id: int) -> Query | None:
    """An image of the run: its embedding is in the tables."""
    try:
        known = held(run, encoder)
    except models.Unavailable as problem:
        st.warning(markdown.plain(f"Search by an image is not at hand: {problem}"))
        return None
    at = int(np.searchsorted(known.ids, example_id))
    if at == len(known.ids) or known.ids[at] != example_id:
        st.warning(f"This run has no val image {example_id}. Search by another one.")
        return None
    picture = queries.pictures(run.connection, [example_id]).get(example_id)
    if picture:
        source = f'<img src="{data_uri(picture)}" alt="the image searched by" height="72">'
        st.html(
            f'<p class="like">{source} Features that show images like this one. '
            f'<a href="{html.escape(address.to_page("browse"))}" target="_self">'
            "All features</a></p>"
        )
    return Query(f"like {example_id}", encoder.encoder, known.vectors[at])
