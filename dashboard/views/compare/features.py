"""Compare's chosen features: a column each, what they share, how they stand to each other."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.bundle.opening import Run
from dashboard.cards import feature
from dashboard.cards.contact_sheets import data_uri
from dashboard.components.chosen import chosen
from dashboard.components.matrix import matrix
from dashboard.page import furniture
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Card, Feature, Key
from dashboard.style import hints, markdown, numbers, palette

MOST, IMAGES = 6, 16
KINDS = {
    "match": "correlation", "correlation": "correlation", "decoder": "cosine",
    "jaccard": "overlap",
}  # fmt: skip
Features = Sequence[Feature]


def show(
    run: Run,
    every: Sequence[Dictionary],
    keys: Sequence[Key],
    unread: Sequence[str],
) -> None:
    """The features of `keys` side by side, and in one line what of the address names none."""
    by_id = {d.dictionary_id: d for d in every}
    found: list[Feature] = []
    bad = list(unread)
    left = 0
    for place, key in enumerate(keys):
        if len(found) == MOST:
            left = len(keys) - place
            break
        known = key[0] in by_id and key[1] < by_id[key[0]].d_sae
        one = queries.feature(run.connection, *key) if known else None
        if one is None:
            bad.append(f"{key[0]}:{key[1]}")
        else:
            found.append(one)
    if bad:
        st.warning(markdown.plain(f"No such feature in this bundle: {', '.join(bad)[:600]}."))
    if left:
        st.caption(f"The first {MOST} chosen features are shown, {left:,} more are left out.")
    if not found:
        furniture.empty("Choose features in Browse and send them here, two to six of them.")
        return
    names = [_name(one.card, by_id) for one in found]
    _columns(run, found, by_id, names)
    if len(found) > 1:
        _every_two(run, found, names)


def shared(features: Features) -> dict[int, list[int]]:
    """Top images that two or more of the features have, with the places of those."""
    places: dict[int, list[int]] = {}
    for i, one in enumerate(features):
        for top in one.top[:IMAGES]:
            places.setdefault(top.example_id, []).append(i)
    return {example: at for example, at in places.items() if len(at) > 1}


def _columns(run: Run, found: Features, by_id: dict[str, Dictionary], names: Sequence[str]) -> None:
    ids = sorted({top.example_id for one in found for top in one.top[:IMAGES]})
    pictures = queries.pictures(run.connection, ids)
    known = queries.examples(run.connection, ids)
    both = shared(found)
    made = []
    for i, one in enumerate(found):
        images = []
        for top in one.top[:IMAGES]:
            example, picture = known.get(top.example_id), pictures.get(top.example_id)
            caption = example.captions[0][:400] if example and example.captions else ""
            images.append(
                {
                    "id": str(top.example_id), "src": picture and data_uri(picture),
                    "text": numbers.number(top.activation),
                    "caption": caption or (example.uri if example else "an image"),
                    "shared": [names[j] for j in both.get(top.example_id, []) if j != i],
                }
            )  # fmt: skip
        card = feature.card(one.card, by_id[one.card.dictionary_id], None)
        made.append(card | {"images": images, "facts": _facts(one.card), "bars": _bars(one)})
    chosen(made, name="Chosen features", key="chosen")


def _facts(card: Card) -> list[dict[str, str]]:
    rank = None if card.ms_percentile is None else f"{card.ms_percentile * 100:.0f}"
    facts = [
        ("MS percentile", rank or "–", hints.PERCENTILE),
        ("density", numbers.percent(card.density), hints.DENSITY),
        ("active on", f"{card.n_active:,}", hints.ACTIVE),
        ("mean", numbers.number(card.mean), hints.MEAN),
        ("max", numbers.number(card.max), hints.MAX),
        ("label score", numbers.number(card.label_score), hints.LABEL),
    ]
    return [{"name": name, "text": text, "help": about} for name, text, about in facts]


def _bars(one: Feature) -> list[dict[str, Any]]:
    """The histogram, drawn small: heights on a square-root scale, as Feature's chart has it."""
    most = max(one.counts, default=0) or 1
    number = numbers.number
    return [
        {"share": (count / most) ** 0.5, "text": f"{number(low)} to {number(high)}: {count:,}"}
        for low, high, count in zip(one.edges[:-1], one.edges[1:], one.counts, strict=True)
    ]


def _every_two(run: Run, found: Features, names: Sequence[str]) -> None:
    """How many top images every two share, and what the tables say of them."""
    keys = [(one.card.dictionary_id, one.card.feature_id) for one in found]
    said: dict[tuple[int, int], dict[str, float]] = {}
    for tie in queries.ties(run.connection, keys):
        i, j = keys.index(tie.one), keys.index(tie.other)
        for pair in ((i, j), (j, i)):
            said.setdefault(pair, {})[KINDS[tie.kind]] = tie.score
    tops = [{top.example_id for top in one.top[:IMAGES]} for one in found]
    cells = [
        [_cell(tops[i], tops[j], said.get((i, j), {})) if i != j else _itself()
         for j in range(len(found))]
        for i in range(len(found))
    ]  # fmt: skip
    furniture.section("Every two", hints.EVERY_TWO)
    matrix(
        names, cells, colours=[palette.NEURONS] * len(names), key="every-two",
        said=f"Top images shared, of {IMAGES}, and correlation where the tables hold it.",
    )  # fmt: skip


def _cell(one: set[int], other: set[int], said: dict[str, float]) -> dict[str, Any]:
    both = len(one & other)
    text = f"{both} shared"
    if "correlation" in said:
        text += f", r {numbers.number(said['correlation'])}"
    ties = "; ".join(f"{name} {numbers.number(value)}" for name, value in said.items())
    about = ties or "neither is among the other's nearest features or best matches"
    return {"text": text, "about": about, "shade": both / IMAGES}


def _itself() -> dict[str, Any]:
    return {"text": "", "about": "itself", "shade": None}


def _name(card: Card, by_id: dict[str, Dictionary]) -> str:
    return f"{by_id[card.dictionary_id].short} #{card.feature_id}"
