"""Training sparse autoencoders with sae-lens; importing sae-lens takes seconds and a gigabyte, so
it happens inside `train`."""

import json
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor, nn

from pipeline import config
from pipeline.saes.sae import SAE, SAEError

_CALIBRATION = 32_768
"""Vectors that set the centre, the scale and the final threshold."""
_BUFFER = 262_144
"""Vectors that are shuffled together; more would cost memory and mix hardly better."""


class ActsFiles:
    """Activation vectors kept in safetensors files, read in shuffled batches without end.

    `tensors` names what is read together, as the tokens of images and of captions. Raises SAEError
    where none of the files holds any.

    Never holds more than about `_BUFFER` vectors plus one file.
    """

    def __init__(self, files: Sequence[Path], tensors: Sequence[str], *, seed: int) -> None:
        self.tensors, self.seed = tensors, seed
        # A file whose images could not be read holds no tensor.
        self.files = [file for file in files if _holds(file, tensors)]
        if not self.files:
            raise SAEError(f"no activations for {self}: no train image could be read")
        self._rng = np.random.default_rng(seed)
        self.d_in = self._read(self.files[0]).shape[1]

    def __str__(self) -> str:
        return " and ".join(self.tensors)

    def __len__(self) -> int:
        """How many vectors there are."""
        count = 0
        for file in self.files:
            with safe_open(file, framework="pt") as opened:
                here = set(self.tensors) & set(opened.keys())
                count += sum(opened.get_slice(name).get_shape()[0] for name in here)
        return count

    def of(self, tensor: str) -> "ActsFiles | None":
        """One tensor's vectors alone; None where there are none."""
        if not any(_holds(file, [tensor]) for file in self.files):
            return None
        alone = ActsFiles(self.files, [tensor], seed=self.seed)
        return alone if len(alone) else None

    def sample(self, count: int) -> Float[Tensor, "n d"]:
        """The first `count` vectors in the files' order, or all where there are fewer."""
        taken: list[Tensor] = []
        for file in self.files:
            taken.append(self._read(file))
            if sum(map(len, taken)) >= count:
                break
        return torch.cat(taken)[:count]

    def batches(self, size: int) -> Iterator[Float[Tensor, "b d"]]:
        """Batches of `size` vectors, for ever; every pass in another order."""
        held: list[Tensor] = []
        while True:
            for at in self._rng.permutation(len(self.files)):
                held.append(self._read(self.files[at]))
                if sum(map(len, held)) >= _BUFFER:
                    held = yield from self._drain(held, size)
            if held:
                held = yield from self._drain(held, size)

    def _drain(self, held: list[Tensor], size: int) -> Generator[Tensor, None, list[Tensor]]:
        """Yield the held vectors in random order; return what does not fill a batch."""
        pool = torch.cat(held)
        if len(pool) < size:  # fewer vectors than a batch: repeat them
            pool = pool.repeat(-(-size // len(pool)), 1)
        order = torch.from_numpy(self._rng.permutation(len(pool)))
        whole = len(pool) // size * size
        for start in range(0, whole, size):
            yield pool[order[start : start + size]]
        rest = pool[order[whole:]]
        return [rest] if len(rest) else []

    def _read(self, file: Path) -> Tensor:
        with safe_open(file, framework="pt") as opened:
            here = [name for name in self.tensors if name in set(opened.keys())]
            return torch.cat([opened.get_tensor(name).float() for name in here])


def train(
    settings: config.TrainedSAE,
    acts: ActsFiles,
    *,
    device: str,
    kinds: Sequence[Collection[str]] = (),
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[SAE, list[dict[str, float]]]:
    """Train a BatchTopK or Matryoshka BatchTopK SAE (Bussmann et al. 2024, 2025) with sae-lens.

    The vectors are scaled to a mean norm of sqrt(d_in), `b_dec` starts at their median, and
    afterwards the scale and the decoder's norms are folded into the weights and the threshold is
    set so that k features fire on average: the running estimate of a short training is far off.
    Where it learns from several kinds of token, a batch holds each kind's share, and k features
    fire on average over each kind's part of it and, by a threshold of its own, afterwards: over
    the mixture longer activations, such as those of images beside those of captions, would fire
    many times as often as the others.

    Args:
        settings: kind, k, size, levels, samples, seed.
        acts: where the training vectors come from.
        device: torch device.
        kinds: of each of the tensors in `acts` which kinds of token it holds; where two hold one
            kind, the one with fewer kinds sets its threshold.
        advance: told the number of vectors after each step.

    Returns:
        The SAE (JumpReLU, decoder rows of unit length) on the CPU, and the loss curve: records of
        `samples`, `loss`, `mse`.
    """
    from sae_lens import LoggingConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    sample = acts.sample(_CALIBRATION)
    if not len(sample):
        raise SAEError(f"no activations for {acts}: no image has a token of this kind")
    scale = acts.d_in**0.5 / sample.norm(dim=1).mean().clamp_min(1e-12).item()
    how = settings.training
    found = zip(acts.tensors, kinds, strict=True) if len(kinds) > 1 else ()
    apart = [(alone, of) for tensor, of in found if (alone := acts.of(tensor)) is not None]
    parts = [alone for alone, _ in apart] or [acts]
    sizes = shares(how.batch, [len(part) for part in parts]) if apart else [how.batch]
    steps = max(1, how.samples // how.batch)
    curve: list[dict[str, float]] = []
    with torch.random.fork_rng():
        torch.manual_seed(how.seed)
        model, groups = _untrained(settings, acts.d_in)
        if len(sizes) > 1:
            model.activation_fn = _TopOfEach(model.activation_fn, sizes)
        model.b_dec.data = (sample * scale).median(0).values
        trainer = SAETrainer(
            cfg=SAETrainerConfig(
                total_training_samples=steps * how.batch,
                train_batch_size_samples=how.batch,
                lr=how.lr,
                lr_end=how.lr / 10,
                lr_warm_up_steps=steps // 20,
                lr_decay_steps=steps // 3,
                # Its default of 1,000 steps would call no feature dead in a short training.
                dead_feature_window=max(10, steps // 10),
                device=device,
                logger=LoggingConfig(log_to_wandb=False),
            ),
            sae=model.to(device),
            data_provider=iter(()),
        )
        batches = zip(*(p.batches(n) for p, n in zip(parts, sizes, strict=True)), strict=True)
        for step, batch in zip(range(steps), map(torch.cat, batches), strict=False):
            output = trainer.step(batch * scale)
            trainer.n_training_steps += 1
            advance(len(batch))
            if step % max(1, steps // 100) == 0 or step == steps - 1:
                curve.append(_point(trainer.n_training_samples, output))
    sae = _as_run(model.cpu(), settings, groups=groups, scale=scale)
    return _calibrated(sae, apart, k=settings.k, sample=sample), curve


def shares(total: int, counts: Sequence[int]) -> list[int]:
    """How `total` is shared out by these counts, each at least 1; no share is 0, so that the sum is
    above `total` where that is less than there are shares."""
    ends = np.round(np.cumsum(counts) * total / sum(counts))
    return [max(1, int(n)) for n in np.diff(ends, prepend=0)]


def features_of(settings: config.TrainedSAE, d_in: int) -> int:
    """How many features an SAE on `d_in` dimensions has.

    Raises:
        SAEError: fewer than its k or its levels want.
    """
    d_sae = round(d_in * settings.expansion)
    if settings.k > d_sae:
        raise SAEError(
            f"k = {settings.k} is more than the {d_sae} features of an SAE on {d_in} dimensions; "
            "lower dictionaries.*.k or raise its expansion"
        )
    if settings.kind == "matryoshka" and len(settings.levels) > d_sae:
        raise SAEError(
            f"{len(settings.levels)} levels are more than the {d_sae} features of an SAE on "
            f"{d_in} dimensions; give dictionaries.*.levels fewer or raise its expansion"
        )
    return d_sae


def level_sizes(d_sae: int, shares: Sequence[float]) -> tuple[int, ...]:
    """How many features each level has; they sum to d_sae, each at least 1."""
    ends = [max(i + 1, round(d_sae * total)) for i, total in enumerate(np.cumsum(shares))]
    ends[-1] = d_sae
    return tuple(int(n) for n in np.diff([0, *ends]))


def write_curve(path: Path, curve: list[dict[str, float]]) -> None:
    """Write the loss curve as JSON, one record a line."""
    path.write_text("\n".join(json.dumps(point) for point in curve) + "\n", encoding="utf-8")


def _untrained(settings: config.TrainedSAE, d_in: int) -> tuple[nn.Module, tuple[int, ...]]:
    """sae-lens's training SAE, and the sizes of its levels."""
    from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.matryoshka_batchtopk_sae import (
        MatryoshkaBatchTopKTrainingSAE,
        MatryoshkaBatchTopKTrainingSAEConfig,
    )

    d_sae = features_of(settings, d_in)
    common = {
        "d_in": d_in,
        "d_sae": d_sae,
        "k": settings.k,
        "aux_loss_coefficient": settings.training.auxiliary,
        "apply_b_dec_to_input": True,
    }
    if settings.kind == "batchtopk":
        return BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**common)), ()
    groups = level_sizes(d_sae, settings.levels)
    widths = [int(n) for n in np.cumsum(groups)]
    lens = MatryoshkaBatchTopKTrainingSAEConfig(**common, matryoshka_widths=widths)
    return MatryoshkaBatchTopKTrainingSAE(lens), groups


class _TopOfEach(nn.Module):
    """An activation function over each part of a batch apart."""

    def __init__(self, top: Any, sizes: Sequence[int]) -> None:
        super().__init__()
        self.top, self.sizes = top, list(sizes)

    def forward(self, before: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        return torch.cat([self.top(part) for part in before.split(self.sizes)])


def _as_run(
    model: nn.Module,
    settings: config.TrainedSAE,
    *,
    groups: tuple[int, ...],
    scale: float,
) -> SAE:
    """The trained weights in the units of the activations, with unit decoder rows; a ReLU yet."""
    w = {name: tensor.detach().float() for name, tensor in model.state_dict().items()}
    if not all(tensor.isfinite().all() for tensor in w.values()):
        raise SAEError("the training diverged; lower dictionaries.*.training.lr")
    norm = w["W_dec"].norm(dim=1).clamp_min(1e-12)
    # Training saw x * scale and weighed codes by the decoder's norm; dividing by the scale gives
    # codes in units of x.
    return SAE(
        W_enc=(w["W_enc"] * norm).contiguous(),
        b_enc=w["b_enc"] * norm / scale,
        W_dec=(w["W_dec"] / norm[:, None]).contiguous(),
        b_dec=w["b_dec"] / scale,
        activation="relu",
        architecture=settings.kind,
        group_sizes=groups,
    )


def _calibrated(
    sae: SAE,
    apart: Sequence[tuple[ActsFiles, Collection[str]]],
    *,
    k: int,
    sample: Float[Tensor, "n d"],
) -> SAE:
    """The SAE as JumpReLU, with thresholds at which k features fire on average: of the sample, or
    of each kind of token where they lie `apart`."""

    def at(vectors: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        pooled = torch.cat([sae.encode_sparse(part).value for part in vectors.split(4096)])
        return between(pooled, kept=k * len(vectors))

    # The more kinds the earlier: captions alone, which are one, come last.
    held = sorted(apart, key=lambda pair: -len(pair[1]))
    each = [(at(part.sample(_CALIBRATION)), of) for part, of in held]
    # What knows one threshold has that of the images' passes.
    threshold = each[0][0] if each else at(sample)
    found = {kind: float(own) for own, of in each for kind in of}
    return replace(
        sae,
        activation="jumprelu",
        threshold=threshold.expand(sae.d_sae).clone(),
        thresholds=found,
    )


def between(values: Float[Tensor, " n"], *, kept: int) -> Float[Tensor, ""]:
    """A threshold that about the `kept` largest of these values above 0 exceed: the middle of the
    widest gap within one percent of that rank.

    Never a value itself: tokens that begin alike have the same activations up to rounding, and a
    threshold at one of them would leave it to the batch size whether the others fire.
    """
    near = max(1, kept // 100)
    falling = values.topk(min(len(values), kept + near)).values
    falling = torch.cat([falling, falling.new_zeros(1)]) if len(values) <= kept + near else falling
    around = falling[max(0, min(kept, len(values)) - near) :]
    if len(around) < 2:
        return values.new_zeros(())
    at = int((around[:-1] - around[1:]).argmax())
    return (around[at] + around[at + 1]) / 2


def _holds(file: Path, tensors: Sequence[str]) -> bool:
    with safe_open(file, framework="pt") as opened:
        return not set(tensors).isdisjoint(opened.keys())


def _point(samples: int, output: object) -> dict[str, float]:
    losses = {name: float(value.detach()) for name, value in output.losses.items()}  # type: ignore[attr-defined]
    return {"samples": samples, "loss": float(output.loss.detach()), "mse": losses["mse_loss"]}  # type: ignore[attr-defined]
