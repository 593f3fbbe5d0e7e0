"""Models that talk, what they are asked, and the ways in which they answer."""

from typing import Any

import pytest
import tiny
import tiny_families as families
import torch
from torch import Tensor

from pipeline import models

PICTURES = [tiny.picture(0), tiny.picture(1, side=77).resize((70, 30))]
PROMPTS = ["abc", "What is it?"]
NEW = 4
IMAGE = families.VOCABULARY.index("<image>")
talking = pytest.mark.parametrize("name", families.TALK)


@torch.inference_mode()
def generated(adapter: models.Adapter, batch: models.Inputs, **options: Any) -> Tensor:
    """The new tokens; always NEW of them, and none that stands for an image."""
    options = {"do_sample": False, "suppress_tokens": [IMAGE], **options}
    made = adapter.model.generate(
        **batch.tensors, max_new_tokens=NEW, min_new_tokens=NEW, **options
    )
    return made[:, batch.tensors["input_ids"].shape[1] :]


MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "no cache": {"use_cache": False},
    "chunks": {"prefill_chunk_size": 7},
    "beams": {"num_beams": 3},
    "beams without cache": {"num_beams": 3, "use_cache": False},
    "samples": {"do_sample": True, "num_return_sequences": 2},
    "all beams": {"num_beams": 3, "num_return_sequences": 3},
}
