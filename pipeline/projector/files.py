"""The files of a training: how far it is, its curve, and the projector once it is done."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline.bundle import sealed
from pipeline.tensors import save_tensors

STATE, CURVE, PROJECTOR, FACTS = (
    "state.safetensors",
    "curve.jsonl",
    "projector.safetensors",
    "projector.json",
)
TEMPORARY = ".tmp-"


@dataclass
class State:
    """How far a training is: all that the next step depends on, but for the settings."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def finished(folder: Path, key: str) -> bool:
    """Whether the projector is there; raises StoreError where it is of something else."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except ValueError:
        facts = {}
    if not isinstance(facts, dict) or facts.get("key") != key:
        raise _another(folder)
    return (folder / PROJECTOR).is_file()


def _another(folder: Path) -> sealed.StoreError:
    return sealed.StoreError(
        f"{folder}: holds a training with other settings, other data or another version; "
        "name another folder with --out, or remove this one"
    )


def read_state(path: Path, key: str) -> State:
    if not path.is_file():
        return State()
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("state", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise sealed.StoreError(f"{path}: damaged ({error}); remove it to begin anew") from None
    if about.get("key") != key:
        raise _another(path.parent)
    return State(tensors, tensors.pop("losses").tolist(), about["skipped"])


def write_state(folder: Path, state: State, key: str, curve: Sequence[dict[str, float]]) -> None:
    about = {"state": json.dumps({"key": key, "skipped": state.skipped}, sort_keys=True)}
    tensors = state.tensors | {"losses": torch.tensor(state.losses, dtype=torch.float64)}
    _replace(folder / STATE, lambda path: save_tensors(tensors, path, metadata=about))
    lines = "".join(json.dumps(point) + "\n" for point in curve)
    _replace(folder / CURVE, lambda path: path.write_text(lines, encoding="utf-8"))


def write_projector(folder: Path, state: State, facts: dict[str, Any]) -> None:
    """The facts come last: they say that the training is done."""
    weights = {name: state.tensors[name] for name in ("weight", "bias")}
    _replace(folder / PROJECTOR, lambda path: save_tensors(weights, path))
    text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    _replace(folder / FACTS, lambda path: path.write_text(text, encoding="utf-8"))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside `path` that takes its place when it is whole."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    write(temporary)
    temporary.replace(path)
