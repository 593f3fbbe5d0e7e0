"""sae-lens's folders, `cfg.json` and `sae_weights.safetensors`, as arguments of `SAE`.

`SAE` itself is saved in this format, so this module gives arguments and does not know `SAE`.
Formulas and the defaults of configs before version 6 are those of sae-lens 6 (MIT,
https://github.com/decoderesearch/SAELens, `sae_lens/saes` and `handle_pre_6_0_config`).
"""

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline.saes.weights import SAEError, fitted, one_line, read_json

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
ACTIVATIONS = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu"}
"""Architectures that run exactly, by sae-lens's name, and our activation."""


def matches(path: Path) -> bool:
    """Whether `path` is such a folder, or one of its two files."""
    return _folder(path).joinpath(CONFIG).is_file()


def read(path: Path) -> dict[str, Any]:
    """The arguments of `SAE` in a folder, `sparsity.safetensors` left aside.

    Raises:
        SAEError: no such folder, damaged, or what does not run exactly here.
    """
    folder = _folder(path)
    settings = read_json(folder / CONFIG)
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise SAEError(
            f"{folder}: {WEIGHTS} is not readable ({one_line(error)}); fetch it again"
        ) from None
    return arguments(folder, settings, tensors)


def arguments(
    source: str | Path, settings: dict[str, Any], tensors: dict[str, Tensor]
) -> dict[str, Any]:
    """The arguments of `SAE` from sae-lens's settings and tensors.

    Raises:
        SAEError: they do not fit, or state what does not run exactly here.
    """
    metadata = settings.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    version = settings.get("sae_lens_version") or metadata.get("sae_lens_version")
    if not re.match(r"([6-9]|\d\d)", str(version or "")):
        settings = _as_version_6(settings)
    name = _runnable(source, settings)
    weights = fitted(
        source,
        tensors,
        threshold=name == "jumprelu",
        d_in=settings.get("d_in"),
        d_sae=settings.get("d_sae"),
    )
    k = None
    if name == "topk":
        k = checked_k(source, settings.get("k"), weights["W_enc"].shape[1])
        if settings.get("rescale_acts_by_decoder_norm"):
            _fold_decoder_norms(source, weights)
    architecture, groups = _trained_as(metadata)
    return {
        **weights,
        "activation": ACTIVATIONS[name],
        "k": k,
        "apply_b_dec_to_input": bool(settings.get("apply_b_dec_to_input", True)),
        "architecture": architecture or name,
        "group_sizes": checked_groups(source, groups, weights["W_enc"].shape[1]),
        "thresholds": _thresholds(source, metadata, name),
    }


def checked_k(source: str | Path, k: object, d_sae: int) -> int:
    """TopK's `k`. Raises SAEError where it is no number from 1 to d_sae."""
    if type(k) is not int or not 1 <= k <= d_sae:
        raise SAEError(
            f"{source}: k is {k!r}, not a number from 1 to {d_sae}; set it in its config"
        )
    return k


def checked_groups(source: str | Path, groups: object, d_sae: int) -> tuple[int, ...]:
    """The sizes of the Matryoshka levels. Raises SAEError where they do not make up d_sae."""
    whole = isinstance(groups, list) and all(type(n) is int and n > 0 for n in groups)
    if not whole or (groups and sum(groups) != d_sae):  # type: ignore[call-overload]
        raise SAEError(f"{source}: levels {groups!r} do not make up {d_sae} features")
    return tuple(groups)  # type: ignore[arg-type]


def _thresholds(source: str | Path, metadata: dict[str, Any], name: str) -> dict[str, float]:
    """The thresholds by kind of token, as we write them. Raises SAEError where they are none."""
    found = metadata.get("thresholds") or {}
    sound = isinstance(found, dict) and all(
        type(value) in (int, float) and math.isfinite(value) for value in found.values()
    )
    if not sound or (found and name != "jumprelu"):
        raise SAEError(
            f"{source}: thresholds {found!r} are not a finite number for each kind of token of a "
            "jumprelu SAE; mend or remove metadata.thresholds in its config"
        )
    return {str(kind): float(value) for kind, value in found.items()}


def _folder(path: Path) -> Path:
    return path.parent if path.name in (CONFIG, WEIGHTS) else path


def _as_version_6(old: dict[str, Any]) -> dict[str, Any]:
    """Settings of a flat config, under the names and with the defaults of version 6."""
    new = dict(old)
    new["activation_fn"] = old.get("activation_fn_str", old.get("activation_fn", "relu"))
    options = old.get("activation_fn_kwargs")
    if isinstance(options, dict) and options.get("k") is not None:
        new["k"] = options["k"]
        if new["activation_fn"] == "topk":
            new["architecture"] = "topk"
    if "hook_z" in str(old.get("hook_name", old.get("hook_point", ""))):
        new.setdefault("reshape_activations", "hook_z")
    if old.get("normalize_activations") is True:
        new["normalize_activations"] = "expected_average_only_in"
    return new


def _runnable(source: str | Path, settings: dict[str, Any]) -> str:
    """sae-lens's name of the architecture. Raises SAEError where it is not run exactly."""
    name = str(settings.get("architecture") or "standard")
    # Before version 6 the activation stood beside the architecture; it is one of these for all
    # that run, and sae-lens would take any other, such as tanh-relu, for a ReLU.
    usual = {"topk": ("topk",), "jumprelu": ("relu", "jumprelu")}.get(name, ("relu",))
    wanted: Mapping[str, tuple[object, ...]] = {
        "architecture": (*ACTIVATIONS, None),
        "normalize_activations": ("none", False, None),
        "reshape_activations": ("none", None),
        "activation_fn": (*usual, None),
    }
    odd = {key: settings[key] for key, ok in wanted.items() if settings.get(key) not in ok}
    if odd:
        raise SAEError(
            f"{source}: {odd} is not supported; Loupe runs {list(ACTIVATIONS)} with everything "
            "else folded into the weights (save_inference_model of sae-lens does so)"
        )
    return name


def _fold_decoder_norms(source: str | Path, weights: dict[str, Tensor]) -> None:
    """TopK of codes times their decoder row's norm, and rows divided by it: the same function."""
    norm = weights["W_dec"].norm(dim=1)
    if not norm.all():
        raise SAEError(
            f"{source}: {int((norm == 0).sum())} decoder rows are zero, and "
            "rescale_acts_by_decoder_norm divides by their norms; remove these features"
        )
    weights["W_enc"] = weights["W_enc"] * norm
    weights["b_enc"] = weights["b_enc"] * norm
    weights["W_dec"] = weights["W_dec"] / norm[:, None]


def _trained_as(metadata: dict[str, Any]) -> tuple[str, object]:
    """The architecture in training and its levels, as we write them or as sae-lens does."""
    if "trained_as" in metadata:
        return str(metadata["trained_as"]), metadata.get("group_sizes") or []
    name = metadata.get("training_architecture")
    details = metadata.get("training_architecture_details")
    if name != "matryoshka_batchtopk" or not isinstance(details, dict):
        return str(name or ""), []
    widths = details.get("matryoshka_widths")
    if not isinstance(widths, list) or not all(type(n) is int for n in widths):
        return "matryoshka", widths
    return "matryoshka", [after - before for before, after in pairwise([0, *widths])]
