"""Gemma Scope's `params.npz` (Lieberum et al. 2024, https://arxiv.org/abs/2408.05147).

`f = JumpReLU(x W_enc + b_enc)`: nothing is subtracted from x first.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.saes.sae import SAE
from pipeline.saes.weights import SAEError, fitted, one_line

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
    try:
        with np.load(file, allow_pickle=False) as arrays:
            tensors = {
                f"W_{name[2:]}" if name in ("w_enc", "w_dec") else name: torch.from_numpy(array)
                for name, array in arrays.items()
            }
    except Exception as error:  # a damaged archive fails in as many ways as it has parts
        raise SAEError(f"{file}: not readable ({one_line(error)}); fetch it again") from None
    weights: dict[str, Any] = fitted(file, tensors, threshold=True)
    return SAE(
        **weights,
        activation="jumprelu",
        apply_b_dec_to_input=False,
        architecture="jumprelu",
    )
