"""Runs the model over the val images and every dictionary over its activations, in one pass.

A part holds N.safetensors for each dictionary N of the model, in the config's order:

    ids [n]                               the examples, in order
    row, feature, value [nnz]             pooled activations that are not 0 (SAEs), or
    dense [n, d]                          all of them (neurons)
    top_row, top_feature, top_value, top_token [m], top_ends [m], top_patch, top_act [q]
                                          the part's strongest examples, with their patches
    fired, fired_cls, fired_norm [s], tokens [2]
                                          on which tokens features fire (SAEs)
    sum_x_TYPE [d]                        of the reconstruction sums, the rest is in part.json

and for each way in which SAEs read a hook point `HOOK-TOKENS-POOLING.safetensors` with the pooled
`neurons` and `directions` [n, d], from which score makes the density-matched controls.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from pipeline import config, examples, models, plan, store
from pipeline.models.adapter import Adapter, Inputs
from pipeline.models.layout import Layout
from pipeline.models.loading import pick_device
from pipeline.plan import Place, Unit
from pipeline.readings import (
    ControlReading,
    DenseReading,
    Reading,
    SparseReading,
    points,
)
from pipeline.saes.sae import SAE, SAEError


class Worker:
    """Does encode's units."""

    def __init__(self, run: config.RunConfig, workspace: store.Workspace) -> None:
        self.run, self.workspace = run, workspace
        self.device = pick_device(run.machine.device)
        self.reader = examples.reader(run.examples.source)
        self._models: dict[str, Adapter] = {}
        self._saes: dict[str, SAE] = {}

    def make(self, unit: Unit, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
        model = self._model(unit.spec["model"])
        readings = self._readings(model, unit.spec["model"], unit.spec["dictionaries"])
        skipped: dict[str, str] = {}
        ids: list[int] = []
        batches = examples.read(
            self.reader,
            unit.spec["examples"],
            model.inputs,
            batch=self.run.machine.batch_size,
            skipped=skipped,
            workers=self.run.machine.workers,
        )
        for pictures, inputs in batches:
            _add(readings, model, inputs, first=len(ids))
            ids += [e.example_id for e, _ in pictures]
            advance(len(pictures))
        advance(len(skipped))
        for name, reading in readings.items():
            tensors = {"ids": torch.tensor(ids, dtype=torch.int64), **reading.tensors()}
            save_file(tensors, folder / f"{name}.safetensors")
        facts = {name: {**r.facts(), "grid_fit": model.fit} for name, r in readings.items()}
        return {"examples": len(ids), "skipped": skipped, "readings": facts}

    def _model(self, name: str) -> Adapter:
        if name not in self._models:
            settings, machine = self.run.models[name], self.run.machine
            self._models[name] = models.load(settings, device=self.device, machine=machine)
        return self._models[name]

    def _sae(self, key: str) -> SAE:
        if key not in self._saes:
            self._saes[key] = SAE.load(self.workspace.part("train", key)).to(self.device)
        return self._saes[key]

    def _readings(
        self, model: Adapter, called: str, dictionaries: Sequence[tuple[Place, str | None]]
    ) -> dict[str, Reading]:
        """What to make of the activations: file name -> reading."""
        readings: dict[str, Reading] = {}
        found = points(self.run, model, name=called)
        for place, key in dictionaries:
            settings, point = self.run.dictionaries[place.dictionary], found[place]
            name = plan.file_name(self.run, place)
            if key is None:
                readings[name] = DenseReading(point, settings)
                continue
            sae = self._sae(key)
            if sae.d_in != point.d_in:
                raise SAEError(
                    f"dictionaries.{place.dictionary}: its SAE reads {sae.d_in} dimensions, but "
                    f"{point.name} of {place.model} has {point.d_in}; mend its hook point or model"
                )
            readings[name] = SparseReading(point, settings, sae)
            control = plan.control_name(self.run, place)
            if control not in readings:
                readings[control] = ControlReading(point, settings, self.run.scores.seed)
        return readings


@torch.inference_mode()
def _add(readings: dict[str, Reading], model: Adapter, inputs: Inputs, *, first: int) -> None:
    """Give the readings a batch whose first example is number `first`, in pieces that fit."""
    hooks = sorted({reading.point.name for reading in readings.values()})
    for part, acts in model.recorded(inputs, hooks):
        layouts: dict[tuple[str, bool], Layout] = {}
        for reading in readings.values():
            point = reading.point
            same = (point.tower, point.layer is None)  # all layers of a tower have one layout
            if same not in layouts:
                layouts[same] = model.layout(part, point.name)
            reading.add(acts[point.name], layouts[same], first=first)
        first += len(part)
