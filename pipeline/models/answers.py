"""A generator with eyes learning to answer: labels on the answers alone, and their loss."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pipeline.models.families.clip_gemma import ClipGemmaAdapter, asked
from pipeline.models.inputs import Inputs

IGNORED = -100
"""The label of what is not learnt."""
Turns = Sequence[tuple[str, str]]
"""Questions, each with its answer."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Conversations as the model takes them, padded at the right, with what is to be learnt.

    Attributes:
        labels: of each token itself, not of the one before; IGNORED but for answers and their ends.
    """

    inputs: Inputs
    labels: Int[Tensor, "b t"]

    @property
    def learnt(self) -> Bool[Tensor, "b p"]:
        """Of each token but the last, whether the next one is to be learnt."""
        return self.labels[:, 1:] != IGNORED

    def pieces(self, count: int) -> Iterator["Batch"]:
        """The same in up to `count` parts of about the same size."""
        size = math.ceil(len(self.labels) / count)
        for start in range(0, len(self.labels), size):
            part = slice(start, start + size)
            yield Batch(self.inputs[part], self.labels[part])


def labelled(
    adapter: ClipGemmaAdapter,
    pictures: Sequence[Image.Image],
    turns: Sequence[Turns],
    *,
    max_text: int,
) -> Batch:
    """Pictures and what is said of them as inputs and labels; on the CPU.

    Each begins as `adapter.prepare` makes it of `asked(question)`, so that what is asked later
    looks the same; then come the answer, the end-of-sequence token, the next question, and so on.
    """
    tokenizer = adapter.processor.tokenizer
    begun = adapter.prepare(pictures, [asked(said[0][0]) for said in turns]).tensors
    all_ids, all_labels = [], []
    for row, mask, said in zip(begun["input_ids"], begun["attention_mask"], turns, strict=True):
        ids = row[mask.bool()].tolist()
        text_begins = max(i for i, token in enumerate(ids) if token == adapter.image_token) + 1
        labels = [IGNORED] * len(ids)
        for number, (question, answer) in enumerate(said):
            if number:
                ids += tokenizer(asked(question), add_special_tokens=False).input_ids
                labels += [IGNORED] * (len(ids) - len(labels))
            words = tokenizer(answer, add_special_tokens=False).input_ids
            ids += [*words, tokenizer.eos_token_id]
            labels += [*words, tokenizer.eos_token_id]
        all_ids.append(torch.tensor(ids[: text_begins + max_text]))
        all_labels.append(torch.tensor(labels[: text_begins + max_text]))
    inputs = {
        "input_ids": pad_sequence(all_ids, True, tokenizer.pad_token_id),
        "attention_mask": pad_sequence([torch.ones_like(ids) for ids in all_ids], True, 0),
        "pixel_values": begun["pixel_values"],
    }
    return Batch(
        Inputs(inputs, tuple(picture.size for picture in pictures)),
        pad_sequence(all_labels, True, IGNORED),
    )


def answer_loss(adapter: ClipGemmaAdapter, batch: Batch) -> Float[Tensor, ""]:
    """Cross-entropy in nats, summed over the tokens that are to be learnt."""
    tensors = batch.inputs.on(adapter.device)
    learnt, labels = batch.learnt.to(adapter.device), batch.labels[:, 1:].to(adapter.device)
    hidden = adapter.model.model(**tensors, use_cache=False).last_hidden_state[:, :-1]
    # Only where an answer is predicted: over Gemma's vocabulary the others would fill the memory.
    logits = adapter.model.lm_head(hidden[learnt])
    return F.cross_entropy(logits.float(), labels[learnt], reduction="sum")
