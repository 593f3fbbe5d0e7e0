"""What is kept of activations as they stream by, for one dictionary at one hook point."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline import config
from pipeline.contract import TOP_K
from pipeline.examples import Caption
from pipeline.metrics import pooling
from pipeline.metrics.reconstruction import ReconstructionSums
from pipeline.models.adapter import Adapter, HookPoint
from pipeline.models.finite import is_finite
from pipeline.models.layout import KINDS, Layout, code, kinds_read
from pipeline.models.loading import ModelError
from pipeline.plan import Place, places
from pipeline.saes.sae import SAE, SAEError, SparseCodes

Settings = config.Neurons | config.TrainedSAE | config.PublishedSAE


def points(run: config.RunConfig, model: Adapter, *, name: str) -> dict[Place, HookPoint]:
    """The hook point of each dictionary that reads the model called `name`.

    Raises:
        ModelError: there is no such hook point, it has no token of the kind that the dictionary
            reads, or a dictionary names it twice.
    """
    found: dict[Place, HookPoint] = {}
    for place in places(run, model=name):
        tokens, point = run.dictionaries[place.dictionary].tokens, model.resolve(place.hook)
        if not set(kinds_read(tokens)) & set(point.kinds):
            raise ModelError(
                f"dictionaries.{place.dictionary}: tokens = {tokens!r}, but {point.name} of "
                f"{name} has only {' and '.join(point.kinds)} tokens; mend tokens, hooks or models"
            )
        for other, taken in found.items():
            if (other.dictionary, taken.name) == (place.dictionary, point.name):
                raise ModelError(
                    f"dictionaries.{place.dictionary}.hooks: {other.hook!r} and {place.hook!r} are "
                    f"both {point.name!r}, which is named twice; remove one"
                )
        found[place] = point
    return found


def refuse_width(place: Place, point: HookPoint, d_in: int) -> None:
    """Raises SAEError where an SAE that reads `d_in` dimensions stands at a point of others."""
    if d_in != point.d_in:
        raise SAEError(
            f"dictionaries.{place.dictionary}: its SAE reads {d_in} dimensions, but "
            f"{point.name} of {place.model} has {point.d_in}; mend its hook point or model"
        )


def worded(run: config.RunConfig, model: Adapter, *, name: str) -> dict[Place, HookPoint]:
    """The hook points of `points` that a model's words reach without an image."""
    return {
        place: point
        for place, point in points(run, model, name=name).items()
        if model.takes_words(point)
    }


def refuse_unlearnable(run: config.RunConfig, model: Adapter, *, name: str) -> None:
    """Raises ModelError where a dictionary would learn from tokens that its hook point lacks, or
    from captions that do not reach it."""
    reached = worded(run, model, name=name)
    for place, point in points(run, model, name=name).items():
        settings = run.dictionaries[place.dictionary]
        for kind in settings.learnt if isinstance(settings, config.TrainedSAE) else ():
            if kind != "captions" and not set(kinds_read(kind)) & set(point.kinds):
                raise ModelError(
                    f"dictionaries.{place.dictionary}.learns: {kind!r}, but {point.name} of {name} "
                    f"has only {' and '.join(point.kinds)} tokens; mend learns, hooks or models"
                )
            if kind == "captions" and place not in reached:
                raise ModelError(
                    f"dictionaries.{place.dictionary}.learns: 'captions', but words alone do not "
                    f"reach {point.name} of {name}; name hooks that they reach (a language "
                    "model's, or a contrastive model's projection where its files hold the text "
                    "tower and its tokenizer)"
                )


@dataclass(frozen=True, eq=False)
class Said:
    """Some captions as a model reads them without an image.

    Attributes:
        pieces, cut: as in `models.words.Words`.
        acts: hook point -> [r, t, d_in].
    """

    captions: Sequence[Caption]
    pieces: Sequence[Sequence[str]]
    cut: Sequence[int]
    acts: Mapping[str, Float[Tensor, "r t d"]]
    layout: Layout


def read_captions(
    model: Adapter, captions: Sequence[Caption], hooks: Sequence[str], *, run: config.RunConfig
) -> Iterator[Said]:
    """The captions in order, in parts that fit in memory."""
    for first in range(0, len(captions), run.machine.batch_size):
        some = captions[first : first + run.machine.batch_size]
        words = model.read_words([c.text for c in some], longest=run.captions.longest)
        start = 0
        for count, acts, layout in model.recorded_words(words, hooks):
            part = slice(start, start + count)
            yield Said(some[part], words.pieces[part], words.cut[part], acts, layout)
            start += count


class SparseReading:
    """An SAE's codes: pooled, the strongest examples with their patches, reconstruction."""

    def __init__(self, point: HookPoint, settings: Settings, sae: SAE) -> None:
        self.point, self.settings, self.sae = point, settings, sae
        for name, weight in vars(sae).items():
            # A threshold of infinity is a feature switched off.
            if isinstance(weight, Tensor) and name != "threshold" and not is_finite([weight]):
                raise SAEError(
                    f"the SAE at {point.name}: its {name} holds numbers that are not finite; train "
                    "it again, or fetch its files again"
                )
        self._pooled: list[pooling.Pooled] = []
        self._patches: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._recon: dict[str, ReconstructionSums] = {}
        self._fired = TokenSums.empty(sae.d_sae)

    def add(self, acts_rtd: Float[Tensor, "r t d"], layout: Layout, *, first: int) -> None:
        """Add a batch whose first example is number `first`."""
        pooled = layout.read(self.settings.tokens)
        # Patches are encoded for the heat map also where only CLS is pooled, and words for how well
        # they are reconstructed beside the image.
        picked = layout.tokens_of(pooled | (layout.cell >= 0) | layout.read("text"))
        x = picked.of(acts_rtd).float()
        codes = self.sae.encode_sparse(x, at=picked.by_kind(self.sae.thresholds))
        if not is_finite([codes.value]):
            raise SAEError(
                f"the SAE at {self.point.name}: makes activations that are not finite of the "
                "model's, which are; its weights are too large for this hook point's numbers"
            )
        self._reconstruct(x, codes, picked.kind)
        device = codes.row.device
        example, cell = picked.example.to(device), picked.cell.to(device)
        self._add_patches(codes, example[codes.row] + first, cell[codes.row])
        wanted = pooled.flatten()[picked.at]
        tokens = torch.bincount(picked.example[wanted], minlength=layout.examples).to(device)
        kept = wanted.to(device)[codes.row]
        self._fired.add(x, codes, kept, wanted.to(device), picked.kind.to(device))
        made = pooling.pool_sparse(
            example[codes.row[kept]],
            codes.feature[kept],
            token=codes.row[kept],
            value=codes.value[kept],
            tokens=tokens,
            features=self.sae.d_sae,
            how=self.settings.pooling,
        )
        kept_of_it = (made.example + first, made.feature, made.value, cell[made.token])
        self._pooled.append(pooling.Pooled(*(t.cpu() for t in kept_of_it)))

    def tensors(self) -> dict[str, Tensor]:
        row, feature, value, token = (
            torch.cat([getattr(p, name) for p in self._pooled]) if self._pooled else torch.zeros(0)
            for name in ("example", "feature", "value", "token")
        )
        top = pooling.strongest(feature, value, count=TOP_K)
        ends, patch, act = self._patches_of(row[top], feature[top])
        return {
            "row": row.int(),
            "feature": feature.int(),
            "value": value,
            "top_row": row[top].int(),
            "top_feature": feature[top].int(),
            "top_value": value[top],
            "top_token": token[top].int(),
            "top_ends": ends,
            "top_patch": patch.int(),
            "top_act": act,
            **self._fired.tensors(),
            **{f"sum_x_{kind}": torch.from_numpy(s.sum_x) for kind, s in self._recon.items()},
        }

    def facts(self) -> dict[str, Any]:
        return {
            **point_facts(self.point),
            "basis": "sae",
            "architecture": self.sae.architecture,
            "d_sae": self.sae.d_sae,
            "group_sizes": list(self.sae.group_sizes),
            "reconstruction": reconstruction_facts(self._recon),
        }

    def _add_patches(self, codes: SparseCodes, example: Tensor, cell: Tensor) -> None:
        seen = cell >= 0
        kept = (example[seen], codes.feature[seen], cell[seen], codes.value[seen])
        row, feature, patch, value = (t.cpu() for t in kept)
        self._patches.append((row, feature, patch, value))

    def _patches_of(self, row: Tensor, feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The patch activations of these pairs of example and feature, in their order: where each
        pair's end, which patches, their activations."""
        joined = (
            torch.cat(parts).long() for parts in zip(*(p[:3] for p in self._patches), strict=True)
        )
        example, of_feature, patch = joined if self._patches else [torch.zeros(0).long()] * 3
        value = torch.cat([p[3] for p in self._patches]) if self._patches else torch.zeros(0)
        width = self.sae.d_sae
        wanted, order = (row.long() * width + feature.long()).sort()
        key = example * width + of_feature
        at = torch.searchsorted(wanted, key).clamp(max=max(0, len(wanted) - 1))
        found = wanted[at] == key if len(wanted) else torch.zeros(0, dtype=torch.bool)
        pair, patch, value = order[at[found]], patch[found], value[found]
        # Patches of tiles may share a cell, which shows the strongest.
        falling = value.argsort(descending=True, stable=True)
        cells = int(patch.max()) + 1 if len(patch) else 1
        by_cell = falling[(pair * cells + patch)[falling].argsort(stable=True)]
        pair, patch, value = pair[by_cell], patch[by_cell], value[by_cell]
        new = torch.ones_like(pair, dtype=torch.bool)
        new[1:] = (pair[1:] != pair[:-1]) | (patch[1:] != patch[:-1])
        ends = torch.bincount(pair[new], minlength=len(row)).cumsum(0)
        return ends, patch[new], value[new]

    def _reconstruct(
        self, x: Float[Tensor, "n d"], codes: SparseCodes, kind: Int[Tensor, " n"]
    ) -> None:
        recon = self.sae.decode_sparse(codes)
        for each in kind.unique().tolist():
            rows = (kind == each).to(x.device)
            active = int(rows[codes.row].sum())
            sums = ReconstructionSums.of(x[rows], recon[rows], active=active)
            self._recon.setdefault(KINDS[each], ReconstructionSums()).merge(sums)


@dataclass
class TokenSums:
    """On which tokens features fire: sums from which their artefacts are told.

    Attributes:
        fired: [s], tokens on which the feature fires, of those that the dictionary reads.
        on_cls: [s], of these CLS tokens.
        norm: [s], sum of these tokens' norms, float64.
        total: [s], sum of the feature's activations on them, float64.
        tokens: [2], how many tokens are read, and the sum of their norms.
    """

    fired: Int[Tensor, " s"]
    on_cls: Int[Tensor, " s"]
    norm: Float[Tensor, " s"]
    total: Float[Tensor, " s"]
    tokens: Float[Tensor, "2"]

    @classmethod
    def empty(cls, size: int) -> "TokenSums":
        counts = (torch.zeros(size, dtype=torch.int64) for _ in range(2))
        return cls(*counts, *(torch.zeros(n, dtype=torch.float64) for n in (size, size, 2)))

    def add(
        self,
        x: Float[Tensor, "n d"],
        codes: SparseCodes,
        kept: Bool[Tensor, " nnz"],
        read: Bool[Tensor, " n"],
        kind: Int[Tensor, " n"],
    ) -> None:
        """Add the codes of n tokens; only the `read` ones, and so the `kept` codes, count."""
        norms = x.norm(dim=1).double()
        row, feature = codes.row[kept], codes.feature[kept]
        size = len(self.fired)
        self.fired += torch.bincount(feature, minlength=size).cpu()
        on_cls = feature[kind[row] == code("cls")]
        self.on_cls += torch.bincount(on_cls, minlength=size).cpu()
        self.norm += torch.bincount(feature, norms[row], minlength=size).cpu()
        value = codes.value[kept].double()
        self.total += torch.bincount(feature, value, minlength=size).cpu()
        self.tokens += torch.stack([read.sum().double(), norms[read].sum()]).cpu()

    def tensors(self) -> dict[str, Tensor]:
        return {
            "fired": self.fired,
            "fired_cls": self.on_cls,
            "fired_norm": self.norm,
            "fired_total": self.total,
            "tokens": self.tokens,
        }


class DenseReading:
    """The raw neurons: pooled, and the strongest examples with their patches."""

    def __init__(self, point: HookPoint, settings: Settings) -> None:
        self.point, self.settings = point, settings
        self._pooled: list[Tensor] = []
        self._cells = point.grid[0] * point.grid[1] if point.grid else 0
        self._top = pooling.DenseTop.empty(point.d_in, count=TOP_K, patches=self._cells)

    def add(self, acts_rtd: Float[Tensor, "r t d"], layout: Layout, *, first: int) -> None:
        """Add a batch whose first example is number `first`."""
        acts = acts_rtd.float().cpu()
        pooled_bd = pooled(acts, layout, self.settings)
        self._pooled.append(pooled_bd)
        patches = layout.tokens_of(layout.cell >= 0)
        shape = (layout.examples, self._cells)
        cells = pooling.to_cells(patches.of(acts), patches.example, patches.cell, shape=shape)
        self._top.add(pooled_bd, cells, first=first)

    def tensors(self) -> dict[str, Tensor]:
        top = self._top.rows()
        shown = self._top.patches[self._top.value > -torch.inf]
        return {
            "dense": stacked(self._pooled, self.point.d_in),
            "top_row": top.example.int(),
            "top_feature": top.feature.int(),
            "top_value": top.value,
            "top_token": top.token.int(),
            "top_ends": (torch.arange(len(shown)) + 1) * self._cells,
            "top_patch": torch.arange(self._cells).repeat(len(shown)).int(),
            "top_act": shown.flatten(),
        }

    def facts(self) -> dict[str, Any]:
        return {
            **point_facts(self.point),
            "basis": "neurons",
            "architecture": "identity",
            "d_sae": self.point.d_in,
            "group_sizes": [],
        }


class ControlReading:
    """Pooled neurons and random directions, to be made as sparse as an SAE's features."""

    def __init__(self, point: HookPoint, settings: Settings, seed: int) -> None:
        self.point, self.settings = point, settings
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(point.d_in, point.d_in, generator=generator)
        self._directions = torch.nn.functional.normalize(directions, dim=0)
        self._made: dict[str, list[Tensor]] = {"neurons": [], "directions": []}

    def add(self, acts_rtd: Float[Tensor, "r t d"], layout: Layout, *, first: int) -> None:
        """Add a batch."""
        acts = acts_rtd.float()
        directions = self._directions.to(acts.device)
        self._made["neurons"].append(pooled(acts, layout, self.settings).cpu())
        self._made["directions"].append(pooled(acts @ directions, layout, self.settings).cpu())

    def tensors(self) -> dict[str, Tensor]:
        return {name: stacked(made, self.point.d_in) for name, made in self._made.items()}

    def facts(self) -> dict[str, Any]:
        return {}


Reading = SparseReading | DenseReading | ControlReading


def pooled(acts_rtd: Tensor, layout: Layout, settings: Settings) -> Float[Tensor, "b d"]:
    """The activations pooled over each example's tokens."""
    picked = layout.tokens_of(layout.read(settings.tokens))
    tokens = torch.bincount(picked.example, minlength=layout.examples)
    return pooling.pool_dense(picked.of(acts_rtd), tokens, how=settings.pooling)


def stacked(parts: Sequence[Tensor], d: int) -> Float[Tensor, "n d"]:
    return torch.cat(list(parts)) if parts else torch.zeros(0, d)


def point_facts(point: HookPoint) -> dict[str, Any]:
    return {
        "hook": point.name,
        "tower": point.tower,
        "layer": point.layer,
        "point": point.point,
        "depth": point.depth,
        "d_in": point.d_in,
        "grid": point.grid,
    }


def reconstruction_facts(sums: Mapping[str, ReconstructionSums]) -> dict[str, dict[str, float]]:
    return {
        kind: {n: getattr(s, n) for n in ("tokens", "sse", "sum_x2", "cosine", "active")}
        for kind, s in sums.items()
    }
