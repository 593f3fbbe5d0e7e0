"""What every model adapter offers, and the loading that they share."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logging
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from pipeline import hooks

_HOOK = re.compile(r"^(?P<tower>[a-z]+)(\.(?P<layer>-?\d+))?\.(?P<point>[a-z_]+)$")


class ModelError(RuntimeError):
    """A model cannot be had or has no such hook point; the message names it and the remedy."""


@dataclass(frozen=True)
class Layout:
    """Which of a hook point's tokens are what, for one image.

    Attributes:
        tokens: positions in all; 1 where the hook point has one vector an image.
        cls: positions of CLS or other special tokens.
        patches: positions of the patches, in reading order; empty without patches.
        grid: rows and columns of the patches, or None.
    """

    tokens: int
    cls: tuple[int, ...] = ()
    patches: tuple[int, ...] = ()
    grid: tuple[int, int] | None = None

    def positions(self, tokens: str) -> tuple[int, ...]:
        """The positions that `patches`, `cls` or `all` names; the only one where there is one."""
        if self.tokens == 1 or tokens == "all":
            return tuple(range(self.tokens))
        return self.cls if tokens == "cls" else self.patches


@dataclass(frozen=True)
class HookPoint:
    """A place in the model whose activations are read: `vision.3.resid_post`."""

    name: str
    tower: str
    layer: int | None
    point: str
    depth: int
    d_in: int
    layout: Layout


class Adapter(ABC):
    """A model under study."""

    model: nn.Module
    device: torch.device

    @property
    @abstractmethod
    def hook_points(self) -> Mapping[str, HookPoint]:
        """Every hook point by its name, from the first layer to the last."""

    @abstractmethod
    def module(self, hook: str) -> nn.Module:
        """The module whose output is the hook point's activations."""

    @abstractmethod
    def prepare(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """The model's inputs for RGB images, on the CPU."""

    def resolve(self, hook: str) -> HookPoint:
        """The hook point of this name; a negative layer counts from the last.

        Raises:
            ModelError: there is none such.
        """
        match = _HOOK.match(hook)
        if match and match["layer"] and match["layer"].startswith("-"):
            same = [
                p
                for p in self.hook_points.values()
                if (p.tower, p.point) == (match["tower"], match["point"]) and p.layer is not None
            ]
            at = int(match["layer"])
            if -at <= len(same):
                return same[at]
        if hook not in self.hook_points:
            names = list(self.hook_points)
            raise ModelError(f"no hook point {hook!r}; there are {', '.join(names)}")
        return self.hook_points[hook]

    @torch.inference_mode()
    def record(self, inputs: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
        """Activations of one batch at the hook points `names`.

        Returns:
            name -> [b, t, d_in], t the layout's tokens, in the model's dtype on its device.
        """
        on_device = {key: value.to(self.device) for key, value in inputs.items()}
        with hooks.record({name: self.module(name) for name in names}) as acts:
            self.model(**on_device)
        return {name: a if a.ndim == 3 else a[:, None] for name, a in acts.items()}


def pretrained(loader: Any, name: str, *, revision: str | None = None, **options: Any) -> Any:
    """`loader.from_pretrained(name)`, its failures told in one line.

    Raises:
        ModelError: no such folder or model, no network, gated, or files that do not fit the class.
    """
    loud, retries = transformers_logging.get_verbosity(), hub_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # it lists every weight of the towers not wanted
    hub_logging.set_verbosity_error()  # it tells of every retry; the error below tells of all
    try:
        return loader.from_pretrained(name, revision=revision, **options)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(_why(name, error)) from error
    finally:
        transformers_logging.set_verbosity(loud)
        hub_logging.set_verbosity(retries)


def pretrained_model(loader: Any, name: str, **options: Any) -> Any:
    """A model as `pretrained` gives it, with every weight from its files.

    Raises:
        ModelError: as `pretrained`, or weights are lacking, which transformers draws at random.
    """
    model, info = pretrained(loader, name, output_loading_info=True, **options)
    if lacking := sorted(info["missing_keys"]):
        raise ModelError(
            f"model {name}: its files lack {len(lacking)} weights of {type(model).__name__} "
            f"({lacking[0]}, ...); use a checkpoint that holds the whole model"
        )
    return model


def pick_device(name: str) -> str:
    """`auto` as CUDA, then Apple's MPS, then the CPU; any other name as it is."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _why(name: str, error: Exception) -> str:
    text = f"{error} {error.__cause__ or ''}".replace(name, "").lower()
    first = (str(error) or type(error).__name__).strip().splitlines()[0]
    if "gated" in text or re.search(r"\b40[13] client error", text):
        return (
            f"model {name}: gated, private or misspelt; check the name, accept its licence on "
            f"https://huggingface.co/{name} and set HF_TOKEN to a token that may read it"
        )
    if Path(name).is_dir():
        return (
            f"model {name}: the folder cannot be loaded ({first}); it needs config.json and weights"
        )
    return (
        f"model {name}: cannot be had ({first}); check the name and the network, "
        "or download it and name its folder"
    )
