"""Answers live from a model that talks: unsteered, rebuilt, steered and asked in words, side by
side; and over a range of strengths."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import streamlit as st

from dashboard.bundle import cached, opening
from dashboard.faults import told
from dashboard.live import models as live_models
from dashboard.live import share
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Card, Key
from dashboard.steering import direction_names, request
from pipeline import config

if TYPE_CHECKING:
    from pipeline.interventions import Answer as Answer
    from pipeline.interventions import Setting as Setting
    from pipeline.interventions import Way
    from pipeline.saes.sae import SAE

Heard = Callable[["dict[str, Answer]", float], None]
UNSTEERED, RECONSTRUCTION, STEERED = "unsteered", "reconstruction", "steered"
PROMPTED, JUDGED = "prompted", "steered, as the unsteered model finds it"
"""The ways' names, as `interventions.setting` has them: which loads torch, as pages do not."""

_SAME = ("prompt", "mode", "scope", "form", "longest", "temperature")
"""What the page and a setting call alike."""


def talks(run: opening.Run, model: str, dictionaries: Sequence[Dictionary]) -> bool:
    """Whether the model says something: it does where its activations are a language model's, or
    else where its form says so."""
    here = [one for one in dictionaries if one.model == model]
    return any(one.hook.startswith("language") for one in here) or _talks(run, run.key, model)


@st.cache_data(max_entries=8, show_spinner="Looking at the model …")
def _talks(_run: opening.Run, key: str, model: str) -> bool:
    found = _run.setting("models", model)
    try:
        with told():
            from pipeline import models

            settings = config.Model.model_validate(found)
            adapter = models.load(settings, device="meta")
            return adapter.reader is not None and adapter.towers[-1].name == "language"
    except live_models.Unavailable:
        return False


def setting_of(asked: request.Asked, cards: Mapping[Key, Card], concept: str) -> "Setting":
    """The experiment in the units of the model.

    Args:
        cards: of the features, for their largest activations.

    Raises:
        live.Unavailable: it holds what cannot be.
    """
    with _faults():
        from pipeline.interventions.setting import checked

        scale = asked.mode == "scale"
        features = [
            {
                "dictionary": key[0], "feature": key[1],
                "strength": at * (1.0 if scale else request.unit(cards.get(key))),
            }
            for key, at in zip(asked.features, asked.at, strict=True)
        ]  # fmt: skip
        along = direction_names.of_text(asked.along) if asked.along else None
        same = {name: getattr(asked, name) for name in _SAME}
        more = {"features": features, "concept": concept, "seed": asked.random}
        directions = [] if along is None else [dataclasses.asdict(along)]
        return checked(same | more | {"directions": directions})


def say(
    run: opening.Run,
    model: str,
    settings: "Sequence[Setting]",
    picture: live_models.Picture,
    heard: Heard,
) -> str:
    """Have the model answer in the ways of the one setting; what is said comes through `heard`,
    token by token, by way, with the seconds since the first was asked for.

    Returns:
        what to know where the model is not the one that made the bundle.

    Raises:
        live.Unavailable: the model, an SAE or a direction cannot be had, an edit does not fit, or
            memory is not enough.
    """
    (setting,) = settings
    with live_models.studied(run, model) as at:
        ways = _ways(run, at, setting)
        _answer(at, list(ways), list(ways.values()), setting, picture, heard)
        return at.changed


def sweep(
    run: opening.Run,
    model: str,
    settings: "Sequence[Setting]",
    picture: live_models.Picture,
    heard: Heard,
) -> str:
    """The same over several settings in one batch: UNSTEERED, and of each setting by its place
    what is said, `steered(0)`, and how the unsteered model finds it, `judged(0)`."""
    with live_models.studied(run, model) as at:
        names, ways = [], []
        for place, setting in enumerate(settings):
            made = _ways(run, at, setting)
            if not place:
                names, ways = [UNSTEERED], [made[UNSTEERED]]
            follows = len(ways)
            names += [steered(place), judged(place)]
            ways += [made[STEERED], dataclasses.replace(made[JUDGED], follows=follows)]
        _answer(at, names, ways, settings[0], picture, heard)
        return at.changed


def steered(place: int) -> str:
    return f"{place} steered"


def judged(place: int) -> str:
    return f"{place} judged"


def facts(
    run: opening.Run, model: str, setting: "Setting", picture: live_models.Picture
) -> dict[str, Any]:
    """What an experiment's file says beside its setting and answers."""
    from pipeline.interventions.record import facts_of

    every = {d.dictionary_id: d for d in cached.dictionaries(run)}
    used = {one.dictionary for one in setting.features}
    known = run.manifest("models", model)
    manifest = {
        "name": str(run.manifest("name") or run.name), "versions": run.manifest("versions") or {},
        "models": {model: known if isinstance(known, Mapping) else {}},
    }  # fmt: skip
    return facts_of(
        manifest, model, fingerprint=None, uri=picture.uri,
        pixels=picture.image.tobytes(),
        dictionaries={name: every[name].fingerprint for name in used},
    )  # fmt: skip


def file_of(
    settings: "Sequence[Setting]",
    answers: "Mapping[str, Answer]",
    more: Mapping[str, Any],
    *,
    shows: Sequence[Sequence[float]] = (),
    shown_by: str = "",
) -> str:
    """An experiment as JSON, as the command line prints it; of a sweep one record a strength.

    Args:
        shows: of a sweep, of each feature how strongly it shows in the unsteered text, then by
            strength.
        shown_by: the encoder that tells.
    """
    from pipeline.interventions.record import as_record, document, shows_of

    if len(settings) == 1:
        return document([as_record(settings[0], answers, **more)], {})
    made = []
    for place, setting in enumerate(settings):
        known = {UNSTEERED: UNSTEERED, STEERED: steered(place), JUDGED: judged(place)}
        own = {name: answers[of] for name, of in known.items() if of in answers}
        facts = dict(more)
        if shows:
            here = zip(setting.features, shows, strict=True)
            facts["shows"] = shows_of(shown_by, {one.name: of[place + 1] for one, of in here})
        made.append(as_record(setting, own, **facts))
    return document(made, {})


def _ways(run: opening.Run, at: live_models.Studied, setting: "Setting") -> "dict[str, Way]":
    from pipeline.interventions import ways_of

    every = {d.dictionary_id: d for d in cached.dictionaries(run)}

    def sae(dictionary_id: str) -> "SAE":
        return live_models.sae_of(run, every[dictionary_id], at.adapter)

    with _faults():
        return ways_of(setting, sae, _directions(run, at, setting))


def _answer(
    at: live_models.Studied,
    names: Sequence[str],
    ways: "Sequence[Way]",
    setting: "Setting",
    picture: live_models.Picture,
    heard: Heard,
) -> None:
    from pipeline.interventions import answers

    start = time.monotonic()

    def listened(said: "Sequence[Answer]") -> None:
        heard(dict(zip(names, said, strict=True)), time.monotonic() - start)
        share.shared().give_way()

    with _faults():
        answers(
            at.adapter, [picture.image] * len(ways), ways, longest=setting.longest,
            temperature=setting.temperature, seed=setting.seed, heard=listened,
        )  # fmt: skip


def _directions(run: opening.Run, at: live_models.Studied, setting: "Setting") -> dict[str, Any]:
    if not setting.directions:
        return {}
    from dashboard.steering import direction_vectors

    return dict(direction_vectors.named(run, at, setting.directions))


@contextmanager
def _faults() -> Iterator[None]:
    """What keeps a model from answering, as `Unavailable`."""
    from pipeline.interventions import InterventionError

    with told():
        try:
            yield
        except InterventionError as error:
            raise live_models.Unavailable(str(error)) from error
