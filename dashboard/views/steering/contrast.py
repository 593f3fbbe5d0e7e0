"""Steering of a contrastive model: an image, features and a direction, and what changes live."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from dashboard import queries
from dashboard.bundle import cached
from dashboard.bundle.opening import Run
from dashboard.components.chips import chips
from dashboard.page import furniture
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Card, Filter
from dashboard.steering import direction_chooser, hints, request
from dashboard.steering.request import Asked
from dashboard.style import numbers
from dashboard.views.steering import shifts
from dashboard.views.steering.form import Form

MOST_PRESETS, LEAST_SCORE, LEAST_ACTIVE = 10, 0.7, 16
KEPT = ("labels", "words", "template")


class Here(Asked):
    """The setting with what only this page shows, which its links keep."""

    @property
    def parameters(self) -> dict[str, str]:
        kept = {name: st.query_params[name] for name in KEPT if name in st.query_params}
        return super().parameters | kept


class Towers(Form):
    """The form without what only a model that talks is asked."""

    def draw(self) -> None:
        with st.container(key="contrast-form"):
            left, right = st.columns([1, 3.4], gap="medium")
            with left:
                self._picture()
            with right:
                self._presets()
                for place, key in enumerate(self.asked.features):
                    self._feature(place, key)
                self._more_features()
                if self.asked.features:
                    self._how()

    def _presets(self) -> None:
        """The most monosemantic features with a clear label, one a label: each alone."""
        ids = [one.dictionary_id for one in self.here]
        best = Filter(n_active=LEAST_ACTIVE)
        found: dict[str, Card] = {}
        for card in queries.page(self.run.connection, ids, best, limit=200, examples=0):
            if card.label and (card.label_score or 0.0) >= LEAST_SCORE:
                found.setdefault(card.label, card)
        alone = replace(self.asked, features=(), at=())
        links = []
        for card in list(found.values())[:MOST_PRESETS]:
            key = (card.dictionary_id, card.feature_id)
            where = f"{self.by_id[key[0]].short} #{key[1]}"
            about = f"{where}, MS {numbers.number(card.ms)}"
            links.append((card.label or "", alone.plus(key).address, about))
        if links:
            chips(links, name="Try", key="steer-presets")

    def _along(self) -> None:
        hooks = list(dict.fromkeys(d.hook for d in self.every if d.model == self.asked.model))
        found = direction_chooser.chooser(self.run, self.asked.model, hooks, warned=self.warned)
        self.asked = replace(self.asked, along=direction_chooser.as_text(found) if found else "")

    def _how(self) -> None:
        with st.container(
            horizontal=True, vertical_alignment="bottom", gap="medium", key="steer-how"
        ):
            for name, known, title, about in (
                ("mode", request.MODES, "Mode", hints.MODE),
                ("form", request.FORMS, "What else is there", hints.FORM),
            ):
                value = getattr(self.asked, name)
                st.segmented_control(
                    title, list(known), format_func=known.__getitem__, required=True, help=about,
                    **request.bound(name, value, usual=getattr(Asked(), name), given="default"),
                )  # fmt: skip


def show(run: Run, model: str) -> None:
    """All below the page's head."""
    every = cached.dictionaries(run)
    here = request.steerable(run, every, model)
    asked, bad = request.read()
    asked, more = request.known(replace(asked, model=model), here, every)
    request.warn([*bad, *more])
    form = _form(run, here, every, asked)
    look = form.picture
    if look is None or look.picture is None:
        furniture.empty(look.note if look else "Choose an image, or give one of yours.")
        return
    shifts.show(run, model, form, look)
    along = direction_chooser.of_text(form.asked.along)
    if along is not None:
        direction_chooser.about(run, model, along, warned=form.warned)


def _form(run: Run, here: Sequence[Dictionary], every: Sequence[Dictionary], asked: Asked) -> Form:
    form = Towers(run, here, every, Here(**vars(asked)))
    form.draw()
    if not here:
        st.caption("The bundle holds no SAE of this model: steer along a direction.")
    return form
