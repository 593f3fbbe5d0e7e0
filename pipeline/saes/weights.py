"""What the weights of every published format must pass before they are an SAE."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import LoupeError


class SAEError(LoupeError, ValueError):
    """A source is no SAE, or does not fit; one line that names it and the remedy."""


def fitted(
    source: str | Path,
    tensors: dict[str, Tensor],
    *,
    threshold: bool,
    d_in: object = None,
    d_sae: object = None,
) -> dict[str, Tensor]:
    """The tensors in float32, once they are found to be whole.

    Args:
        source: where they come from, for the message.
        tensors: `W_enc` [d, s], `b_enc` [s], `W_dec` [s, d], `b_dec` [d], any float.
        threshold: whether `threshold` [s] is one of them.
        d_in, d_sae: the widths that a config states, if it does.

    Raises:
        SAEError: tensors are missing, unknown, not finite, or do not fit each other or the widths.
    """
    tensors = dict(tensors)
    scale = tensors.get("scaling_factor")
    if scale is not None and (scale == 1).all():  # sae-lens and Gemma Scope once saved it unused
        del tensors["scaling_factor"]
    names = {"W_enc", "b_enc", "W_dec", "b_dec", *(("threshold",) if threshold else ())}
    if names != tensors.keys():
        missing, unknown = sorted(names - tensors.keys()), sorted(tensors.keys() - names)
        raise SAEError(
            f"{source}: lacks tensors {missing} and holds unknown ones {unknown[:5]}; "
            "fetch it again, or save it in a format that Loupe reads"
        )
    _refuse_misfits(source, tensors, d_in=d_in, d_sae=d_sae)
    floats = {name: tensor.detach().float().contiguous() for name, tensor in tensors.items()}
    broken = sorted(name for name, tensor in floats.items() if not tensor.isfinite().all())
    if broken:
        raise SAEError(f"{source}: {broken} hold NaN or infinite values; fetch or train it again")
    return floats


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises SAEError where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SAEError(f"{path}: not readable ({one_line(error)}); fetch it again") from None
    if not isinstance(found, dict):
        raise SAEError(f"{path}: holds no settings by name; fetch it again")
    return found


def one_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _refuse_misfits(
    source: str | Path, tensors: dict[str, Tensor], *, d_in: object, d_sae: object
) -> None:
    odd = sorted(
        name
        for name, tensor in tensors.items()
        if not tensor.is_floating_point() or tensor.layout != torch.strided
    )
    if odd:
        raise SAEError(f"{source}: {odd} are not plain floats; save them as float32")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(shapes["W_enc"]) != 2 or 0 in shapes["W_enc"]:
        raise SAEError(f"{source}: W_enc has shape {shapes['W_enc']}, not (d_in, d_sae)")
    d, s = shapes["W_enc"]
    wanted = {"W_enc": (d, s), "b_enc": (s,), "W_dec": (s, d), "b_dec": (d,), "threshold": (s,)}
    misfits = {name: shape for name, shape in shapes.items() if shape != wanted[name]}
    if misfits:
        raise SAEError(f"{source}: {misfits} do not fit W_enc {(d, s)}; fetch or save it again")
    for name, stated, found in (("input", d_in, d), ("features", d_sae, s)):
        if stated is not None and stated != found:
            raise SAEError(
                f"{source}: its config states {stated!r} for the width of the {name}, its tensors "
                f"have {found}; put the config and the weights of one SAE together"
            )
