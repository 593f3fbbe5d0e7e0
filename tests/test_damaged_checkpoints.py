"""Damaged checkpoints, and what a download leaves in their place: refused in one line that names
the file, or opened with the same codes; nothing in them runs, and none takes much memory."""

import io
import json
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage import damaged
from safetensors.torch import save_file
from test_published import (
    GROUPS,
    K,
    Malicious,
    S,
    buffers,
    flat_folder,
    learned,
    lens_folder,
    linear,
    matryoshka,
    scoped,
    vectors,
    weights,
    without,
)

from pipeline.saes import published
from pipeline.saes.sae import SAE, SAEError


def legacy(folder: Path) -> Path:
    learned(folder, {}, "BatchTopKSAE")
    state = linear(weights(), "b_dec") | buffers(0.8)
    torch.save(state, folder / "ae.pt", _use_new_zipfile_serialization=False)
    return folder


def plain(folder: Path, **settings: Any) -> Path:
    return lens_folder(folder, without(weights(), "threshold"), **settings)


CHECKPOINTS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "sae-lens": (
        lambda folder: lens_folder(folder, weights(), architecture="jumprelu"),
        ("cfg.json", "sae_weights.safetensors"),
    ),
    "sae-lens topk": (
        lambda folder: plain(folder, architecture="topk", k=K),
        ("cfg.json", "sae_weights.safetensors"),
    ),
    "sae-lens before 6": (
        lambda folder: flat_folder(folder, without(weights(), "threshold")),
        ("cfg.json", "sae_weights.safetensors"),
    ),
    "AutoEncoder": (
        lambda folder: learned(folder, linear(weights(), "bias"), "AutoEncoder"),
        ("ae.pt", "config.json"),
    ),
    "TopK": (
        lambda folder: learned(
            folder, linear(weights(), "b_dec") | buffers(0.8), "AutoEncoderTopK"
        ),
        ("ae.pt", "config.json"),
    ),
    "BatchTopK": (
        lambda folder: learned(folder, linear(weights(), "b_dec") | buffers(0.8), "BatchTopKSAE"),
        ("ae.pt", "config.json"),
    ),
    "Matryoshka": (
        lambda folder: learned(folder, matryoshka(weights(), 0.8), "MatroyshkaBatchTopKSAE"),
        ("ae.pt", "config.json"),
    ),
    "JumpReLU": (
        lambda folder: learned(folder, weights(), "JumpReluAutoEncoder"),
        ("ae.pt", "config.json"),
    ),
    "before torch 1.6": (legacy, ("ae.pt",)),
    "Gemma Scope": (lambda folder: scoped(folder, weights()), ("params.npz",)),
}
FILES = [(name, file) for name, (_, files) in CHECKPOINTS.items() for file in files]
UNCHECKED = {"sae_weights.safetensors", "before torch 1.6", "cfg.json", "config.json"}
"""What keeps no checksum: a changed weight, or a changed number of the settings, is another SAE."""


@pytest.mark.parametrize(("name", "file"), FILES, ids=lambda value: str(value))
def test_damaged_files(name: str, file: str, tmp_path: Path) -> None:
    folder = CHECKPOINTS[name][0](tmp_path / "sae")
    whole = (folder / file).read_bytes()
    codes = published.load(str(folder)).encode(vectors())
    refused = 0
    for number, data in enumerate(damaged(whole, seed=len(name))):
        (folder / file).write_bytes(data)
        try:
            sae = published.load(str(folder))
        except SAEError as error:
            refused += 1
            assert str(folder) in str(error) and "\n" not in str(error), number
            assert len(str(error)) < 600, number
            continue
        made = sae.encode(vectors())
        assert made.isfinite().all(), number
        if not {name, file} & UNCHECKED:
            assert torch.equal(made, codes), number
    print(name, file, refused)
