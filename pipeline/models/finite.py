"""Whether what a model makes is finite: what is not would spoil every sum after it, unseen."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from pipeline.models.loading import ModelError


def is_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether every number is finite; one pass over each, and one wait for the device.

    A sum is finite where all numbers are, but for numbers near the largest of float32: those are
    looked at one by one.
    """
    given = [tensor for tensor in tensors if tensor.is_floating_point() and tensor.numel()]
    if not given:
        return True
    totals = torch.stack([tensor.sum(dtype=torch.float32).to(given[0].device) for tensor in given])
    return bool(totals.isfinite().all()) or all(bool(t.isfinite().all()) for t in given)


def refuse_infinite(
    acts: Mapping[str, Tensor], read: Callable[[str], Tensor], model: nn.Module, *, who: str
) -> None:
    """Raises ModelError where an activation that is read is not finite; the line names the place,
    the dtype and the remedy.

    Args:
        acts: hook point -> [r, t, d].
        read: which tokens [r, t] of a hook point are more than padding, whose activations mean
            nothing; asked only where something is not finite.
        who: `model NAME` or `encoder NAME`.
    """
    if is_finite(acts.values()):
        return
    for place, tensor in acts.items():
        meant = tensor[read(place).to(tensor.device)]
        wrong = int((~meant.isfinite()).any(-1).sum())
        if wrong:
            raise ModelError(
                f"{who}: {wrong} of {len(meant)} activations at {place} are not finite numbers in "
                f"{_kind(tensor)}; {_remedy(model, tensor, who)}"
            )


def refuse_infinite_vectors(vectors: Tensor, model: nn.Module, *, who: str) -> None:
    """The same of one vector [b, d] a picture or text."""
    read = torch.ones(len(vectors), 1, dtype=torch.bool)
    refuse_infinite({"its embedding": vectors[:, None]}, lambda _: read, model, who=who)


def _remedy(model: nn.Module, made: Tensor, who: str) -> str:
    """What to do where a model made numbers that are not finite."""
    for name, weight in model.named_parameters():
        if not is_finite([weight]):
            return (
                f"its weight {name} is not finite either: its files are damaged, fetch them again"
            )
    if who.startswith("encoder") and made.dtype != torch.float32:
        return "name a checkpoint whose weights are kept in float32"
    if made.dtype == torch.float16:
        return "float16 holds numbers up to 65504: set dtype to bfloat16 or float32"
    if made.dtype == torch.bfloat16:
        return "set dtype to float32"
    return "check its files and its preprocessor_config.json (image_mean, image_std)"


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
