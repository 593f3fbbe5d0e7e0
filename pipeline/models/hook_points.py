"""Hook points, and the stacks of layers that they lie in."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

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
