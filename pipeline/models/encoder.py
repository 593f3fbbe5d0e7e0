"""Encoders: any model that makes one vector of an image; contrastive ones make one of words too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from pipeline import config
from pipeline.models.loading import ModelError, pretrained, pretrained_model
from pipeline.models.memory import Halving

_TEXTS = 256
"""Texts at once."""


@dataclass(frozen=True)
class _Parts:
    """What an encoder is made of; `texts` and `knows` are None where it has no text tower, or no
    tokenizer to read words with."""

    images: Callable[[Sequence[Image.Image]], Tensor]
    texts: Callable[[Sequence[str]], Tensor] | None = None
    knows: Callable[[str], bool] | None = None


class ImageEncoder:
    """An image encoder: DINOv2, a ResNet, or a contrastive model with its text tower."""

    def __init__(self, settings: config.Encoder, *, device: str) -> None:
        self.settings = settings
        self.device = torch.device(device)
        self._fits = Halving(f"encoder {settings.id}")
        build = _openclip if settings.family == "openclip" else _hugging_face
        made = build(settings, self.device)
        self._vectors, self._words, self._knows = made.images, made.texts, made.knows

    @property
    def speaks(self) -> bool:
        """Whether it embeds words into the space of the images: it has a text tower and, in its
        files, a tokenizer."""
        return self._words is not None

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

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings of texts in the space of the images: float32 [b, d] on the CPU.

        Of a text longer than the model reads the beginning counts; a text may be empty.

        Raises:
            ModelError: it does not speak, there are no texts, or not even one fits in memory.
        """
        if self._words is None:
            raise ModelError(
                f"encoder {self.settings.id}: embeds no words; name a contrastive model with its "
                "tokenizer, as openai/clip-vit-base-patch32"
            )
        if not texts:
            raise ModelError(f"encoder {self.settings.id}: no texts to embed")
        made: list[Tensor] = []
        for first in range(0, len(texts), _TEXTS):
            some = texts[first : first + _TEXTS]
            made += self._fits.run(len(some), _over(some, self._words))
        return torch.cat([torch.nn.functional.normalize(part, dim=1).cpu() for part in made])

    def knows(self, text: str) -> bool:
        """Whether its tokenizer has tokens for all of the text: unknown words all look alike."""
        return self._knows is not None and self._knows(text)


def _over(
    texts: Sequence[str], embed: Callable[[Sequence[str]], Tensor]
) -> Callable[[int, int], Tensor]:
    """Work on a piece of the texts, as `Halving` wants it."""
    return lambda start, end: embed(texts[start:end]).float()


def _hugging_face(settings: config.Encoder, device: torch.device) -> _Parts:
    name, revision = settings.id, settings.revision
    model = pretrained_model(
        AutoModel, name, machine=config.Machine(), device=str(device), revision=revision
    )
    processor = pretrained(AutoImageProcessor, name, revision=revision)
    embed = getattr(model, "get_image_features", model)

    def vectors(images: Sequence[Image.Image]) -> Tensor:
        return pooled(embed(**processor(images=list(images), return_tensors="pt").to(device)))

    def pooled(output: Any) -> Tensor:
        made = output if isinstance(output, Tensor) else getattr(output, "pooler_output", None)
        if not isinstance(made, Tensor):
            raise ModelError(
                f"encoder {name}: a {type(model).__name__} makes no one vector of an image; name "
                "an image encoder, as facebook/dinov2-base"
            )
        return made

    tokenizer = _tokenizer(settings) if hasattr(model, "get_text_features") else None
    if tokenizer is None:
        return _Parts(vectors)
    # SigLIP read padding as it learnt, always to the full length; CLIP masks it.
    padding = "max_length" if model.config.model_type.startswith("siglip") else True
    longest = model.config.text_config.max_position_embeddings

    def words(texts: Sequence[str]) -> Tensor:
        tokens = tokenizer(
            list(texts), padding=padding, truncation=True, max_length=longest, return_tensors="pt"
        ).to(device)
        # Not every tokenizer's extras are known to the model.
        read = {k: tokens[k] for k in ("input_ids", "attention_mask") if k in tokens}
        return pooled(model.get_text_features(**read))

    def knows(text: str) -> bool:
        return tokenizer.unk_token_id not in tokenizer(text, add_special_tokens=False)["input_ids"]

    return _Parts(vectors, words, knows)


def _tokenizer(settings: config.Encoder) -> Any:
    """The model's tokenizer; None where its files hold none."""
    try:
        found = pretrained(AutoTokenizer, settings.id, revision=settings.revision)
    except ModelError:
        return None
    # Without files transformers makes one that knows no word.
    return found if set(found.get_vocab()) - set(found.all_special_tokens) else None


def _openclip(settings: config.Encoder, device: torch.device) -> _Parts:
    from pipeline.models.openclip import load_contrastive, load_tokenizer

    model, transform = load_contrastive(settings.id, device=str(device))
    tokenizer = load_tokenizer(settings.id)

    def vectors(images: Sequence[Image.Image]) -> Tensor:
        pixels = torch.stack([transform(image) for image in images]).to(device)
        made: Tensor = model.visual(pixels)
        return made

    if tokenizer is None:
        return _Parts(vectors)

    def words(texts: Sequence[str]) -> Tensor:
        made: Tensor = model.encode_text(tokenizer(list(texts)).to(device))
        return made

    def knows(text: str) -> bool:
        inner = getattr(tokenizer, "tokenizer", None)
        # open_clip's own tokenizer works on bytes: it knows everything.
        unknown = getattr(inner, "unk_token_id", None)
        return inner is None or unknown not in inner(text, add_special_tokens=False)["input_ids"]

    return _Parts(vectors, words, knows)
