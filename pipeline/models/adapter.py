"""What every model adapter offers: named hook points, inputs, and where the image is among them."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from pipeline import config, hooks
from pipeline.models import layout as layouts
from pipeline.models.layout import Layout
from pipeline.models.loading import ModelError
from pipeline.models.memory import Halving

_HOOK = re.compile(r"^(?P<tower>[a-z]+)(\.(?P<layer>-?\d+))?\.(?P<point>[a-z_]+)$")
LAYER_POINTS = ("attn_out", "mlp_out", "resid_post")
Region = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class HookPoint:
    """A place in the model whose activations are read: `vision.3.resid_post`.

    Attributes:
        layer: number of the layer, from 0; None for the projection.
        depth: how far into the model, for ordering: layers and the projection count 1 each.
        d_in: width of the activations.
        kinds: the kinds of token that it can have, as in `layout.KINDS`.
        tokens: how many tokens a row has; None where that depends on the input.
        grid: rows and columns of the patches, or None.
        module: the module whose output they are.
        stack: the module around it that runs once a forward.
    """

    name: str
    tower: str
    layer: int | None
    point: str
    depth: int
    d_in: int
    kinds: tuple[str, ...]
    tokens: int | None
    grid: tuple[int, int] | None
    module: nn.Module = field(repr=False)
    stack: nn.Module = field(repr=False)

    def __str__(self) -> str:
        """Its name, shape (n rows: images, or tiles of them) and what its tokens are."""
        shape = f"[n, {'t' if self.tokens is None else self.tokens}, {self.d_in}]"
        grid = f", patches {self.grid[0]} x {self.grid[1]}" if self.grid else ""
        return f"{self.name:24} {shape:18} {' '.join(self.kinds)}{grid}"


@dataclass(frozen=True, eq=False)
class Tower:
    """A stack of transformer layers.

    Attributes:
        name: `vision` or `language`.
        stack: the module around the layers, which runs once a forward.
        width: of the residual stream.
        attention: of a layer, the path of the module whose output attention adds to the residual
            stream; where a norm follows, that norm; None where no module gives it.
        mlp: the same of the MLP.
        kinds, tokens, grid: as of HookPoint.
    """

    name: str
    stack: Any
    layers: nn.ModuleList | nn.Sequential
    width: int
    kinds: tuple[str, ...]
    attention: str | None = "self_attn"
    mlp: str | None = "mlp"
    tokens: int | None = None
    grid: tuple[int, int] | None = None

    def hook_points(self, *, depth: int) -> Iterator[HookPoint]:
        for number, layer in enumerate(self.layers):
            paths = (self.attention, self.mlp, "")
            for point, path in zip(LAYER_POINTS, paths, strict=True):
                if path is None:
                    continue
                yield HookPoint(
                    f"{self.name}.{number}.{point}",
                    self.name,
                    number,
                    point,
                    depth + number,
                    self.width,
                    self.kinds,
                    self.tokens,
                    self.grid,
                    layer.get_submodule(path),
                    self.stack,
                )


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a model's forward takes, for a batch of examples; on the CPU.

    Attributes:
        tensors: by the model's own names; the first axis of each is the examples, else they
            cannot be divided.
        sizes: width and height of each picture, in pixels; empty without pictures.
    """

    tensors: Mapping[str, Tensor]
    sizes: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.sizes) or len(next(iter(self.tensors.values())))

    def __getitem__(self, part: slice) -> "Inputs":
        if part.indices(len(self)) == (0, len(self), 1):
            return self
        for name, tensor in self.tensors.items():
            if len(tensor) != len(self):
                raise ModelError(
                    f"{name} of shape {tuple(tensor.shape)} for {len(self)} examples cannot be "
                    "divided; choose a smaller batch_size"
                )
        return Inputs({k: v[part] for k, v in self.tensors.items()}, self.sizes[part])

    def on(self, device: torch.device) -> dict[str, Tensor]:
        """Its tensors on `device`."""
        return {k: v.to(device, non_blocking=True) for k, v in self.tensors.items()}

    def pinned(self) -> "Inputs":
        """The same in memory from which a GPU copies while it computes."""
        return Inputs({k: v.pin_memory() for k, v in self.tensors.items()}, self.sizes)


class Adapter(ABC):
    """A model under study, in eval mode.

    Attributes:
        settings: as the run's config names it.
        model: its forward takes `Inputs.tensors`.
        device: where inputs go.
        options: what else its forward is called with.
        prompt: what is asked of each image when the settings name no prompt.
    """

    settings: config.Model
    model: Any  # a Hugging Face or open_clip module
    device: torch.device
    options: ClassVar[Mapping[str, Any]] = {}
    prompt: str = ""

    @property
    @abstractmethod
    def towers(self) -> Sequence[Tower]:
        """Its stacks of layers, in the order in which they run."""

    @property
    @abstractmethod
    def projection(self) -> HookPoint | None:
        """What leaves the vision tower, into the joint space or into the language model."""

    @abstractmethod
    def prepare(self, images: Sequence[Image.Image], prompts: Sequence[str] = ()) -> Inputs:
        """The model's inputs for RGB images, and for prompts where it reads words; on the CPU."""

    @abstractmethod
    def layout(self, inputs: Inputs, hook: str) -> Layout:
        """What the tokens of these inputs are at a hook point."""

    def inputs(self, pictures: Sequence[tuple[Any, Image.Image]]) -> Inputs:
        """The inputs for examples (whose first caption the prompt may name) with their pictures;
        in memory from which a GPU copies while it computes.

        Raises:
            ModelError: the prompt names the caption, and an image has none.
        """
        asked = self.prompt if self.settings.prompt is None else self.settings.prompt
        prompts = []
        for example, _ in pictures:
            if "{caption}" in asked and not example.captions:
                raise ModelError(
                    f"model {self.settings.id}: its prompt {asked!r} wants the caption, and "
                    f"{example.uri} has none; give captions or another prompt"
                )
            caption = example.captions[0] if example.captions else ""
            prompts.append(asked.replace("{caption}", self.words(caption)))
        made = self.prepare([image for _, image in pictures], prompts)
        return made.pinned() if self.device.type == "cuda" else made

    def words(self, caption: str) -> str:
        """A caption as it goes into a prompt."""
        return caption

    def region(self, size: tuple[int, int]) -> Region:
        """Left, top, right, bottom of what the model sees of a picture of this width and height, in
        its pixels; may reach beyond it."""
        return (0, 0, *size)

    @property
    def fit(self) -> Literal["crop", "whole"]:
        """Whether the model sees the square centre of a picture or, squeezed, all of it."""
        return "whole" if self.region((200, 100)) == (0, 0, 200, 100) else "crop"

    def boxes(self, inputs: Inputs, hook: str) -> Float[Tensor, "r t 4"]:
        """Each patch's box (left, top, right, bottom) in the pixels of its picture; NaN for tokens
        that are no patch."""
        layout = self.layout(inputs, hook)
        found = torch.full((*layout.cell.shape, 4), torch.nan)
        if layout.grid is None:
            return found
        for row, example in enumerate(layout.example.tolist()):
            cells = layouts.boxes(self.region(inputs.sizes[example]), layout.grid)
            seen = layout.cell[row] >= 0
            found[row, seen] = cells[layout.cell[row, seen]]
        return found

    @cached_property
    def hook_points(self) -> Mapping[str, HookPoint]:
        """Every hook point by its name, from the first layer to the last."""
        points: list[HookPoint] = []
        depth = 0
        for tower in self.towers:
            points += tower.hook_points(depth=depth)
            depth += len(tower.layers)
            if tower.name == "vision" and self.projection is not None:
                points.append(self.projection)
                depth += 1
        return {point.name: point for point in points}

    def module(self, hook: str) -> nn.Module:
        """The module whose output is the hook point's activations."""
        return self.resolve(hook).module

    def stack(self, hook: str) -> nn.Module:
        """The module around it that runs once a forward."""
        return self.resolve(hook).stack

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
            if -int(match["layer"]) <= len(same):
                return same[int(match["layer"])]
        if hook not in self.hook_points:
            raise ModelError(f"no hook point {hook!r}; there are {self._names()}")
        return self.hook_points[hook]

    def forward(self, inputs: Inputs) -> Any:
        """The model's own forward, on its device."""
        return self.model(**inputs.on(self.device), **self.options)

    @torch.inference_mode()
    def generate(self, inputs: Inputs, **options: Any) -> Tensor:
        """Token ids [b, t], the prompt's first, as transformers' `generate` gives them.

        Args:
            options: of `generate`: max_new_tokens, do_sample, num_beams, ...
        """
        made: Tensor = self.model.generate(**inputs.on(self.device), **options)
        return made

    @torch.inference_mode()
    def record(self, inputs: Inputs, names: Sequence[str]) -> dict[str, Tensor]:
        """Activations of one batch at the hook points `names`.

        Returns:
            name -> [r, t, d_in] as its layout says, in the model's dtype on its device.
        """
        with hooks.record(self, names) as acts:
            self.forward(inputs)
        return {name: a if a.ndim == 3 else a[:, None] for name, a in acts.items()}

    def recorded(
        self, inputs: Inputs, names: Sequence[str]
    ) -> Iterator[tuple[Inputs, dict[str, Tensor]]]:
        """The batch in pieces that fit in memory, each with its activations.

        Raises:
            ModelError: not even one example fits.
        """
        yield from self._fits.run(
            len(inputs),
            lambda start, end: (inputs[start:end], self.record(inputs[start:end], names)),
        )

    @cached_property
    def _fits(self) -> Halving:
        return Halving(f"model {self.settings.id}")

    def _names(self) -> str:
        layers = [
            f"{tower.name}.LAYER.POINT with LAYER 0 to {len(tower.layers) - 1} "
            f"and POINT {', '.join(LAYER_POINTS)}"
            for tower in self.towers
        ]
        rest = [point.name for point in self.hook_points.values() if point.layer is None]
        return "; ".join([*layers, *rest])
