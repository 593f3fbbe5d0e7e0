"""Edits of an SAE's features: clamp, add, scale, ablate."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from pipeline.hooks import Edit
from pipeline.interventions.base import InterventionError, edit_of, finite, unchanged
from pipeline.saes.sae import SAE

Mode = Literal["clamp", "add", "scale", "ablate"]


@dataclass(frozen=True)
class FeatureEdit:
    """What becomes of one feature's activation f (>= 0) at every token in scope.

    Attributes:
        feature: its number in the dictionary, from 0.
        mode: clamp: `f' = strength`; add: `f' = max(f + strength, 0)`, for taking away from a
            feature can at most turn it off; scale: `f' = f strength`; ablate: `f' = 0`. Only a
            negative clamp or scale makes f' negative, which pushes against the feature.
        strength: in the unit of the feature's activation, of scale a factor; ablate ignores it.

    Raises:
        InterventionError: an unknown mode, or a strength that is no finite float32.
    """

    feature: int
    mode: Mode
    strength: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            raise InterventionError(
                f"feature {self.feature}: no mode {self.mode!r}; use one of {', '.join(_MODES)}"
            )
        finite(self.strength, f"feature {self.feature}: its strength")

    @property
    def line(self) -> tuple[float, float, float]:
        """Gain, offset and least: `f' = max(gain f + offset, least)`."""
        return _MODES[self.mode](self.strength)


_MODES: dict[str, Callable[[float], tuple[float, float, float]]] = {
    "clamp": lambda strength: (0.0, strength, -math.inf),
    "add": lambda strength: (1.0, strength, 0.0),
    "scale": lambda strength: (strength, 0.0, -math.inf),
    "ablate": lambda _: (0.0, 0.0, -math.inf),
}


def delta(sae: SAE, edits: Sequence[FeatureEdit]) -> Edit:
    """`acts + decode(f') - decode(f)`: what the SAE does not explain stays as it is.

    Of a ReLU or JumpReLU SAE only the edited features are computed, their columns of the encoder
    and rows of the decoder; of a TopK SAE the whole code, for whether a feature is among the k
    largest depends on all others. A token whose edited features have f' = f stays the same to the
    bit: always for add 0, scale 1 and no edits.

    Args:
        sae: of the hook point where the edit goes.
        edits: each of another feature; they act at once.

    Raises:
        InterventionError: a feature is out of range or edited twice; when it is used, the hook
            point has another width.
    """
    features, after = _changes(sae, edits)
    if not edits:
        return unchanged
    rows_kd = sae.W_dec[features]
    encode, codes = _encoder(sae, features)

    def change(acts: Tensor) -> Tensor:
        before = encode(acts)
        step = after(before) - before
        # Adding 0 is not enough: it makes 0 of -0.
        return torch.where(step.any(-1, keepdim=True), acts + step @ rows_kd, acts)

    return edit_of(change, like=sae.b_dec, codes=codes)


def replace(sae: SAE, edits: Sequence[FeatureEdit]) -> Edit:
    """`decode(f')`: the SAE's reconstruction in place of the activations, as Pach et al. steer
    (arXiv 2504.02821); without edits the reconstruction alone.

    Args, Raises: as `delta`.
    """
    features, after = _changes(sae, edits)

    def change(acts: Tensor) -> Tensor:
        codes = sae.encode(acts)
        codes[..., features] = after(codes[..., features])
        return sae.decode(codes)

    return edit_of(change, like=sae.b_dec, codes=sae.d_sae)


def _changes(
    sae: SAE, edits: Sequence[FeatureEdit]
) -> tuple[Int[Tensor, " k"], Callable[[Tensor], Tensor]]:
    """The edited features, and f -> f' of their activations [*b k]."""
    numbers = [edit.feature for edit in edits]
    for number, times in Counter(numbers).items():
        if not 0 <= number < sae.d_sae:
            raise InterventionError(
                f"no feature {number}: the dictionary has {sae.d_sae}, 0 to {sae.d_sae - 1}"
            )
        if times > 1:
            raise InterventionError(f"feature {number} is edited twice; keep one of its edits")
    device = sae.W_dec.device
    lines = torch.tensor([edit.line for edit in edits], dtype=torch.float32, device=device)
    gain, offset, least = lines.reshape(len(edits), 3).T
    bounded = any(edit.mode == "add" for edit in edits)
    features = torch.tensor(numbers, dtype=torch.long, device=device)

    def after(before: Tensor) -> Tensor:
        line = torch.addcmul(offset, gain, before)
        return torch.maximum(line, least) if bounded else line

    return features, after


def _encoder(sae: SAE, features: Int[Tensor, " k"]) -> tuple[Callable[[Tensor], Tensor], int]:
    """What makes these features' activations [*b k] of acts [*b d], and how many codes it holds
    of each vector for that."""
    if sae.k is not None:
        return lambda acts: sae.encode(acts)[..., features], sae.d_sae
    part = dataclasses.replace(
        sae,
        W_enc=sae.W_enc[:, features],
        b_enc=sae.b_enc[features],
        W_dec=sae.W_dec[features],
        threshold=None if sae.threshold is None else sae.threshold[features],
    )
    return part.encode, len(features)
