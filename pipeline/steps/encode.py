"""Runs the model over the val images and every dictionary over its activations, in one pass.

A part holds N.safetensors for each dictionary N of the model, in the config's order:

    ids [n]                               the examples, in order
    row, feature, value [nnz]             pooled activations that are not 0 (SAEs), or
    dense [n, d]                          all of them (neurons)
    top_row, top_feature, top_value, top_token [m], top_ends [m], top_patch, top_act [q]
                                          the part's strongest examples, with their patches
    sum_x_TYPE [d]                        of the reconstruction sums, the rest is in part.json

and for each way in which SAEs read a hook point `HOOK-TOKENS-POOLING.safetensors` with the pooled
`neurons` and `directions` [n, d], from which score makes the density-matched controls.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor

from pipeline import config, examples, models, plan, store
from pipeline.contract import TOP_K
from pipeline.metrics import pooling
from pipeline.metrics.reconstruction import ReconstructionSums
from pipeline.models.adapter import Adapter, HookPoint, pick_device
from pipeline.plan import Place, Unit
from pipeline.saes.sae import SAE, SparseCodes


class Worker:
    """Does encode's units."""

    def __init__(self, run: config.RunConfig, workspace: store.Workspace) -> None:
        self.run, self.workspace = run, workspace
        self.device = pick_device(run.machine.device)
        self.reader = examples.reader(run.examples.source)
        self._models: dict[str, Adapter] = {}
        self._saes: dict[str, SAE] = {}

    def make(self, unit: Unit, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
        model = self._model(unit.spec["model"])
        readings = self._readings(model, unit.spec["dictionaries"])
        hooks = sorted({reading.point.name for reading in readings.values()})
        skipped: dict[str, str] = {}
        ids: list[int] = []
        size = self.run.machine.batch_size
        wanted: Sequence[examples.Example] = unit.spec["examples"]
        for pictures in examples.read(self.reader, wanted, batch=size, skipped=skipped):
            acts = model.record(model.prepare([image for _, image in pictures]), hooks)
            for reading in readings.values():
                reading.add(acts[reading.point.name], first=len(ids))
            ids += [e.example_id for e, _ in pictures]
            advance(len(pictures))
        advance(len(skipped))
        for name, reading in readings.items():
            tensors = {"ids": torch.tensor(ids, dtype=torch.int64), **reading.tensors()}
            save_file(tensors, folder / f"{name}.safetensors")
        facts = {name: reading.facts() for name, reading in readings.items()}
        return {"examples": len(ids), "skipped": skipped, "readings": facts}

    def _model(self, name: str) -> Adapter:
        if name not in self._models:
            self._models[name] = models.load(self.run.models[name], device=self.device)
        return self._models[name]

    def _sae(self, key: str) -> SAE:
        if key not in self._saes:
            self._saes[key] = SAE.load(self.workspace.part("train", key)).to(self.device)
        return self._saes[key]

    def _readings(
        self, model: Adapter, dictionaries: Sequence[tuple[Place, str | None]]
    ) -> dict[str, "SparseReading | DenseReading | ControlReading"]:
        """What to make of the activations: file name -> reading."""
        readings: dict[str, SparseReading | DenseReading | ControlReading] = {}
        seen: set[tuple[str, str]] = set()
        for place, key in dictionaries:
            settings = self.run.dictionaries[place.dictionary]
            point = model.resolve(place.hook)
            name = plan.file_name(self.run, place)
            if (place.dictionary, point.name) in seen:
                raise models.ModelError(
                    f"dictionaries.{place.dictionary}.hooks: {place.hook!r} is {point.name!r}, "
                    "which is named twice; remove one"
                )
            seen.add((place.dictionary, point.name))
            if isinstance(settings, config.Neurons):
                readings[name] = DenseReading(point, settings)
                continue
            assert key is not None
            readings[name] = SparseReading(point, settings, self._sae(key))
            control = plan.control_name(self.run, place)
            if control not in readings:
                readings[control] = ControlReading(point, settings, self.run.scores.seed)
        return readings


class SparseReading:
    """An SAE's codes: pooled, the strongest examples with their patches, reconstruction."""

    def __init__(self, point: HookPoint, settings: config.TrainedSAE, sae: SAE) -> None:
        self.point, self.settings, self.sae = point, settings, sae
        self._pooled: list[pooling.Pooled] = []
        self._patches: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._recon: dict[str, ReconstructionSums] = {}
        layout = point.layout
        self._positions = layout.positions(settings.tokens)
        # Patches are encoded for the heat map also where only CLS is pooled.
        self._read = tuple(sorted({*self._positions, *layout.patches}))
        self._position = torch.tensor(self._read)
        self._patch_of = _index(layout.patches, layout.tokens)
        self._slot_of = _index(self._positions, layout.tokens)

    def add(self, acts_btd: Float[Tensor, "b t d"], *, first: int) -> None:
        x = acts_btd[:, list(self._read)].float()
        codes = self.sae.encode_sparse(x.flatten(0, 1))
        self._reconstruct(x.flatten(0, 1), codes)
        row, feature, value = (t.cpu() for t in (codes.row, codes.feature, codes.value))
        position = self._position[row % len(self._read)]
        example = row // len(self._read)
        patch, slot = self._patch_of[position], self._slot_of[position]
        seen, pooled_too = patch >= 0, slot >= 0
        self._patches.append((example[seen] + first, feature[seen], patch[seen], value[seen]))
        tokens = len(self._positions)
        pooled = pooling.pool_sparse(
            (example * tokens + slot)[pooled_too],
            feature[pooled_too],
            value=value[pooled_too],
            tokens=tokens,
            shape=(len(acts_btd), self.sae.d_sae),
            how=self.settings.pooling,
        )
        token = self._patch_of[torch.tensor(self._positions)[pooled.token]]
        self._pooled.append(
            pooling.Pooled(pooled.example + first, pooled.feature, pooled.value, token)
        )

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
            **{f"sum_x_{kind}": torch.from_numpy(s.sum_x) for kind, s in self._recon.items()},
        }

    def facts(self) -> dict[str, Any]:
        return {
            **_point_facts(self.point),
            "basis": "sae",
            "architecture": self.sae.architecture,
            "d_sae": self.sae.d_sae,
            "group_sizes": list(self.sae.group_sizes),
            "reconstruction": _recon_facts(self._recon),
        }

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
        pair = order[at[found]]
        by_pair = (pair * (len(self._patch_of) + 1) + patch[found]).argsort()
        ends = torch.bincount(pair, minlength=len(row)).cumsum(0)
        return ends, patch[found][by_pair], value[found][by_pair]

    def _reconstruct(self, x: Float[Tensor, "n d"], codes: SparseCodes) -> None:
        recon = self.sae.decode_sparse(codes)
        kinds = token_kinds(self.point, self._read)
        kind_of_row = torch.arange(len(x), device=x.device) % len(self._read)
        for kind in sorted(set(kinds)):
            of_kind = torch.tensor([k == kind for k in kinds], device=x.device)
            rows = of_kind[kind_of_row]
            active = int(rows[codes.row].sum())
            sums = ReconstructionSums.of(x[rows], recon[rows], active=active)
            self._recon.setdefault(kind, ReconstructionSums()).merge(sums)


class DenseReading:
    """The raw neurons: pooled, and the strongest examples with their patches."""

    def __init__(self, point: HookPoint, settings: config.Neurons) -> None:
        self.point, self.settings = point, settings
        self._pooled: list[Tensor] = []
        patches = len(point.layout.patches)
        self._top = pooling.DenseTop.empty(point.d_in, count=TOP_K, patches=patches)

    def add(self, acts_btd: Float[Tensor, "b t d"], *, first: int) -> None:
        acts = acts_btd.float().cpu()
        at = list(self.point.layout.positions(self.settings.tokens))
        pooled, _ = pooling.pool_dense(acts[:, at], how=self.settings.pooling)
        self._pooled.append(pooled)
        self._top.add(pooled, acts[:, list(self.point.layout.patches)], first=first)

    def tensors(self) -> dict[str, Tensor]:
        top, patches = self._top.rows(), len(self.point.layout.patches)
        shown = self._top.patches[self._top.value > -torch.inf]
        return {
            "dense": _stack(self._pooled, self.point.d_in),
            "top_row": top.example.int(),
            "top_feature": top.feature.int(),
            "top_value": top.value,
            "top_token": top.token.int(),
            "top_ends": (torch.arange(len(shown)) + 1) * patches,
            "top_patch": torch.arange(patches).repeat(len(shown)).int(),
            "top_act": shown.flatten(),
        }

    def facts(self) -> dict[str, Any]:
        return {
            **_point_facts(self.point),
            "basis": "neurons",
            "architecture": "identity",
            "d_sae": self.point.d_in,
            "group_sizes": [],
        }


class ControlReading:
    """Pooled neurons and random directions, to be made as sparse as an SAE's features."""

    def __init__(self, point: HookPoint, settings: config.TrainedSAE, seed: int) -> None:
        self.point, self.settings = point, settings
        generator = torch.Generator().manual_seed(seed)
        directions = torch.randn(point.d_in, point.d_in, generator=generator)
        self._directions = torch.nn.functional.normalize(directions, dim=0)
        self._made: dict[str, list[Tensor]] = {"neurons": [], "directions": []}

    def add(self, acts_btd: Float[Tensor, "b t d"], *, first: int) -> None:
        at = list(self.point.layout.positions(self.settings.tokens))
        acts, how = acts_btd[:, at].float(), self.settings.pooling
        directions = self._directions.to(acts.device)
        self._made["neurons"].append(pooling.pool_dense(acts, how=how)[0].cpu())
        self._made["directions"].append(pooling.pool_dense(acts @ directions, how=how)[0].cpu())

    def tensors(self) -> dict[str, Tensor]:
        return {name: _stack(made, self.point.d_in) for name, made in self._made.items()}

    def facts(self) -> dict[str, Any]:
        return {}


def token_kinds(point: HookPoint, positions: Sequence[int]) -> list[str]:
    """`image` (one vector an image), `patch` or `cls` of each position."""
    if point.layout.tokens == 1:
        return ["image"]
    return ["patch" if at in set(point.layout.patches) else "cls" for at in positions]


def _index(positions: Sequence[int], tokens: int) -> Int[Tensor, " t"]:
    """Of each token its place in `positions`, or -1."""
    index = torch.full((tokens,), -1)
    index[list(positions)] = torch.arange(len(positions))
    return index


def _stack(parts: Sequence[Tensor], d: int) -> Float[Tensor, "n d"]:
    return torch.cat(list(parts)) if parts else torch.zeros(0, d)


def _point_facts(point: HookPoint) -> dict[str, Any]:
    return {
        "hook": point.name,
        "tower": point.tower,
        "layer": point.layer,
        "point": point.point,
        "depth": point.depth,
        "d_in": point.d_in,
        "grid": point.layout.grid,
    }


def _recon_facts(sums: dict[str, ReconstructionSums]) -> dict[str, dict[str, float]]:
    return {
        kind: {n: getattr(s, n) for n in ("tokens", "sse", "sum_x2", "cosine", "active")}
        for kind, s in sums.items()
    }
