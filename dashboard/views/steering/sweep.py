"""A sweep: the same over many strengths, as a table and as curves."""

from collections.abc import Sequence

import streamlit as st

from dashboard.live import models
from dashboard.records.features import Card
from dashboard.steering import answer_view, answers, concept_scores, hints, sweep_charts
from dashboard.steering.history import Experiment
from dashboard.style import markdown, palette
from dashboard.views.steering.form import Form


def judge(one: Experiment, form: Form) -> None:
    """How strongly the features' concept shows in what was said."""
    cards = [form.cards[key] for key in one.asked.features if key in form.cards]
    if not cards:
        return
    rows = answer_view.swept(one)
    texts = [one.answers[answers.UNSTEERED].text, *(answer.text for _, answer, _ in rows)]
    try:
        encoder = concept_scores.speaker(form.run)
        if encoder is None:
            return
        shown = concept_scores.shows(form.run, encoder, cards, texts)
        one.shows = dict(zip(_names(cards, form), shown, strict=True))
        one.shown_by = encoder
    except models.Unavailable as problem:
        one.fault = f"how strongly the concept shows is not known: {problem}"


def draw(one: Experiment, form: Form) -> None:
    """What was said at each strength, and the curves."""
    left, right = st.columns([1.9, 1], gap="large")
    with left:
        st.html(answer_view.sweep_table(one))
    with right, st.container(key="sweep-curves"):
        _curves(one, form)


def _curves(one: Experiment, form: Form) -> None:
    unit, _ = one.asked.axis
    rows = answer_view.swept(one)
    plain = one.answers[answers.UNSTEERED]
    labels = [form.cards[key].label for key in one.asked.features if key in form.cards]
    named = [label for label in labels if label]
    texts = [plain.text, *(answer.text for _, answer, _ in rows)]
    shows = one.shows
    if not shows and named:
        shows = {"names the label": [float(answer_view.names(text, named)) for text in texts]}
    accent = palette.ACCENT.get(st.context.theme.type or "light", palette.ACCENT["light"])
    at = [strength for strength, _, _ in rows]
    perplexity = [plain.perplexity, *(judged.perplexity for *_, judged in rows)]
    for name, values in {**shows, "perplexity": perplexity}.items():
        log = values is perplexity
        chart = sweep_charts.over_strengths(
            at, values[1:], level=values[0], name=name, unit=unit, accent=accent, log=log
        )
        st.altair_chart(chart, width="stretch", height=170)
    if shows:
        said = hints.SHOWS.format(one.shown_by) if one.shows else hints.NO_SHOWS
        st.caption(markdown.plain(said))


def _names(cards: Sequence[Card], form: Form) -> list[str]:
    """Names of what the cards' features show, each once: of several the dictionary and number."""
    if len(cards) == 1:
        return ["concept shows"]
    short = {one.dictionary_id: one.short for one in form.here}
    return [f"shows {short[card.dictionary_id]} #{card.feature_id}" for card in cards]
