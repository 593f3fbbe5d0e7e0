"""SAEs in the formats of their libraries, written from random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tiny  # noqa: F401, sets torch's threads
import torch
from safetensors.torch import save_file
from torch import Tensor

D, S, K = 12, 30, 4
GROUPS = (6, 9, 15)
Tensors = dict[str, Tensor]


def weights(*, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensors:
    """Weights of one SAE by sae-lens's names, decoder rows of no particular length."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (D, S), "b_enc": (S,), "W_dec": (S, D), "b_dec": (D,), "threshold": (S,)}
    drawn = {n: torch.randn(*shape, generator=generator) for n, shape in shapes.items()}
    drawn["threshold"] = drawn["threshold"].abs()
    drawn["W_enc"] *= 0.3  # codes of about 1: float32 is exact to 1e-6 there
    return {name: tensor.to(dtype) for name, tensor in drawn.items()}


def without(tensors: Tensors, *names: str) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if name not in names}


def vectors(n: int = 40) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(9)) * 2 + 1


def lens_folder(folder: Path, tensors: Tensors, **settings: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    common = {
        "architecture": "standard",
        "d_in": D,
        "d_sae": S,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.54.12", "hook_name": "blocks.3.hook_resid_post"},
    }
    save_file(tensors, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(common | settings))
    return folder


def flat_folder(folder: Path, tensors: Tensors, **settings: Any) -> Path:
    """As sae-lens before version 6 wrote it."""
    lens_folder(folder, tensors)
    flat = {
        "model_name": "gpt2-small",
        "hook_point": "blocks.3.hook_resid_pre",
        "hook_point_head_index": None,
        "d_in": D,
        "d_sae": S,
        "dtype": "torch.float32",
        "normalize_activations": False,
    }
    (folder / "cfg.json").write_text(json.dumps(flat | settings))
    return folder


def linear(w: Tensors, bias: str) -> Tensors:
    """As two torch.nn.Linear keep them: outputs x inputs."""
    return {
        bias: w["b_dec"],
        "encoder.weight": w["W_enc"].T.contiguous(),
        "encoder.bias": w["b_enc"],
        "decoder.weight": w["W_dec"].T.contiguous(),
    }


def buffers(threshold: float) -> Tensors:
    return {"k": torch.tensor(K, dtype=torch.int), "threshold": torch.tensor(threshold)}


def matryoshka(w: Tensors, threshold: float) -> Tensors:
    groups = {"group_sizes": torch.tensor(GROUPS)}
    return without(w, "threshold") | buffers(threshold) | groups


def learned(folder: Path, state: Any, dict_class: str | None = None, **trainer: Any) -> Path:
    """A dictionary_learning folder; without dict_class it has no config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "ae.pt")
    if dict_class is not None:
        # sae-for-vlm leaves layer and lm_name blank and has no buffer.
        stated = {"dict_class": dict_class, "activation_dim": D, "dict_size": S, "k": K}
        config = {"trainer": stated | {"layer": "", "lm_name": ""} | trainer, "buffer": None}
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def scoped(folder: Path, w: Tensors) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "params.npz", **{name: tensor.numpy() for name, tensor in w.items()})
    return folder


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)
