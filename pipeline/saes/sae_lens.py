"""sae-lens's folders, `cfg.json` and `sae_weights.safetensors`, as arguments of `SAE`.

`SAE` itself is saved in this format, so this module gives arguments and does not know `SAE`.
Formulas and the defaults of configs before version 6 are those of sae-lens 6 (MIT,
https://github.com/decoderesearch/SAELens, `sae_lens/saes` and `handle_pre_6_0_config`).
"""

import math
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.saes import foreign
from pipeline.saes.tensor_files import from_safetensors
from pipeline.saes.weights import SAEError, fitted, read_json

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
ACTIVATIONS = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu"}
"""Architectures that run exactly, by sae-lens's name, and our activation."""
_IN_TRAINING = "write it with sae-lens's save_inference_model, which sets its threshold"
_REMEDIES = {
    "gated": f"Loupe runs {list(ACTIVATIONS)}; use an SAE of one of these",
    "batchtopk": _IN_TRAINING,
    "matryoshka_batchtopk": _IN_TRAINING,
}
_FOLDED = {
    "expected_average_only_in": "fold the scale into the weights with sae-lens's "
    "fold_activation_norm_scaling_factor, and save it again",
    "covariance_whitening": "fold it into the weights with sae-lens's fold_activation_whitening, "
    "and save it again",
}
_NEVER_FOLDED = (
    "it scales each vector by itself, which no weights can hold; use an SAE that was trained "
    "without it"
)


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
    _refuse_other_libraries(folder, settings)
    file = folder / WEIGHTS
    if not file.is_file():
        told = foreign.missing(file) or f"is not there beside {CONFIG}; {foreign.AGAIN}"
        raise SAEError(f"{file}: {told}")
    declared, read_all = from_safetensors(file)
    return arguments(folder, settings, declared, weights=file, read=read_all)


def trained_at(path: Path) -> str:
    """The hook that the settings name, in their words; empty where they name none."""
    settings = read_json(_folder(path) / CONFIG)
    metadata = settings.get("metadata")
    both = (metadata if isinstance(metadata, dict) else {}, settings)
    named = (held.get(key) for held in both for key in ("hook_name", "hook_point"))
    return next((name for name in named if isinstance(name, str)), "")


def arguments(
    source: str | Path,
    settings: dict[str, Any],
    tensors: dict[str, Tensor],
    *,
    weights: Path | None = None,
    read: Callable[[], dict[str, Tensor]] | None = None,
) -> dict[str, Any]:
    """The arguments of `SAE` from sae-lens's settings and tensors.

    Args:
        source: where the settings come from, for the message.
        tensors: on `meta` where `read` gives them.
        weights: the tensors' own file, for the message.

    Raises:
        SAEError: they do not fit, or state what does not run exactly here.
    """
    if "d_in" not in settings:
        raise SAEError(
            f"{source}: {CONFIG} states no d_in, as sae-lens's do, but "
            f"{foreign.short(sorted(settings))}; {foreign.AGAIN}"
        )
    metadata = settings.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    version = settings.get("sae_lens_version") or metadata.get("sae_lens_version")
    if not re.match(r"([6-9]|\d\d)", str(version or "")):
        settings = _as_version_6(settings)
    elif not settings.get("architecture"):
        raise SAEError(f"{source}: {CONFIG} names no architecture; {foreign.AGAIN}")
    name = _runnable(source, settings)
    _refuse_other_tensors(source, name, tensors)
    floats = fitted(
        weights or source,
        tensors,
        threshold=name == "jumprelu",
        d_in=settings.get("d_in"),
        d_sae=settings.get("d_sae"),
        read=read,
    )
    k = None
    if name == "topk":
        k = checked_k(source, settings.get("k"), floats["W_enc"].shape[1])
        if _flag(source, settings, "rescale_acts_by_decoder_norm", default=False):
            _fold_decoder_norms(source, floats)
    architecture, groups = _trained_as(metadata)
    return {
        **floats,
        "activation": ACTIVATIONS[name],
        "k": k,
        "apply_b_dec_to_input": _flag(source, settings, "apply_b_dec_to_input", default=True),
        "architecture": architecture or name,
        "group_sizes": checked_groups(source, groups, floats["W_enc"].shape[1]),
        "thresholds": _thresholds(source, metadata, name),
    }


def checked_k(source: str | Path, k: object, d_sae: int) -> int:
    """TopK's `k`. Raises SAEError where it is no number from 1 to d_sae."""
    if type(k) is not int or not 1 <= k <= d_sae:
        raise SAEError(
            f"{source}: k is {foreign.short(repr(k))}, not a number from 1 to {d_sae}; set it in "
            "its config"
        )
    return k


def checked_groups(source: str | Path, groups: object, d_sae: int) -> tuple[int, ...]:
    """The sizes of the Matryoshka levels. Raises SAEError where they do not make up d_sae."""
    whole = isinstance(groups, list) and all(type(n) is int and n > 0 for n in groups)
    if not whole or (groups and sum(groups) != d_sae):  # type: ignore[call-overload]
        raise SAEError(f"{source}: levels {foreign.short(groups)} do not make up {d_sae} features")
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
    k = options.get("k") if isinstance(options, dict) else None
    if k is not None and "topk" in (new["activation_fn"], old.get("architecture")):
        new["k"] = k
        if new["activation_fn"] == "topk":
            new["architecture"] = "topk"
    if "hook_z" in str(old.get("hook_name", old.get("hook_point", ""))):
        new.setdefault("reshape_activations", "hook_z")
    if old.get("normalize_activations") is True:
        new["normalize_activations"] = "expected_average_only_in"
    return new


def _refuse_other_libraries(folder: Path, settings: dict[str, Any]) -> None:
    """Where `cfg.json` is that of EleutherAI's sparsify, which calls it so too."""
    there = (folder / "sae.safetensors").is_file() and not (folder / WEIGHTS).is_file()
    if there or ("num_latents" in settings and "architecture" not in settings):
        raise SAEError(f"{folder}: holds an EleutherAI SAE (sae.safetensors), {foreign.CONVERT}")


def _runnable(source: str | Path, settings: dict[str, Any]) -> str:
    """sae-lens's name of the architecture. Raises SAEError where it is not run exactly."""
    name = settings.get("architecture") or "standard"
    name = name.lower() if isinstance(name, str) else name
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise SAEError(
            f"{source}: architecture = {foreign.short(name)} is not supported; "
            f"{_REMEDIES.get(str(name), f'Loupe runs {list(ACTIVATIONS)}')}"
        )
    # Before version 6 the activation stood beside the architecture; it is one of these for all
    # that run, and sae-lens would take any other, such as tanh-relu, for a ReLU.
    usual = {"topk": ("topk",), "jumprelu": ("relu", "jumprelu")}.get(name, ("relu",))
    stated = settings.get("activation_fn")
    if stated not in (*usual, None):
        raise SAEError(
            f"{source}: architecture = {name}, but activation_fn = {foreign.short(stated)}, which "
            f"is not supported with it; mend {CONFIG} if one of them is wrong"
        )
    if name != "topk" and settings.get("k") is not None:
        raise SAEError(
            f"{source}: architecture = {name}, but k = {foreign.short(settings['k'])}, which only "
            f"topk has; mend {CONFIG}"
        )
    normalized = settings.get("normalize_activations")
    if normalized not in ("none", False, None):
        raise SAEError(
            f"{source}: normalize_activations = {foreign.short(normalized)} is not supported; "
            f"{_FOLDED.get(str(normalized), _NEVER_FOLDED)}"
        )
    reshaped = settings.get("reshape_activations")
    if reshaped not in ("none", None):
        raise SAEError(
            f"{source}: reshape_activations = {foreign.short(reshaped)} is not supported; Loupe "
            "reads no single attention heads: use an SAE of resid_post, attn_out or mlp_out"
        )
    return name


def _refuse_other_tensors(source: str | Path, name: str, tensors: dict[str, Tensor]) -> None:
    """Where the tensors are those of another architecture than the settings name."""
    of_gated = {"b_gate", "r_mag", "b_mag"} & tensors.keys()
    theirs = "gated" if of_gated else "jumprelu" if "threshold" in tensors else None
    if theirs not in (name, None):
        raise SAEError(
            f"{source}: architecture = {name}, but its tensors are those of {theirs} "
            f"({', '.join(sorted(of_gated) or ['threshold'])}); put the config and the weights of "
            "one SAE together"
        )


def _flag(source: str | Path, settings: dict[str, Any], key: str, *, default: bool) -> bool:
    value = settings.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise SAEError(
            f"{source}: {key} = {foreign.short(repr(value))}, not true or false; mend {CONFIG}"
        )
    return value


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
