"""dictionary_learning's `ae.pt`, with `config.json` beside it where there is one.

Formulas: `dictionary_learning/dictionary.py` and `trainers/` (MIT,
https://github.com/saprmarks/dictionary_learning); the Matryoshka SAEs of Pach et al. 2025
(https://github.com/ExplainableML/sae-for-vlm) have the same tensors under another spelling.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.saes import foreign
from pipeline.saes.formats import Format, register
from pipeline.saes.sae import SAE
from pipeline.saes.sae_lens import checked_groups, checked_k
from pipeline.saes.tensor_files import from_torch
from pipeline.saes.weights import SAEError, fitted, read_json

NAME, CONFIG = "ae.pt", "config.json"

_LINEAR = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "decoder.weight": "W_dec"}
_THEIRS = {ours: theirs for theirs, ours in _LINEAR.items()}
_CLASSES = {
    "AutoEncoder": "relu",
    "AutoEncoderTopK": "topk",
    "BatchTopKSAE": "batchtopk",
    "MatryoshkaBatchTopKSAE": "matryoshka",
    "MatroyshkaBatchTopKSAE": "matryoshka",
    "JumpReluAutoEncoder": "jumprelu",
}
_TRAINERS = {
    "StandardTrainer": "relu",
    "PAnnealTrainer": "relu",
    "TopKTrainer": "topk",
    "TrainerTopK": "topk",
    "BatchTopKTrainer": "batchtopk",
    "TrainerBatchTopK": "batchtopk",
    "MatryoshkaBatchTopKTrainer": "matryoshka",
    "MatroyshkaBatchTopKTrainer": "matryoshka",
    "JumpReluTrainer": "jumprelu",
}
_ALIKE = {"topk", "batchtopk"}
"""The two that keep the same tensors and run differently."""
_MOST_GROUPS = 4096
_CALIBRATE = (
    "so nothing says which of its features fire; put the smallest activation that its batches "
    'keep, averaged over some of them, into the state_dict as "threshold" and save it again'
)


def matches(path: Path) -> bool:
    """Whether `path` is a .pt file, or a folder that holds ae.pt."""
    return path.suffix == ".pt" if path.is_file() else (path / NAME).is_file()


def load(path: Path) -> SAE:
    """The SAE in a .pt file, or in the folder that holds ae.pt; nothing in it is executed.

    The tensors' names say which class it is; the config settles only TopK against BatchTopK, and
    must not name another.

    Raises:
        SAEError: damaged, needs more than tensors, of a class that is not run, or misfitting.
    """
    file = path / NAME if path.is_dir() else path
    tensors = from_torch(file)
    trainer = _trainer(file.parent / CONFIG)
    kind = _kind(file, tensors, trainer)
    one_for_all = kind not in ("relu", "jumprelu")  # JumpReLU has a threshold a feature
    buffers = ("group_sizes", "k", "threshold") if one_for_all else ()
    kept = {name: tensors.pop(name, None) for name in buffers}
    weights: dict[str, Any] = fitted(
        file,
        _renamed(tensors),
        threshold=kind == "jumprelu",
        d_in=trainer.get("activation_dim"),
        d_sae=trainer.get("dict_size"),
        called=_THEIRS if "encoder.weight" in tensors else None,
    )
    d_sae = weights["W_enc"].shape[1]
    how: dict[str, Any] = {"activation": "relu"}
    if kind == "topk":
        how = {"activation": "topk", "k": _k(file, kept["k"], trainer, d_sae)}
    elif kind == "jumprelu":
        how = {"activation": "jumprelu", "apply_b_dec_to_input": False}
    elif kind == "relu":
        _unit_decoder(weights)
    else:
        least = _threshold(file, kind, kept["threshold"])
        how = {"activation": "jumprelu", "threshold": torch.full((d_sae,), least)}
    groups = checked_groups(file, _groups(file, kept.get("group_sizes")), d_sae)
    return SAE(**weights, **how, architecture=kind, group_sizes=groups)


def trained_at(path: Path) -> str:
    """The layer that the config names, and the module; empty where it names none."""
    trainer = _trainer((path if path.is_dir() else path.parent) / CONFIG)
    layer, module = trainer.get("layer"), trainer.get("submodule_name")
    said = [f"layer {layer}"] if type(layer) is int else []
    return ", ".join([*said, module] if isinstance(module, str) and module else said)


def _trainer(config: Path) -> dict[str, Any]:
    """The trainer's settings in config.json; empty without one."""
    found = read_json(config).get("trainer") if config.is_file() else None
    return found if isinstance(found, dict) else {}


def _kind(file: Path, tensors: dict[str, Tensor], trainer: dict[str, Any]) -> str:
    """Which class the tensors belong to. Raises SAEError for one that is not run, or where the
    config names another."""
    fits = _fits(file, tensors)
    for key, classes in (("dict_class", _CLASSES), ("trainer_class", _TRAINERS)):
        name = trainer.get(key)
        said = classes.get(name) if isinstance(name, str) else None
        # Trainers have many names, of which an unknown one tells nothing.
        if said in fits:
            fits = {said}
        elif name and (said or key == "dict_class"):
            known = " or ".join(called for called, kind in _CLASSES.items() if kind in fits)
            raise SAEError(
                f"{file}: {CONFIG} beside it has {key} = {foreign.short(name)}, but its tensors "
                f"are those of {known}; put the config and the weights of one SAE together"
            )
    if len(fits) > 1:
        raise SAEError(
            f"{file}: its tensors fit AutoEncoderTopK and BatchTopKSAE; put a {CONFIG} beside it "
            'whose "trainer" has the "dict_class"'
        )
    return fits.pop()


def _fits(file: Path, tensors: dict[str, Tensor]) -> set[str]:
    """The kinds whose tensors these are."""
    if tensors.keys() & foreign.GATED:
        raise SAEError(f"{file}: {foreign.layout(tensors)}")
    if "group_sizes" in tensors:
        return {"matryoshka"}
    if "W_enc" in tensors and "threshold" in tensors:
        return {"jumprelu"}
    if "bias" in tensors and "encoder.weight" in tensors:
        return {"relu"}
    if tensors.keys() >= {"encoder.weight", "decoder.weight", "b_dec"}:
        return set(_ALIKE)
    told = foreign.layout(tensors)
    if told:
        raise SAEError(f"{file}: {told}")
    names = [foreign.short(name) for name in sorted(tensors)[:8]]
    raise SAEError(
        f"{file}: holds tensors {names}, which Loupe does not run; it runs AutoEncoder, "
        "AutoEncoderTopK, BatchTopKSAE, MatryoshkaBatchTopKSAE and JumpReluAutoEncoder"
    )


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by our names; weights of linear layers, kept as outputs x inputs, turned."""
    names = _LINEAR | {"bias": "b_dec"}
    return {
        names.get(name, name): tensor.T if name.endswith(".weight") and tensor.ndim == 2 else tensor
        for name, tensor in tensors.items()
    }


def _unit_decoder(weights: dict[str, Tensor]) -> None:
    """Decoder rows of unit length and codes that grow as much, as AutoEncoder.from_pretrained."""
    norm = weights["W_dec"].norm(dim=1)
    norm = torch.where(norm > 0, norm, 1)
    weights["W_enc"] = weights["W_enc"] * norm
    weights["b_enc"] = weights["b_enc"] * norm
    weights["W_dec"] = weights["W_dec"] / norm[:, None]


def _k(file: Path, kept: Tensor | None, trainer: dict[str, Any], d_sae: int) -> int:
    """TopK's k: of the weights, or where they keep none of the config, which must not disagree."""
    stated = trainer.get("k")
    if kept is None:
        return checked_k(file, stated, d_sae)
    found = _scalar(file, "k", kept)
    if stated is not None and stated != found:
        raise SAEError(
            f"{file}: {CONFIG} beside it states k = {foreign.short(stated)}, its tensors "
            f"{found:g}; put the config and the weights of one SAE together"
        )
    return checked_k(file, int(found) if found == int(found) else found, d_sae)


def _threshold(file: Path, kind: str, kept: Tensor | None) -> float:
    """What activations must exceed. Raises SAEError where it was never set: batches then kept
    their k largest a row, which no vector alone can tell."""
    if kept is None:
        raise SAEError(f"{file}: a {kind} SAE that keeps no threshold, {_CALIBRATE}")
    least = _scalar(file, "threshold", kept)
    if least < 0:
        raise SAEError(
            f"{file}: a {kind} SAE whose threshold was never set ({least:g}), {_CALIBRATE}"
        )
    return least


def _groups(file: Path, kept: Tensor | None) -> list[Any]:
    if kept is not None and (kept.ndim != 1 or len(kept) > _MOST_GROUPS):
        raise SAEError(f"{file}: group_sizes has shape {tuple(kept.shape)}, not one size a level")
    return [] if kept is None else list(kept.tolist())


def _scalar(file: Path, name: str, tensor: Tensor) -> float:
    if tensor.numel() != 1 or tensor.is_complex() or not tensor.isfinite().all():
        raise SAEError(f"{file}: {name} is not one finite number; fetch or save it again")
    return float(tensor.item())


register(
    Format(
        name=f"{NAME} (dictionary_learning)",
        files=(NAME, CONFIG),
        matches=matches,
        load=load,
        trained_at=trained_at,
        suffixes=(".pt",),
        beside=(CONFIG,),
    )
)
