"""PaliGemma and PaliGemma 2: SigLIP's patches through a linear projector into Gemma."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import AutoImageProcessor, AutoTokenizer, PaliGemmaProcessor

from pipeline.models import parts
from pipeline.models.inputs import Inputs
from pipeline.models.llava import LlavaAdapter
from pipeline.models.loading import ModelError, pretrained, telling
from pipeline.models.words import Words


class PaliGemmaAdapter(LlavaAdapter):
    """A `PaliGemmaForConditionalGeneration`; image tokens, then the prompt."""

    prompt = "caption en"
    model_types = ("paligemma",)

    def _processor(self, found: Any) -> Any:
        name, revision = self.settings.id, self.settings.revision
        try:
            return super()._processor(found)
        except ModelError as error:
            if "image_seq_length" not in str(error):
                raise
        pictures = pretrained(AutoImageProcessor, name, revision=revision)
        rows, columns = parts.patch_grid(2 * (found.vision_config.image_size,), found.vision_config)
        pictures.image_seq_length = rows * columns
        tokenizer = pretrained(AutoTokenizer, name, revision=revision)
        with telling(name):
            return PaliGemmaProcessor(image_processor=pictures, tokenizer=tokenizer)

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
