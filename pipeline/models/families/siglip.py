"""SigLIP (Hugging Face): the vision tower and its attention pooling head, which is the joint space;
no CLS token."""

from torch import nn
from transformers import SiglipTextModel, SiglipVisionModel

from pipeline.models.image_tower import ImageTower


class SiglipAdapter(ImageTower):
    """A `SiglipModel`'s vision tower with its head; SigLIP 2 of fixed resolution too."""

    family = "SigLIP"
    model_types = ("siglip", "siglip_vision_model")
    loader = SiglipVisionModel
    text_loader = SiglipTextModel

    @property
    def joint(self) -> tuple[nn.Module, int]:
        (tower,) = self.towers
        return tower.stack.get_submodule("head"), tower.width


ADAPTER = SiglipAdapter
