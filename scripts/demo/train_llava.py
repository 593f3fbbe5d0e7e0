"""Train the demo's language model on words alone, then teach it to see: the demo LLaVA.

    python -m scripts.demo.train_llava --out data/demo --work data/runs/train-llava

First a small Llama learns captions, and questions about scenes that it reads a caption of; it is
saved as OUT/language. A copy of it then learns, with a projector, to say the same of pictures,
which the demo CLIP's frozen vision tower reads; it is saved as OUT/llava. No scene is seen twice.

Checkpoints are kept in `--work`: the same command continues from them, and ends with the same
weights as a run that was not interrupted (on one machine, with one number of threads).
"""

from __future__ import annotations

import argparse
import csv
import logging
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionModel, LlavaForConditionalGeneration, PreTrainedModel

from pipeline.demo import CLIP_FOLDER
from scripts.demo import clip_files, lessons, llava_files
from scripts.demo.lessons import Batch, Writer
from scripts.demo.muon import Muon

log = logging.getLogger(__name__)

Stage: TypeAlias = Literal["language", "llava"]
SEED = 40_000
"""Of the scenes to learn from; no list that scores, the demo's runs or the CLIP's training read."""
HELD_OUT_SEED = 900_010
WORDS_ONLY = 0.1
"""Share of the LLaVA's batches without a picture, so that it does not unlearn to read."""
EASY_STEPS = 500
"""How long pictures are made to show one item more often than they would; ever less so."""
EXAMINED = 256


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train a stage: batches, optimiser and schedule (learning rates are peaks)."""

    steps: int
    batch: int
    questions: int
    warmup_steps: int
    decay: float
    lr: float
    muon_lr: float
    weight_decay: float
    seed: int


def vision_reader(clip: Path = CLIP_FOLDER) -> CLIPVisionModel:
    """The tower up to the layer that the projector reads: its last hidden state is that layer's."""
    tower = CLIPVisionModel.from_pretrained(
        clip, attn_implementation="eager", trust_remote_code=False
    ).eval()
    layers = tower.encoder.layers
    tower.encoder.layers = layers[: len(layers) + 1 + llava_files.VISION_LAYER]
    return tower.requires_grad_(False)


def predictions(
    model: PreTrainedModel, reader: CLIPVisionModel | None, batch: Batch
) -> tuple[Tensor, Tensor]:
    """Logits [n, vocabulary] before each learnt token, and those tokens [n], row by row."""
    llama = model.model
    if isinstance(model, LlavaForConditionalGeneration):
        llama = model.model.language_model
    ids = torch.from_numpy(batch.ids)
    embedded = llama.embed_tokens(ids)
    if batch.pixels is not None:
        assert isinstance(model, LlavaForConditionalGeneration) and reader is not None
        with torch.no_grad():
            seen = reader(pixel_values=clip_files.to_pixel_values(batch.pixels)).last_hidden_state
        projected = model.model.multi_modal_projector(seen[:, 1:])
        before, after = embedded[:, :2], embedded[:, 2 + llava_files.PATCHES :]
        embedded = torch.cat([before, projected, after], 1)
    hidden = llama(
        inputs_embeds=embedded,
        attention_mask=lessons.attention_mask(batch),
        position_ids=torch.from_numpy(batch.position),
        use_cache=False,
    ).last_hidden_state
    # The first token of a turn without a prompt follows the beginning, which is one token there.
    learnt = torch.from_numpy(batch.learnt)[:, 1:]
    return model.lm_head(hidden[:, :-1][learnt]), ids[:, 1:][learnt]


def examine(
    model: PreTrainedModel, reader: CLIPVisionModel | None, batch: Batch
) -> dict[str, float]:
    """Share of the answers of each kind whose every token is the likeliest, given those before."""
    with torch.inference_mode():
        logits, truth = predictions(model, reader, batch)
    hit = (logits.argmax(-1) == truth).numpy()
    rows, places = np.nonzero(batch.learnt)
    right: dict[tuple[int, int], bool] = defaultdict(lambda: True)
    for row, place, is_hit in zip(rows.tolist(), places.tolist(), hit.tolist(), strict=True):
        right[row, int(batch.turn[row, place])] &= is_hit
    found = defaultdict(list)
    for (row, turn), all_right in right.items():
        found[batch.kinds[row][turn - 1]].append(all_right)
    return {kind: round(float(np.mean(found[kind])), 4) for kind in sorted(found)}


def optimisers(model: PreTrainedModel, settings: Settings) -> list[torch.optim.Optimizer]:
    """Muon for the layers' and the projector's matrices, AdamW for all else that learns."""
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            hidden = weight.ndim == 2 and (".layers." in name or "projector" in name)
            (matrices if hidden else others).append(weight)
    return [
        torch.optim.AdamW(others, lr=settings.lr, betas=(0.9, 0.98), weight_decay=0.0),
        Muon(matrices, lr=settings.muon_lr, weight_decay=settings.weight_decay),
    ]


def rate(step: int, settings: Settings) -> float:
    """Share of the peak learning rate: a linear warm-up, a plateau, a linear decay to nothing.

    A plateau, so that a run may be made longer while it lasts.
    """
    left = (settings.steps - step) / max(1.0, settings.decay * settings.steps)
    return min(1.0, (step + 1) / settings.warmup_steps, left)


class Run:
    """The training of one stage: its model, its optimisers, and how far it has come."""

    def __init__(
        self, stage: Stage, model: PreTrainedModel, settings: Settings, work: Path
    ) -> None:
        self.stage, self.model, self.settings = stage, model, settings
        self.reader = vision_reader() if stage == "llava" else None
        self.optimisers = optimisers(model, settings)
        size, questions = settings.batch, settings.questions
        self.writer = Writer(seed=SEED + settings.seed, size=size, questions=questions)
        self.examiner = Writer(seed=HELD_OUT_SEED, size=EXAMINED, questions=questions)
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []
        self.checkpoint = work / f"{stage}.pt"
        work.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self._load()

    def _load(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]
        log.info("%s: continuing at step %d", self.stage, self.step)

    def keep(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self.checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def train(self, out: Path, *, evaluate_every: int, keep_every: int) -> None:
        """Train up to the last step, then save the model. It is saved at evaluations too."""
        while self.step < self.settings.steps:
            started = time.process_time()
            self._update()
            self.seconds += time.process_time() - started
            last = self.step == self.settings.steps
            if last or self.step % keep_every == 0:
                self.keep()
            if last or self.step % evaluate_every == 0:
                self._note(out)
                llava_files.save(self.model, out)

    def batch(self, step: int) -> Batch:
        """What this step learns from. Early on, most pictures show one item."""
        words_only = np.random.default_rng((self.settings.seed, step)).random() < WORDS_ONLY
        if self.stage == "language" or words_only:
            return self.writer.of_words(step)
        return self.writer.of_pictures(step, single=max(0.0, 1 - step / EASY_STEPS))

    def _update(self) -> None:
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group.setdefault("peak", group["lr"])
                group["lr"] = rate(self.step, self.settings) * group["peak"]
        loss = functional.cross_entropy(
            *predictions(self.model, self.reader, self.batch(self.step))
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.losses.append(loss.item())
        self.step += 1

    def _note(self, out: Path) -> None:
        """Examine held-out scenes and add a line to the log."""
        of = self.examiner.of_words if self.stage == "language" else self.examiner.of_pictures
        row = {
            "step": self.step,
            "cpu_minutes": round(self.seconds / 60, 2),
            "loss": round(float(np.mean(self.losses)), 4),
            **examine(self.model, self.reader, of(0)),
        }
        self.losses = []
        out.mkdir(parents=True, exist_ok=True)
        with (out / "log.csv").open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
        log.info("%s: %s", self.stage, row)


def train(
    out: Path, work: Path, language: Settings, llava: Settings, *, every: tuple[int, int]
) -> None:
    """Both stages, each from where it is; `every`: steps between evaluations, and checkpoints."""
    model = llava_files.build_language(seed=language.seed)
    evaluate, keep = every
    run = Run("language", model, language, work)
    run.train(out / "language", evaluate_every=evaluate, keep_every=keep)
    seeing = llava_files.build_llava(model, seed=llava.seed)
    run = Run("llava", seeing, llava, work)
    run.train(out / "llava", evaluate_every=evaluate, keep_every=keep)


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="where language/ and llava/ go")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--language-steps", type=int, default=700)
    parser.add_argument("--steps", type=int, default=4000, help="of the LLaVA")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--questions", type=int, default=8, help="to each scene")
    parser.add_argument("--warmup-steps", type=int, default=50)
    parser.add_argument("--decay", type=float, default=0.3, help="last share of the steps")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--muon-lr", type=float, default=3e-3)
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--evaluate-every", type=int, default=200, help="steps")
    parser.add_argument("--keep-every", type=int, default=50, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.pop("threads"))
    out, work, steps = (options.pop(name) for name in ("out", "work", "language_steps"))
    every = (options.pop("evaluate_every"), options.pop("keep_every"))
    llava = Settings(**options)
    train(out, work, Settings(**(options | {"steps": steps})), llava, every=every)


if __name__ == "__main__":
    main()
