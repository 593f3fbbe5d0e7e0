"""What all edits share: their error, finite strengths, and how a change of vectors is an edit."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.errors import LoupeError
from pipeline.hooks import Edit
from pipeline.saes.sae import DENSE_LIMIT


class InterventionError(LoupeError, ValueError):
    """An edit that cannot be made; one line that names it and the remedy."""


def finite(strength: float, name: str) -> float:
    """The strength, once it is found to be a finite float32.

    Raises:
        InterventionError: it is not.
    """
    if not abs(strength) <= torch.finfo(torch.float32).max:  # nor is NaN
        raise InterventionError(f"{name} is {strength}; give a finite number")
    return strength


def edit_of(
    change: Callable[[Tensor], Tensor], *, like: Float[Tensor, " d"], codes: int = 1
) -> Edit:
    """A change of float32 vectors [*b d] as an edit of activations [b t d].

    Args:
        change: gets vectors on the device of `like` and gives as many; not in place.
        like: of the width that the hook point must have.
        codes: how many codes `change` holds of each vector; DENSE_LIMIT bounds them together.

    Raises:
        InterventionError: when it is used, the hook point has another width.
    """
    step = max(1, DENSE_LIMIT // codes)

    def edit(acts: Tensor) -> Tensor:
        if acts.shape[-1] != len(like):
            raise InterventionError(
                f"an edit {len(like)} wide at a hook point {acts.shape[-1]} wide; use an SAE or a "
                "direction of this hook point"
            )
        acts = acts.to(like.device, torch.float32)
        if acts.numel() <= step * len(like):
            return change(acts)
        parts = acts.flatten(0, -2).split(step)
        return torch.cat([change(part) for part in parts]).view(acts.shape)

    return edit


def unchanged(acts: Tensor) -> Tensor:
    """The edit that changes nothing."""
    return acts
