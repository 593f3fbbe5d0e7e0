"""dictionary_learning's `ae.pt`, with `config.json` beside it where there is one.

Formulas: `dictionary_learning/dictionary.py` and `trainers/` (MIT,
https://github.com/saprmarks/dictionary_learning); the Matryoshka SAEs of Pach et al. 2025
(https://github.com/ExplainableML/sae-for-vlm) have the same tensors under another spelling.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.saes.sae import SAE
from pipeline.saes.sae_lens import checked_groups, checked_k
from pipeline.saes.weights import SAEError, fitted, read_json

NAME, CONFIG = "ae.pt", "config.json"

_LINEAR = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "decoder.weight": "W_dec"}
_CLASSES = {"AutoEncoderTopK": "topk", "BatchTopKSAE": "batchtopk"}
"""The two classes that keep the same tensors and run differently."""


def matches(path: Path) -> bool:
    """Whether `path` is a .pt file, or a folder that holds ae.pt."""
    return path.suffix == ".pt" if path.is_file() else (path / NAME).is_file()


def load(path: Path) -> SAE:
    """The SAE in a .pt file, or in the folder that holds ae.pt; nothing in it is executed.

    The tensors' names say which class it is; the config settles only TopK against BatchTopK.

    Raises:
        SAEError: damaged, needs more than tensors, of a class that is not run, or misfitting.
    """
    file = path / NAME if path.is_dir() else path
    tensors = _state(file)
    trainer = _trainer(file.parent / CONFIG)
    kind = _kind(file, tensors, trainer)
    group_sizes = tensors.pop("group_sizes", None)
    k = tensors.pop("k", None)
    # Of `threshold`, JumpReLU has one a feature; the others one for all.
    shared = tensors.pop("threshold", None) if kind != "jumprelu" else None
    weights: dict[str, Any] = fitted(
        file,
        _renamed(tensors),
        threshold=kind == "jumprelu",
        d_in=trainer.get("activation_dim"),
        d_sae=trainer.get("dict_size"),
    )
    d_sae = weights["W_enc"].shape[1]
    how: dict[str, Any] = {"activation": "relu"}
    if kind == "topk":
        stated = trainer.get("k") if k is None else int(_scalar(file, "k", k))
        how = {"activation": "topk", "k": checked_k(file, stated, d_sae)}
    elif kind == "jumprelu":
        how = {"activation": "jumprelu", "apply_b_dec_to_input": False}
    elif kind == "relu":
        _unit_decoder(weights)
    elif (least := _scalar(file, "threshold", shared)) >= 0:
        how = {"activation": "jumprelu", "threshold": torch.full((d_sae,), least)}
    # Below 0 a threshold was never set: the library then keeps all that is above 0.
    groups = checked_groups(file, [] if group_sizes is None else group_sizes.tolist(), d_sae)
    return SAE(**weights, **how, architecture=kind, group_sizes=groups)


def _state(file: Path) -> dict[str, Tensor]:
    """The tensors of a state_dict. Raises SAEError where the file is anything else."""
    try:
        state = torch.load(file, weights_only=True, map_location="cpu")
    except Exception:  # a damaged file fails in as many ways as it has parts
        # torch's own message advises to load it with weights_only=False.
        raise SAEError(
            f"{file}: damaged, or it needs code to be run, which Loupe never does; "
            "fetch it again, or save the SAE's state_dict() with torch.save"
        ) from None
    plain = isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    )
    if not plain:
        raise SAEError(
            f"{file}: holds no plain state_dict; save the SAE's state_dict() with torch.save"
        )
    return dict(state)


def _trainer(config: Path) -> dict[str, Any]:
    """The trainer's settings in config.json; empty without one."""
    found = read_json(config).get("trainer") if config.is_file() else None
    return found if isinstance(found, dict) else {}


def _kind(file: Path, tensors: dict[str, Tensor], trainer: dict[str, Any]) -> str:
    """Which class the tensors belong to. Raises SAEError for one that is not run."""
    if "group_sizes" in tensors:
        return "matryoshka"
    if "W_enc" in tensors and "threshold" in tensors:
        return "jumprelu"
    if "bias" in tensors and "encoder.weight" in tensors:
        return "relu"
    if tensors.keys() >= {"encoder.weight", "b_dec"}:
        if "threshold" not in tensors:
            return "topk"  # BatchTopK always keeps one
        name = trainer.get("dict_class")
        if name in _CLASSES:
            return _CLASSES[name]
        raise SAEError(
            f"{file}: its tensors fit AutoEncoderTopK and BatchTopKSAE; put a {CONFIG} beside it "
            f'whose "trainer" has the "dict_class", not {name!r}'
        )
    gated = "a GatedAutoEncoder" if "gate_bias" in tensors else f"tensors {sorted(tensors)[:8]}"
    raise SAEError(
        f"{file}: holds {gated}, which Loupe does not run; it runs AutoEncoder, AutoEncoderTopK, "
        "BatchTopKSAE, MatryoshkaBatchTopKSAE and JumpReluAutoEncoder"
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


def _scalar(file: Path, name: str, tensor: Tensor | None) -> float:
    if tensor is None or tensor.numel() != 1 or not tensor.isfinite().all():
        raise SAEError(f"{file}: {name} is not one finite number; fetch or save it again")
    return float(tensor.item())
