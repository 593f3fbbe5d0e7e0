"""A sweep: the same over many strengths, as a table and as curves."""

from collections.abc import Sequence

import streamlit as st

from dashboard import concepts, live, palette, spoken, strengths, telling, widgets
from dashboard import words_steering as words
from dashboard.experiments import Experiment
from dashboard.records import Card
from dashboard.views.steering_form import Form


def judge(one: Experiment, form: Form) -> None:
    """How strongly the features' concept shows in what was said."""
    cards = [form.cards[key] for key in one.asked.features if key in form.cards]
    if not cards:
        return
    rows = telling.swept(one)
    texts = [one.answers[spoken.UNSTEERED].text, *(answer.text for _, answer, _ in rows)]
    try:
        encoder = concepts.speaker(form.run)
        if encoder is None:
            return
        shown = concepts.shows(form.run, encoder, cards, texts)
        one.shows = dict(zip(_names(cards, form), shown, strict=True))
        one.shown_by = encoder
    except live.Unavailable as problem:
        one.fault = f"how strongly the concept shows is not known: {problem}"


def draw(one: Experiment, form: Form) -> None:
    """What was said at each strength, and the curves."""
    left, right = st.columns([1.9, 1], gap="large")
    with left:
        st.html(telling.sweep_table(one))
    with right, st.container(key="sweep-curves"):
        _curves(one, form)


def _curves(one: Experiment, form: Form) -> None:
    unit, _ = one.asked.axis
    rows = telling.swept(one)
    plain = one.answers[spoken.UNSTEERED]
    labels = [form.cards[key].label for key in one.asked.features if key in form.cards]
    named = [label for label in labels if label]
    texts = [plain.text, *(answer.text for _, answer, _ in rows)]
    shows = one.shows
    if not shows and named:
        shows = {"names the label": [float(telling.names(text, named)) for text in texts]}
    accent = palette.ACCENT.get(st.context.theme.type or "light", palette.ACCENT["light"])
    at = [strength for strength, _, _ in rows]
    perplexity = [plain.perplexity, *(judged.perplexity for *_, judged in rows)]
    for name, values in {**shows, "perplexity": perplexity}.items():
        log = values is perplexity
        chart = strengths.over_strengths(
            at, values[1:], level=values[0], name=name, unit=unit, accent=accent, log=log
        )
        st.altair_chart(chart, width="stretch", height=170)
    if shows:
        said = words.SHOWS.format(one.shown_by) if one.shows else words.NO_SHOWS
        st.caption(widgets.plain(said))


def _names(cards: Sequence[Card], form: Form) -> list[str]:
    """Names of what the cards' features show, each once: of several the dictionary and number."""
    if len(cards) == 1:
        return ["concept shows"]
    short = {one.dictionary_id: one.short for one in form.here}
    return [f"shows {short[card.dictionary_id]} #{card.feature_id}" for card in cards]
