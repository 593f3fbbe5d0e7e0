"""Reads every image once: examples and skipped inputs; of train images and their captions the
activations that SAEs learn from; of val images thumbnails, captions and the encoders' embeddings.

A part holds `examples.parquet`; of the train split `acts.safetensors`, MODEL/HOOK/TOKENS -> [n, d],
where TOKENS is `captions` of captions alone; of the val split `thumbnails.parquet`,
`captions.parquet` and `embeddings.safetensors`, ENCODER -> [n, d] in the order of the examples.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor

from pipeline import config, models
from pipeline.activations import captions as activations_captions
from pipeline.activations import points
from pipeline.bundle.tables import write_table
from pipeline.contract.tables import CAPTIONS, EXAMPLES, THUMBNAILS, Table
from pipeline.inputs import examples, readers, reading
from pipeline.inputs.examples import Caption, Example
from pipeline.inputs.pictures import thumbnail
from pipeline.models import likeness
from pipeline.models.adapter import Inputs
from pipeline.models.encoder import ImageEncoder
from pipeline.models.layout import Layout, Tokens
from pipeline.models.loading import pick_device
from pipeline.run.plan import Unit
from pipeline.run.workspace import Workspace
from pipeline.tensors import save_tensors

Pictures = list[tuple[Example, Image.Image]]


class Worker:
    """Does collect's units."""

    def __init__(self, run: config.RunConfig, workspace: Workspace) -> None:
        self.run = run
        self.device = pick_device(run.machine.device)
        self.reader = readers.reader(run.examples.source)
        likeness.refuse_selves(run)
        # All at once, before hours of work show that the last of them cannot be had.
        self.models = {
            name: models.load(settings, device=self.device, machine=run.machine)
            for name, settings in run.models.items()
        }
        for name, model in self.models.items():
            points.points(run, model, name=name)
            points.refuse_unlearnable(run, model, name=name)
        self.encoders = {n: ImageEncoder(e, device=self.device) for n, e in run.encoders.items()}
        likeness.refuse_selves(run)  # of those that the hub has given just now

    def make(self, unit: Unit, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
        skipped: dict[str, str] = {}
        wanted: Sequence[Example] = unit.spec["examples"]
        rows: list[dict[str, Any]] = []
        captions: list[Caption] = []
        thumbnails: list[dict[str, Any]] = []
        tensors: dict[str, list[Tensor]] = {}
        reads: Sequence[tuple[str, str, Tokens]] = unit.spec["reads"]
        batches = reading.read(
            self.reader,
            wanted,
            lambda pictures: {
                m: self.models[m].inputs(pictures, longest=self.run.captions.longest)
                for m, _, _ in reads
            },
            batch=self.run.machine.batch_size,
            skipped=skipped,
            workers=self.run.machine.workers,
        )
        for pictures, inputs in batches:
            rows += [_row(e, image) for e, image in pictures]
            for example, _ in pictures:
                captions += examples.captions(example, most=self.run.captions.per_image)
            if unit.spec["split"] == "train":
                made = self._activations([e for e, _ in pictures], inputs, reads)
            else:
                thumbnails += [self._thumbnail(e, image) for e, image in pictures]
                made = self._embeddings(pictures)
            for name, tensor in made.items():
                tensors.setdefault(name, []).append(tensor)
            advance(len(pictures))
        advance(len(skipped))
        for name, tensor in self._words(captions, unit.spec["words"]).items():
            tensors[name] = [tensor]
        write_table(EXAMPLES, _table(EXAMPLES, rows), folder)
        name = "acts" if unit.spec["split"] == "train" else "embeddings"
        save_tensors({k: torch.cat(v) for k, v in tensors.items()}, folder / f"{name}.safetensors")
        if unit.spec["split"] == "val":
            write_table(THUMBNAILS, _table(THUMBNAILS, thumbnails), folder)
            said = _table(CAPTIONS, [asdict(caption) for caption in captions])
            write_table(CAPTIONS, said, folder)
        return {"examples": len(rows), "skipped": skipped}

    def _thumbnail(self, example: Example, image: Image.Image) -> dict[str, Any]:
        side = self.run.examples.thumbnail
        return {
            "example_id": example.example_id,
            "image": thumbnail(image, side=side),
        }

    def _embeddings(self, pictures: Pictures) -> dict[str, Tensor]:
        images = [image for _, image in pictures]
        return {name: encoder.embed(images) for name, encoder in self.encoders.items()}

    def _activations(
        self,
        batch: Sequence[Example],
        inputs: Mapping[str, Inputs],
        reads: Sequence[tuple[str, str, Tokens]],
    ) -> dict[str, Tensor]:
        """Of each place the activations of randomly chosen tokens, [n, d] on the CPU."""
        made: dict[str, list[Tensor]] = {}
        for name, of_model in inputs.items():
            model, first = self.models[name], 0
            here = [(hook, tokens) for of, hook, tokens in reads if of == name]
            points = [model.resolve(hook) for hook, _ in here]
            for part, acts in model.recorded(of_model, [point.name for point in points]):
                examples_here = batch[first : first + len(part)]
                seeds = [example.example_id for example in examples_here]
                for (hook, tokens), point in zip(here, points, strict=True):
                    chosen = self._choose(model.layout(part, hook), tokens, seeds)
                    rows = _rows(acts[point.name], chosen)
                    made.setdefault(f"{name}/{hook}/{tokens}", []).append(rows)
                first += len(part)
        return {place: torch.cat(rows) for place, rows in made.items()}

    def _words(
        self, captions: Sequence[Caption], reads: Sequence[tuple[str, str]]
    ) -> dict[str, Tensor]:
        """Of each place that learns from captions the activations on randomly chosen tokens of
        these, [n, d] on the CPU."""
        made: dict[str, list[Tensor]] = {}
        for name, model in self.models.items():
            points = {hook: model.resolve(hook).name for of, hook in reads if of == name}
            if not points:
                continue
            for said in activations_captions.read_captions(
                model, captions, list(points.values()), run=self.run
            ):
                seeds = [caption.caption_id for caption in said.captions]
                chosen = self._choose(said.layout, "text", seeds)
                for hook, point in points.items():
                    rows = _rows(said.acts[point], chosen)
                    made.setdefault(f"{name}/{hook}/captions", []).append(rows)
        return {place: torch.cat(rows) for place, rows in made.items()}

    def _choose(self, layout: Layout, tokens: Tokens, seeds: Sequence[int]) -> Tensor:
        """For each example up to `training_tokens` of its tokens, seeded by its id: row * t + token
        of each, [n]."""
        picked = layout.tokens_of(layout.read(tokens))
        counts = torch.bincount(picked.example, minlength=len(seeds)).tolist()
        chosen = []
        for seed, at in zip(seeds, picked.at.split(counts), strict=True):
            order = np.random.default_rng(seed).permutation(len(at))
            chosen.append(at[torch.from_numpy(order[: self.run.examples.training_tokens])])
        return torch.cat(chosen)


def _rows(acts_rtd: Tensor, chosen: Tensor) -> Tensor:
    flat = acts_rtd.flatten(0, 1)
    return flat[chosen.to(flat.device)].cpu()


def _row(example: Example, image: Image.Image) -> dict[str, Any]:
    return {
        "example_id": example.example_id,
        "uri": example.uri,
        "captions": list(example.captions),
        "label": example.label,
        "taxonomy": list(example.taxonomy),
        "tags": list(example.tags),
        "split": example.split,
        "width": image.width,
        "height": image.height,
        "sha256": hashlib.sha256(image.tobytes()).hexdigest(),
    }


def _table(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=table.schema)
