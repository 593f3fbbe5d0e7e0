"""Asking the model about pictures in all ways of an experiment, as many at once as fit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from jaxtyping import Float

from pipeline import config, models
from pipeline.contract.tables import ENCODERS, TOP_EXAMPLES, TOP_K
from pipeline.interventions import (
    Answer,
    InterventionError,
    Setting,
    Way,
    answers,
    load_direction,
    ways_of,
)
from pipeline.interventions.answers import tokenizer_of
from pipeline.interventions.record import facts_of
from pipeline.interventions.setting import JUDGED, STEERED, UNSTEERED
from pipeline.metrics import steering
from pipeline.models.encoder import ImageEncoder, first_speaker
from pipeline.models.loading import pick_device
from pipeline.models.memory import Halving
from pipeline.run import identity
from pipeline.saes.sae import SAE
from pipeline.steer_command.request import Home, Picture


@dataclass(frozen=True, eq=False)
class Trial:
    """What was said of one picture in one setting, by the names of `ways_of`."""

    setting: Setting
    picture: Picture
    answers: Mapping[str, Answer]

    @property
    def silent(self) -> bool:
        """Whether the edits changed no chance of any token."""
        return self.answers[STEERED].as_likely_as(self.answers[JUDGED])


class Studied:
    """A run's model, to be asked.

    Args:
        model: its name in the run; may be left out where the features tell, or there is one.

    Raises:
        InterventionError: it is not known which model, or it says nothing.
        ModelError: it cannot be loaded.
    """

    def __init__(self, home: Home, setting: Setting, *, model: str | None) -> None:
        self.home, self.name = home, _model(home.settings, setting, model)
        chosen, machine = home.settings.models[self.name], home.settings.machine
        self.fingerprint = identity.weights_identity(chosen)
        self.device = pick_device(machine.device)
        self.adapter = models.load(chosen, device=self.device, machine=machine)
        try:
            tokenizer_of(self.adapter)
        except InterventionError as error:
            raise InterventionError(
                f"{error}; what it sees can be steered on the dashboard's page Steering"
            ) from None
        self._saes: dict[str, SAE] = {}
        self._fits = Halving(f"model {chosen.id}")

    @property
    def changed(self) -> bool:
        """Whether the model is another than when the bundle was made."""
        return self.home.bundle.made_by(self.name) not in (None, self.fingerprint)

    def trials(
        self,
        settings: Sequence[Setting],
        pictures: Sequence[Picture],
        *,
        heard: Callable[[int], None],
    ) -> Iterator[list[Trial]]:
        """The trials of each picture in turn, one a setting: of a single setting all its ways, of
        several the unsteered answer, which they share, with their steered ones.

        Args:
            heard: told how many tokens of the present answers were said.

        Raises:
            InterventionError: an edit does not fit, reaches nothing or breaks the model's numbers.
        """
        names, ways = self._ways(settings)
        most = max(1, self.home.settings.machine.batch_size // len(ways))

        def asked(some: Sequence[Picture]) -> list[list[Trial]]:
            said = answers(
                self.adapter,
                [picture.image for picture in some for _ in ways],
                [_moved(way, by * len(ways)) for by in range(len(some)) for way in ways],
                longest=settings[0].longest,
                temperature=settings[0].temperature,
                seed=settings[0].seed,
                heard=lambda so_far: heard(max(len(one.said) for one in so_far)),
            )
            rows = [said[first : first + len(ways)] for first in range(0, len(said), len(ways))]
            return [
                _trials(settings, picture, names, row)
                for picture, row in zip(some, rows, strict=True)
            ]

        for first in range(0, len(pictures), most):
            part = pictures[first : first + most]
            for made in self._fits.run(len(part), _sliced(part, asked)):
                yield from made

    def facts(self, trial: Trial) -> dict[str, Any]:
        """What a record says beside the setting and the answers."""
        used = {one.dictionary for one in trial.setting.features}
        return facts_of(
            self.home.bundle.manifest, self.name, fingerprint=self.fingerprint,
            uri=trial.picture.uri, pixels=trial.picture.image.tobytes(),
            dictionaries={name: self.home.dictionaries[name]["fingerprint"] for name in used},
        )  # fmt: skip

    def shows(self, setting: Setting, texts: Sequence[str]) -> Float[np.ndarray, "f n"] | None:
        """How nearly each text means what the top images of each feature show: cosines, by the
        encoder of the steering score; NaN of a feature without images, None without such an
        encoder.

        Raises:
            ModelError: the encoder cannot be loaded.
        """
        if self._encoder is None or not setting.features:
            return None
        name, encoder = self._encoder
        ids, vectors = self.home.bundle.embeddings(name)
        top = np.full((len(setting.features), TOP_K), -1)
        for row, one in enumerate(setting.features):
            found = pq.read_table(
                self.home.bundle.table(TOP_EXAMPLES.name), columns=["example_id"],
                filters=[
                    ("dictionary_id", "=", one.dictionary), ("feature_id", "=", one.feature),
                    ("modality", "=", "image"), ("rank", "<=", TOP_K),
                ],
            )["example_id"].to_numpy()  # fmt: skip
            at = np.searchsorted(ids, found[np.isin(found, ids)])
            top[row, : len(at)] = at
        texts_nd = encoder.embed_texts(texts).numpy()
        return np.stack([steering.shows(texts_nd, c) for c in steering.concepts(top, vectors)])

    @property
    def shown_by(self) -> str | None:
        """The encoder behind `shows`."""
        return self._encoder[0] if self._encoder else None

    @cached_property
    def _encoder(self) -> tuple[str, ImageEncoder] | None:
        rows = pq.read_table(self.home.bundle.table(ENCODERS.name)).to_pylist()
        speak = {row["encoder"] for row in rows if row["text"]}
        run = self.home.settings
        named = run.steering.encoder if run.steering else None
        speaks = {name: name in speak for name in run.encoders}
        name = first_speaker(speaks, named, key="steering.encoder")
        return (name, ImageEncoder(run.encoders[name], device=self.device)) if name else None

    def _ways(self, settings: Sequence[Setting]) -> tuple[list[tuple[int, str]], list[Way]]:
        """The ways with the number of the setting and the name of each."""
        directions = self._directions(settings[0])
        names: list[tuple[int, str]] = []
        ways: list[Way] = []
        for number, setting in enumerate(settings):
            of = ways_of(setting, self._sae, directions)
            for name in of if len(settings) == 1 else (UNSTEERED, STEERED, JUDGED):
                if name != UNSTEERED or not number:
                    leader = names.index((number, STEERED)) if name == JUDGED else None
                    names.append((number, name))
                    ways.append(replace(of[name], follows=leader))
        return names, ways

    def _sae(self, dictionary: str) -> SAE:
        if dictionary not in self._saes:
            self._saes[dictionary] = self.home.sae(dictionary).to(self.device)
        return self._saes[dictionary]

    def _directions(self, setting: Setting) -> dict[str, torch.Tensor]:
        found = {}
        for along in setting.directions:
            for name in filter(None, (along.direction, along.to)):
                d_in = self.adapter.resolve(along.hook).d_in
                found[name] = load_direction(Path(name), d_in=d_in).to(self.device)
        return found


def _model(run: config.RunConfig, setting: Setting, named: str | None) -> str:
    found = {one.dictionary.split("/")[0] for one in setting.features} | ({named} - {None})
    found = found or set(run.models)
    if len(found) > 1:
        raise InterventionError(
            f"models {', '.join(sorted(map(str, found)))}: steer one at a time; name one of them "
            "by --model and by the features' dictionaries"
        )
    (name,) = found
    if name not in run.models:
        raise InterventionError(f"no model {name!r} in the run; there are {', '.join(run.models)}")
    return str(name)


def _sliced(
    pictures: Sequence[Picture], asked: Callable[[Sequence[Picture]], list[list[Trial]]]
) -> Callable[[int, int], list[list[Trial]]]:
    return lambda start, end: asked(pictures[start:end])


def _moved(way: Way, by: int) -> Way:
    return way if way.follows is None else replace(way, follows=way.follows + by)


def _trials(
    settings: Sequence[Setting],
    picture: Picture,
    names: Sequence[tuple[int, str]],
    said: Sequence[Answer],
) -> list[Trial]:
    by_name = dict(zip(names, said, strict=True))
    shared = {UNSTEERED: by_name[0, UNSTEERED]}
    return [
        Trial(setting, picture, shared | {name: a for (of, name), a in by_name.items() if of == n})
        for n, setting in enumerate(settings)
    ]
