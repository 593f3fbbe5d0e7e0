"""What a model's forward takes: tensors of a batch of examples, divided together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from pipeline.models.loading import ModelError


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a model's forward takes, for a batch of examples; on the CPU.

    Attributes:
        tensors: by the model's own names; the first axis of each is the examples, else they
            cannot be divided.
        sizes: width and height of each picture, in pixels; empty without pictures.
        caption: which tokens of the prompt are the caption's, where the prompt holds one beside
            an image; the forward does not take it.
    """

    tensors: Mapping[str, Tensor]
    sizes: tuple[tuple[int, int], ...] = ()
    caption: Bool[Tensor, "b t"] | None = None

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
        tensors = {k: v[part] for k, v in self.tensors.items()}
        caption = None if self.caption is None else self.caption[part]
        return Inputs(tensors, self.sizes[part], caption)

    def on(self, device: torch.device) -> dict[str, Tensor]:
        """Its tensors on `device`."""
        return {k: v.to(device, non_blocking=True) for k, v in self.tensors.items()}

    def pinned(self) -> "Inputs":
        """The same in memory from which a GPU copies while it computes."""
        return replace(self, tensors={k: v.pin_memory() for k, v in self.tensors.items()})
