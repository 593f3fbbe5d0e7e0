"""Which token of a batch's activations is what: where the image is, and where the words are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.hooks import Where

KINDS = ("pad", "image", "cls", "patch", "special", "text", "caption")
"""What a token can be, by its code:

- pad: filling, of no meaning, as the padded rim of a tile;
- image: one vector that stands for the whole image, as a contrastive model's projection;
- cls: a vision tower's CLS and register tokens;
- patch: a part of the image, in the vision tower, behind the projector or as an image token of
  the language model;
- special: a language model's tokens without words of their own (BOS, the ends of image rows);
- text: words;
- caption: the words of the example's caption, where the prompt holds them beside an image.
"""

Tokens = Literal["patches", "cls", "text", "all"]
Scope = Literal["image", "prompt", "generated", "all"]

_READ: dict[str, tuple[str, ...]] = {
    "patches": ("image", "patch"),
    "cls": ("image", "cls"),
    "text": ("image", "text", "caption"),
    "all": KINDS[1:],
}
_SCOPES: dict[str, tuple[str, ...]] = {
    "image": ("image", "cls", "patch"),
    "prompt": ("special", "text", "caption"),
    "generated": (),
    "all": KINDS[1:],
}


def code(kind: str) -> int:
    """The number that stands for a kind of token in `Layout.kind`."""
    return KINDS.index(kind)


def kinds_read(tokens: Tokens) -> tuple[str, ...]:
    """The kinds of token that a dictionary with this setting reads."""
    return _READ[tokens]


@dataclass(frozen=True, eq=False)
class Layout:
    """What the tokens of one batch are, at one hook point; on the CPU.

    Attributes:
        kind: code of each token's kind, as in KINDS.
        example: which example of the batch a row belongs to, rising; a tiled image has several.
        cell: of patches the cell of the image's grid in which they lie, in reading order; else -1.
            The patches of a tile may share a cell.
        grid: rows and columns of the cells, or None where patches have no grid.
    """

    kind: Int[Tensor, "r t"]
    example: Int[Tensor, " r"]
    cell: Int[Tensor, "r t"]
    grid: tuple[int, int] | None = None

    @classmethod
    def whole(cls, examples: int) -> "Layout":
        """One vector an image."""
        kind = torch.full((examples, 1), code("image"), dtype=torch.int8)
        return cls(kind, torch.arange(examples), torch.full((examples, 1), -1))

    @classmethod
    def of_texts(cls, pieces: Sequence[Sequence[str]]) -> "Layout":
        """One vector a text; a text of which nothing is read counts as padding."""
        kinds = [[code("text" if some else "pad")] for some in pieces]
        kind = torch.tensor(kinds, dtype=torch.int8)
        return cls(kind, torch.arange(len(kind)), torch.full(kind.shape, -1))

    @classmethod
    def of_patches(cls, examples: int, *, grid: tuple[int, int], cls_tokens: int) -> "Layout":
        """CLS tokens, then the patches in reading order."""
        patches = grid[0] * grid[1]
        cell = torch.cat([torch.full((cls_tokens,), -1), torch.arange(patches)])
        kind = torch.where(cell < 0, code("cls"), code("patch")).to(torch.int8)
        return cls(
            kind.expand(examples, -1), torch.arange(examples), cell.expand(examples, -1), grid
        )

    @property
    def examples(self) -> int:
        """How many examples the batch holds."""
        return int(self.example[-1]) + 1 if len(self.example) else 0

    def read(self, tokens: Tokens) -> Bool[Tensor, "r t"]:
        """The tokens that `patches`, `cls`, `text` or `all` names; where there is one vector an
        image, each of them names it."""
        return self._any(kinds_read(tokens))

    def where(self, scope: Scope, *, examples: Collection[int] | None = None) -> Where:
        """For `hooks.edit`: the image's tokens, the words of the prompt, what is generated after
        it, or all of these; of these examples of the batch, or of all. Rows that beams or repeated
        sampling add are those of their example."""
        prompt, generated = self._any(_SCOPES[scope]), scope in ("generated", "all")
        meant = torch.ones(len(prompt), dtype=torch.bool)
        if examples is not None:
            meant = torch.isin(self.example, torch.tensor(sorted(examples)))
        prompt = prompt & meant[:, None]

        def mask(first: int, rows: int, tokens: int) -> Tensor:
            made = (meant & generated)[:, None]
            if first >= prompt.shape[1]:  # as in every call but the first, with a cache
                found = made.expand(-1, tokens)
            else:
                known = prompt[:, first : first + tokens]
                found = torch.cat([known, made.expand(-1, tokens - known.shape[1])], 1)
            return found.repeat_interleave(rows // len(prompt), 0)

        return mask

    def tokens_of(self, mask: Bool[Tensor, "r t"]) -> "Picked":
        """The tokens that `mask` picks, in the order of the examples."""
        at = mask.flatten().nonzero()[:, 0]
        example = self.example.repeat_interleave(self.kind.shape[1])[at]
        return Picked(at, example, self.kind.flatten()[at], self.cell.flatten()[at])

    def _any(self, kinds: tuple[str, ...]) -> Bool[Tensor, "r t"]:
        codes = torch.tensor([code(kind) for kind in kinds], dtype=torch.int8)
        return torch.isin(self.kind, codes)


@dataclass(frozen=True, eq=False)
class Picked:
    """Some tokens of a batch.

    Attributes:
        at: row * t + token.
        example, kind, cell: as in Layout.
    """

    at: Int[Tensor, " n"]
    example: Int[Tensor, " n"]
    kind: Int[Tensor, " n"]
    cell: Int[Tensor, " n"]

    def of(self, acts_rtd: Float[Tensor, "r t d"]) -> Float[Tensor, "n d"]:
        """These tokens' activations."""
        flat = acts_rtd.flatten(0, 1)
        return flat if len(self.at) == len(flat) else flat[self.at.to(flat.device)]

    def by_kind(self, values: Mapping[str, float]) -> Float[Tensor, "n 1"] | None:
        """For each token the value of its kind, NaN of a kind without one; None without any."""
        of_kind = torch.tensor([values.get(kind, torch.nan) for kind in KINDS])
        return of_kind[self.kind.long()][:, None] if values else None


def boxes(region: tuple[float, float, float, float], grid: tuple[int, int]) -> Float[Tensor, "p 4"]:
    """The cells' boxes (left, top, right, bottom) where `grid` divides `region`, in reading order,
    in the units of `region`: pixels of the picture."""
    left, top, right, bottom = region
    x = torch.linspace(left, right, grid[1] + 1)
    y = torch.linspace(top, bottom, grid[0] + 1)
    rows, columns = (a.flatten() for a in torch.meshgrid(*map(torch.arange, grid), indexing="ij"))
    return torch.stack([x[columns], y[rows], x[columns + 1], y[rows + 1]], 1)
