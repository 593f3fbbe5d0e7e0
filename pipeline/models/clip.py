"""CLIP's vision tower (Hugging Face): the residual stream after each layer, and the projection."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoConfig, AutoImageProcessor, CLIPVisionModelWithProjection

from pipeline import config
from pipeline.models.adapter import (
    Adapter,
    HookPoint,
    Layout,
    ModelError,
    pretrained,
    pretrained_model,
)


class ClipAdapter(Adapter):
    """A `CLIPModel`'s vision tower and projection; its text tower is not loaded."""

    def __init__(self, settings: config.Model, *, device: str) -> None:
        self.device = torch.device(device)
        described = pretrained(AutoConfig, settings.id, revision=settings.revision)
        if described.model_type not in ("clip", "clip_vision_model"):
            raise ModelError(
                f"model {settings.id}: is {described.model_type}, not CLIP; mend models.*.family"
            )
        vision = getattr(described, "vision_config", described)
        # CLIPModel goes by its own width, which its vision tower's config need not repeat.
        vision.projection_dim = described.projection_dim
        self.model: CLIPVisionModelWithProjection = pretrained_model(
            CLIPVisionModelWithProjection,
            settings.id,
            config=vision,
            revision=settings.revision,
            dtype=getattr(torch, settings.dtype),
        )
        self.model.eval().to(self.device)
        self._processor = pretrained(AutoImageProcessor, settings.id, revision=settings.revision)

    @cached_property
    def hook_points(self) -> Mapping[str, HookPoint]:
        vision = self.model.config
        side = vision.image_size // vision.patch_size
        patches = Layout(1 + side**2, (0,), tuple(range(1, 1 + side**2)), (side, side))
        count = vision.num_hidden_layers
        points = [
            HookPoint(
                f"vision.{layer}.resid_post",
                "vision",
                layer,
                "resid_post",
                layer,
                vision.hidden_size,
                patches,
            )
            for layer in range(count)
        ]
        points.append(
            HookPoint(
                "vision.projection",
                "vision",
                None,
                "projection",
                count,
                vision.projection_dim,
                Layout(1),
            )
        )
        return {point.name: point for point in points}

    def module(self, hook: str) -> nn.Module:
        point = self.resolve(hook)
        if point.layer is None:
            return self.model.visual_projection
        return self.model.vision_model.encoder.layers[point.layer]

    def prepare(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        pixels = self._processor(images=list(images), return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixels.to(self.model.dtype)}
