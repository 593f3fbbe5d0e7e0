"""Asking a vision-language model what the top images of a feature have in common.

What it says is kept, line by line, in a file of the run's folder, so that nothing is asked twice:
not after a kill, and not when a step is made again.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from PIL import Image

from pipeline.fingerprints.keys import content_key
from pipeline.labelling.endpoint import Hopeless
from pipeline.models.loading import ModelError

PROMPT = (
    "The tiles of this picture are the images to which a feature of a vision model responds most. "
    "What do they have in common that other images lack? Answer with one short phrase of at most "
    "six words and nothing else."
)
LONGEST = 80
GIVE_UP = 3
"""After so many failures in a row no more is asked."""

log = logging.getLogger(__name__)


class Speaker(Protocol):
    """A model that answers questions about a picture."""

    def say(self, image: Image.Image, prompt: str) -> str:
        """Its answer; raises ModelError where it gives none."""
        ...


@dataclass
class Asking:
    """Asks one model about many features.

    Attributes:
        file: where its answers are kept.
        speaker: makes the model, when the first question comes that has no kept answer.
        lost: why it is not asked any more; empty while it is.
    """

    file: Path
    speaker: Callable[[], Speaker]
    lost: str = ""
    _failed: int = 0
    _made: Speaker | None = None
    _kept: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.file.is_file():
            self._kept = dict(_lines(self.file))

    def phrases(
        self,
        questions: Mapping[int, Sequence[int]],
        picture: Callable[[Sequence[int]], Image.Image],
    ) -> tuple[dict[int, str], list[str]]:
        """What it says of each feature.

        Args:
            questions: feature -> ids of its top images.
            picture: makes one picture of them.

        Returns:
            (feature -> phrase, why others have none, a line each).
        """
        found: dict[int, str] = {}
        reasons: list[str] = []
        for feature, ids in questions.items():
            key = content_key(PROMPT, list(ids))
            if key not in self._kept and not self.lost:
                self._ask(key, picture(ids), reasons)
            if key in self._kept:
                found[feature] = self._kept[key]
        return found, [*reasons, *([self.lost] if self.lost else [])]

    def _ask(self, key: str, image: Image.Image, reasons: list[str]) -> None:
        try:
            self._made = self._made or self.speaker()
            answer = phrase(self._made.say(image, PROMPT))
        except ModelError as error:
            self._failed += 1
            reasons.append(str(error))
            if isinstance(error, Hopeless) or self._made is None or self._failed == GIVE_UP:
                self.lost = f"{error}; not asked any more"
            return
        self._failed = 0
        self._kept[key] = answer
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            # The line of a killed run has no end.
            file.write("\n" + json.dumps({"question": key, "answer": answer}))
            file.flush()
            os.fsync(file.fileno())


def phrase(answer: str) -> str:
    """An answer as a label: its first line, without thoughts, quotes and Markdown, cut at 80
    characters.

    Raises:
        ModelError: nothing is left.
    """
    said = re.sub(r"<think>.*?(</think>|$)", "", answer, flags=re.DOTALL)
    lines = (line.strip(" \t\r*_#`\"'“”.-") for line in said.splitlines())
    first = next((line for line in lines if any(c.isalnum() for c in line)), "")
    kept = " ".join("".join(c if c.isprintable() else " " for c in first).split())
    if not kept:
        raise ModelError("the model gave an empty answer")
    return kept if len(kept) <= LONGEST else kept[:LONGEST].rsplit(" ", 1)[0]


def _lines(file: Path) -> list[tuple[str, str]]:
    """The answers of earlier runs; of a killed one the last line may be cut off."""
    found = []
    for line in filter(None, file.read_text(encoding="utf-8", errors="replace").split("\n")):
        try:
            row = json.loads(line)
            found.append((str(row["question"]), str(row["answer"])))
        except (ValueError, KeyError, TypeError):
            log.warning("%s: a line cannot be read and is left out", file)
    return found
