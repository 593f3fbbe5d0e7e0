"""Image encoders for scores: any model that makes one vector of an image."""

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel

from pipeline import config
from pipeline.models.loading import ModelError, pretrained, pretrained_model
from pipeline.models.memory import Halving


class ImageEncoder:
    """An image encoder: DINOv2, a ResNet, or a contrastive model's image tower."""

    def __init__(self, settings: config.Encoder, *, device: str) -> None:
        self.device = torch.device(device)
        self._fits = Halving(f"encoder {settings.id}")
        if settings.family == "openclip":
            self._vectors = _openclip(settings, self.device)
        else:
            self._vectors = _hugging_face(settings, self.device)

    @torch.inference_mode()
    def embed(self, images: Sequence[Image.Image]) -> Tensor:
        """Unit embeddings of RGB images: float32 [b, d] on the CPU.

        A contrastive model gives its joint-space embedding, any other its `pooler_output`.

        Raises:
            ModelError: not even one image fits in memory.
        """
        parts = self._fits.run(
            len(images), lambda start, end: self._vectors(images[start:end]).flatten(1).float()
        )
        return torch.cat([torch.nn.functional.normalize(part, dim=1).cpu() for part in parts])


def _hugging_face(
    settings: config.Encoder, device: torch.device
) -> Callable[[Sequence[Image.Image]], Tensor]:
    name, revision = settings.id, settings.revision
    model = pretrained_model(
        AutoModel, name, machine=config.Machine(), device=str(device), revision=revision
    )
    processor = pretrained(AutoImageProcessor, name, revision=revision)
    embed = getattr(model, "get_image_features", model)

    def vectors(images: Sequence[Image.Image]) -> Tensor:
        output = embed(**processor(images=list(images), return_tensors="pt").to(device))
        made = output if isinstance(output, Tensor) else getattr(output, "pooler_output", None)
        if not isinstance(made, Tensor):
            raise ModelError(
                f"encoder {name}: a {type(model).__name__} makes no one vector of an image; name "
                "an image encoder, as facebook/dinov2-base"
            )
        return made

    return vectors


def _openclip(
    settings: config.Encoder, device: torch.device
) -> Callable[[Sequence[Image.Image]], Tensor]:
    from pipeline.models.openclip import load_openclip

    model, transform = load_openclip(settings.id, device=str(device))

    def vectors(images: Sequence[Image.Image]) -> Tensor:
        made: Tensor = model(torch.stack([transform(image) for image in images]).to(device))
        return made

    return vectors
