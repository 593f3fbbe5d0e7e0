"""The text tower of a contrastive model: words as vectors in the joint space."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedModel

from pipeline import config
from pipeline.models.loading import ModelError, pretrained, pretrained_model, telling
from pipeline.models.words import Reader, Words

_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
)
"""Files of words, one of which each tokenizer has."""


@dataclass(frozen=True)
class Logits:
    """How a contrastive model makes logits of cosines: `scale cos + bias`.

    Attributes:
        bias: None where texts compete for an image in a softmax (CLIP); else each text is told by
            a sigmoid of its own (SigLIP).
    """

    scale: float
    bias: float | None = None

    def chances(self, cosines: Tensor) -> Tensor:
        """Probabilities of texts [*b n], of their cosines with an image."""
        logits = self.scale * cosines.double()
        if self.bias is None:
            return logits.softmax(-1)
        return (logits + self.bias).sigmoid()


class _Scales(PreTrainedModel):
    """The two numbers of a whole contrastive model, without its towers."""

    def __init__(self, described: Any) -> None:
        super().__init__(described)
        biased = described.model_type.startswith("siglip")
        shape = (1,) if biased else ()
        self.logit_scale = nn.Parameter(torch.zeros(shape))
        if biased:
            self.logit_bias = nn.Parameter(torch.zeros(shape))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: all there is comes from the files."""


def logits_of(described: Any, name: str, *, revision: str | None) -> Logits:
    """How a contrastive model of Hugging Face makes logits; of its files no more is read.

    Raises:
        ModelError: its files lack them, as those of an image tower alone.
    """
    found = pretrained_model(
        _Scales,
        name,
        machine=config.Machine(),
        device="cpu",
        revision=revision,
        config=described,
        dtype=torch.float32,
        attn_implementation="eager",  # it has none at all
    )
    bias = getattr(found, "logit_bias", None)
    return Logits(math.exp(found.logit_scale.item()), None if bias is None else bias.item())


def reader_of(described: Any, name: str, *, revision: str | None) -> Reader | None:
    """What reads words for a contrastive model of Hugging Face, by its config and its tokenizer;
    None where it has no text tower, or its files hold no tokenizer. Loads no weights.

    Raises:
        ModelError: the tokenizer's files are damaged, or of another model.
    """
    if not hasattr(described, "text_config"):
        return None
    if Path(name).is_dir() and not any(Path(name, file).is_file() for file in _TOKENIZERS):
        return None
    try:
        tokenizer = pretrained(AutoTokenizer, name, revision=revision)
    except ModelError as error:
        # Of the hub it cannot be told otherwise that there is none.
        if isinstance(error.__cause__, OSError) and not Path(name).is_dir():
            return None
        raise
    # Without files transformers makes one that knows no word.
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        return None
    rows = described.text_config.vocab_size
    if tokenizer.vocab_size > rows:
        raise ModelError(
            f"model {name}: its tokenizer knows {tokenizer.vocab_size} words, but its text tower "
            f"embeds {rows}; they are of different models, fetch both again from one place"
        )
    tokenizer.truncation_side = "right"
    # SigLIP read padding as it learnt, always to the full length; CLIP masks it.
    full = described.model_type.startswith("siglip")
    with telling(name):
        most = described.text_config.max_position_embeddings
        return Reader(tokenizer, most=most, full=full, rows=rows)


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
