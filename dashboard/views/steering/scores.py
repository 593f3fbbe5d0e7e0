"""Steering's scores: which features make the model say what they show, and which do not."""

from collections.abc import Sequence

import streamlit as st
from pydantic import Field

from dashboard import address, queries
from dashboard.bundle import cached
from dashboard.bundle.opening import Run
from dashboard.cards import feature
from dashboard.charts import features as feature_charts
from dashboard.components import Number, Said, heard
from dashboard.components.grid import grid
from dashboard.components.table import table
from dashboard.features import steering_outcome
from dashboard.page import furniture
from dashboard.records.dictionaries import Dictionary
from dashboard.records.steering import Steered, SteeredSum
from dashboard.style import hints, markdown, numbers

HIGH, MOST_ROWS = 460, 100
TILES, TILE = (4, 2), 96
COLUMNS = [
    {"key": "short", "title": "dictionary", "kind": "link", "help": "Opens it in Browse."},
    {"key": "steer", "title": "steer", "kind": "number", "help": hints.STEERS},
    {"key": "score", "title": "score", "kind": "number", "help": hints.STEERING_SCORE},
    {"key": "unsteered", "title": "unsteered", "kind": "number", "help": hints.UNSTEERED_SCORE},
    {"key": "shuffled", "title": "shuffled", "kind": "number", "help": hints.SHUFFLED_SCORE},
    {"key": "gain", "title": "mean gain", "kind": "number", "help": hints.MEAN_GAIN},
    {"key": "over", "title": "over shuffled", "kind": "number", "help": hints.OVER_SHUFFLED},
    {"key": "changed", "title": "answers changed", "kind": "number", "help": hints.CHANGED},
]
FEATURES = [
    {"key": "id", "title": "feature", "kind": "link", "help": hints.FEATURE},
    {"key": "label", "title": "label", "kind": "text", "help": hints.LABEL},
    {"key": "answer", "title": "commonest answer", "kind": "text",
     "help": "What the model says most often while the feature is turned up."},
    {"key": "score", "title": "score", "kind": "number", "help": hints.STEERING_SCORE},
    {"key": "gain", "title": "gain", "kind": "number", "help": hints.STEERING_GAIN},
    {"key": "over", "title": "over shuffled", "kind": "number", "help": hints.OVER_SHUFFLED},
    {"key": "changed", "title": "changed", "kind": "number", "help": hints.CHANGED},
]  # fmt: skip


class Point(Said):
    """A point of the chart."""

    feature: Number


class Pressed(Said):
    """The chart's selection `charts.PRESSED`."""

    pressed: list[Point] = Field(default_factory=list)


def show(run: Run) -> None:
    """The dictionaries in sum, and of one of them each feature."""
    sums = cached.steered_sums(run)
    if not sums:
        furniture.empty(hints.NO_STEERING)
        return
    by_id = {d.dictionary_id: d for d in cached.dictionaries(run)}
    furniture.section("Dictionaries", hints.STEERS)
    table(COLUMNS, [summary(one, by_id[one.dictionary_id]) for one in sums], key="steered-sums")
    names = {by_id[one.dictionary_id].short: one for one in sums}
    best = max(names, key=lambda name: names[name].steer)
    name = st.selectbox(
        "Features of", list(names), list(names).index(best), **address.own("scored"),
        help=hints.DICTIONARY, width=260,
    )  # fmt: skip
    found = queries.steered(run.connection, names[name].dictionary_id)
    if not names[name].changed:
        st.warning(hints.REACHES_NOTHING)
    plot, room = st.columns([5, 8], gap="medium")
    with plot:
        pressed = scatter(found)
        one = found[0]
        st.caption(
            f"{hints.STEERING_CHART} {one.images} images; {one.mode}, {one.scope} tokens, "
            f"{one.form}; compared in the space of {markdown.plain(one.encoder)}. Press a point to "
            "see its feature."
        )
        if pressed is not None:
            card(run, by_id[one.dictionary_id], pressed)
    with room:
        features(found)


def summary(one: SteeredSum, dictionary: Dictionary) -> dict[str, object]:
    """A row of the table of dictionaries."""
    number = numbers.number
    return {
        "short": dictionary.short, "href": address.to_browse(dictionary), "first": False,
        "steer": f"{one.steer} of {one.features}", "score": number(one.score, 3),
        "unsteered": number(one.score_unsteered, 3), "shuffled": number(one.score_shuffled, 3),
        "gain": _mean(one.gain, one.gain_error),
        "over": _mean(one.over_shuffled, one.over_shuffled_error),
        "changed": {"text": numbers.percent(one.changed),
                    "help": "" if one.changed else hints.REACHES_NOTHING},
    }  # fmt: skip


def scatter(found: Sequence[Steered]) -> int | None:
    """The chart; gives the feature whose point is pressed."""
    answer = st.altair_chart(
        feature_charts.steering_scores(found), width="stretch", height=HIGH, on_select="rerun",
        selection_mode=feature_charts.PRESSED, key=f"steering-scores-{found[0].dictionary_id}",
        alt="Steering score against the score of the unsteered answers, a point a feature; the "
        "numbers are in the table beside it.",
    )  # fmt: skip
    said, known = heard(Pressed, answer.get("selection")), {one.feature_id for one in found}
    return (
        next((one.feature for one in said.pressed if one.feature in known), None) if said else None
    )


def card(run: Run, dictionary: Dictionary, feature_id: int) -> None:
    """The card of one feature, which leads to its page."""
    key = (dictionary.dictionary_id, feature_id)
    cards = queries.cards_at(run.connection, [key], examples=TILES[0] * TILES[1])
    sheets = run.contact(cards, tiles=TILES, tile=TILE)
    made = [feature.card(c, dictionary, s) for c, s in zip(cards, sheets, strict=True)]
    grid(made, tiles=TILES, said="", page=1, pages=1, of="", key="steered-card")


def features(found: Sequence[Steered]) -> None:
    """The features, those that gain most first."""
    best = sorted(found, key=lambda one: (not one.steers, -one.gain, one.feature_id))
    rows = [
        {
            "id": f"#{one.feature_id} {'✓' if one.steers else ''}", "first": False,
            "href": address.to_feature(one.dictionary_id, one.feature_id),
            "label": one.label or "", "answer": steering_outcome.cut(one.answer),
            "score": numbers.number(one.score, 3),
            "gain": f"{one.gain:+.3f} ({steering_outcome.interval(one.gain_low, one.gain_high)})",
            "over": "" if one.over_shuffled is None else f"{one.over_shuffled:+.3f}",
            "changed": numbers.percent(one.changed),
        }
        for one in best[:MOST_ROWS]
    ]  # fmt: skip
    steer = sum(bool(one.steers) for one in found)
    furniture.section(f"{steer} of {len(found)} features steer", hints.STEERS)
    table(FEATURES, rows, key="steered-features")
    if len(found) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS}; Browse lists and filters all of them.")


def _mean(value: float | None, error: float | None) -> str:
    if value is None:
        return numbers.number(value)
    if error is None:
        return f"{value:+.3f}"
    half = feature_charts.Z95 * error
    return f"{value:+.3f} ({steering_outcome.interval(value - half, value + half)})"
