"""Damaged checkpoints, and what a download leaves in their place: refused in one line that names
the file, or opened with the same codes; nothing in them runs, and none takes much memory."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage import damaged
from PIL import Image
from sae_files import (
    K,
    Malicious,
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
from safetensors.torch import save_file

from pipeline.saes import published
from pipeline.saes.sae import SAE, SAEError

ROOT = Path(__file__).parents[1]


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


def outcome(folder: Path) -> SAE | str:
    """The SAE in a folder, or the one line with which it is refused."""
    try:
        return published.load(str(folder))
    except SAEError as error:
        return str(error)


def assert_told(message: SAE | str, folder: Path, *, number: object = None) -> None:
    assert isinstance(message, str), number
    assert str(folder) in message, (number, message)
    assert "\n" not in message and len(message) < 700, (number, message)


@pytest.mark.parametrize(("name", "file"), FILES, ids=str)
def test_damaged_files(name: str, file: str, tmp_path: Path) -> None:
    folder = CHECKPOINTS[name][0](tmp_path / "sae")
    whole = (folder / file).read_bytes()
    codes = published.load(str(folder)).encode(vectors())
    refused = 0
    for number, data in enumerate(damaged(whole, seed=len(name))):
        (folder / file).write_bytes(data)
        found = outcome(folder)
        if isinstance(found, str):
            refused += 1
            assert_told(found, folder, number=number)
            continue
        made = found.encode(vectors())
        assert made.isfinite().all(), number
        if not {name, file} & UNCHECKED:
            assert torch.equal(made, codes), number
    assert refused > 60, "damage was done"


# --- What lies in a file's place ---


def zipped(names: dict[str, bytes], *, kind: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", kind) as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return made.getvalue()


def torch_file(state: Any, **options: Any) -> bytes:
    made = io.BytesIO()
    torch.save(state, made, **options)
    return made.getvalue()


def foreign_files() -> dict[str, tuple[bytes, str]]:
    """What people find in the place of weights, and what must be said of it."""
    w = weights()
    line = json.dumps({"schema": 5, "cfg": {"d_model": 12, "d_sae": 30}}).encode() + b"\n"
    lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 9\n"
    program = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), program)
    picture = io.BytesIO()
    Image.new("RGB", (9, 9)).save(picture, "PNG")
    sight = {"module.fc1.weight": w["W_enc"].T, "module.fc2.weight": w["W_dec"].T}
    return {
        "empty": (b"", "is empty"),
        "git-lfs": (lfs, "git lfs pull"),
        "git-annex": (b"/annex/objects/SHA256E-s9--aa.pt\n", "git annex get"),
        "xet": (b"# xet version 0\nfilesize = 9\n", "Xet pointer"),
        "dvc": (b"outs:\n- md5: aa\n  path: ae.pt\n", "dvc pull"),
        "page": (b"<!DOCTYPE html><html><title>Sign in</title></html>", "a web page (Sign in)"),
        "long page": (b"\n<html>" + b"<p>\xc3\xa9</p>" * 9999, "a web page"),
        "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "AccessDenied"),
        "json": (b'{"error": "Repository not found"}', "Repository not found"),
        "json list": (b"[1, 2]", "JSON"),
        "text": (b"Entry not found", "Entry not found"),
        "utf-16": ("Entry not found".encode("utf-16"), "Entry not found"),
        "zeros": (bytes(9000), "zeros"),
        "gzip": (gzip.compress(torch_file(w)), "gzip"),
        "bzip2": (bz2.compress(b"weights"), "bzip2"),
        "xz": (lzma.compress(b"weights"), "xz"),
        "zip": (zipped({"readme.txt": b"hello"}), "a zip archive (readme.txt"),
        "no zip": (zipped({}), "empty zip"),
        "cut zip": (zipped({"archive/data.pkl": b"x" * 999})[:300], "without its end"),
        "tar": (tarred({"ae.pt": b"x"}), "a tar archive"),
        "picture": (picture.getvalue(), "a picture (PNG)"),
        "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        "gguf": (b"GGUF" + bytes(99), "GGUF"),
        "npy": (npy(np.zeros(3)), "one array of numpy"),
        "saev": (line + torch_file(w), "saev's format"),
        "script": (program.getvalue(), "TorchScript"),
        "line of sight": (torch_file(sight), "Line of Sight"),
        "gated": (torch_file(w | {"b_gate": w["b_enc"], "r_mag": w["b_enc"]}), "a gated SAE"),
        "prisma": (torch_file({"cfg": {}, "state_dict": w}), "Prisma"),
        "msae": (torch_file({"pre_bias": w["b_dec"], "encoder": w["W_enc"]}), "MSAE"),
        "model": (torch_file({f"h.{i}.w": w["b_dec"] for i in range(9)}), "weights of a model"),
    }


def npy(array: Any) -> bytes:
    made = io.BytesIO()
    np.save(made, array)
    return made.getvalue()


def tarred(names: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return made.getvalue()


PLACES = [("Gemma Scope", "params.npz"), ("BatchTopK", "ae.pt"), ("sae-lens", "cfg.json")]
PLACES += [("sae-lens", "sae_weights.safetensors")]


@pytest.mark.parametrize("kind", foreign_files())
def test_what_a_download_leaves_is_named(kind: str, tmp_path: Path) -> None:
    data, told = foreign_files()[kind]
    for number, (name, file) in enumerate(PLACES):
        folder = CHECKPOINTS[name][0](tmp_path / str(number))
        (folder / file).write_bytes(data)
        message = outcome(folder)
        assert_told(message, folder, number=file)
        tensors_in_torch = kind in ("line of sight", "gated", "prisma", "msae", "model")
        if tensors_in_torch and file != "ae.pt":
            continue  # there it is a file of torch, whatever it holds
        if file == "cfg.json" and kind.startswith("json"):
            assert "cfg.json" in str(message)
            continue
        assert told in str(message), file
    # Named on its own, whatever it is called.
    for suffix in (".pkl", ".pt", ".pth", ".bin"):
        file = tmp_path / f"weights{suffix}"
        file.write_bytes(data)
        with pytest.raises(SAEError) as refused:
            published.load(str(file))
        assert told in str(refused.value) and str(file) in str(refused.value)


def test_what_lies_beside_tells_why_a_file_is_not_there(tmp_path: Path) -> None:
    folder = CHECKPOINTS["sae-lens"][0](tmp_path / "a")
    weights_file = folder / "sae_weights.safetensors"
    weights_file.rename(folder / "sae_weights.safetensors.part")
    assert "a download that was not finished" in str(outcome(folder))
    (folder / "sae_weights.safetensors.part").rename(folder / "sae.safetensors")
    assert "EleutherAI" in str(outcome(folder))
    weights_file.symlink_to("../.git/annex/objects/aa/bb/SHA256-s9--cc")
    (folder / "sae.safetensors").unlink()
    assert "git annex get" in str(outcome(folder))
    weights_file.unlink()
    weights_file.symlink_to("nowhere")
    assert "a link to nowhere, which is not there" in str(outcome(folder))
    weights_file.unlink()
    assert "is not there beside cfg.json" in str(outcome(folder))
    weights_file.mkdir()
    assert_told(outcome(folder), folder)
    weights_file.rmdir()
    os.mkfifo(weights_file)
    assert_told(outcome(folder), folder)  # nobody writes into it: to open it would hang
    link = tmp_path / "ae.pt"
    link.symlink_to(".git/annex/objects/x")
    assert "git annex get" in str(outcome(link))
    (tmp_path / "b").mkdir()
    assert "an empty folder" in str(outcome(tmp_path / "b"))
    (tmp_path / "b" / "ae.pt.crdownload").write_bytes(b"x")
    assert "ae.pt.crdownload, a download that was not finished" in str(outcome(tmp_path / "b"))


@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "topk", "expansion_factor": 32, "num_latents": 0, "k": 32, "d_in": 12},
        {"d_in": 12, "num_latents": 30, "k": 32},
    ],
)
def test_eleutherai_folders(settings: dict[str, Any], tmp_path: Path) -> None:
    w = weights()
    tensors = {"encoder.weight": w["W_enc"].T.contiguous(), "encoder.bias": w["b_enc"]}
    tensors |= {"W_dec": w["W_dec"], "b_dec": w["b_dec"]}
    (tmp_path / "cfg.json").write_text(json.dumps(settings))
    for name in ("sae.safetensors", "sae_weights.safetensors"):
        save_file(tensors, tmp_path / name)
        assert "EleutherAI" in str(outcome(tmp_path)), name
        assert "fetch it again" not in str(outcome(tmp_path)), name
    assert "EleutherAI" in str(outcome(tmp_path / "sae.safetensors"))


# --- Files made to harm ---


def swollen() -> dict[str, tuple[str, str, Callable[[Path], None]]]:
    """Small files that declare much: the format, the file, and what writes it."""
    huge = 2**31

    def npz(names: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Callable[[Path], None]:
        return lambda path: path.write_bytes(zipped(names, kind=kind)) and None

    def header(shape: str) -> bytes:
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        text = text.ljust(117) + "\n"
        return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()

    def safetensors(entry: dict[str, Any], data: bytes = b"") -> Callable[[Path], None]:
        head = json.dumps({"W_enc": entry}).encode()
        return lambda path: path.write_bytes(struct.pack("<Q", len(head)) + head + data) and None

    w = weights()
    zeros = npy(np.zeros((2048, 8192), np.float32))
    right = {f"{name}.npy": npy(tensor.numpy()) for name, tensor in w.items()}
    wide = linear(w, "b_dec") | buffers(0.8)
    wide["encoder.weight"] = torch.zeros(1).expand(2**20, 2**20)
    packed = io.BytesIO(torch_file(wide | {"encoder.weight": torch.zeros(4096, 4096)}))
    repacked = {m: zipfile.ZipFile(packed).read(m) for m in zipfile.ZipFile(packed).namelist()}
    f32 = {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}
    return {
        "bomb": ("Gemma Scope", "params.npz", npz(right | {"W_enc.npy": zeros})),
        "foreign bomb": ("Gemma Scope", "params.npz", npz({"x.npy": zeros})),
        "many": ("Gemma Scope", "params.npz", npz({f"{i}.npy": b"" for i in range(9999)})),
        "shape": ("Gemma Scope", "params.npz", npz(right | {"W_enc.npy": header((huge, huge))})),
        "negative": ("Gemma Scope", "params.npz", npz(right | {"W_enc.npy": header((-1, 4))})),
        "no npy": ("Gemma Scope", "params.npz", npz(right | {"W_enc.npy": b"x" * 99})),
        "expanded": ("BatchTopK", "ae.pt", lambda p: torch.save(wide, p)),
        "packed": ("BatchTopK", "ae.pt", npz(repacked)),
        "header": (
            "sae-lens",
            "sae_weights.safetensors",
            lambda p: p.write_bytes(struct.pack("<Q", 2**40) + b"{" + bytes(99)) and None,
        ),
        "shape of safetensors": (
            "sae-lens", "sae_weights.safetensors", safetensors(f32 | {"shape": [huge, huge]}),
        ),
        "negative offsets": (
            "sae-lens",
            "sae_weights.safetensors",
            safetensors(f32 | {"data_offsets": [-64, 0]}, bytes(64)),
        ),
        "overlap": (
            "sae-lens",
            "sae_weights.safetensors",
            safetensors(f32 | {"data_offsets": [8, 64]}, bytes(64)),
        ),
        "type": (
            "sae-lens", "sae_weights.safetensors", safetensors(f32 | {"dtype": 7}, bytes(64)),
        ),
        "offsets of text": (
            "sae-lens",
            "sae_weights.safetensors",
            safetensors(f32 | {"data_offsets": ["a", "b"]}, bytes(64)),
        ),
    }  # fmt: skip


BOUND = 64 * 2**20
"""Bytes that opening a small file may take beyond what was held before."""
PROBE = """
import resource, sys
from pathlib import Path
from pipeline.saes import published
from pipeline.saes.sae import SAEError
folders = sys.argv[1:]
for folder in folders:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        published.load(folder)
        print("opened", folder)
    except SAEError as error:
        print(error)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_no_file_becomes_much_memory(tmp_path: Path) -> None:
    folders = []
    for name, (checkpoint, file, write) in swollen().items():
        folder = CHECKPOINTS[checkpoint][0](tmp_path / name.replace(" ", "-"))
        write(folder / file)
        folders.append(folder)
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, folders)],
        capture_output=True, text=True, check=False, timeout=300, cwd=ROOT,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.strip().splitlines()
    assert len(said) == 2 * len(folders), said
    for folder, message, grown in zip(folders, said[::2], said[1::2], strict=True):
        assert_told(message, folder)
        assert not message.startswith("opened")
        assert int(grown) * 1024 < BOUND, message


@pytest.mark.parametrize(
    "how", ["torch", "before torch 1.6", "pickle", "npz", "saev", "checkpoint"]
)
def test_nothing_in_a_file_runs(how: str, tmp_path: Path) -> None:
    mark = tmp_path / "made"
    state = linear(weights(), "b_dec") | buffers(0.8) | {"more": Malicious(mark)}
    data = {
        "torch": lambda: torch_file(state),
        "before torch 1.6": lambda: torch_file(state, _use_new_zipfile_serialization=False),
        "pickle": lambda: pickle.dumps(state),
        "npz": lambda: zipped({"W_enc.npy": npy(np.array([Malicious(mark)], dtype=object))}),
        "saev": lambda: b'{"schema": 5}\n' + torch_file(state),
        "checkpoint": lambda: torch_file({"cfg": Malicious(mark), "state_dict": weights()}),
    }[how]()
    for number, (name, file) in enumerate(PLACES):
        folder = CHECKPOINTS[name][0](tmp_path / str(number))
        (folder / file).write_bytes(data)
        assert_told(outcome(folder), folder)
        for suffix in (".pkl", ".pt", ".npz", ".safetensors"):
            other = tmp_path / f"x{suffix}"
            other.write_bytes(data)
            assert_told(outcome(other), other)
    assert not mark.exists()
    if how == "torch":
        torch.load(io.BytesIO(data), weights_only=False)  # it would have
        assert mark.exists()
