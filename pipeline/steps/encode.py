"""Runs the model over the val images and every dictionary over its activations, in one pass; then
over their captions, without the images.

A part holds N.safetensors for each dictionary N of the model, in the config's order:

    ids [n]                               the examples, in order
    row, feature, value [nnz]             pooled activations that are not 0 (SAEs), or
    dense [n, d]                          all of them (neurons)
    top_row, top_feature, top_value, top_token [m], top_ends [m], top_patch, top_act [q]
                                          the part's strongest examples, with their patches
    fired, fired_cls, fired_norm, fired_total [s], tokens [2]
                                          on which tokens features fire (SAEs)
    sum_x_TYPE [d]                        of the reconstruction sums, the rest is in part.json

for each SAE that words alone reach `N-captions.safetensors` with the same of the captions, where
`ids` are captions and patches the tokens of the text; `caption_tokens.parquet`; and for each way in
which SAEs read a hook point `HOOK-TOKENS-POOLING.safetensors` with the pooled `neurons` and
`directions` [n, d], from which score makes the density-matched controls.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from pipeline import config, models
from pipeline.activations.captions import read_captions
from pipeline.activations.dense import ControlReading, DenseReading
from pipeline.activations.points import caption_points, points, refuse_width
from pipeline.activations.recording import Reading, SparseReading
from pipeline.bundle.tables import write_table
from pipeline.contract.tables import CAPTION_TOKENS
from pipeline.inputs import examples, readers
from pipeline.inputs import reading as inputs_reading
from pipeline.inputs.examples import Caption
from pipeline.models.adapter import Adapter, Inputs
from pipeline.models.layout import Layout
from pipeline.models.loading import pick_device
from pipeline.run import plan
from pipeline.run.plan import Place, Unit
from pipeline.run.workspace import Workspace
from pipeline.saes.sae import ALONE, SAE
from pipeline.tensors import save_tensors


class Worker:
    """Does encode's units."""

    def __init__(self, run: config.RunConfig, workspace: Workspace) -> None:
        self.run, self.workspace = run, workspace
        self.device = pick_device(run.machine.device)
        self.reader = readers.reader(run.examples.source)
        self._models: dict[str, Adapter] = {}
        self._saes: dict[str, SAE] = {}

    def make(self, unit: Unit, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
        model = self._model(unit.spec["model"])
        readings = self._readings(model, unit.spec["model"], unit.spec["dictionaries"])
        skipped: dict[str, str] = {}
        ids: list[int] = []
        captions: list[Caption] = []
        batches = inputs_reading.read(
            self.reader,
            unit.spec["examples"],
            partial(model.inputs, longest=self.run.captions.longest),
            batch=self.run.machine.batch_size,
            skipped=skipped,
            workers=self.run.machine.workers,
        )
        for pictures, inputs in batches:
            _add(readings, model, inputs, first=len(ids))
            ids += [e.example_id for e, _ in pictures]
            for example, _ in pictures:
                captions += examples.captions(example, most=self.run.captions.per_image)
            advance(len(pictures))
        advance(len(skipped))
        said = self._captions(model, unit, captions, folder)
        spoken = [caption.caption_id for caption in captions]
        for made, order in ((readings, ids), (said, spoken)):
            for name, reading in made.items():
                tensors = {"ids": torch.tensor(order, dtype=torch.int64), **reading.tensors()}
                save_tensors(tensors, folder / f"{name}.safetensors")
        facts = {
            name: {**r.facts(), "grid_fit": model.fit} for name, r in (readings | said).items()
        }
        return {"examples": len(ids), "skipped": skipped, "readings": facts}

    def _captions(
        self, model: Adapter, unit: Unit, captions: Sequence[Caption], folder: Path
    ) -> dict[str, SparseReading]:
        """Read the captions without their images; file name -> what the SAEs that they reach make
        of them. Writes `caption_tokens`."""
        called: str = unit.spec["model"]
        saes = {place: key for place, key in unit.spec["dictionaries"] if key is not None}
        found = {
            place: point
            for place, point in caption_points(self.run, model, name=called).items()
            if place in saes and self.run.captions.per_image
        }
        readings: dict[str, SparseReading] = {}
        for place, point in found.items():
            how = self.run.dictionaries[place.dictionary].model_copy(update={"tokens": "text"})
            name = plan.captions_name(self.run, place)
            readings[name] = SparseReading(point, how, self._sae(saes[place]).of_kind(ALONE))
        rows: list[dict[str, Any]] = []
        hooks = sorted({point.name for point in found.values()})
        for said in read_captions(model, captions if hooks else [], hooks, run=self.run):
            with torch.inference_mode():
                for reading in readings.values():
                    acts = said.acts[reading.point.name]
                    reading.add(acts, said.layout, first=len(rows))
            for caption, pieces, cut in zip(said.captions, said.pieces, said.cut, strict=True):
                row = {"model": called, "caption_id": caption.caption_id}
                rows.append({**row, "tokens": list(pieces), "cut": cut})
        tokens = CAPTION_TOKENS
        write_table(tokens, pa.Table.from_pylist(rows, schema=tokens.schema), folder)
        return readings

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
            refuse_width(place, point, sae.d_in)
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
