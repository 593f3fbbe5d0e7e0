"""Image encoders for scores: any Hugging Face model that pools an image to one vector."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel

from pipeline import config
from pipeline.models.adapter import pretrained, pretrained_model


class ImageEncoder:
    """An image encoder: DINOv2, a ResNet, or a contrastive model's image tower."""

    def __init__(self, settings: config.Encoder, *, device: str) -> None:
        self.device = torch.device(device)
        self.model = pretrained_model(AutoModel, settings.id, revision=settings.revision)
        self.model.eval().to(self.device)
        self._processor = pretrained(AutoImageProcessor, settings.id, revision=settings.revision)

    @torch.inference_mode()
    def embed(self, images: Sequence[Image.Image]) -> Tensor:
        """Unit embeddings of RGB images: float32 [b, d] on the CPU.

        A contrastive model gives its joint-space embedding, any other its `pooler_output`.
        """
        inputs = self._processor(images=list(images), return_tensors="pt").to(self.device)
        contrastive = hasattr(self.model, "get_image_features")
        output = self.model.get_image_features(**inputs) if contrastive else self.model(**inputs)
        vectors = output if isinstance(output, Tensor) else output.pooler_output
        return torch.nn.functional.normalize(vectors.flatten(1).float(), dim=1).cpu()
