"""Neurons, and the controls of SAEs: activations kept whole, pooled."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline import config
from pipeline.activations.facts import point_facts
from pipeline.contract.tables import TOP_K
from pipeline.metrics import pooling
from pipeline.models.hook_points import HookPoint
from pipeline.models.layout import Layout

Settings = config.Neurons | config.TrainedSAE | config.PublishedSAE


class DenseReading:
    """The raw neurons: pooled, and the strongest examples with their patches."""

    def __init__(self, point: HookPoint, settings: Settings) -> None:
        self.point, self.settings = point, settings
        self._pooled: list[Tensor] = []
        self._cells = point.grid[0] * point.grid[1] if point.grid else 0
        self._top = pooling.DenseTop.empty(point.d_in, count=TOP_K, patches=self._cells)

    def add(self, acts_rtd: Float[Tensor, "r t d"], layout: Layout, *, first: int) -> None:
        """Add a batch whose first example is number `first`."""
        acts = acts_rtd.float().cpu()
        pooled_bd = pooled(acts, layout, self.settings)
        self._pooled.append(pooled_bd)
        patches = layout.tokens_of(layout.cell >= 0)
        shape = (layout.examples, self._cells)
        cells = pooling.to_cells(patches.of(acts), patches.example, patches.cell, shape=shape)
        self._top.add(pooled_bd, cells, first=first)

    def tensors(self) -> dict[str, Tensor]:
        top = self._top.rows()
        shown = self._top.patches[self._top.value > -torch.inf]
        return {
            "dense": stacked(self._pooled, self.point.d_in),
            "top_row": top.example.int(),
            "top_feature": top.feature.int(),
            "top_value": top.value,
            "top_token": top.token.int(),
            "top_ends": (torch.arange(len(shown)) + 1) * self._cells,
            "top_patch": torch.arange(self._cells).repeat(len(shown)).int(),
            "top_act": shown.flatten(),
        }

    def facts(self) -> dict[str, Any]:
        return {
            **point_facts(self.point),
            "basis": "neurons",
            "architecture": "identity",
            "d_sae": self.point.d_in,
            "group_sizes": [],
        }


class ControlReading:
    """Pooled neurons and random directions, to be made as sparse as an SAE's features."""

    def __init__(self, point: HookPoint, settings: Settings, seed: int) -> None:
        self.point, self.settings = point, settings
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(point.d_in, point.d_in, generator=generator)
        self._directions = torch.nn.functional.normalize(directions, dim=0)
        self._made: dict[str, list[Tensor]] = {"neurons": [], "directions": []}

    def add(self, acts_rtd: Float[Tensor, "r t d"], layout: Layout, *, first: int) -> None:
        """Add a batch."""
        acts = acts_rtd.float()
        directions = self._directions.to(acts.device)
        self._made["neurons"].append(pooled(acts, layout, self.settings).cpu())
        self._made["directions"].append(pooled(acts @ directions, layout, self.settings).cpu())

    def tensors(self) -> dict[str, Tensor]:
        return {name: stacked(made, self.point.d_in) for name, made in self._made.items()}

    def facts(self) -> dict[str, Any]:
        return {}


def pooled(acts_rtd: Tensor, layout: Layout, settings: Settings) -> Float[Tensor, "b d"]:
    """The activations pooled over each example's tokens."""
    picked = layout.tokens_of(layout.read(settings.tokens))
    tokens = torch.bincount(picked.example, minlength=layout.examples)
    return pooling.pool_dense(picked.of(acts_rtd), tokens, how=settings.pooling)


def stacked(parts: Sequence[Tensor], d: int) -> Float[Tensor, "n d"]:
    return torch.cat(list(parts)) if parts else torch.zeros(0, d)
