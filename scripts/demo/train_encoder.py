"""Train the demo's second image encoder: a small ResNet that shares nothing with the demo CLIP.

    python -m scripts.demo.train_encoder --out data/demo/encoder --work WORK

The monosemanticity score needs embeddings from a model other than the one it judges. This one is
convolutional, has another seed and sees other scenes, and is taught by labels: what is in a
picture of one to three items, for every value of every attribute. The heads are thrown away; the
pooled output is the embedding.
"""

from __future__ import annotations

import argparse
import csv
import logging
import math
import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import ConvNextImageProcessor, ResNetConfig, ResNetModel

from pipeline.demo.scenes import ITEM_ATTRIBUTES, VOCABULARY, Scene, sample, tags
from scripts.demo import batches, clip_files

log = logging.getLogger(__name__)

ATTRIBUTES = (*ITEM_ATTRIBUTES, "background", "position")
VALUES = tuple(value for attribute in ATTRIBUTES for value in VOCABULARY[attribute])
NOTE_EVERY = 100
WARMUP_STEPS = 50
SINGLES = 0.5
"""Share of the training scenes that hold one item."""


def build_model(*, seed: int) -> ResNetModel:
    """An untrained residual network for 64 x 64 pixels; pooled output [b, 192, 1, 1].

    Args:
        seed: of its weights.
    """
    torch.manual_seed(seed)
    config = ResNetConfig(
        embedding_size=24,
        hidden_sizes=[32, 64, 128, 192],
        depths=[1, 2, 2, 1],
        layer_type="basic",
        downsample_in_first_stage=False,
    )
    return ResNetModel(config)


def build_image_processor() -> ConvNextImageProcessor:
    """Any picture to 64 x 64 pixels (bicubic), normalised as for the demo CLIP."""
    return ConvNextImageProcessor(
        size={"shortest_edge": clip_files.IMAGE_SIZE},
        # Below 384 pixels this processor resizes by 1 / crop_pct and crops: 1 leaves nothing out.
        crop_pct=1.0,
        resample=3,
        image_mean=list(clip_files.MEAN),
        image_std=list(clip_files.STD),
    )


def make_batch(
    index: int, *, seed: int, size: int
) -> tuple[NDArray[np.uint8], Float[Tensor, "b values"]]:
    """Pictures uint8 [b, 64, 64, 3] and which of `VALUES` each has, 0 or 1."""
    rng = np.random.default_rng((seed, index, 78))
    counts = [1 if rng.random() < SINGLES else None for _ in range(size)]
    scenes = [sample(index * size + k, seed=seed, count=c) for k, c in enumerate(counts)]
    pixels = batches.paint_scenes(scenes, resized=rng.random() < batches.RESIZED)
    return pixels, torch.tensor([_truth(scene) for scene in scenes])


def _truth(scene: Scene) -> list[float]:
    present = set(tags(scene))
    return [float(value in present) for value in VALUES]


class Run:
    """A training run: the model with a head to be thrown away, and how far it has come."""

    def __init__(self, *, work: Path, steps: int, batch: int, lr: float, seed: int) -> None:
        self.steps, self.batch, self.lr, self.seed = steps, batch, lr, seed
        self.model = build_model(seed=seed)
        head = nn.Linear(self.model.config.hidden_sizes[-1], len(VALUES))
        self.whole = nn.ModuleList([self.model, head])
        self.optimiser = torch.optim.AdamW(self.whole.parameters(), lr=lr, weight_decay=0.02)
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []
        self.rows: list[dict[str, float]] = []
        work.mkdir(parents=True, exist_ok=True)
        self.checkpoint = work / "encoder.pt"
        if self.checkpoint.exists():
            self._load()

    def _load(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        self.whole.load_state_dict(state["whole"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds, self.rows = state["step"], state["seconds"], state["rows"]
        log.info("continuing at step %d", self.step)

    def _keep(self) -> None:
        state = {
            "whole": self.whole.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "rows": self.rows,
        }
        partial = self.checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def train(self) -> None:
        """Train to the last step, noting the loss and keeping a checkpoint now and then."""
        self.whole.train()
        while self.step < self.steps:
            started = time.perf_counter()
            self.losses.append(self._update())
            self.step += 1
            self.seconds += time.perf_counter() - started
            if self.step % NOTE_EVERY == 0 or self.step == self.steps:
                loss = round(float(np.mean(self.losses)), 4)
                minutes = round(self.seconds / 60, 2)
                self.rows.append({"step": self.step, "minutes": minutes, "loss": loss})
                self.losses = []
                self._keep()
                log.info("%s", self.rows[-1])
        self.whole.eval()

    def _update(self) -> float:
        share = min(1.0, (self.step + 1) / WARMUP_STEPS)
        share *= (1 + math.cos(math.pi * self.step / self.steps)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr * share
        pixels, truth = make_batch(self.step, seed=self.seed, size=self.batch)
        model, head = self.whole
        pooled = model(clip_files.to_pixel_values(pixels)).pooler_output.flatten(1)
        loss = functional.binary_cross_entropy_with_logits(head(pooled), truth)
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss.item()


def main() -> None:
    """Read the options, train and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=4242)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    run = Run(
        work=options.work,
        steps=options.steps,
        batch=options.batch,
        lr=options.lr,
        seed=options.seed,
    )
    run.train()
    run.model.save_pretrained(options.out)
    build_image_processor().save_pretrained(options.out)
    with (options.out / "log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, run.rows[0])
        writer.writeheader()
        writer.writerows(run.rows)


if __name__ == "__main__":
    main()
