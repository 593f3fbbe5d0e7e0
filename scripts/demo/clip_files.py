"""The demo CLIP's parts as Hugging Face objects: an untrained model, a tokenizer, a processor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    BaseImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.modeling_clip import CLIPAttention

from pipeline.demo.scenes import POSITIONS, VOCABULARY

IMAGE_SIZE = 64
PATCH = 8
WIDTH = 128
TEXT_LENGTH = 32
MEAN = (0.46, 0.44, 0.42)
STD = (0.25, 0.22, 0.23)
# CLIP's text tower pools at the first end token, except where its id is 2: a legacy setting that
# pools at the highest id instead. So the end token is 3.
SPECIAL = ("<pad>", "<s>", "<unk>", "</s>")


def words() -> list[str]:
    """Every word that a caption can hold, in a fixed order."""
    names = ("size", "colour", "texture", "shape", "background")
    phrases = [*POSITIONS.values(), "a", "left of", "above", "at", "on"]
    phrases += [value for name in names for value in VOCABULARY[name]]
    return list(dict.fromkeys(word for phrase in phrases for word in phrase.split()))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer: lower case, `<s> words </s>`, unknown words become `<unk>`."""
    ids = {word: index for index, word in enumerate([*SPECIAL, *words()])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", ids["<s>"]), ("</s>", ids["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=TEXT_LENGTH,
    )


def build_image_processor() -> CLIPImageProcessor:
    """Any picture to 64 x 64 pixels (bicubic, centre crop), normalised to the scenes' own scale."""
    return CLIPImageProcessor(
        size={"shortest_edge": IMAGE_SIZE},
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        resample=3,
        image_mean=list(MEAN),
        image_std=list(STD),
    )


def build_processor() -> CLIPProcessor:
    """Image processor and tokenizer in one."""
    return CLIPProcessor(build_image_processor(), build_tokenizer())


def build_model(*, seed: int) -> CLIPModel:
    """An untrained CLIP: vision 4 x 128 on 8 x 8 patches of 64 pixels, text 2 x 128, joint 128.

    The vision tower's position embeddings start as two-dimensional sines and cosines, so that
    neighbouring patches are alike from the first step; all other weights are drawn.

    Args:
        seed: of the draw.
    """
    torch.manual_seed(seed)
    vocabulary = len(SPECIAL) + len(words())
    tower = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_attention_heads": 4,
        "hidden_act": "gelu",
        "projection_dim": WIDTH,
    }
    text = {"num_hidden_layers": 2, "vocab_size": vocabulary, "pad_token_id": 0}
    text |= {"max_position_embeddings": TEXT_LENGTH, "bos_token_id": 1, "eos_token_id": 3}
    vision = {"num_hidden_layers": 4, "image_size": IMAGE_SIZE, "patch_size": PATCH}
    config = CLIPConfig(
        text_config=tower | text, vision_config=tower | vision, projection_dim=WIDTH
    )
    # Eager attention trains twice as fast as the fused kernel on a CPU at this size.
    config._attn_implementation = "eager"
    model = CLIPModel(config)
    with torch.no_grad():
        places = model.vision_model.embeddings.position_embedding.weight
        places[1:] = 0.3 * grid_positions(IMAGE_SIZE // PATCH, width=WIDTH)
        for layer in model.vision_model.encoder.layers:
            imitate_trained(layer.self_attn)
    return model


def to_pixel_values(pixels: NDArray[np.uint8]) -> Float[Tensor, "b 3 64 64"]:
    """uint8 [b, 64, 64, 3] to what the image processor would make of it, float32 [b, 3, 64, 64]."""
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
    return (values - mean) / std


def image_embedder(
    model: CLIPModel, processor: BaseImageProcessor
) -> Callable[[list[Image.Image]], Float[Tensor, "b projection"]]:
    """A function from pictures of any size to the model's image embeddings, not normalised."""

    def embed(images: list[Image.Image]) -> Float[Tensor, "b projection"]:
        return model.get_image_features(**processor(images, return_tensors="pt")).pooler_output

    return embed


def embed_texts(
    model: CLIPModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]
) -> NDArray[np.float32]:
    """The model's embeddings of texts [n, projection], not normalised."""
    words = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        return model.get_text_features(**words).pooler_output.numpy()


def imitate_trained(attention: CLIPAttention) -> None:
    """Start an attention layer as trained ones tend to be (Trockman & Kolter 2023, "Mimetic").

    Per head, queries times keys are near a multiple of the identity, so that patches first look at
    those that are alike, in place too; values times outputs are near minus the identity.

    Args:
        attention: a CLIP attention layer, changed in place.
    """
    heads, width = attention.num_heads, attention.embed_dim
    rank = width // heads
    noise, same = 0.7, 0.7
    for head in range(heads):
        rows = slice(head * rank, (head + 1) * rank)
        target = noise * torch.randn(width, width) / width**0.5 + same * torch.eye(width)
        left, strength, right = torch.linalg.svd(target)
        root = strength[:rank].sqrt()
        attention.q_proj.weight[rows] = (left[:, :rank] * root).T
        attention.k_proj.weight[rows] = right[:rank] * root[:, None]
    target = 0.4 * torch.randn(width, width) / width**0.5 - 0.4 * torch.eye(width)
    left, strength, right = torch.linalg.svd(target)
    attention.v_proj.weight.copy_(strength.sqrt()[:, None] * right)
    attention.out_proj.weight.copy_(left * strength.sqrt())


def grid_positions(side: int, *, width: int) -> Float[Tensor, "patch width"]:
    """Sines and cosines of row and column, a quarter of the width each (He et al. 2022, MAE).

    Args:
        side: patches along one side.
        width: length of one embedding, divisible by 4.

    Returns:
        float32 [side * side, width] in -1..1, patches row by row.
    """
    rate = 1.0 / 100 ** (np.arange(width // 4) / (width // 4))
    row, column = np.divmod(np.arange(side * side), side)
    angles = np.concatenate([row[:, None] * rate, column[:, None] * rate], axis=1)
    return torch.from_numpy(np.concatenate([np.sin(angles), np.cos(angles)], axis=1)).float()
