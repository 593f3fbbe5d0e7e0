"""Conversations about images, in LLaVA's JSON: captions (one turn) and instructions (several).

Reading takes no pixels. An entry that cannot be used is left out with a reason that is counted.
"""

import json
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from pipeline import config
from pipeline.errors import LoupeError

log = logging.getLogger(__name__)

MARK = "<image>"
"""Where LLaVA's questions have the image; every model here has it before the first question."""


class ConversationError(LoupeError, ValueError):
    """The file of conversations cannot be used at all; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is said of one image.

    Attributes:
        image: the file, not yet read.
        turns: (question, answer) in order, at least one; the question may be empty.
    """

    image: Path
    turns: tuple[tuple[str, str], ...]

    @property
    def words(self) -> str:
        """Everything that is said."""
        return "\n".join(text for turn in self.turns for text in turn)


class _Odd(ValueError):
    """One entry cannot be used; the message is the reason."""


def read(settings: config.Conversations) -> tuple[list[Conversation], dict[str, int]]:
    """The conversations in the file's order, and why how many entries were left out.

    Source: Liu et al. 2023, "Visual Instruction Tuning"; the form of LLaVA-Pretrain's
    `blip_laion_cc_sbu_558k.json` and of `llava_v1_5_mix665k.json`.

    Raises:
        ConversationError: no such file, not JSON, no list, or no usable entry.
    """
    found: list[Conversation] = []
    odd: Counter[str] = Counter()
    for entry in _entries(settings.path):
        if settings.limit is not None and len(found) >= settings.limit:
            break
        try:
            found.append(_conversation(entry, settings.images))
        except _Odd as fault:
            odd[str(fault)] += 1
    for reason, count in sorted(odd.items()):
        log.warning("%s: %d entries left out: %s", settings.path, count, reason)
    if not found:
        why = f" ({odd.most_common(1)[0][0]})" if odd else ""
        raise ConversationError(
            f"{settings.path}: no entry can be used{why}; give LLaVA's JSON: "
            '[{"image": FILE, "conversations": [{"from": "human", "value": TEXT}, '
            '{"from": "gpt", "value": TEXT}]}]'
        )
    return found, dict(sorted(odd.items()))


def _entries(path: Path) -> list[Any]:
    try:
        entries = json.loads(path.read_bytes())
    except OSError as error:
        raise ConversationError(
            f"{path}: cannot be read ({error.strerror}); name LLaVA's JSON in data.path"
        ) from None
    except (ValueError, RecursionError) as error:
        why = str(error).replace("\n", " ")
        raise ConversationError(
            f"{path}: not JSON ({why}); name LLaVA's JSON in data.path, not its JSONL"
        ) from None
    if not isinstance(entries, list):
        raise ConversationError(
            f"{path}: holds no list but a {type(entries).__name__}; name LLaVA's JSON in data.path"
        )
    return entries


def _conversation(entry: Any, images: Path) -> Conversation:
    if not isinstance(entry, dict):
        raise _Odd("no JSON object")
    image, said = entry.get("image"), entry.get("conversations")
    if image is None:
        raise _Odd("no image")
    if not isinstance(image, str) or not image or "\0" in image:
        raise _Odd("image is not the name of one file")
    if not _is_text(image):
        raise _Odd("an image's name that is no Unicode")
    if PurePath(image).is_absolute() or ".." in PurePath(image).parts:
        raise _Odd("image is a path out of the folder data.images")
    if not isinstance(said, list) or not said or len(said) % 2:
        raise _Odd("conversations is no list of questions, each with its answer")
    questions = [_said(part, "human") for part in said[::2]]
    answers = [_said(part, "gpt") for part in said[1::2]]
    if sum(question.count(MARK) for question in questions) > 1:
        raise _Odd(f"{MARK} more than once")
    if any(MARK in answer for answer in answers):
        raise _Odd(f"{MARK} in an answer")
    if not all(answers):
        raise _Odd("an empty answer")
    bare = [question.replace(MARK, "").strip() for question in questions]
    return Conversation(images / image, tuple(zip(bare, answers, strict=True)))


def _said(part: Any, speaker: str) -> str:
    if not isinstance(part, dict) or not isinstance(part.get("value"), str):
        raise _Odd("a part of conversations without a text as its value")
    if part.get("from") != speaker:
        raise _Odd("the speakers are not human and gpt in turn")
    text: str = part["value"].strip()
    if not _is_text(text):
        raise _Odd("text that is no Unicode")
    return text


def _is_text(text: str) -> bool:
    """Without lone halves of surrogate pairs, which no file can hold as UTF-8."""
    return not any("\ud800" <= c <= "\udfff" for c in text)
