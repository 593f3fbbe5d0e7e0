"""A sweep: the same over many strengths, as a table and as curves."""

import streamlit as st

from dashboard import concepts, live, palette, spoken, strengths, telling
from dashboard import words_steering as words
from dashboard.components.table import table
from dashboard.experiments import Experiment
from dashboard.numbers import number
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
    rows = telling.swept(one)
    plain = one.answers[spoken.UNSTEERED]
    unit = UNITS.get(one.asked.mode, "strength, × max")
    known = bool(one.shows)
    labels = [form.cards[k].label for k in one.asked.features if k in form.cards]
    named = [label for label in labels if label]
    left, right = st.columns([1.7, 1], gap="large")
    shows: list[float | None] = [*one.shows] if known else [None] * (len(rows) + 1)
    lines = [_row("unsteered", plain.text, plain.perplexity, None, shows[0], named)]
    for (at, answer, judged), show in zip(rows, shows[1:], strict=True):
        changed = telling.count_changed(answer, plain)
        lines.append(_row(f"{at:g}", answer.text, judged.perplexity, changed, show, named))
    with left, st.container(key="sweep-room"):
        table(_columns(unit, known, bool(named)), lines, key="sweep-table")
    with right:
        accent = palette.ACCENT.get(st.context.theme.type or "light", palette.ACCENT["light"])
        if not known:
            texts = [plain.text, *(answer.text for _, answer, _ in rows)]
            shows = [float(telling.names(text, named)) for text in texts]
        st.altair_chart(
            strengths.over_strengths(
                [at for at, _, _ in rows], shows[1:],
                [judged.perplexity for _, _, judged in rows], level=(shows[0], plain.perplexity),
                title="concept shows" if known else "names the label", unit=unit, accent=accent,
            ),
            width="stretch",
        )  # fmt: skip
        st.caption(words.SHOWS.format(one.shown_by) if known else words.NO_SHOWS)


def _columns(unit: str, known: bool, named: bool) -> list[dict[str, str]]:
    found = [
        ("at", unit, "number", words.STRENGTH), ("text", "what is said", "text", words.STEERED),
        ("words", "words changed", "number", words.CHANGED_WORDS),
        ("perplexity", "perplexity", "number", words.COHERENCE),
    ]  # fmt: skip
    if known:
        found.append(("shows", "concept", "number", words.SHOWS.format("")))
    elif named:
        found.append(("shows", "names it", "number", words.NO_SHOWS))
    return [
        {"key": key, "title": title, "kind": kind, "help": about}
        for key, title, kind, about in found
    ]


def _row(
    at: str,
    text: str,
    perplexity: float,
    changed: int | None,
    shows: float | None,
    named: list[str],
) -> dict[str, str]:
    told = number(shows) if shows is not None else "yes" if telling.names(text, named) else "no"
    return {
        "at": at, "text": text, "perplexity": number(perplexity), "shows": told,
        "words": "" if changed is None else str(changed),
    }  # fmt: skip
