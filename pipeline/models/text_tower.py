"""The text tower of a contrastive model: words as vectors in the joint space."""

from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer

from pipeline.models.loading import ModelError, pretrained
from pipeline.models.words import Reader, Words


def reader_of(described: Any, name: str, *, revision: str | None) -> Reader | None:
    """What reads words for a contrastive model of Hugging Face, by its config and its tokenizer;
    None where it has no text tower, or its files hold no tokenizer. Loads no weights."""
    if not hasattr(described, "text_config"):
        return None
    try:
        tokenizer = pretrained(AutoTokenizer, name, revision=revision)
    except ModelError:
        return None
    # Without files transformers makes one that knows no word.
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        return None
    tokenizer.truncation_side = "right"
    # SigLIP read padding as it learnt, always to the full length; CLIP masks it.
    full = described.model_type.startswith("siglip")
    return Reader(tokenizer, most=described.text_config.max_position_embeddings, full=full)


def embedded(model: Any, words: Words, *, device: torch.device) -> Tensor:
    """Vectors of texts in the joint space, as long as the model makes them: [r, d] on `device`.

    Args:
        model: a whole contrastive model, of Hugging Face or open_clip, or a text tower with its
            projection.
    """
    tensors = words.inputs.on(device)
    if hasattr(model, "encode_text"):
        vectors: Tensor = model.encode_text(**tensors)
        return vectors
    made = getattr(model, "get_text_features", model)(**tensors)
    if isinstance(made, Tensor):
        return made
    found = getattr(made, "text_embeds", None)
    vectors = made.pooler_output if found is None else found
    return vectors
