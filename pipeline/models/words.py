"""Texts as models read them alone, without an image: their tokens, and which letters each is."""

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from pipeline.models.inputs import Inputs
from pipeline.models.layout import code
from pipeline.models.loading import ModelError

_WORD = re.compile(r"\w+(?:['’]\w+)*")


@dataclass(frozen=True, eq=False)
class Words:
    """Texts as a model reads them alone, without an image.

    Attributes:
        inputs: what the forward, or the text tower, takes; on the CPU.
        pieces: of each text the pieces that are one token each, special tokens left out; together
            they are the part of the text that is read, with its blanks. A piece is empty where
            several tokens make one letter.
        cut: letters of each text beyond what is read.
    """

    inputs: Inputs
    pieces: tuple[tuple[str, ...], ...]
    cut: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, part: slice) -> "Words":
        return Words(self.inputs[part], self.pieces[part], self.cut[part])


class Reads(Protocol):
    """Reads texts with a model's tokenizer."""

    def read(self, texts: Sequence[str], *, longest: int) -> Words:
        """At most `longest` tokens of each, and no more than the model reads; a text may be empty,
        long, and of any script."""

    def knows(self, text: str) -> bool:
        """Whether the tokenizer has tokens for all of the text."""


class Row(NamedTuple):
    """A text's token ids, its pieces, and how many of its letters are beyond them."""

    ids: list[int]
    pieces: tuple[str, ...]
    cut: int


class Reader:
    """Reads with a tokenizer of Hugging Face.

    Attributes:
        most: tokens that the model reads at most.
        full: whether every text is filled up to `most` tokens, not to the longest text.
        first: token ids that stand before each text, where the tokenizer itself puts none.
        extra: what else is no part of a text, beside the tokenizer's own special tokens.
        rows: how many words the model embeds; not looked at when not given.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        most: int,
        full: bool = False,
        first: Sequence[int] = (),
        extra: Sequence[str] = (),
        rows: int | None = None,
    ) -> None:
        # Of its own: batches are prepared in threads, and a processor's calls pad where these cut.
        self.tokenizer = copy.deepcopy(tokenizer)
        self._turn = Lock()
        self.most = min(most, tokenizer.model_max_length)
        self.full = full
        self.first = tuple(first)
        self.extra = tuple(extra)
        self.rows = rows

    def plain(self, text: str) -> str:
        """The text without what its tokenizer would take for special tokens."""
        return without(self._special, text)

    def read(self, texts: Sequence[str], *, longest: int) -> Words:
        # The tokens around a text are read however short it may be.
        around = self.tokenizer.num_special_tokens_to_add()
        limit = max(around, min(longest, self.most) - len(self.first))
        rows = [self._row(self.plain(text), limit) for text in texts]
        inputs = self.padded([[*self.first, *row.ids] for row in rows])
        last = int(inputs.tensors["input_ids"].max()) if rows else 0
        if self.rows is not None and last >= self.rows:
            raise ModelError(
                f"model {self.tokenizer.name_or_path}: its tokenizer has a token {last}, but it "
                f"embeds {self.rows} words: they are of different models, or a special token in "
                "tokenizer_config.json is misspelt"
            )
        return Words(
            inputs,
            tuple(row.pieces for row in rows),
            tuple(row.cut for row in rows),
        )

    def knows(self, text: str) -> bool:
        unknown = self.tokenizer.unk_token_id
        return unknown not in self._made(text, add_special_tokens=False)["input_ids"]

    def short(self, text: str, *, longest: int) -> str:
        """The beginning of the text: what at most `longest` tokens hold, special ones aside."""
        room = longest + self.tokenizer.num_special_tokens_to_add()
        text = self.plain(text)
        return text[: len(text) - self._row(text, room).cut]

    def padded(self, rows: Sequence[list[int]]) -> Inputs:
        """Token ids as the model takes them. A text of no token at all becomes one of padding,
        which it attends to: without any the model would have nothing to compute."""
        filling = self.tokenizer.pad_token_id or 0
        rows = [row or [filling] for row in rows]
        width = self.most if self.full else max(map(len, rows))
        ids = torch.full((len(rows), width), filling)
        mask = torch.zeros_like(ids)
        left = self.tokenizer.padding_side == "left"
        for at, row in enumerate(rows):
            part = slice(width - len(row), width) if left else slice(len(row))
            ids[at, part], mask[at, part] = torch.tensor(row), 1
        tensors = {"input_ids": ids, "attention_mask": mask}
        # What a tokenizer does not give, its model may not have learnt with.
        given = {"input_ids", *self.tokenizer.model_input_names}
        return Inputs({name: tensor for name, tensor in tensors.items() if name in given})

    def marked(
        self, ids: Int[Tensor, " t"], around: Sequence[str], caption: str
    ) -> Bool[Tensor, " t"]:
        """Which tokens of a prompt are the caption's.

        Args:
            ids: the prompt's tokens, as the model's processor makes them: with padding, and as many
                tokens in the image's place as the image takes.
            around: what of the prompt is before the caption, between its occurrences, and behind
                it.
        """
        found = torch.zeros(len(ids), dtype=torch.bool)
        # Only the tokenizers of the tokenizers library tell which letters a token is.
        if not caption or not self.tokenizer.is_fast:
            return found
        made = self._made(
            caption.join(around), add_special_tokens=False, return_offsets_mapping=True
        )
        known, letters = torch.tensor(made["input_ids"]), made["offset_mapping"]
        first = 0
        for before in around[:-1]:
            start, end = first + len(before), first + len(before) + len(caption)
            at = [i for i, (low, high) in enumerate(letters) if max(low, start) < min(high, end)]
            if at:
                place = _aligned(ids, known, at[0], at[-1] + 1)
                found[place : place + at[-1] + 1 - at[0]] = True
            first = end
        return found

    def _made(self, text: str, **options: Any) -> Any:
        """What the tokenizer makes of a text. One at a time: it keeps how to cut and to pad."""
        with self._turn:
            return self.tokenizer(text, **options)

    @cached_property
    def _wordless(self) -> frozenset[int]:
        return special_ids(self.tokenizer)

    @cached_property
    def _special(self) -> re.Pattern[str]:
        return any_of([*self.tokenizer.all_special_tokens, *self.extra])

    def _row(self, text: str, limit: int) -> Row:
        if not self.tokenizer.is_fast:
            return self._row_shown(text, limit)
        made = self._made(text, truncation=True, max_length=limit, return_offsets_mapping=True)
        pieces, at = [], 0
        for token, (_, end) in zip(made["input_ids"], made["offset_mapping"], strict=True):
            if token not in self._wordless:
                pieces.append(text[at:end])
                at = max(at, end)
        more = made.encodings[0].overflowing
        return Row(made["input_ids"], tuple(pieces), len(text) - at if more else 0)

    def _row_shown(self, text: str, limit: int) -> Row:
        """The same by a tokenizer that does not tell which letters a token is."""
        ids = self._made(text)["input_ids"]
        kept = self._made(text, truncation=True, max_length=limit)["input_ids"]
        words = [token for token in kept if token not in self._wordless]
        pieces = sliced(text, [self.tokenizer.decode([token]) for token in words])
        beyond = len(text) - sum(map(len, pieces))
        return Row(kept, pieces, beyond if len(ids) > len(kept) else 0)


class Known(NamedTuple):
    """A text as far as a tokenizer has tokens for it.

    Attributes:
        text: as it was where all of it is known, else its known words; empty where none is.
        unknown: its other words, in order, each once. To the model they all look alike.
    """

    text: str
    unknown: tuple[str, ...]


def known(reader: Reads, text: str) -> Known:
    """What of a text the reader's tokenizer knows; signs that it does not know are left out."""
    if reader.knows(text):
        return Known(text.strip(), ())
    words = _WORD.findall(text)
    there = [word for word in words if reader.knows(word)]
    unknown = dict.fromkeys(word for word in words if word not in there)
    return Known(" ".join(there), tuple(unknown))


def any_of(names: Iterable[str]) -> re.Pattern[str]:
    """What matches any of these names."""
    # The longest first: one may begin with another. Of none, what matches nothing.
    found = sorted(set(names) - {""}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, found)) or r"(?!)")


def without(special: re.Pattern[str], text: str) -> str:
    """The text without what `special` matches: what a caption happens to hold must not stand for
    an image, nor end the prompt."""
    # Half of a pair of surrogates is no letter, and no tokenizer takes it.
    text, before = text.encode("utf-8", "replace").decode(), None
    while text != before:
        text, before = special.sub("", text), text
    return text


def sliced(text: str, shown: Sequence[str]) -> tuple[str, ...]:
    """The pieces of a text that tokens stand for which only tell what they look like: each is found
    behind the last one, whatever its case and the blanks around it; empty where it is not."""
    small = text.lower()
    if len(small) != len(text):  # some letters are two when they are small
        small = text
    pieces, at = [], 0
    for word in shown:
        found = small.find(word.strip().lower(), at)
        end = at if found < 0 or not word.strip() else found + len(word.strip())
        pieces.append(text[at:end])
        at = end
    return tuple(pieces)


def _aligned(ids: Tensor, known: Tensor, start: int, end: int) -> int:
    """Where in `ids` the tokens `known[start:end]` are: of all places at which the same tokens
    stand, that with the most of the same tokens around it. Between the two lie the image's
    tokens, which no place of the caption spans."""
    wanted = known[start:end]
    if len(ids) < len(wanted):
        return len(ids)
    places = (ids.unfold(0, len(wanted), 1) == wanted).all(1).nonzero()[:, 0].tolist()

    def agree(place: int) -> int:
        before = _same(ids[:place].flip(0), known[:start].flip(0))
        return before + _same(ids[place + len(wanted) :], known[end:])

    # Of equals the last: a caption mostly stands behind the image.
    return max(reversed(places), key=agree, default=len(ids))


def _same(one: Tensor, two: Tensor) -> int:
    """How many tokens the two have in common from the beginning."""
    n = min(len(one), len(two))
    return int((one[:n] == two[:n]).int().cumprod(0).sum())


def give_padding(tokenizer: Any, described: Any, *, name: str) -> None:
    """Give a tokenizer that has no token for padding the one that the model's config names, or the
    one that ends a text: padding is masked.

    Raises:
        ModelError: neither is there.
    """
    if tokenizer.pad_token is not None:
        return
    text = described.get_text_config()
    ids = (getattr(described, "pad_token_id", None), getattr(text, "pad_token_id", None))
    words = [tokenizer.convert_ids_to_tokens(i) for i in ids if isinstance(i, int) and i >= 0]
    for word in (*words, tokenizer.eos_token):
        if word is not None:
            tokenizer.pad_token = word
            return
    raise ModelError(
        f"model {name}: its tokenizer has no pad_token; name one in its tokenizer_config.json, or "
        "pad_token_id in its config.json"
    )


def special_ids(tokenizer: Any) -> frozenset[int]:
    """The tokens without words of their own. The token of unknown words is not one of them, unless
    it also has another meaning, as CLIP's, which ends the text."""
    others = [
        token
        for token in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        if token is not None
    ]
    unknown = {tokenizer.unk_token_id} - set(others)
    return frozenset(set(tokenizer.all_special_ids) - unknown)


def word_kinds(ids: Tensor, mask: Tensor, tokenizer: Any) -> Int[Tensor, "b t"]:
    """The kinds of a language model's tokens, image tokens aside: padding, special or text."""
    special = torch.isin(ids, torch.tensor(sorted(special_ids(tokenizer))))
    kind = torch.where(special, code("special"), code("text")).to(torch.int8)
    return kind.masked_fill(mask == 0, code("pad"))
