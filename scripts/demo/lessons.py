"""Batches for the demo LLaVA: what is said of a scene, behind a picture of it or behind a caption.

A batch is a pure function of its place in the list that the writer's seed names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from pipeline.demo.scenes import caption, sample
from scripts.demo import batches, llava_files, talk

BLANK = 0.03
"""Share of the pictures of one plain colour, of which there is nothing to say."""
RECITED = 0.25
"""Share of the rows of words that are captions, not questions about one."""
Row: TypeAlias = tuple[list[int], list[tuple[str, list[int], list[int]]]]
"""The beginning, and turns: kind, prompt and answer."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of tokens: a beginning (a picture or facts), then turns that do not see each other.

    So each turn is learnt as if it were asked first, and the beginning is computed once for all.

    Attributes:
        ids, position, learnt: int, int, bool [b, t]; learnt tokens are the answers and their ends.
        turn: int [b, t], 0 for the beginning, then 1, 2, ...; -1 for filling.
        kinds: of each row the kinds of its turns.
        pixels: uint8 [b, 64, 64, 3], or None where the beginning is words.
    """

    ids: NDArray[np.int64]
    position: NDArray[np.int64]
    turn: NDArray[np.int64]
    learnt: NDArray[np.bool_]
    kinds: list[list[str]]
    pixels: NDArray[np.uint8] | None = None


class Writer:
    """Makes batches, each a pure function of its place in the list that the seed names."""

    def __init__(self, *, seed: int, size: int, questions: int) -> None:
        self.seed, self.size, self.questions = seed, size, questions
        vocabulary = llava_files.build_tokenizer().get_vocab()
        self.begin = [llava_files.BEGIN, vocabulary[llava_files.USER]]
        self.image, self.answer = (
            [vocabulary[name]] for name in (llava_files.IMAGE, llava_files.ASSISTANT)
        )
        self.tokenizer = llava_files.build_tokenizer()

    def ids(self, text: str) -> list[int]:
        """The tokens of a text alone."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def of_words(self, index: int) -> Batch:
        """A caption to be said again and asked about; or captions after no more than a prompt."""
        rng = np.random.default_rng((self.seed, index, 1))
        rows = []
        for k in range(self.size):
            scene = sample(index * self.size + k, seed=self.seed)
            if rng.random() < RECITED:
                asked = self.ids(talk.describe(scene, rng).prompt)
                said = [*self.ids(caption(scene)), llava_files.END]
                rows.append(
                    (
                        self.begin[:1],
                        [
                            ("caption", [], said),
                            ("caption", self.begin[1:] + asked + self.answer, said),
                        ],
                    )
                )
                continue
            turns = self._learnt(talk.turns(scene, rng, questions=self.questions))
            rows.append((self.begin + self.ids(caption(scene) + "."), turns))
        return packed(rows)

    def of_pictures(self, index: int, *, single: float = 0.0) -> Batch:
        """Captions of pictures and questions about them.

        Args:
            index: place in the list, >= 0.
            single: share of the scenes that are made to have one item.
        """
        rng = np.random.default_rng((self.seed, index, 2))
        counts = [1 if rng.random() < single else None for _ in range(self.size)]
        scenes = [
            sample(index * self.size + k, seed=self.seed, count=count)
            for k, count in enumerate(counts)
        ]
        pixels = batches.paint_scenes(scenes, resized=bool(rng.random() < 0.5))
        rows = []
        for k, scene in enumerate(scenes):
            said = talk.turns
            if rng.random() < BLANK:
                said = talk.blank
                pixels[k] = rng.integers(256, size=3 if rng.random() < 0.5 else 1)
            turns = self._learnt(said(scene, rng, questions=self.questions))
            rows.append((self.begin + self.image * llava_files.PATCHES, turns))
        return packed(rows, pixels)

    def _learnt(self, said: Sequence[talk.Turn]) -> list[tuple[str, list[int], list[int]]]:
        return [
            (t.kind, self.ids(t.prompt) + self.answer, [*self.ids(t.answer), llava_files.END])
            for t in said
        ]


def packed(rows: Sequence[Row], pixels: NDArray[np.uint8] | None = None) -> Batch:
    """Rows as arrays, filled up at the right."""
    longest = max(len(begun) + sum(len(p) + len(a) for _, p, a in turns) for begun, turns in rows)
    shape = (len(rows), longest)
    ids, position = np.full(shape, llava_files.PAD), np.zeros(shape, np.int64)
    turn, learnt = np.full(shape, -1), np.zeros(shape, bool)
    for k, (begun, turns) in enumerate(rows):
        end = len(begun)
        ids[k, :end], position[k, :end], turn[k, :end] = begun, np.arange(end), 0
        for number, (_, prompt, answer) in enumerate(turns, 1):
            start, middle, end = end, end + len(prompt), end + len(prompt) + len(answer)
            ids[k, start:end] = prompt + answer
            position[k, start:end] = len(begun) + np.arange(end - start)
            turn[k, start:end] = number
            learnt[k, middle:end] = True
    return Batch(ids, position, turn, learnt, [[t[0] for t in turns] for _, turns in rows], pixels)


def attention_mask(batch: Batch) -> Float[Tensor, "b 1 t t"]:
    """0 where a token sees another, very low elsewhere: what came before in its turn or the
    beginning."""
    turn = torch.from_numpy(batch.turn)
    same = (turn[:, :, None] == turn[:, None, :]) | (turn == 0)[:, None, :]
    sees = same & torch.ones(same.shape[1:], dtype=torch.bool).tril()
    return torch.zeros(same.shape).masked_fill(~sees, torch.finfo(torch.float32).min)[:, None]
