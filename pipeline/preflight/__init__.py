"""What can be known of a run before any work is done: names, files, widths, room on the disk. In
seconds, and all that is wrong at once."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import config
from pipeline.errors import LoupeError
from pipeline.preflight import hub
from pipeline.run.plan import Place, Plan, Unit
from pipeline.run.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.models.hook_points import HookPoint

_READS_MODELS = ("collect", "train", "encode", "steer")
_READS_ENCODERS = ("collect", "label", "steer")


class PreflightError(LoupeError, ValueError):
    """A run cannot be done as it is asked for; one line a fault, each with its remedy."""


def check(run: config.RunConfig, plans: Mapping[str, Plan], workspace: Workspace) -> list[str]:
    """Look at all that the units that are still to be made need, and that costs no work.

    Where nothing is to be made that reads a model or an SAE, nothing is imported either.

    Returns:
        What is odd but no fault, one line each.

    Raises:
        PreflightError: what is wrong, one line a fault.
    """
    missing = {
        plan.step: [unit for unit in plan.units if not workspace.has(plan.step, unit.key)]
        for plan in plans.values()
    }
    if not any(missing[step] for step in (*_READS_MODELS, *_READS_ENCODERS)):
        return []
    return _Check(run, missing, workspace).all()


def refuse_unknown(models: Mapping[str, config.Model]) -> None:
    """Raises HubError where a model cannot be had from the hub, a line for each."""
    hub.refuse([name for key, model in models.items() for name in _of_model(key, model)])


def refuse_unknown_data(source: config.Scenes | config.Folder | config.HuggingFace) -> None:
    """Raises HubError where a data set cannot be had from the hub."""
    if isinstance(source, config.HuggingFace):
        at = "examples.source.dataset"
        hub.refuse([hub.Name(at, source.dataset, source.revision, None, "dataset")])


class _Check:
    """One look at one run."""

    def __init__(
        self, run: config.RunConfig, missing: Mapping[str, Sequence[Unit]], workspace: Workspace
    ) -> None:
        self.run, self.missing, self.workspace = run, missing, workspace
        self.faults: list[str] = []
        self.notes: list[str] = []
        self._points: dict[Place, HookPoint] = {}
        self._numbers: dict[Place, int] = {}
        self._widths: dict[tuple[str, str | None], tuple[int, int] | None] = {}
        self._unreachable: set[str] = set()
        self._refused: set[str] = set()

    def all(self) -> list[str]:
        from pipeline.models.loading import pick_device

        with self._told():
            pick_device(self.run.machine.device)
        self._names()
        if any(self.missing[step] for step in _READS_MODELS):
            self._models()
            self._saes()
        if any(self.missing[step] for step in _READS_ENCODERS):
            self._encoders()
        with self._told():
            self._space()
        if self.faults:
            raise PreflightError("\n".join(dict.fromkeys(self.faults)))
        return self.notes

    def _names(self) -> None:
        found = hub.faults(_of_run(self.run))
        self.faults += found.values()
        self._unreachable = {name.repo for name in found}

    def _lacks(self, name: str) -> bool:
        """Whether it was told already that a model cannot be had or read."""
        return name.removeprefix("hf-hub:") in self._unreachable or name in self._refused

    def _models(self) -> None:
        from pipeline import models
        from pipeline.activations import points

        for name, settings in self.run.models.items():
            if self._lacks(settings.id) or self._lacks(settings.vision or ""):
                continue
            self._refused.add(settings.id)  # for encoders of the same name
            with self._told():
                model = models.load(settings, device="meta")
                self._refused.discard(settings.id)
                self._points |= points.points(self.run, model, name=name)
                points.refuse_unlearnable(self.run, model, name=name)

    def _saes(self) -> None:
        """Hold each SAE that is still to be made or read against its hook point."""
        from pipeline.activations import points

        for unit in self.missing["train"]:
            with self._told():
                self._to_make(unit.spec["place"])
        to_make = {unit.spec["place"] for unit in self.missing["train"]}
        read = {pair for unit in self.missing["encode"] for pair in unit.spec["dictionaries"]}
        for place, key in sorted(read, key=str):
            if key is not None and place not in to_make and place in self._points:
                with self._told():
                    d_in = _width(self.workspace.part("train", key))
                    points.refuse_width(place, self._points[place], d_in)

    def _to_make(self, place: Place) -> None:
        """Open an SAE that others trained; work out the size of one that the run trains."""
        from pipeline.activations import points
        from pipeline.saes import train

        settings, point = self.run.dictionaries[place.dictionary], self._points.get(place)
        if isinstance(settings, config.TrainedSAE) and point is not None:
            try:
                features = train.features_of(settings, point.d_in)
            except LoupeError as error:
                raise PreflightError(f"dictionaries.{place.dictionary}: {error}") from None
            self._numbers[place] = 2 * point.d_in * features
        if isinstance(settings, config.PublishedSAE):
            opened = self._opened(settings.sources[place.hook], settings.revision)
            if opened is not None:
                self._numbers[place] = 2 * opened[0] * opened[1]
                if point is not None:
                    points.refuse_width(place, point, opened[0])
                    self._layer(place, point)

    def _layer(self, place: Place, point: "HookPoint") -> None:
        """Say where an SAE's own files name another layer; who reads it elsewhere may mean to."""
        from pipeline.saes import published

        settings = self.run.dictionaries[place.dictionary]
        assert isinstance(settings, config.PublishedSAE)
        source = settings.sources[place.hook]
        stated = published.trained_at(source, revision=settings.revision)
        number = re.search(r"(?<![-\d])\d+", stated)
        if number is None or point.layer is None:
            return
        layer = int(number[0]) - ("resid_pre" in stated)  # what enters one leaves the one before
        if layer != point.layer:
            self.notes.append(
                f"dictionaries.{place.dictionary}: {source} was trained at {stated!r}, and is read "
                f"at {point.name}"
            )

    def _opened(self, source: str, revision: str | None) -> tuple[int, int] | None:
        """The widths of an SAE that others trained, opened once; None where it was told already
        that it cannot be."""
        from pipeline.saes import published

        at = (source, revision)
        if at not in self._widths:
            self._widths[at] = None
            if not self._lacks(_repo(source)):
                sae = published.load(source, revision=revision)
                self._widths[at] = (sae.d_in, sae.d_sae)
        return self._widths[at]

    def _encoders(self) -> None:
        from pipeline.labelling import vocabulary
        from pipeline.labelling.captioner import Captioner
        from pipeline.models.encoder import ImageEncoder, answers_encoder, first_speaker

        speaks: dict[str, bool] = {}
        for name, settings in self.run.encoders.items():
            if not self._lacks(settings.id):
                with self._told():
                    speaks[name] = ImageEncoder(settings, device="meta").speaks
        whole = len(speaks) == len(self.run.encoders)
        how = self.run.labels
        if self.missing["label"]:
            with self._told():
                if how.vocabulary is not None:
                    vocabulary.read(how.vocabulary)
                if whole:
                    first_speaker(speaks, how.encoder, key="labels.encoder")
            with self._told():
                if how.local is not None and not self._lacks(how.local.id):
                    Captioner(how.local, machine=self.run.machine, device="meta")
        if self.missing["steer"] and self.run.steering is not None and whole:
            with self._told():
                answers_encoder(speaks, self.run.steering.encoder)

    def _space(self) -> None:
        from pipeline.preflight import space

        need = space.wanted(self.run, self.missing, self._points, self._numbers)
        note = space.refuse(self.workspace.root, need)
        self.notes += [note] if note else []

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Keep what is wrong within, and go on."""
        try:
            yield
        except LoupeError as error:
            self.faults += str(error).splitlines()


def _of_run(run: config.RunConfig) -> list[hub.Name]:
    """What a run names on the hub, but for its data set; what open_clip knows is not asked for."""
    found = [name for key, model in run.models.items() for name in _of_model(key, model)]
    for name, encoder in run.encoders.items():
        found += _name(f"encoders.{name}.id", encoder.id, encoder.revision, encoder.family)
    local = run.labels.local
    if local is not None:
        found += _name("labels.local.id", local.id, local.revision, None)
    for name, dictionary in run.dictionaries.items():
        if isinstance(dictionary, config.PublishedSAE):
            key, revision = f"dictionaries.{name}.sources", dictionary.revision
            repos = filter(None, map(_repo, dictionary.sources.values()))
            found += [hub.Name(key, repo, revision, file=None) for repo in repos]
    return found


def _of_model(name: str, model: config.Model) -> list[hub.Name]:
    found = _name(f"models.{name}.id", model.id, model.revision, model.family)
    if model.vision is not None:
        found += _name(f"models.{name}.vision", model.vision, model.vision_revision, None)
    return found


def _name(key: str, name: str, revision: str | None, family: str | None) -> list[hub.Name]:
    if family != "openclip":
        return [hub.Name(key, name, revision)]
    if name.startswith("hf-hub:"):
        return [hub.Name(key, name.removeprefix("hf-hub:"), file="open_clip_config.json")]
    return []


def _repo(source: str) -> str:
    """The hub repository of an SAE; empty for what is none."""
    return "/".join(source.removeprefix("hf:").split("/")[:2]) if source.startswith("hf:") else ""


def _width(part: Path) -> int:
    """The input width of an SAE that train left."""
    from pipeline.saes.sae_lens import CONFIG
    from pipeline.saes.weights import read_json

    return int(read_json(part / CONFIG)["d_in"])
