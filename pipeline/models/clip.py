"""CLIP's vision tower (Hugging Face): the residual stream after each layer, and the projection."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoImageProcessor, CLIPVisionModelWithProjection

from pipeline import config
from pipeline.models.adapter import Adapter, HookPoint, Layout, ModelError, pretrained


class ClipAdapter(Adapter):
    """A `CLIPModel`'s vision tower and projection; its text tower is not loaded."""

    def __init__(self, settings: config.Model, *, device: str) -> None:
        self.device = torch.device(device)
        self.model: CLIPVisionModelWithProjection = pretrained(
            CLIPVisionModelWithProjection,
            settings.id,
            revision=settings.revision,
            dtype=getattr(torch, settings.dtype),
        )
        kind = self.model.config.model_type
        if kind not in ("clip", "clip_vision_model"):
            raise ModelError(f"model {settings.id}: is {kind}, not CLIP; mend models.*.family")
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
