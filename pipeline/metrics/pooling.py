"""From activations of tokens to one activation an image, and each feature's strongest images."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Pooling = Literal["max", "mean"]


@dataclass(frozen=True)
class Pooled:
    """Pooled activations of features that fire, sorted by example then feature.

    Attributes:
        example, feature: which, [n].
        value: the pooled activation, [n].
        token: the strongest token (the first of equals), [n].
    """

    example: Int[Tensor, " n"]
    feature: Int[Tensor, " n"]
    value: Float[Tensor, " n"]
    token: Int[Tensor, " n"]


def pool_sparse(
    example: Int[Tensor, " nnz"],
    feature: Int[Tensor, " nnz"],
    *,
    token: Int[Tensor, " nnz"],
    value: Float[Tensor, " nnz"],
    tokens: Int[Tensor, " b"],
    features: int,
    how: Pooling,
) -> Pooled:
    """Pool sparse codes above 0 over the tokens of each of b examples.

    Linear in the codes, and holds one dense [b, features] array. Absent codes are 0: they count in
    the mean over an example's `tokens`.
    """
    key = example * features + feature
    highest = value.new_zeros(len(tokens) * features).scatter_reduce_(0, key, value, "amax")
    first = torch.full_like(highest, torch.iinfo(torch.int64).max, dtype=torch.int64)
    at_highest = value == highest[key]
    first.scatter_reduce_(0, key[at_highest], token[at_highest], "amin")
    pair = highest.nonzero()[:, 0]
    pooled = highest[pair]
    if how == "mean":
        total = torch.zeros_like(highest).index_add_(0, key, value)[pair]
        pooled = total / tokens[pair // features]
    return Pooled(pair // features, pair % features, pooled, first[pair])


def pool_dense(
    acts_nd: Float[Tensor, "n d"], tokens: Int[Tensor, " b"], *, how: Pooling
) -> Float[Tensor, "b d"]:
    """Pool the activations of n tokens over b examples; the first `tokens[0]` of them are the first
    example's, and so on. An example without tokens has 0."""
    counts = tokens.tolist()
    if len(set(counts)) == 1 and counts[0]:
        acts_btd = acts_nd.unflatten(0, (len(counts), counts[0]))
        return acts_btd.amax(1) if how == "max" else acts_btd.mean(1)
    lengths = tokens.to(acts_nd.device)
    pooled = torch.segment_reduce(acts_nd, how, lengths=lengths, axis=0)
    return pooled.masked_fill(lengths[:, None] == 0, 0)


def to_cells(
    acts_nd: Float[Tensor, "n d"],
    example: Int[Tensor, " n"],
    cell: Int[Tensor, " n"],
    *,
    shape: tuple[int, int],
) -> Float[Tensor, "b p d"]:
    """The activations by example and cell, `shape` = (b, p); of patches that share a cell the
    strongest, 0 in cells without a patch."""
    at = example * shape[1] + cell
    if torch.equal(at, torch.arange(shape[0] * shape[1])):
        return acts_nd.unflatten(0, shape)
    grid = acts_nd.new_full((shape[0] * shape[1], acts_nd.shape[1]), -torch.inf)
    grid.scatter_reduce_(0, at[:, None].expand_as(acts_nd), acts_nd, "amax")
    return grid.masked_fill(grid == -torch.inf, 0).unflatten(0, shape)


def strongest(
    feature: Int[Tensor, " n"], value: Float[Tensor, " n"], *, count: int
) -> Int[Tensor, " m"]:
    """Indices of each feature's `count` largest values, by feature then falling value; of equal
    values the earlier comes first."""
    order = value.argsort(descending=True, stable=True)
    order = order[feature[order].argsort(stable=True)]
    sorted_feature = feature[order]
    start = torch.searchsorted(sorted_feature, sorted_feature)
    rank = torch.arange(len(order), device=order.device) - start
    return order[rank < count]


@dataclass
class DenseTop:
    """The strongest examples so far of every feature of a dense dictionary, with their patches.

    Attributes:
        value: [d, k], falling; -inf where fewer were seen.
        example: [d, k].
        patches: [d, k, p], the activations on the patches.
    """

    value: Float[Tensor, "d k"]
    example: Int[Tensor, "d k"]
    patches: Float[Tensor, "d k p"]

    @classmethod
    def empty(cls, d: int, *, count: int, patches: int) -> "DenseTop":
        return cls(
            torch.full((d, count), -torch.inf),
            torch.zeros((d, count), dtype=torch.int64),
            torch.zeros((d, count, patches)),
        )

    def add(
        self, pooled_bd: Float[Tensor, "b d"], patches_bpd: Float[Tensor, "b p d"], *, first: int
    ) -> None:
        """Add b examples, the first of which is number `first`."""
        d, count = self.value.shape
        numbers = torch.arange(first, first + len(pooled_bd)).expand(d, -1)
        value, at = torch.cat([self.value, pooled_bd.T], 1).sort(
            dim=1, descending=True, stable=True
        )
        self.value, at = value[:, :count], at[:, :count]
        self.example = torch.cat([self.example, numbers], 1).gather(1, at)
        old: Bool[Tensor, "d k"] = at < count
        rows = torch.arange(d)[:, None]
        kept = self.patches[rows, at.clamp(max=count - 1)]
        new = patches_bpd[(at - count).clamp(min=0), :, rows]
        self.patches = torch.where(old[..., None], kept, new)

    def rows(self) -> Pooled:
        """What was seen, as rows sorted by feature then falling value; `token` is the strongest
        patch."""
        feature, rank = (self.value > -torch.inf).nonzero(as_tuple=True)
        token = (
            self.patches[feature, rank].argmax(1)
            if self.patches.shape[2]
            else torch.full_like(feature, -1)
        )
        return Pooled(self.example[feature, rank], feature, self.value[feature, rank], token)
