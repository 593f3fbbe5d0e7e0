"""LLaVA-1.5: CLIP's patches through a two-layer projector into the language model."""

import torch
from torch import Tensor

from pipeline.models import parts
from pipeline.models.generic import CLS, GenericAdapter
from pipeline.models.inputs import Inputs


class LlavaAdapter(GenericAdapter):
    """A `LlavaForConditionalGeneration`: an image token a patch, behind CLS where it keeps that."""

    model_types = ("llava",)

    @property
    def token_grid(self) -> tuple[int, int] | None:
        return self.vision.grid

    @property
    def projected_cls(self) -> int:
        whole = getattr(self.model.config, "vision_feature_select_strategy", None) == "full"
        return parts.cls_tokens(self.vision.stack) if whole else 0

    def image_cells(self, inputs: Inputs) -> list[Tensor]:
        assert self.vision.grid is not None
        patches = torch.arange(self.vision.grid[0] * self.vision.grid[1])
        cells = torch.cat([torch.full((self.projected_cls,), CLS), patches])
        return [cells for _ in inputs.sizes]
