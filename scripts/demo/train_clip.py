"""Train the demo CLIP from scratch on captions of rendered scenes, and nothing else.

    python -m scripts.demo.train_clip --out data/demo/clip --work WORK

No label reaches the model: the loss is CLIP's own, in which equal captions count as one caption.
A checkpoint is kept in `--work`: the same command continues from it, and another one may change the
recipe on the way. The log goes to OUT/log.csv.
"""

from __future__ import annotations

import argparse
import csv
import logging
import math
import multiprocessing
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPModel, PreTrainedTokenizerFast

from pipeline.demo.scenes import caption
from scripts.demo import batches, clip_files, measure
from scripts.demo.muon import Muon

log = logging.getLogger(__name__)

LOGIT_SCALE_MAX = math.log(100.0)
EVALUATION_SEED = 900_001
EVALUATION_COLUMNS = (
    "step",
    "minutes",
    "loss",
    "shape_loss",
    *measure.PROBED,
    "recall@1",
    "recall@5",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train: batches, optimiser and schedule (learning rates are peaks)."""

    batch: int
    minutes: float
    warmup_steps: int
    lr: float
    muon_lr: float
    weight_decay: float
    seed: int
    odds: dict[str, float]


def loss_of(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, batch: batches.Batch) -> Tensor:
    """CLIP's loss, pictures to captions and captions to pictures, equal captions being one.

    Args:
        model: the model in training.
        tokenizer: its tokenizer.
        batch: pictures and their distinct captions.

    Returns:
        A scalar, in nats.
    """
    words = tokenizer(list(batch.captions), padding=True, return_tensors="pt")
    output = model(**words, pixel_values=clip_files.to_pixel_values(batch.pixels))
    scores = model.logit_scale.exp() * (output.image_embeds @ output.text_embeds.T)
    which = torch.from_numpy(batch.which)
    shares = functional.one_hot(which, len(batch.captions)).float()
    shares = shares / shares.sum(0)
    to_picture = -(shares * scores.log_softmax(0)).sum(0)
    # Several pictures share a caption: even a perfect model cannot tell which of them is meant.
    to_picture = to_picture - torch.log(torch.bincount(which).float())
    return (functional.cross_entropy(scores, which) + to_picture.mean()) / 2


def optimisers(model: CLIPModel, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon for the towers' matrices where its rate is above 0, AdamW for all else."""
    matrices, decayed, plain = [], [], []
    for name, weight in model.named_parameters():
        if settings.muon_lr and ".layers." in name and weight.ndim == 2:
            matrices.append(weight)
        elif weight.ndim >= 2 and "embedding.weight" not in name:
            decayed.append(weight)
        else:
            plain.append(weight)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.98))
    ]
    if matrices:
        made.append(Muon(matrices, lr=settings.muon_lr, weight_decay=settings.weight_decay))
    return made


def rate(step: int, minutes: float, settings: Settings) -> float:
    """Share of the peak learning rate: linear warm-up by steps, then a cosine over time to 1 %."""
    done = min(1.0, minutes / settings.minutes)
    return min(1.0, (step + 1) / settings.warmup_steps) * (
        0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2
    )


def _produce(queue: Queue, start: int, settings: Settings) -> None:
    index = start
    while True:
        queue.put(batches.make(index, seed=settings.seed, size=settings.batch, odds=settings.odds))
        index += 1


def painted(start: int, settings: Settings) -> Generator[batches.Batch, None, None]:
    """The batches from `start` on, painted ahead by a second process."""
    context = multiprocessing.get_context("fork")
    queue: Queue = context.Queue(maxsize=8)
    painter = context.Process(target=_produce, args=(queue, start, settings), daemon=True)
    painter.start()
    try:
        while True:
            yield queue.get()
    finally:
        painter.kill()


def evaluate(
    model: CLIPModel, tokenizer: PreTrainedTokenizerFast, *, singles: int, pairs: int
) -> dict[str, float]:
    """Probes on single items (two thirds to fit, one third to test) and recall among captions."""
    model.eval()
    embed = clip_files.image_embedder(model, clip_files.build_image_processor())
    chosen = measure.scenes(singles, seed=EVALUATION_SEED, count=1)
    rows = measure.embed_scenes(chosen, embed)
    cut = 2 * singles // 3
    probes = measure.probe_single((chosen[:cut], rows[:cut]), (chosen[cut:], rows[cut:]))
    result = {name: round(figures["accuracy"], 4) for name, figures in probes.items()}
    pool = measure.distinct_captions(pairs, seed=EVALUATION_SEED + 1)
    texts = clip_files.embed_texts(model, tokenizer, [caption(scene) for scene in pool])
    found = measure.recall(measure.embed_scenes(pool, embed), texts)
    model.train()
    return result | {f"recall@{k}": found[f"image_to_caption@{k}"] for k in (1, 5)}


def save(model: CLIPModel, folder: Path) -> None:
    """Write a complete Hugging Face folder: weights as float32, tokenizer, image processor."""
    model.save_pretrained(folder)
    clip_files.build_processor().save_pretrained(folder)


class Run:
    """A training run: the model, its optimisers, and how far it has come."""

    def __init__(self, settings: Settings, *, out: Path, work: Path) -> None:
        self.settings, self.out, self.work = settings, out, work
        self.model = clip_files.build_model(seed=settings.seed)
        self.tokenizer = clip_files.build_tokenizer()
        self.optimisers = optimisers(self.model, settings)
        self.step, self.seconds = 0, 0.0
        self.losses: dict[str, list[float]] = {kind: [] for kind in batches.KINDS}
        out.mkdir(parents=True, exist_ok=True)
        work.mkdir(parents=True, exist_ok=True)
        if self._checkpoint.exists():
            self._load()

    @property
    def _checkpoint(self) -> Path:
        return self.work / "checkpoint.pt"

    def _load(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]
        log.info("continuing at step %d, %.1f minutes", self.step, self.seconds / 60)

    def keep(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self._checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self._checkpoint)

    def train(self, *, evaluate_every: float) -> None:
        """Train until the minutes are used up, evaluating and keeping a checkpoint now and then.

        Args:
            evaluate_every: minutes of training between evaluations; their time does not count.
        """
        with closing(painted(self.step, self.settings)) as source:
            self._train_on(source, evaluate_every)
        self.keep()
        save(self.model, self.out)
        self.note(singles=4500, pairs=2000)

    def _train_on(
        self, source: Generator[batches.Batch, None, None], evaluate_every: float
    ) -> None:
        next_look = self.seconds / 60 + evaluate_every
        while self.seconds < 60 * self.settings.minutes:
            started = time.perf_counter()
            self._update(next(source))
            self.seconds += time.perf_counter() - started
            if self.seconds / 60 >= next_look:
                next_look += evaluate_every
                self.keep()
                self.note(singles=1800, pairs=1000)

    def _update(self, batch: batches.Batch) -> None:
        share = rate(self.step, self.seconds / 60, self.settings)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group.setdefault("peak", group["lr"])
                group["lr"] = share * group["peak"]
        loss = loss_of(self.model, self.tokenizer, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=LOGIT_SCALE_MAX)
        self.losses[batch.kind].append(loss.item())
        self.step += 1

    def note(self, *, singles: int, pairs: int) -> None:
        """Evaluate and add a line to the log."""
        means = {
            kind: float(np.mean(seen)) if seen else math.nan for kind, seen in self.losses.items()
        }
        row = {
            "step": self.step,
            "minutes": round(self.seconds / 60, 2),
            "loss": round(means["open"], 4),
            "shape_loss": round(means["shape"], 4),
            **evaluate(self.model, self.tokenizer, singles=singles, pairs=pairs),
        }
        self.losses = {kind: [] for kind in self.losses}
        path = self.out / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, EVALUATION_COLUMNS)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        log.info("%s", row)


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--evaluate-every", type=float, default=7, help="minutes")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--warmup-steps", type=int, default=100)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--muon-lr", type=float, default=2e-3, help="0: AdamW for all")
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument(
        "--odds",
        type=float,
        nargs=4,
        default=(0.2, 0.25, 0.3, 0.25),
        metavar=("SHAPE", "SHARED", "OPEN", "TEXTURE"),
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.pop("threads"))
    out, work, every = (options.pop(name) for name in ("out", "work", "evaluate_every"))
    options["odds"] = dict(zip(batches.KINDS, options["odds"], strict=True))
    Run(Settings(**options), out=out, work=work).train(evaluate_every=every)


if __name__ == "__main__":
    main()
