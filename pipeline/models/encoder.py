"""Encoders: any model that makes one vector of an image; contrastive ones make one of words too."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel

from pipeline import config
from pipeline.models import parts
from pipeline.models.finite import refuse_infinite_vectors
from pipeline.models.loading import ModelError, line_of, pretrained, pretrained_model
from pipeline.models.memory import Halving
from pipeline.models.text_tower import embedded, reader_of
from pipeline.models.trial import UNKNOWN
from pipeline.models.words import Known, Reads, Words, known

_TEXTS = 256
"""Texts at once."""


@dataclass(frozen=True)
class _Parts:
    """What an encoder is made of.

    Attributes:
        pixels: what its processor makes of pictures, on the CPU; has `to(device)`.
        vectors: what the model makes of that.
        reader: None where it has no text tower, or no tokenizer to read words with.
    """

    pixels: Callable[[Sequence[Image.Image]], Any]
    vectors: Callable[[Any], Tensor]
    model: Any
    reader: Reads | None


class ImageEncoder:
    """An image encoder: DINOv2, a ResNet, or a contrastive model with its text tower."""

    def __init__(self, settings: config.Encoder, *, device: str) -> None:
        self.settings = settings
        self.device = torch.device(device)
        self._fits = Halving(f"encoder {settings.id}")
        build = _openclip if settings.family == "openclip" else _hugging_face
        made = build(settings, self.device)
        self._pixels, self._of_pixels = made.pixels, made.vectors
        self._model, self._reader = made.model, made.reader
        self._try()

    def _try(self) -> None:
        """Raises ModelError where it cannot be given a picture or words; a form without weights is
        not run."""
        blank = Image.new("RGB", (64, 48), "grey")
        try:
            self._pixels([blank])
            if self._reader is not None:
                self._reader.read([UNKNOWN], longest=sys.maxsize)
            if self.device.type != "meta":
                self.embed([blank])
        except ModelError:
            raise
        except Exception as error:  # whatever a library makes of what the files say
            raise ModelError(
                f"encoder {self.settings.id}: makes no vector of a picture "
                f"({type(error).__name__}: {line_of(error)}); mend its preprocessor_config.json "
                "and tokenizer files, or name an image encoder, as facebook/dinov2-base"
            ) from error

    @property
    def speaks(self) -> bool:
        """Whether it embeds words into the space of the images: it has a text tower and, in its
        files, a tokenizer."""
        return self._reader is not None

    @torch.inference_mode()
    def embed(self, images: Sequence[Image.Image]) -> Tensor:
        """Unit embeddings of RGB images: float32 [b, d] on the CPU.

        A contrastive model gives its joint-space embedding, any other its `pooler_output`.

        Raises:
            ModelError: not even one image fits in memory, or what it makes is not finite.
        """
        parts = self._fits.run(
            len(images), lambda start, end: self._vectors(images[start:end]).flatten(1)
        )
        return torch.cat([self._unit(part) for part in parts])

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings of texts in the space of the images: float32 [b, d] on the CPU.

        Of a text longer than the model reads the beginning counts; a text may be empty.

        Raises:
            ModelError: it does not speak, there are no texts, not even one fits in memory, or what
                it makes is not finite.
        """
        if self._reader is None:
            raise ModelError(
                f"encoder {self.settings.id}: embeds no words; name a contrastive model with its "
                "tokenizer, as openai/clip-vit-base-patch32"
            )
        if not texts:
            raise ModelError(f"encoder {self.settings.id}: no texts to embed")
        made: list[Tensor] = []
        for first in range(0, len(texts), _TEXTS):
            words = self._reader.read(texts[first : first + _TEXTS], longest=sys.maxsize)
            made += self._fits.run(len(words), self._over(words))
        return torch.cat([self._unit(part) for part in made])

    def _vectors(self, images: Sequence[Image.Image]) -> Tensor:
        """Of pictures, as the model makes them."""
        return self._of_pixels(self._pixels(images).to(self.device))

    def _unit(self, vectors: Tensor) -> Tensor:
        """Of unit length, on the CPU."""
        refuse_infinite_vectors(vectors, self._model, who=f"encoder {self.settings.id}")
        return torch.nn.functional.normalize(vectors.float(), dim=1).cpu()

    def knows(self, text: str) -> bool:
        """Whether its tokenizer has tokens for all of the text: unknown words all look alike."""
        return self._reader is not None and self._reader.knows(text)

    def known(self, text: str) -> Known:
        """The text as far as its tokenizer knows its words; nothing where it reads none."""
        return Known("", ()) if self._reader is None else known(self._reader, text)

    def _over(self, words: Words) -> Callable[[int, int], Tensor]:
        """Work on a piece of the texts, as `Halving` wants it."""
        return lambda start, end: embedded(self._model, words[start:end], device=self.device)


def which_speak(encoders: Mapping[str, config.Encoder]) -> dict[str, bool]:
    """Which encoders embed words, without loading their weights."""
    return {name: ImageEncoder(each, device="meta").speaks for name, each in encoders.items()}


def first_speaker(speaks: Mapping[str, bool], named: str | None, *, key: str) -> str | None:
    """The encoder that a config names under `key`, or the first that embeds words; None without.

    Raises:
        ModelError: the one named embeds no words.
    """
    if named is not None and not speaks[named]:
        raise ModelError(
            f"{key} = {named!r}: embeds no words; name a contrastive model that has its tokenizer, "
            "or drop the key"
        )
    return named or next((name for name, words in speaks.items() if words), None)


def answers_encoder(speaks: Mapping[str, bool], named: str | None) -> str:
    """The encoder in whose space answers are compared with images.

    Raises:
        ModelError: the one named embeds no words, or none does.
    """
    chosen = first_speaker(speaks, named, key="steering.encoder")
    if chosen is None:
        raise ModelError(
            "steering: no encoder embeds words, so that answers cannot be compared with "
            "images; add a contrastive one, as [encoders.clip] with id = "
            "'openai/clip-vit-base-patch32' and judges = false, or remove [steering]"
        )
    return chosen


def _hugging_face(settings: config.Encoder, device: torch.device) -> _Parts:
    name, revision = settings.id, settings.revision
    model = pretrained_model(
        AutoModel, name, machine=config.Machine(), device=str(device), revision=revision
    )
    processor = pretrained(AutoImageProcessor, name, revision=revision)
    embed = getattr(model, "get_image_features", model)

    def pixels(images: Sequence[Image.Image]) -> Any:
        made = processor(images=list(images), return_tensors="pt")
        seen = getattr(model.config, "vision_config", model.config)
        if wrong := parts.other_size(made["pixel_values"], seen):
            raise ModelError(f"encoder {name}: {wrong}")
        return made

    def vectors(pixels: Any) -> Tensor:
        output = embed(**pixels)
        made = output if isinstance(output, Tensor) else getattr(output, "pooler_output", None)
        if not isinstance(made, Tensor):
            raise ModelError(
                f"encoder {name}: a {type(model).__name__} makes no one vector of an image; name "
                "an image encoder, as facebook/dinov2-base"
            )
        return made

    reader = None
    if hasattr(model, "get_text_features"):
        reader = reader_of(model.config, name, revision=revision)
    return _Parts(pixels, vectors, model, reader)


def _openclip(settings: config.Encoder, device: torch.device) -> _Parts:
    from pipeline.models.families import openclip

    model, transform = openclip.load_contrastive(settings.id, device=str(device))

    return _Parts(
        lambda images: torch.stack([transform(image) for image in images]),
        model.visual,
        model,
        openclip.reader_of(settings.id),
    )
