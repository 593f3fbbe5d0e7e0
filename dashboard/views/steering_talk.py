"""Steering of a model that talks: a setting, and what it says under it, side by side."""

import dataclasses
import time

import streamlit as st

from dashboard import (
    connection,
    directions,
    downloads,
    experiments,
    gate,
    live,
    spoken,
    steering,
    telling,
    widgets,
)
from dashboard import words_steering as words
from dashboard.components.answers import answers
from dashboard.components.strips import strips
from dashboard.connection import Run
from dashboard.experiments import Experiment
from dashboard.records import Card
from dashboard.views import steering_sweep
from dashboard.views.steering_form import Form

EVERY = 0.1
"""Seconds between two pictures of what is being said."""
MOST_PRESETS = 8
PRESSED = "steering-pressed"


def show(run: Run, model: str) -> None:
    """All below the page's head."""
    every = connection.dictionaries(run.connection, run.key)
    here = steering.steerable(run, every, model)
    if not here:
        widgets.empty(words.NOTHING_STEERABLE)
        return
    read, bad = steering.read()
    asked, more = steering.known(dataclasses.replace(read, model=model), here, every)
    steering.warn([*bad, *more])
    form = Form(run, here, every, asked)
    form.draw()
    pressed = st.session_state.pop(PRESSED, "")
    with form.foot:
        buttons(form, running=bool(pressed))
        history()
    with st.container(key="steer-answers"):
        if pressed:
            begin(form, steering.SHARES if pressed == "sweep" else ())
            st.rerun()
        one = experiments.shown(form.asked, form.seen)
        if one is None:
            start(form)
        else:
            draw(one, form)
            along = directions.of_text(form.asked.along)
            if along is not None:
                directions.about(run, model, along, warned=form.warned)


def buttons(form: Form, *, running: bool) -> None:
    """What runs, or while that does what stops it. There is one button Sweep: Streamlit leaves
    another, of before, on the page until the model has answered."""
    first, second = form.buttons
    off = not form.asked.edits or not form.seen
    if running:
        first.button("Stop", shortcut="Escape", key="steer-stop")
    else:
        first.button(
            "Run", shortcut="Ctrl+Enter", disabled=off, key="steer-run",
            on_click=gate.allowed(press), args=("run",),
        )  # fmt: skip
    second.button(
        "Sweep", help=words.SWEEP, disabled=running or off or not form.asked.strong,
        key="steer-sweep", on_click=gate.allowed(press), args=("sweep",),
    )  # fmt: skip


def press(what: str) -> None:
    """Keep what is asked for until the page is drawn."""
    st.session_state[PRESSED] = what


def begin(form: Form, sweep: tuple[float, ...]) -> None:
    """Ask the model, and show what it says while it does."""
    if form.picture is None or form.picture.picture is None:
        return
    title = steering.told(form.asked, form.names)
    if form.asked.prompt != steering.PROMPT:
        title += f", asked “{form.asked.prompt[:80]}”"
    title = f"{'sweep of ' if sweep else ''}{title}, on “{form.picture.name[:80]}”"
    one = Experiment(form.asked, title, form.picture.name, form.seen, form.concept, sweep)
    experiments.begin(one)
    place, picture, model = st.empty(), form.picture.picture, form.asked.model
    place.html(telling.streaming(one))
    last = time.monotonic()

    def heard(found: dict, seconds: float) -> None:
        nonlocal last
        one.heard(found, seconds)
        if time.monotonic() - last >= EVERY:
            place.html(telling.streaming(one))
            last = time.monotonic()

    try:
        one.settings = [
            spoken.setting_of(form.asked.share(share), form.cards, form.concept)
            for share in sweep or (1.0,)
        ]
        one.facts = spoken.facts(form.run, model, one.settings[0], picture)
        ask = spoken.sweep if sweep else spoken.say
        one.changed = ask(form.run, model, one.settings, picture, heard)
        place.html(telling.streaming(one))
        if sweep:
            steering_sweep.judge(one, form)
        one.finished = True
    except live.Unavailable as problem:
        one.fault = str(problem)


def draw(one: Experiment, form: Form) -> None:
    """An experiment, whole or as far as it came."""
    if not one.of(form.asked, form.seen):
        st.caption(widgets.plain(other(one, form)))
    for line in filter(None, (one.fault, one.changed)):
        widgets.warn_once(line, form.warned)
    if not one.answers:
        if not one.finished and not one.fault:
            st.caption(words.STOPPED_EARLY)
        start(form)
        return
    if one.sweep:
        steering_sweep.draw(one, form)
    else:
        answers(telling.columns(one), key="answers")
        if one.finished and telling.same(one):
            st.info(words.NOTHING_CHANGED)
    if not one.finished and not one.fault:
        st.caption(words.STOPPED)
    st.download_button(
        "Export JSON", gate.while_open(lambda: record(one)), help=words.RECORD,
        key="export-steering", file_name=f"{downloads.file_name(form.run.name, 'steering')}.json",
        mime="application/json", on_click="ignore",
    )  # fmt: skip


def other(one: Experiment, form: Form) -> str:
    """That the answers are not of what the form asks for."""
    if not experiments.only_picture(one, form.asked):
        return words.OTHER_SETTING.format(one.title)
    line = words.GONE_PICTURE if one.given else words.OTHER_PICTURE
    return line.format(f"“{one.image[:80]}”")


def record(one: Experiment) -> bytes:
    """The experiment as a file."""
    shows = list(one.shows.values())
    return spoken.file_of(
        one.settings, one.answers, one.facts, shows=shows, shown_by=one.shown_by
    ).encode()


def history() -> None:
    """What was run in this visit."""
    kept = experiments.history()
    with st.popover("History", disabled=not kept, help=words.HISTORY):
        for place, one in enumerate(kept):
            said = one.answers.get(spoken.STEERED)
            text = said.text if said else ""
            st.button(
                widgets.plain(f"{one.title}: “{text[:120]}”" if text else one.title),
                key=f"history-{place}", on_click=gate.allowed(experiments.reopen), args=(one,),
                width="stretch",
            )  # fmt: skip


def start(form: Form) -> None:
    """What the page can do, and features to begin with."""
    if form.asked.edits:
        st.html(telling.waiting(form.asked, form.concept))
        return
    st.caption(words.EMPTY)
    cards, why = presets(form)
    if cards:
        images = form.offers.offered(cards)
        strips([{"name": words.PRESETS.format(why), "images": images, "wide": True}],
               key="steer-presets")  # fmt: skip


def presets(form: Form) -> tuple[list[Card], str]:
    """Features to begin with, each label once, and what they were chosen by: those that steer, by
    how much they gain, where the bundle knows any, else the most monosemantic ones, of the language
    model if it has any."""
    if cards := form.offers.steering(most=MOST_PRESETS):
        return cards, "those that steer best"
    read = [d for d in form.here if d.hook.startswith("language")]
    ids = [d.dictionary_id for d in read or form.here]
    return form.offers.labelled(ids)[:MOST_PRESETS], "the most monosemantic"
