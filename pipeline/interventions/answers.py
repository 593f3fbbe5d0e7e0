"""What a model says of a picture in several ways at once: as it is, edited, asked otherwise.

All ways are rows of one batch, so that they are said side by side, token by token, in the time of
one. Of rows that choose by chance all draw the same numbers: what differs is the edit's doing.
"""

import contextlib
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)

from pipeline.hooks import Edit
from pipeline.interventions.base import InterventionError
from pipeline.interventions.steering import steering
from pipeline.models.adapter import Adapter
from pipeline.models.layout import Scope
from pipeline.models.words import Reader

NOTHING: Mapping[str, Sequence[Edit]] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Way:
    """One way in which a model is asked.

    Attributes:
        prompt: goes through the model's chat template; what would be special tokens is left out.
        edits: hook point -> edits, made while it answers.
        scope: the tokens that they change.
        follows: number of another way whose tokens this one says after it: so the model that is
            not edited tells, token by token, how likely it finds what the edited one says.
    """

    prompt: str
    edits: Mapping[str, Sequence[Edit]] = field(default_factory=lambda: NOTHING)
    scope: Scope = "all"
    follows: int | None = None


@dataclass(frozen=True)
class AnswerToken:
    """One token of an answer.

    Attributes:
        piece: its letters, blanks among them; empty of the end, and where several tokens make one.
        chance: the probability that the model gave it, at temperature 1; where the model's own
            settings of generation forbid tokens or penalise repetition, after these.
        likely: the likeliest tokens in its place, with their probabilities.
    """

    token: int
    piece: str
    chance: float
    likely: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Answer:
    """What was said.

    Attributes:
        said: its tokens, that of the end among them.
        ended: whether the model ended it, rather than the limit or whoever listened.
    """

    said: tuple[AnswerToken, ...]
    ended: bool

    @property
    def text(self) -> str:
        return "".join(one.piece for one in self.said).strip()

    @property
    def perplexity(self) -> float:
        """exp of the mean surprise in nats, from 1; NaN where nothing was said. Of a way that
        follows another: how strange to it is what the other says."""
        if not self.said:
            return math.nan
        surprise = -sum(math.log(max(one.chance, 1e-30)) for one in self.said)
        return math.exp(surprise / len(self.said))

    def as_likely_as(self, other: "Answer") -> bool:
        """Whether both are the same tokens with the same chances. Up to rounding, which differs
        where a device computes the rows of a batch apart, and where an edit takes out what is 0."""
        return len(self.said) == len(other.said) and all(
            a.token == b.token and math.isclose(a.chance, b.chance, rel_tol=1e-5, abs_tol=1e-9)
            for a, b in zip(self.said, other.said, strict=True)
        )


Heard = Callable[[Sequence[Answer]], None]


@torch.inference_mode()
def answers(
    adapter: Adapter,
    images: Sequence[Image.Image],
    ways: Sequence[Way],
    *,
    longest: int = 64,
    temperature: float = 0.0,
    seed: int = 0,
    likely: int = 8,
    heard: Heard | None = None,
) -> list[Answer]:
    """What the model says of the images, each in its way.

    Args:
        images: RGB, one a way.
        longest: tokens of an answer at most, from 1.
        temperature: 0: the likeliest token each time; else one is drawn, with the same chance
            numbers in every row (Gumbel-max).
        likely: how many candidates are kept of each token.
        heard: called after each token with the answers so far; what it raises ends the generation.

    Raises:
        InterventionError: the model says nothing, an edit does not fit, or makes numbers that are
            none.
        ModelError: there is no such hook point.
    """
    tokenizer = tokenizer_of(adapter)
    inputs = adapter.prepare(images, [adapter.words(way.prompt) for way in ways])
    listener = _Listener(
        tokenizer, ways, _ends(adapter, tokenizer), temperature, seed, likely, heard or _deaf
    )
    groups = defaultdict(list)
    for number, way in enumerate(ways):
        edits = tuple((hook, tuple(map(id, of))) for hook, of in way.edits.items() if of)
        groups[edits, way.scope].append(number)
    with contextlib.ExitStack() as stack:
        for (edits, scope), rows in groups.items():
            if edits:
                stack.enter_context(
                    steering(adapter, inputs, ways[rows[0]].edits, scope=scope, examples=rows)
                )
        adapter.generate(
            inputs,
            max_new_tokens=longest,
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            logits_processor=LogitsProcessorList([listener]),
            stopping_criteria=StoppingCriteriaList([_After(listener)]),
        )
    return listener.answers


def tokenizer_of(adapter: Adapter) -> Any:
    """The tokenizer of a model that says something.

    Raises:
        InterventionError: it says nothing.
    """
    reader = adapter.reader
    if not isinstance(reader, Reader) or adapter.towers[-1].name != "language":
        raise InterventionError(
            f"model {adapter.settings.id}: says nothing; choose one with a language model"
        )
    return reader.tokenizer


def _ends(adapter: Adapter, tokenizer: Any) -> frozenset[int]:
    found = getattr(adapter.model.generation_config, "eos_token_id", None)
    if found is None:
        found = tokenizer.eos_token_id
    return frozenset([found] if isinstance(found, int) else found or [])


def _leader(ways: Sequence[Way], number: int) -> int:
    """The way whose tokens this one says in the end: its own, or those of the one it follows."""
    for _ in ways:
        follows = ways[number].follows
        if follows is None:
            return number
        if not 0 <= follows < len(ways):
            break
        number = follows
    raise InterventionError(f"way {number} follows none of the {len(ways)} ways that lead")


def _deaf(_: Sequence[Answer]) -> None:
    pass


class _Listener(LogitsProcessor):
    """Chooses each row's next token and keeps what was likely there."""

    def __init__(
        self,
        tokenizer: Any,
        ways: Sequence[Way],
        ends: frozenset[int],
        temperature: float,
        seed: int,
        likely: int,
        heard: Heard,
    ) -> None:
        self.tokenizer, self.ways, self.ends = tokenizer, ways, ends
        self.leaders = torch.tensor([_leader(ways, number) for number in range(len(ways))])
        self.temperature, self.likely, self.heard = temperature, likely, heard
        self.random = torch.Generator().manual_seed(seed)
        self.ids: list[list[int]] = [[] for _ in ways]
        self.texts = [""] * len(ways)
        self.answers = [Answer((), False) for _ in ways]
        self._shown: dict[int, str] = {}

    def __call__(self, _: Tensor, scores: Float[Tensor, "r v"]) -> Float[Tensor, "r v"]:
        chances = scores.float().log_softmax(-1)
        chosen = self._chosen(chances)
        chosen = chosen[self.leaders.to(chosen.device)]
        top = chances.topk(min(self.likely, chances.shape[-1]))
        own = chances.gather(1, chosen[:, None])[:, 0].exp().tolist()
        best = zip(top.indices.tolist(), top.values.exp().tolist(), strict=True)
        for number, (token, chance, (ids, values)) in enumerate(
            zip(chosen.tolist(), own, best, strict=True)
        ):
            if not self.answers[number].ended:
                self._sound(number, chance)
                likely = tuple(zip(map(self._piece, ids), values, strict=True))
                self._say(number, token, chance, likely)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen[:, None], 0.0)

    def _chosen(self, chances: Float[Tensor, "r v"]) -> Int[Tensor, " r"]:
        if not self.temperature:
            return chances.argmax(-1)
        noise = -torch.empty(chances.shape[-1]).exponential_(generator=self.random).log()
        # Below the likeliest, so that a temperature near 0 leaves that one, not infinities alone.
        below = (chances - chances.amax(-1, keepdim=True)) / max(self.temperature, 1e-6)
        return (below + noise.to(chances.device)).argmax(-1)

    def _sound(self, number: int, chance: float) -> None:
        """Refuses numbers that are none, which would choose tokens of no meaning."""
        if math.isnan(chance):
            raise InterventionError(
                "the edit broke the model's numbers; use a smaller strength"
                if self.ways[number].edits
                else "the model gives numbers that are none, without any edit; load it with "
                "dtype = 'float32'"
            )

    def _say(
        self, number: int, token: int, chance: float, likely: tuple[tuple[str, float], ...]
    ) -> None:
        self.ids[number].append(token)
        before = self.texts[number]
        # A tokenizer that tidies up would change what is said already.
        text = self.tokenizer.decode(
            self.ids[number], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        # Half a letter waits for its other half.
        piece = (
            "" if text.endswith("\ufffd") or not text.startswith(before) else text[len(before) :]
        )
        self.texts[number] = before + piece
        said = (*self.answers[number].said, AnswerToken(token, piece, chance, likely))
        self.answers[number] = Answer(said, token in self.ends)

    def _piece(self, token: int) -> str:
        if token not in self._shown:
            self._shown[token] = self.tokenizer.decode([token])
        return self._shown[token]


class _After(StoppingCriteria):
    """Tells who listens, once a token is chosen."""

    def __init__(self, listener: _Listener) -> None:
        self.listener = listener

    def __call__(self, input_ids: Tensor, _: Any, **__: Any) -> Tensor:
        self.listener.heard(tuple(self.listener.answers))
        ended = [answer.ended for answer in self.listener.answers]
        return torch.tensor(ended, device=input_ids.device)
