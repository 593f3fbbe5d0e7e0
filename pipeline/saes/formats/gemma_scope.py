"""Gemma Scope's `params.npz` (Lieberum et al. 2024, https://arxiv.org/abs/2408.05147).

`f = JumpReLU(x W_enc + b_enc)`: nothing is subtracted from x first.
"""

from pathlib import Path
from typing import Any

from pipeline.saes.formats import Format, register
from pipeline.saes.sae import SAE
from pipeline.saes.tensor_files import Tensors, from_npz
from pipeline.saes.weights import fitted

NAME = "params.npz"


def matches(path: Path) -> bool:
    """Whether `path` is an npz file, or a folder that holds params.npz."""
    return path.suffix == ".npz" if path.is_file() else (path / NAME).is_file()


def load(path: Path) -> SAE:
    """The SAE in an npz file, or in the folder that holds it.

    Raises:
        SAEError: damaged, or its arrays do not fit.
    """
    file = path / NAME if path.is_dir() else path
    declared, read = from_npz(file)
    weights: dict[str, Any] = fitted(
        file, _ours(declared), threshold=True, read=lambda: _ours(read())
    )
    return SAE(
        **weights,
        activation="jumprelu",
        apply_b_dec_to_input=False,
        architecture="jumprelu",
    )


def _ours(arrays: Tensors) -> Tensors:
    return {f"W_{n[2:]}" if n in ("w_enc", "w_dec") else n: array for n, array in arrays.items()}


register(
    Format(
        name=f"{NAME} (Gemma Scope)",
        files=(NAME,),
        matches=matches,
        load=load,
        suffixes=(".npz",),
    )
)
