"""CLIP (Hugging Face): the vision tower and its projection into the joint space."""

from typing import Any

from torch import nn
from transformers import CLIPTextModelWithProjection, CLIPVisionModelWithProjection

from pipeline.models.image_tower import ImageTower


class ClipAdapter(ImageTower):
    """A `CLIPModel`'s vision tower and projection."""

    family = "CLIP"
    model_types = ("clip", "clip_vision_model")
    loader = CLIPVisionModelWithProjection
    text_loader = CLIPTextModelWithProjection

    def vision_config(self, described: Any) -> Any:
        vision = super().vision_config(described)
        # CLIPModel goes by its own width, which its vision tower's config need not repeat.
        vision.projection_dim = described.projection_dim
        return vision

    def text_config(self, described: Any) -> Any:
        text = super().text_config(described)
        text.projection_dim = described.projection_dim
        return text

    @property
    def joint(self) -> tuple[nn.Module, int]:
        projection = self.model.get_submodule("visual_projection")
        return projection, int(projection.weight.shape[0])


ADAPTER = ClipAdapter
