"""Reads every image once: examples and skipped inputs; of train images the activations that SAEs
learn from; of val images thumbnails and the encoders' embeddings.

A part holds `examples.parquet`; of the train split `acts.safetensors`, MODEL/HOOK/TOKENS -> [n, d];
of the val split `thumbnails.parquet` and `embeddings.safetensors`, ENCODER -> [n, d] in the order
of the examples.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from pipeline import config, contract, examples, models, store
from pipeline.examples import Example
from pipeline.models.adapter import pick_device
from pipeline.models.encoder import ImageEncoder
from pipeline.pictures import thumbnail
from pipeline.plan import Unit

Pictures = list[tuple[Example, Image.Image]]


class Worker:
    """Does collect's units."""

    def __init__(self, run: config.RunConfig, workspace: store.Workspace) -> None:
        self.run = run
        self.device = pick_device(run.machine.device)
        self.reader = examples.reader(run.examples.source)
        # All at once, before hours of work show that the last of them cannot be had.
        self.models = {n: models.load(m, device=self.device) for n, m in run.models.items()}
        self.encoders = {n: ImageEncoder(e, device=self.device) for n, e in run.encoders.items()}

    def make(self, unit: Unit, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
        skipped: dict[str, str] = {}
        wanted: Sequence[Example] = unit.spec["examples"]
        rows: list[dict[str, Any]] = []
        thumbnails: list[dict[str, Any]] = []
        tensors: dict[str, list[Tensor]] = {}
        size = self.run.machine.batch_size
        for pictures in examples.read(self.reader, wanted, batch=size, skipped=skipped):
            rows += [_row(e, image) for e, image in pictures]
            if unit.spec["split"] == "train":
                made = self._activations(pictures, unit.spec["reads"])
            else:
                thumbnails += [self._thumbnail(e, image) for e, image in pictures]
                made = self._embeddings(pictures)
            for name, tensor in made.items():
                tensors.setdefault(name, []).append(tensor)
            advance(len(pictures))
        advance(len(skipped))
        store.write_table(contract.EXAMPLES, _table(contract.EXAMPLES, rows), folder)
        name = "acts" if unit.spec["split"] == "train" else "embeddings"
        save_file({k: torch.cat(v) for k, v in tensors.items()}, folder / f"{name}.safetensors")
        if unit.spec["split"] == "val":
            store.write_table(contract.THUMBNAILS, _table(contract.THUMBNAILS, thumbnails), folder)
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
        self, pictures: Pictures, reads: Sequence[tuple[str, str, str]]
    ) -> dict[str, Tensor]:
        """Of each place the activations at randomly chosen positions, [n, d] on the CPU."""
        made: dict[str, Tensor] = {}
        for name in sorted({model for model, _, _ in reads}):
            model = self.models[name]
            inputs = model.prepare([image for _, image in pictures])
            here = [(hook, tokens) for of, hook, tokens in reads if of == name]
            acts = model.record(inputs, [model.resolve(hook).name for hook, _ in here])
            for hook, tokens in here:
                point = model.resolve(hook)
                at = point.layout.positions(tokens)
                chosen = self._choose(at, [e for e, _ in pictures])
                rows = torch.arange(len(pictures))[:, None]
                made[f"{name}/{hook}/{tokens}"] = acts[point.name].cpu()[rows, chosen].flatten(0, 1)
        return made

    def _choose(self, at: Sequence[int], batch: Sequence[Example]) -> Tensor:
        """For each example up to `training_tokens` of the positions, seeded by its id: [b, n]."""
        count = min(len(at), self.run.examples.training_tokens)
        draws = [np.random.default_rng(e.example_id).permutation(len(at))[:count] for e in batch]
        return torch.tensor(at)[torch.from_numpy(np.stack(draws))]


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


def _table(table: contract.Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=table.schema)
