"""Any image-text-to-text model of Hugging Face: a vision tower, a projector, a language model."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from pipeline import config
from pipeline.models import parts
from pipeline.models.adapter import CAPTION, Adapter
from pipeline.models.hook_points import HookPoint, Region, Tower
from pipeline.models.inputs import Inputs
from pipeline.models.layout import Layout, code
from pipeline.models.loading import (
    ModelError,
    describe,
    pretrained,
    pretrained_model,
    weights_options,
)
from pipeline.models.words import Reader, give_padding, word_kinds

CLS, ROW_END = -2, -3
"""Image tokens that are no patch, where `image_cells` has the others' cells."""


class GenericAdapter(Adapter):
    """A generator with eyes, where its parts can be found; the families below refine it.

    Attributes:
        processor: the model's own, of pictures and words.
    """

    prompt = "Describe the image."
    options: ClassVar = {"use_cache": False}
    model_types: tuple[str, ...] = ()
    """Of the configs that it loads; any when empty."""

    def __init__(self, settings: config.Model, *, machine: config.Machine, device: str) -> None:
        self.settings = settings
        found = describe(settings.id, revision=settings.revision)
        if self.model_types and found.model_type not in self.model_types:
            raise ModelError(
                f"model {settings.id}: is {found.model_type}, not {self.model_types[0]}; "
                "mend models.*.family"
            )
        self.model = pretrained_model(
            AutoModelForImageTextToText,
            settings.id,
            machine=machine,
            device=device,
            config=found,
            **weights_options(settings),
        )
        self.device = torch.device(device)
        self._equip(pretrained(AutoProcessor, settings.id, revision=settings.revision))

    def _equip(self, processor: Any) -> None:
        if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
            raise ModelError(
                f"model {self.settings.id}: its processor is a {type(processor).__name__}, which "
                "lacks a tokenizer or an image_processor; add them to the model's folder"
            )
        processor.tokenizer.padding_side = "left"  # as generation needs it
        processor.tokenizer.truncation_side = "right"
        self.processor = processor
        give_padding(processor.tokenizer, self.model.config, name=self.settings.id)

    def unfit(self, inputs: Inputs) -> str | None:
        found = int((inputs.tensors["input_ids"] == self.image_token).sum())
        described, token = self.model.config, self.processor.image_token
        if not found:
            known = self.processor.tokenizer.convert_tokens_to_ids(token)
            return (
                f"no image token in its prompt: {token!r} is token {known} of its tokenizer, "
                f"{self.image_token} of its config; mend image_token_id (or image_token_index) in "
                "config.json, or the chat template, or the prompt"
            )
        each = getattr(described, "mm_tokens_per_image", None)
        if each and found % each:
            return (
                f"its processor makes {found} image tokens of a picture, but config.json says "
                f"mm_tokens_per_image = {each}; mend image_seq_length in processor_config.json"
            )
        pixels = inputs.tensors.get("pixel_values")
        return None if pixels is None else parts.other_size(pixels, self.vision.stack.config)

    @cached_property
    def image_token(self) -> int:
        """The token id that stands for the image in the language model's input."""
        for owner in (self.model.config, self.processor):
            for name in ("image_token_id", "image_token_index"):
                if isinstance(found := getattr(owner, name, None), int):
                    return found
        raise ModelError(
            f"{type(self.model).__name__}: no image token: neither its config nor its processor "
            "has the attribute image_token_id or image_token_index"
        )

    @cached_property
    def vision(self) -> Tower:
        """The vision tower alone."""
        return parts.vision_tower(parts.find(self._inner, parts.VISION, what="vision tower"))

    @property
    def begins(self) -> Sequence[int]:
        """The tokens before words alone that the processor, not the tokenizer, writes."""
        return ()

    @cached_property
    def reader(self) -> Reader:
        described = self.model.config.get_text_config()
        return Reader(
            self.processor.tokenizer,
            most=described.max_position_embeddings,
            first=self.begins,
            extra=[self.processor.image_token],
        )

    @cached_property
    def towers(self) -> Sequence[Tower]:
        language = parts.find(self._inner, parts.LANGUAGE, what="language model")
        kinds = ("special", *(("cls",) if self.projected_cls else ()), "patch", "text", "caption")
        return [self.vision, parts.language_tower(language, kinds=kinds, grid=self.token_grid)]

    @cached_property
    def projection(self) -> HookPoint:
        grid, cls = self.token_grid, self.projected_cls
        projector = parts.find(self._inner, parts.PROJECTOR, what="projector")
        return HookPoint(
            name="vision.projection",
            tower="vision",
            layer=None,
            point="projection",
            depth=len(self.vision.layers),
            d_in=self.towers[1].width,
            kinds=("cls", "patch") if cls else ("patch",),
            tokens=cls + grid[0] * grid[1] if grid else None,
            grid=grid,
            module=projector,
            # Not the whole model: generation runs the projector before it runs that.
            stack=projector,
        )

    @property
    def projected_cls(self) -> int:
        """How many CLS tokens pass the projector, before the patches."""
        return 0

    @property
    def _inner(self) -> Any:
        return getattr(self.model, "model", self.model)

    @cached_property
    def token_grid(self) -> tuple[int, int] | None:
        """Rows and columns of the image tokens of a square picture, as the processor counts them;
        None where their number makes no square."""
        blank = Image.new("RGB", (64, 64))
        ids = self.prepare([blank], [""]).tensors["input_ids"]
        side = int((ids == self.image_token).sum()) ** 0.5
        return (int(side), int(side)) if side and side.is_integer() else None

    def prepare(self, images: Sequence[Image.Image], prompts: Sequence[str] = ()) -> Inputs:
        texts = [self.templated(prompt) for prompt in prompts or [self.prompt] * len(images)]
        begin = self.processor.tokenizer.bos_token
        made = self.processor(
            images=[[image] for image in images],
            text=texts,
            padding=True,
            return_tensors="pt",
            # A chat template writes the first token itself.
            add_special_tokens=not (begin and texts[0].startswith(begin)),
        )
        dtype = getattr(torch, self.settings.dtype)
        tensors = {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in made.items()
            # PaliGemma's processor adds labels, which are for training.
            if isinstance(tensor, Tensor) and name != "labels"
        }
        return Inputs(tensors, tuple(image.size for image in images))

    def prompted(
        self, images: Sequence[Image.Image], asked: str, *, captions: Sequence[str]
    ) -> Inputs:
        made = super().prompted(images, asked, captions=captions)
        if CAPTION not in asked:
            return made
        around = self.templated(asked).split(CAPTION)
        ids = made.tensors["input_ids"]
        rows = [
            self.reader.marked(row, around, caption)
            for row, caption in zip(ids, captions, strict=True)
        ]
        return replace(made, caption=torch.stack(rows))

    def record(self, inputs: Inputs, names: Sequence[str]) -> dict[str, Tensor]:
        acts = super().record(inputs, names)
        for name, found in acts.items():
            wanted = self.layout(inputs, name).kind.shape
            if found.shape[:2] != wanted:
                raise self._unclear(f"{name} of shape {tuple(found.shape)}", inputs)
        return acts

    def templated(self, prompt: str) -> str:
        """The prompt with the image's place in it: through the chat template where the processor
        has one, else behind the image token. A prompt that holds that token stays as it is."""
        if self.processor.image_token in prompt:
            return prompt
        if getattr(self.processor, "chat_template", None) is None:
            return self.bare(prompt)
        content = [{"type": "image"}, {"type": "text", "text": prompt}]
        text: str = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        return text

    def bare(self, prompt: str) -> str:
        """The prompt with the image before it, for models without a chat template."""
        return f"{self.processor.image_token}\n{prompt}"

    def layout(self, inputs: Inputs, hook: str) -> Layout:
        point = self.resolve(hook)
        if point.tower == "language":
            return self._words(inputs)
        if point.layer is None:
            return self._projected(inputs)
        return self._patches(inputs)

    def region(self, size: tuple[int, int]) -> Region:
        return parts.seen_region(self.processor.image_processor, size)

    def _patches(self, inputs: Inputs) -> Layout:
        """Of the vision tower."""
        pixels = inputs.tensors["pixel_values"]
        if pixels.ndim != 4 or len(pixels) != len(inputs):
            raise self._unclear(f"pixel_values of shape {tuple(pixels.shape)}", inputs)
        return Layout.of_patches(
            len(inputs),
            grid=parts.patch_grid((pixels.shape[-2], pixels.shape[-1]), self.vision.stack.config),
            cls_tokens=parts.cls_tokens(self.vision.stack),
        )

    def _projected(self, inputs: Inputs) -> Layout:
        """Behind the projector: the image tokens alone."""
        found = self.image_cells(inputs)
        if len({len(cells) for cells in found}) > 1:
            raise self._unclear(f"{[len(cells) for cells in found]} image tokens", inputs)
        cells = torch.stack(found)
        return Layout(
            _kinds(cells),
            torch.arange(len(inputs)),
            cells.clamp(min=-1),
            self.token_grid,
        )

    def _unclear(self, what: str, inputs: Inputs) -> ModelError:
        return ModelError(
            f"{type(self.model).__name__}: {what} for {len(inputs)} images: which token is which "
            "patch is not known; read the language model's hook points, or write an adapter for "
            "its family"
        )

    def _words(self, inputs: Inputs) -> Layout:
        """Of the language model."""
        ids, mask = inputs.tensors["input_ids"], inputs.tensors["attention_mask"]
        kind = word_kinds(ids, mask, self.processor.tokenizer)
        if inputs.caption is not None:
            kind[inputs.caption & (kind == code("text"))] = code("caption")
        cell = torch.full(ids.shape, -1)
        # Words alone have no image among them.
        for row, cells in enumerate(self.image_cells(inputs) if inputs.sizes else ()):
            at = ids[row] == self.image_token
            cell[row, at] = cells.clamp(min=-1)
            kind[row, at] = _kinds(cells)
        return Layout(kind, torch.arange(len(ids)), cell, self.token_grid)

    def image_cells(self, inputs: Inputs) -> list[Tensor]:
        """For each example the cells of its image tokens, in order; -1 for a patch without a cell,
        CLS or ROW_END for what is no patch."""
        counts = (inputs.tensors["input_ids"] == self.image_token).sum(1).tolist()
        cells = self.token_grid[0] * self.token_grid[1] if self.token_grid else 0
        return [torch.arange(n) if n == cells else torch.full((n,), -1) for n in counts]


def _kinds(cells: Tensor) -> Tensor:
    kind = torch.full(cells.shape, code("patch"), dtype=torch.int8)
    return kind.masked_fill(cells == CLS, code("cls")).masked_fill(
        cells == ROW_END, code("special")
    )


ADAPTER = GenericAdapter
