"""What the weights of every published format must pass before they are an SAE."""

import json
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import LoupeError
from pipeline.saes import foreign

_SETTINGS = 2**24
"""The most bytes of settings in JSON."""


class SAEError(LoupeError, ValueError):
    """A source is no SAE, or does not fit; one line that names it and the remedy."""


def fitted(
    source: str | Path,
    declared: dict[str, Tensor],
    *,
    threshold: bool,
    d_in: object = None,
    d_sae: object = None,
    read: Callable[[], dict[str, Tensor]] | None = None,
    called: Mapping[str, str] | None = None,
) -> dict[str, Tensor]:
    """The tensors in float32, once they are found to be whole.

    Args:
        source: where they come from, for the message.
        declared: `W_enc` [d, s], `b_enc` [s], `W_dec` [s, d], `b_dec` [d], any float; on `meta`
            where they are not read yet.
        threshold: whether `threshold` [s] is one of them.
        d_in, d_sae: the widths that a config states, if it does.
        read: gives them once their names and shapes are known to fit; those declared without.
        called: our names -> those of the file, for the message.

    Raises:
        SAEError: tensors are missing, unknown, not finite, or do not fit each other or the widths.
    """
    theirs = called or {}
    names = {"W_enc", "b_enc", "W_dec", "b_dec", *(("threshold",) if threshold else ())}
    unused = {"scaling_factor"} & declared.keys()
    if names != declared.keys() - unused:
        raise SAEError(f"{source}: {_other_names(names, declared.keys() - unused, theirs)}")
    _refuse_misfits(source, {n: declared[n] for n in names}, d_in=d_in, d_sae=d_sae)
    tensors = read() if read else declared
    for name in unused:  # sae-lens and Gemma Scope once saved it unused, all ones
        if not (tensors[name].float() == 1).all():
            raise SAEError(
                f"{source}: {name} is not 1, and Loupe does not scale activations; fold it into "
                "the weights"
            )
    floats = {name: tensors[name].detach().float().contiguous() for name in sorted(names)}
    broken = [theirs.get(name, name) for name, tensor in floats.items() if not _finite(tensor)]
    if broken:
        raise SAEError(f"{source}: {broken} hold NaN or infinite values; fetch or train it again")
    return floats


def _other_names(wanted: Set[str], found: Set[str], theirs: Mapping[str, str]) -> str:
    """What tensors are missing or too many, and what that tells."""
    told = foreign.layout(theirs.get(name, name) for name in found)
    if told:
        return told
    missing, unknown = (
        [foreign.short(theirs.get(name, name)) for name in sorted(names)]
        for names in (wanted - found, found - wanted)
    )
    said = [f"lacks tensors {missing}"] if missing else []
    said += [f"holds unknown tensors {unknown[:5]}"] if unknown else []
    return f"{' and '.join(said)}; {foreign.AGAIN}, or save it in a format that Loupe reads"


def _finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, whichever of JSON's encodings, also with a byte-order mark.
    Raises SAEError where there is none."""
    try:
        with path.open("rb") as file:
            text = file.read(_SETTINGS + 1)
        found = json.loads(text) if len(text) <= _SETTINGS else None
    except (OSError, ValueError, RecursionError) as error:
        told = foreign.what(path)
        if told is None or "is a JSON text" in told:
            told = f"is no whole JSON ({foreign.short(one_line(error))}); {foreign.AGAIN}"
        raise SAEError(f"{path}: {told}") from None
    if not isinstance(found, dict):
        raise SAEError(f"{path}: holds no settings by name; {foreign.AGAIN}")
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
                f"{source}: its config states {foreign.short(stated)} for the width of the {name}, "
                f"its tensors have {found}; put the config and the weights of one SAE together"
            )
