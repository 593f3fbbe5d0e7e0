"""Gemma 2, or another decoder of Hugging Face: words alone."""

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import torch
from PIL import Image
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline import config
from pipeline.models import parts
from pipeline.models.adapter import CAPTION, Adapter
from pipeline.models.hook_points import Tower
from pipeline.models.inputs import Inputs
from pipeline.models.layout import Layout
from pipeline.models.loading import pretrained, pretrained_model, weights_options
from pipeline.models.words import Reader, give_padding, word_kinds


class Gemma2Adapter(Adapter):
    """A `Gemma2ForCausalLM`; it reads the examples' captions."""

    prompt = CAPTION
    model_types = ("gemma2",)
    projection = None
    options: ClassVar = {"use_cache": False}

    def __init__(self, settings: config.Model, *, machine: config.Machine, device: str) -> None:
        self.settings = settings
        self.model = pretrained_model(
            AutoModelForCausalLM,
            settings.id,
            machine=machine,
            device=device,
            **weights_options(settings),
        )
        self.device = torch.device(device)
        self.tokenizer = pretrained(AutoTokenizer, settings.id, revision=settings.revision)
        self.tokenizer.padding_side = "left"
        give_padding(self.tokenizer, self.model.config, name=settings.id)

    @cached_property
    def reader(self) -> Reader:
        return Reader(self.tokenizer, most=self.model.config.max_position_embeddings)

    @cached_property
    def towers(self) -> Sequence[Tower]:
        decoder = parts.find(self.model, ("model",), what="decoder")
        return [parts.language_tower(decoder, kinds=("special", "text"))]

    def prepare(self, images: Sequence[Image.Image], prompts: Sequence[str] = ()) -> Inputs:
        return self.reader.padded([self.tokenizer(prompt)["input_ids"] for prompt in prompts])

    def layout(self, inputs: Inputs, hook: str) -> Layout:
        ids, mask = inputs.tensors["input_ids"], inputs.tensors["attention_mask"]
        kind = word_kinds(ids, mask, self.tokenizer)
        return Layout(kind, torch.arange(len(ids)), torch.full(ids.shape, -1))


ADAPTER = Gemma2Adapter
