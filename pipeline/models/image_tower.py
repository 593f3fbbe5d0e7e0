"""What the adapters of contrastive models share: an image tower and the joint space behind it."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoImageProcessor

from pipeline import config
from pipeline.models import files, parts
from pipeline.models.adapter import Adapter
from pipeline.models.finite import refuse_infinite_vectors
from pipeline.models.hook_points import HookPoint, Region, Tower
from pipeline.models.inputs import Inputs
from pipeline.models.layout import Layout
from pipeline.models.loading import (
    ModelError,
    describe,
    pretrained,
    pretrained_model,
    telling,
    weights_options,
)
from pipeline.models.text_tower import Logits, embedded, logits_of, reader_of
from pipeline.models.words import Reads, Words


class ImageTower(Adapter):
    """A Hugging Face contrastive model's image tower; its text tower is loaded once words come.

    Attributes:
        family: what the errors call it.
        model_types: of the configs that it loads.
        loader: the class of its image tower.
        text_loader: that of its text tower with the projection into the joint space.
    """

    family: str
    model_types: tuple[str, ...]
    loader: Any
    text_loader: Any

    def __init__(self, settings: config.Model, *, machine: config.Machine, device: str) -> None:
        self.settings = settings
        self.machine = machine
        self.device = torch.device(device)
        name, revision = settings.id, settings.revision
        self.described = found = describe(name, revision=revision)
        if found.model_type not in self.model_types:
            raise ModelError(
                f"model {name}: is {found.model_type}, not {self.family}; mend models.*.family"
            )
        self.model = pretrained_model(
            self.loader,
            name,
            machine=machine,
            device=device,
            config=self.vision_config(found),
            **weights_options(settings),
        )
        self.processor = pretrained(AutoImageProcessor, name, revision=revision)
        with telling(name):
            if wrong := files.two_scales(name):
                raise ModelError(f"model {name}: {wrong}")

    def vision_config(self, described: Any) -> Any:
        """The image tower's config, out of that of the whole model."""
        return getattr(described, "vision_config", described)

    def text_config(self, described: Any) -> Any:
        """The text tower's config, out of that of the whole model."""
        return described.text_config

    @cached_property
    def reader(self) -> Reads | None:
        return reader_of(self.described, self.settings.id, revision=self.settings.revision)

    @cached_property
    def text_tower(self) -> Any:
        """What makes joint vectors of words; loaded when it is first asked for."""
        return pretrained_model(
            self.text_loader,
            self.settings.id,
            machine=self.machine,
            device=str(self.device),
            config=self.text_config(self.described),
            **weights_options(self.settings),
        )

    @cached_property
    def logits(self) -> Logits:
        """How it makes logits of the cosines of images and texts.

        Raises:
            ModelError: its files do not say.
        """
        name, revision = self.settings.id, self.settings.revision
        return logits_of(self.described, name, revision=revision)

    def takes_words(self, point: HookPoint) -> bool:
        return self.reader is not None and point.name == self.projection.name

    @torch.inference_mode()
    def record_words(self, words: Words, names: Sequence[str]) -> tuple[dict[str, Tensor], Layout]:
        vectors = embedded(self.text_tower, words, device=self.device)
        refuse_infinite_vectors(vectors, self.text_tower, who=f"model {self.settings.id}")
        return dict.fromkeys(names, vectors[:, None]), Layout.of_texts(words.pieces)

    @property
    @abstractmethod
    def joint(self) -> tuple[nn.Module, int]:
        """The module whose output is the joint embedding, and its width."""

    @cached_property
    def towers(self) -> Sequence[Tower]:
        inner = getattr(self.model, "vision_model", self.model)
        return [parts.vision_tower(inner)]

    @cached_property
    def projection(self) -> HookPoint:
        module, width = self.joint
        (tower,) = self.towers
        return HookPoint(
            name="vision.projection",
            tower="vision",
            layer=None,
            point="projection",
            depth=len(tower.layers),
            d_in=width,
            kinds=("image",),
            tokens=1,
            grid=None,
            module=module,
            stack=tower.stack,
        )

    def prepare(self, images: Sequence[Image.Image], prompts: Sequence[str] = ()) -> Inputs:
        pixels = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
        dtype = getattr(torch, self.settings.dtype)
        return Inputs({"pixel_values": pixels.to(dtype)}, tuple(image.size for image in images))

    def unfit(self, inputs: Inputs) -> str | None:
        return parts.other_size(inputs.tensors["pixel_values"], self.towers[0].stack.config)

    def layout(self, inputs: Inputs, hook: str) -> Layout:
        point = self.resolve(hook)
        if point.grid is None or point.tokens is None:
            return Layout.whole(len(inputs))
        cells = point.grid[0] * point.grid[1]
        return Layout.of_patches(len(inputs), grid=point.grid, cls_tokens=point.tokens - cells)

    def region(self, size: tuple[int, int]) -> Region:
        return parts.seen_region(self.processor, size)
