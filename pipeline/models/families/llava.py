"""LLaVA-1.5: CLIP's patches through a two-layer projector into the language model."""

from typing import Any

import torch
from torch import Tensor

from pipeline.models import parts
from pipeline.models.families.generic import CLS, GenericAdapter
from pipeline.models.inputs import Inputs


def complete(processor: Any, described: Any, *, cls_tokens: int) -> None:
    """Tell a processor of the LLaVA family what it needs to count image tokens, as the model itself
    has it: older checkpoints leave that to the model's config.

    Args:
        cls_tokens: how many tokens its vision tower has before the patches.
    """
    if not hasattr(processor, "num_additional_image_tokens"):
        return  # another family's, as PaliGemma's, counts otherwise
    processor.patch_size = described.vision_config.patch_size
    processor.num_additional_image_tokens = cls_tokens
    processor.vision_feature_select_strategy = described.vision_feature_select_strategy
    token, tokenizer = processor.image_token, processor.tokenizer
    if token not in tokenizer.get_vocab():
        tokenizer.add_special_tokens({"additional_special_tokens": [token]})
    processor.image_token_id = tokenizer.convert_tokens_to_ids(token)


def miscounted(found: int, wanted: int) -> str | None:
    """What is wrong where a processor makes another number of image tokens than the model."""
    if found == wanted:
        return None
    return (
        f"its processor makes {found} image tokens of a picture, the model {wanted}; mend "
        "patch_size, num_additional_image_tokens, vision_feature_select_strategy or "
        "image_seq_length in processor_config.json or preprocessor_config.json"
    )


class LlavaAdapter(GenericAdapter):
    """A `LlavaForConditionalGeneration`: an image token a patch, behind CLS where it keeps that."""

    model_types: tuple[str, ...] = ("llava",)

    def _equip(self, processor: Any) -> None:
        complete(processor, self.model.config, cls_tokens=parts.cls_tokens(self.vision.stack))
        super()._equip(processor)

    def unfit(self, inputs: Inputs) -> str | None:
        found = int((inputs.tensors["input_ids"] == self.image_token).sum())
        wanted = len(self.image_cells(inputs)[0])
        return super().unfit(inputs) or miscounted(found, wanted)

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


ADAPTER = LlavaAdapter
