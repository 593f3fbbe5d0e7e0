"""Trains CLIP-Gemma's linear projector between its frozen parts, and goes on where it was killed.

In the folder: `state.safetensors` (projector, moments, losses and how far it is, in one file that
is swapped in one rename), `curve.jsonl`, and at the end `projector.safetensors` and
`projector.json`.
"""

import contextlib
import hashlib
import importlib.metadata
import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from PIL import Image
from torch import Tensor, nn

from pipeline import config, models
from pipeline.fingerprints.keys import content_key
from pipeline.inputs.pictures import Unreadable, read_rgb
from pipeline.models.answers import Batch, answer_loss, labelled
from pipeline.models.families.clip_gemma import ClipGemmaAdapter, read_projector
from pipeline.models.loading import ModelError, pick_device
from pipeline.projector.conversations import Conversation, ConversationError, read
from pipeline.projector.files import (
    CURVE,
    FACTS,
    PROJECTOR,
    STATE,
    TEMPORARY,
    State,
    finished,
    read_state,
    write_projector,
    write_state,
)
from pipeline.run import identity
from pipeline.run.workspace import Workspace

VERSION = 1
"""Goes up when this code would make another projector of the same settings."""
_AHEAD = 2
"""Batches that are read and prepared while one is learnt from."""
_DRAWS = 100
"""Other conversations that are tried in the place of one whose image cannot be read."""
_LIBRARIES = ("accelerate", "numpy", "pillow", "torch", "transformers")


class Watcher(Protocol):
    """Is told how the training goes on."""

    def start(self, *, done: int, total: int) -> None:
        """It begins; `done` of its `total` steps are there from an earlier run."""

    def advance(self, loss: float) -> None:
        """One more step is done."""


def fit(settings: config.FitProjector, folder: Path, *, watcher: Watcher | None = None) -> bool:
    """Train the projector of `settings` into `folder`, or go on with what is there.

    Under `accelerate launch` every process takes its share of each batch; the first one writes.

    Returns:
        Whether there was anything left to do.

    Raises:
        ConversationError, ModelError, ConfigError: the data, the model or a setting cannot be used.
        StoreError: the folder holds the training of something else, or another process uses it.
    """
    conversations, left_out = read(settings.data)
    key = _key(settings, conversations)
    if finished(folder, key):
        return False
    accelerator = _accelerator(settings)
    first = accelerator.is_main_process
    with Workspace(folder).locked() if first else contextlib.nullcontext():
        if first:
            for name in (STATE, CURVE, PROJECTOR, FACTS):  # what a killed one left
                (folder / f"{TEMPORARY}{name}").unlink(missing_ok=True)
        accelerator.wait_for_everyone()
        state = read_state(folder / STATE, key)
        training = _Training(settings, conversations, accelerator, state)
        if watcher is not None and first:
            watcher.start(done=len(state.losses), total=training.steps)
        for loss in training.run():
            done = len(state.losses)
            if done % settings.fit.save_every == 0 or done == training.steps:
                training.snapshot()
                if first:
                    write_state(folder, state, key, training.curve())
            if watcher is not None and first:
                watcher.advance(loss)
        if first:
            facts = {
                "key": key,
                "settings": settings.model_dump(mode="json"),
                "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
                "steps": training.steps,
                "conversations": len(conversations),
                "left_out": left_out,
                "skipped": state.skipped,
            }
            write_projector(folder, state, facts)
        accelerator.wait_for_everyone()
    return True


def learning_rate(fit: config.Fit, step: int, *, steps: int) -> float:
    """Of the step of this number, from 0: rising in a line, then falling to 0 as a cosine."""
    rising = round(fit.warmup * steps)
    if step < rising:
        return fit.lr * (step + 1) / rising
    return fit.lr * (1 + math.cos(math.pi * (step - rising) / (steps - rising))) / 2


class _Training:
    """One training in this process; `state` goes along with it."""

    def __init__(
        self,
        settings: config.FitProjector,
        conversations: Sequence[Conversation],
        accelerator: Accelerator,
        state: State,
    ) -> None:
        self.how, self.images = settings.fit, settings.data.images
        self.conversations, self.accelerator, self.state = conversations, accelerator, state
        self.steps = self.how.steps or math.ceil(len(conversations) / self.how.batch)
        self.readers = settings.machine.workers or min(16, os.cpu_count() or 4)
        alone = accelerator.num_processes == 1
        device = pick_device(settings.machine.device) if alone else str(accelerator.device)
        adapter = models.load(settings.model, device=device, machine=settings.machine)
        assert isinstance(adapter, ClipGemmaAdapter)
        self.adapter = adapter
        self.linear = _unfrozen(adapter, settings)
        self.optimizer = torch.optim.AdamW(
            self.linear.parameters(), lr=self.how.lr, weight_decay=self.how.weight_decay
        )
        if state.tensors:
            self._restore()

    def run(self) -> Iterator[float]:
        """Each step that is left; gives its loss, a mean over the batch's answer tokens."""
        for batch in self._batches(len(self.state.losses)):
            try:
                loss = self._step(batch)
            except torch.OutOfMemoryError:
                raise ModelError(
                    "out of memory; raise fit.accumulate, or take another dtype or device"
                ) from None
            self.state.losses.append(loss)
            if not math.isfinite(loss):
                raise ModelError(f"diverged at step {len(self.state.losses)}; lower fit.lr")
            yield loss

    def snapshot(self) -> None:
        """Bring the state up to where the training is."""
        found = {name: tensor.detach() for name, tensor in self.linear.state_dict().items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            found |= {f"adam.{number}.{name}": tensor for name, tensor in moments.items()}
        self.state.tensors = {name: tensor.cpu().contiguous() for name, tensor in found.items()}
        everywhere = gather_object([dict(self.state.skipped)])
        self.state.skipped = {k: v for part in everywhere for k, v in part.items()}

    def curve(self) -> list[dict[str, float]]:
        """A record of each step that is done."""
        return [
            {
                "step": step + 1,
                "loss": loss,
                "lr": learning_rate(self.how, step, steps=self.steps),
                "samples": (step + 1) * self.how.batch,
            }
            for step, loss in enumerate(self.state.losses)
        ]

    def _restore(self) -> None:
        tensors = self.state.tensors
        self.linear.load_state_dict({name: tensors[name] for name in ("weight", "bias")})
        moments: dict[int, dict[str, Tensor]] = {}
        for path, tensor in tensors.items():
            if path.startswith("adam."):
                _, number, name = path.split(".")
                moments.setdefault(int(number), {})[name] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})

    def _step(self, batch: Batch) -> float:
        """One optimizer step over all processes."""
        step = len(self.state.losses)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.how, step, steps=self.steps)
        # By the tokens of the whole batch, so that neither pieces nor processes change the loss.
        count = self._summed(batch.learnt.sum()).clamp(min=1)
        loss = torch.zeros((), device=self.adapter.device)
        for piece in batch.pieces(self.how.accumulate):
            with self.accelerator.autocast():
                part = answer_loss(self.adapter, piece) / count
            self.accelerator.backward(part)
            loss += part.detach()
        for parameter in self.linear.parameters():
            parameter.grad = self._summed(parameter.grad)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(self._summed(loss))

    def _summed(self, tensor: Tensor | None) -> Tensor:
        """Over all processes."""
        assert tensor is not None
        total: Tensor = self.accelerator.reduce(tensor.to(self.adapter.device), "sum")
        return total

    def _batches(self, start: int) -> Iterator[Batch]:
        """This process's share of each batch from step `start` on, read ahead in threads."""
        with ThreadPoolExecutor(self.readers) as readers, ThreadPoolExecutor(1) as preparer:
            waiting: deque[Future[Batch]] = deque()
            for step in range(start, self.steps + _AHEAD):
                if step < self.steps:
                    reading = [readers.submit(self._readable, i) for i in self._places(step)]
                    waiting.append(preparer.submit(self._prepared, reading))
                if step >= start + _AHEAD:
                    yield waiting.popleft().result()

    def _places(self, step: int) -> list[int]:
        """Which conversations: every pass over the data is in another seeded order."""
        count = len(self.conversations)
        n, rank = self.accelerator.num_processes, self.accelerator.process_index
        at = range(step * self.how.batch, (step + 1) * self.how.batch)[rank::n]
        orders = {
            epoch: np.random.default_rng([self.how.seed, epoch]).permutation(count)
            for epoch in {i // count for i in at}
        }
        return [int(orders[i // count][i % count]) for i in at]

    def _readable(self, place: int) -> tuple[Image.Image, Conversation]:
        """The conversation there with its picture, or one that is drawn by its place instead."""
        others = np.random.default_rng([self.how.seed, place, 1])
        for _ in range(_DRAWS):
            said = self.conversations[place]
            try:
                if self.adapter.processor.image_token in said.words:
                    raise Unreadable("its words hold the token that stands for the image")
                return read_rgb(said.image), said
            except Unreadable as reason:
                self.state.skipped[os.path.relpath(said.image, self.images)] = str(reason)
            place = int(others.integers(len(self.conversations)))
        raise ConversationError(
            f"{self.images}: of {_DRAWS} images none can be read, as {said.image}; mend data.images"
        )

    def _prepared(self, reading: Sequence[Future[tuple[Image.Image, Conversation]]]) -> Batch:
        pictures, said = zip(*(each.result() for each in reading), strict=True)
        turns = [each.turns for each in said]
        return labelled(self.adapter, pictures, turns, max_text=self.how.max_text)


def _unfrozen(adapter: ClipGemmaAdapter, settings: config.FitProjector) -> nn.Linear:
    """The projector as the training begins: in float32, alone in having gradients."""
    adapter.model.requires_grad_(False)
    linear = adapter.projector.float()
    if settings.model.projector is not None:
        read_projector(settings.model.projector, into=linear)
    else:
        with torch.random.fork_rng():
            torch.manual_seed(settings.fit.seed)
            fresh = nn.Linear(linear.in_features, linear.out_features)
        linear.load_state_dict(fresh.state_dict())
    return linear.requires_grad_(True)


def _accelerator(settings: config.FitProjector) -> Accelerator:
    dtype, device = settings.model.dtype, pick_device(settings.machine.device)
    if dtype == "float16":
        raise config.ConfigError(
            "model.dtype: in float16 small gradients vanish; train in bfloat16 or float32"
        )
    mixed = dtype == "bfloat16" and device.startswith("cuda")
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16" if mixed else "no")
    if settings.fit.batch < accelerator.num_processes:
        raise config.ConfigError(
            f"fit.batch = {settings.fit.batch} is less than the {accelerator.num_processes} "
            "processes; raise it"
        )
    return accelerator


def _key(settings: config.FitProjector, conversations: Sequence[Conversation]) -> str:
    """Names what is trained; how often it saves and in how many pieces a batch goes is no part."""
    model = settings.model
    with settings.data.path.open("rb") as file:
        said = hashlib.file_digest(file, "sha256").hexdigest()
    # Enough to tell other images under the same names, without a look at half a million files.
    images = [c.image for c in conversations[:100]]
    return content_key(
        VERSION,
        identity.weights_identity(model),
        [model.dtype, model.quantization],
        said,
        settings.data.limit,
        [image.stat().st_size if image.is_file() else None for image in images],
        settings.fit.model_dump(exclude={"save_every", "accumulate"}),
    )
