"""PaliGemma and PaliGemma 2: SigLIP's patches through a linear projector into Gemma."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from pipeline.models.families.llava import LlavaAdapter
from pipeline.models.inputs import Inputs
from pipeline.models.words import Words


class PaliGemmaAdapter(LlavaAdapter):
    """A `PaliGemmaForConditionalGeneration`; image tokens, then the prompt."""

    prompt = "caption en"
    model_types = ("paligemma",)

    def _equip(self, processor: Any) -> None:
        if getattr(processor, "image_seq_length", 0) is None:
            rows, columns = self.vision.grid or (0, 0)
            processor.image_seq_length = rows * columns
        super()._equip(processor)

    @property
    def begins(self) -> Sequence[int]:
        return [self.processor.tokenizer.bos_token_id]

    def read_words(self, texts: Sequence[str], *, longest: int) -> Words:
        words = super().read_words(texts, longest=longest)
        # Words attend both ways, as its processor has it where they stand behind an image.
        prefix = torch.zeros_like(words.inputs.tensors["input_ids"])
        inputs = Inputs({**words.inputs.tensors, "token_type_ids": prefix})
        return replace(words, inputs=inputs)

    def bare(self, prompt: str) -> str:
        return f"{self.processor.image_token}{prompt}"


ADAPTER = PaliGemmaAdapter
