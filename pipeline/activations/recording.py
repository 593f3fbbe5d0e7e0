"""An SAE's codes as they stream by: pooled, the strongest examples, reconstruction sums."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.activations.dense import ControlReading, DenseReading, Settings
from pipeline.activations.facts import point_facts, reconstruction_facts
from pipeline.contract.tables import TOP_K
from pipeline.metrics import pooling
from pipeline.metrics.reconstruction import ReconstructionSums
from pipeline.models.finite import is_finite
from pipeline.models.hook_points import HookPoint
from pipeline.models.layout import KINDS, Layout, code
from pipeline.saes.sae import SAE, SAEError, SparseCodes


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


Reading = SparseReading | DenseReading | ControlReading
