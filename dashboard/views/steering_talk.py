"""Steering of a model that talks: a setting, and what it says under it, side by side."""

import dataclasses
import json
import time

import streamlit as st

from dashboard import connection, downloads, experiments, live, queries, spoken, steering
from dashboard import telling, widgets
from dashboard import words_steering as words
from dashboard.components.answers import answers
from dashboard.components.strips import strips
from dashboard.connection import Run
from dashboard.experiments import Experiment
from dashboard.records import Filter
from dashboard.views import steering_sweep
from dashboard.views.steering_form import Form, offered

EVERY = 0.1
"""Seconds between two pictures of what is being said."""
MOST_PRESETS = 8


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
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="steer-go"):
        button = st.empty()
        swept = st.empty()
        able = form.asked.edits and form.picture is not None and form.picture.picture is not None
        pressed = button.button("Run", shortcut="Ctrl+Enter", disabled=not able, key="run")
        sweeps = swept.button("Sweep", help=words.SWEEP, disabled=not able, key="sweep")
        history(form)
    with st.container(key="steer-answers"):
        if pressed or sweeps:
            button.button("Stop", shortcut="Escape", key="stop")
            values = steering.values(form.asked) if sweeps else None
            one = experiments.begin(form, values)
            try:
                (steering_sweep.run if sweeps else ask)(one, form)
            finally:
                one.finished = True
            button.button("Run", shortcut="Ctrl+Enter", key="run-again")
        else:
            one = experiments.shown(form.asked)
        if one is None:
            start(form)
        else:
            draw(one, form)
