"""Steering of a model that talks: a setting, and what it says under it, side by side."""

import dataclasses
import time

import streamlit as st

from dashboard import gate
from dashboard.bundle import cached
from dashboard.bundle.opening import Run
from dashboard.components.answers import answers
from dashboard.components.strips import strips
from dashboard.live import models
from dashboard.page import downloads, furniture
from dashboard.records.features import Card
from dashboard.steering import answer_view, direction_chooser, hints, request
from dashboard.steering import answers as live_answers
from dashboard.steering import history as steering_history
from dashboard.steering.history import Experiment
from dashboard.style import markdown
from dashboard.views.steering import sweep as steering_sweep
from dashboard.views.steering.form import Form

EVERY = 0.1
"""Seconds between two pictures of what is being said."""
MOST_PRESETS = 8
PRESSED = "steering-pressed"


def show(run: Run, model: str) -> None:
    """All below the page's head."""
    every = cached.dictionaries(run)
    here = request.steerable(run, every, model)
    if not here:
        furniture.empty(hints.NOTHING_STEERABLE)
        return
    read, bad = request.read()
    asked, more = request.known(dataclasses.replace(read, model=model), here, every)
    request.warn([*bad, *more])
    form = Form(run, here, every, asked)
    form.draw()
    pressed = st.session_state.pop(PRESSED, "")
    with form.foot:
        buttons(form, running=bool(pressed))
        history()
    with st.container(key="steer-answers"):
        if pressed:
            begin(form, request.SHARES if pressed == "sweep" else ())
            st.rerun()
        one = steering_history.shown(form.asked, form.seen)
        if one is None:
            start(form)
        else:
            draw(one, form)
            along = direction_chooser.of_text(form.asked.along)
            if along is not None:
                direction_chooser.about(run, model, along, warned=form.warned)


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
        "Sweep", help=hints.SWEEP, disabled=running or off or not form.asked.strong,
        key="steer-sweep", on_click=gate.allowed(press), args=("sweep",),
    )  # fmt: skip


def press(what: str) -> None:
    """Keep what is asked for until the page is drawn."""
    st.session_state[PRESSED] = what


def begin(form: Form, sweep: tuple[float, ...]) -> None:
    """Ask the model, and show what it says while it does."""
    if form.picture is None or form.picture.picture is None:
        return
    title = request.told(form.asked, form.names)
    if form.asked.prompt != request.PROMPT:
        title += f", asked “{form.asked.prompt[:80]}”"
    title = f"{'sweep of ' if sweep else ''}{title}, on “{form.picture.name[:80]}”"
    one = Experiment(form.asked, title, form.picture.name, form.seen, form.concept, sweep)
    steering_history.begin(one)
    place, picture, model = st.empty(), form.picture.picture, form.asked.model
    place.html(answer_view.streaming(one))
    last = time.monotonic()

    def heard(found: dict, seconds: float) -> None:
        nonlocal last
        one.heard(found, seconds)
        if time.monotonic() - last >= EVERY:
            place.html(answer_view.streaming(one))
            last = time.monotonic()

    try:
        one.settings = [
            live_answers.setting_of(form.asked.share(share), form.cards, form.concept)
            for share in sweep or (1.0,)
        ]
        one.facts = live_answers.facts(form.run, model, one.settings[0], picture)
        ask = live_answers.sweep if sweep else live_answers.say
        one.changed = ask(form.run, model, one.settings, picture, heard)
        place.html(answer_view.streaming(one))
        if sweep:
            steering_sweep.judge(one, form)
        one.finished = True
    except models.Unavailable as problem:
        one.fault = str(problem)


def draw(one: Experiment, form: Form) -> None:
    """An experiment, whole or as far as it came."""
    if not one.of(form.asked, form.seen):
        st.caption(markdown.plain(other(one, form)))
    for line in filter(None, (one.fault, one.changed)):
        furniture.warn_once(line, form.warned)
    if not one.answers:
        if not one.finished and not one.fault:
            st.caption(hints.STOPPED_EARLY)
        start(form)
        return
    if one.sweep:
        steering_sweep.draw(one, form)
    else:
        answers(answer_view.columns(one), key="answers")
        if one.finished and answer_view.same(one):
            st.info(hints.NOTHING_CHANGED)
    if not one.finished and not one.fault:
        st.caption(hints.STOPPED)
    st.download_button(
        "Export JSON", gate.while_open(lambda: record(one)), help=hints.RECORD,
        key="export-steering", file_name=f"{downloads.file_name(form.run.name, 'steering')}.json",
        mime="application/json", on_click="ignore",
    )  # fmt: skip


def other(one: Experiment, form: Form) -> str:
    """That the answers are not of what the form asks for."""
    if not steering_history.only_picture(one, form.asked):
        return hints.OTHER_SETTING.format(one.title)
    line = hints.GONE_PICTURE if one.given else hints.OTHER_PICTURE
    return line.format(f"“{one.image[:80]}”")


def record(one: Experiment) -> bytes:
    """The experiment as a file."""
    shows = list(one.shows.values())
    return live_answers.file_of(
        one.settings, one.answers, one.facts, shows=shows, shown_by=one.shown_by
    ).encode()


def history() -> None:
    """What was run in this visit."""
    kept = steering_history.history()
    with st.popover("History", disabled=not kept, help=hints.HISTORY):
        for place, one in enumerate(kept):
            said = one.answers.get(live_answers.STEERED)
            text = said.text if said else ""
            st.button(
                markdown.plain(f"{one.title}: “{text[:120]}”" if text else one.title),
                key=f"history-{place}", on_click=gate.allowed(steering_history.reopen), args=(one,),
                width="stretch",
            )  # fmt: skip


def start(form: Form) -> None:
    """What the page can do, and features to begin with."""
    if form.asked.edits:
        st.html(answer_view.waiting(form.asked, form.concept))
        return
    st.caption(hints.EMPTY)
    cards, why = presets(form)
    if cards:
        images = form.offers.offered(cards)
        strips([{"name": hints.PRESETS.format(why), "images": images, "wide": True}],
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
