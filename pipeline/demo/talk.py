"""What is said of scenes: captions, questions with their answers, and how answers are judged.

Everything is drawn from a random generator that the caller seeds, and is true of the scene. In a
scene of several items a question names its item by what no other item has ("the red object").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from pipeline.demo.scenes import ITEM_ATTRIBUTES, POSITIONS, VOCABULARY, Item, Scene, caption

DESCRIBE = (
    "Describe the image.",
    "Describe the picture.",
    "What is in the picture?",
    "What do you see?",
)
"""Prompts that a caption answers."""
ONE_WORD = (
    "What is in the picture? Answer in one word.",
    "What is shown in this image? Use exactly one word!",
)
"""Prompts that one true word answers: the largest item's shape, colour or texture, or the ground."""
NOTHING, NONE = "nothing", "none"
"""What is said of a blank picture: to DESCRIBE and ONE_WORD, and to what asks for an attribute."""
ASKED = (*ITEM_ATTRIBUTES, "background", "position", "count")
"""Attributes that are asked for."""
CHECKED = (*ITEM_ATTRIBUTES, "background", "which", "pair")
"""What yes-or-no questions are about: "which" asks whether the item named is so, "pair" whether two
attributes meet in one item; the others whether a value is anywhere in the scene."""

_ASKING: Mapping[str, str] = MappingProxyType(
    {
        "shape": "What shape is the {}?",
        "colour": "What colour is the {}?",
        "texture": "What texture is the {}?",
        "size": "What size is the {}?",
        "background": "What is the background?",
        "position": "Where is the {}?",
        "count": "How many objects are there?",
    }
)
_GROUND = re.compile(r"\b(?:on|at) (" + "|".join(VOCABULARY["background"]) + r")$")
_PLACE = re.compile(r"\b(" + "|".join(sorted(POSITIONS.values(), key=len, reverse=True)) + r")\b")
_ITEM = " ".join(["a", *(f"(?:{'|'.join(VOCABULARY[a])})" for a in _ITEM_ORDER)]) if False else ""


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt and its answer; `kind` is "caption", "one word", an attribute or "yes/no ..."."""

    kind: str
    prompt: str
    answer: str
