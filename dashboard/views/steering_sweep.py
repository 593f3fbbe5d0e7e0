"""A sweep: the same over many strengths, as a table and as curves."""

import streamlit as st

from dashboard import concepts, live, palette, spoken, strengths, telling
from dashboard import words_steering as words
from dashboard.experiments import Experiment
from dashboard.views.steering_form import Form

UNITS = {"scale": "factor"}


def judge(one: Experiment, form: Form) -> None:
    """How strongly the features' concept shows in what was said."""
    encoder = concepts.speaker(form.run)
    cards = [form.cards[key] for key in one.asked.features if key in form.cards]
    if encoder is None or not cards:
        return
    rows = telling.swept(one)
    texts = [one.answers[spoken.UNSTEERED].text, *(answer.text for _, answer, _ in rows)]
    try:
        one.shows = concepts.shows(form.run, encoder, cards, texts)
        one.shown_by = encoder
    except live.Unavailable as problem:
        one.fault = f"how strongly the concept shows is not known: {problem}"


def draw(one: Experiment, form: Form) -> None:
    """What was said at each strength, and the curves."""
    unit = UNITS.get(one.asked.mode, "× max") if one.asked.features else "share"
    left, right = st.columns([1.9, 1], gap="large")
    with left:
        st.html(telling.sweep_table(one, unit=unit))
    with right, st.container(key="sweep-curves"):
        _curves(one, form, unit)


def _curves(one: Experiment, form: Form, unit: str) -> None:
    rows = telling.swept(one)
    plain = one.answers[spoken.UNSTEERED]
    labels = [form.cards[key].label for key in one.asked.features if key in form.cards]
    named = [label for label in labels if label]
    texts = [plain.text, *(answer.text for _, answer, _ in rows)]
    shows = one.shows or [float(telling.names(text, named)) for text in texts]
    accent = palette.ACCENT.get(st.context.theme.type or "light", palette.ACCENT["light"])
    at = [strength for strength, _, _ in rows]
    for name, values, log in (
        ("concept shows" if one.shows else "names the label", shows, False),
        ("perplexity", [plain.perplexity, *(judged.perplexity for *_, judged in rows)], True),
    ):
        if values is shows and not one.shows and not named:
            continue
        chart = strengths.over_strengths(
            at, values[1:], level=values[0], name=name, unit=unit, accent=accent, log=log
        )
        st.altair_chart(chart, width="stretch", height=170)
    if one.shows or named:
        st.caption(words.SHOWS.format(one.shown_by) if one.shows else words.NO_SHOWS)
