"""Merges what encode found of one dictionary into its tables: features, monosemanticity, top
examples, histograms, activations, reconstruction, and its row of `dictionaries`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse

from pipeline import config, contract
from pipeline.activations.encoded import Encoded, Strongest, strongest
from pipeline.bundle.tables import lists, nullable, ragged, write_table
from pipeline.contract.tables import (
    ACTIVATIONS,
    DENSE_ACTIVATIONS_KEPT,
    EXAMPLES,
    FEATURES,
    HISTOGRAM_BINS,
    HISTOGRAMS,
    MONOSEMANTICITY,
    RECONSTRUCTION,
    TOP_EXAMPLES,
    TOP_K,
)
from pipeline.inputs.sources import ExampleError
from pipeline.metrics import labels, ranking
from pipeline.metrics.monosemanticity import MonosemanticitySums, density_matched
from pipeline.metrics.reconstruction import ReconstructionSums
from pipeline.models.layout import kinds_read
from pipeline.run import plan
from pipeline.run.workspace import Workspace


@dataclass
class Totals:
    """What one pass over the parts gathers of a dictionary.

    Attributes:
        n_active: [s], examples that activate the feature: above 0, of neurons above their minimum.
        total: [s], sum over them.
        low, high: [s], extremes over all examples.
        ms: encoder -> sums.
    """

    n_active: NDArray[np.int64]
    total: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    ms: dict[str, MonosemanticitySums]


class Worker:
    """Does score's units."""

    def __init__(self, run: config.RunConfig, workspace: Workspace) -> None:
        self.run, self.workspace = run, workspace

    def make(self, unit: plan.Unit, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
        dictionary = Dictionary(self.run, self.workspace, unit)
        totals = dictionary.gather()
        dictionary.write(totals, folder)
        advance(1)
        return {"dictionary": dictionary.row(totals)}


class Dictionary:
    """One dictionary's parts, and the tables made of them."""

    def __init__(self, run: config.RunConfig, workspace: Workspace, unit: plan.Unit) -> None:
        self.run, self.workspace, self.unit = run, workspace, unit
        self.place: plan.Place = unit.spec["place"]
        self.settings = run.dictionaries[self.place.dictionary]
        self.encoded = Encoded(workspace, unit.spec)
        self.facts, self.size = self.encoded.facts, self.encoded.size
        self.id = contract.dictionary_id(
            self.place.model, self.facts["hook"], self.place.dictionary
        )
        self.sparse = self.encoded.is_sae

    def gather(self) -> Totals:
        """One pass over the parts."""
        size = self.size
        totals = Totals(
            np.zeros(size, np.int64),
            np.zeros(size),
            np.full(size, np.inf),
            np.full(size, -np.inf),
            {},
        )
        for part in self.encoded.parts():
            if self.sparse:
                totals.n_active += np.asarray((part.acts > 0).sum(0)).ravel()
                totals.total += np.asarray(part.acts.sum(0, dtype=np.float64)).ravel()
            totals.low = np.minimum(totals.low, _column(part.acts.min(0)))
            totals.high = np.maximum(totals.high, _column(part.acts.max(0)))
            for encoder in self.run.judges:
                e = part.embeddings[encoder]
                if encoder not in totals.ms:
                    totals.ms[encoder] = MonosemanticitySums.empty(size, e.shape[1])
                totals.ms[encoder].add(part.acts, e)
        if not totals.ms:
            raise ExampleError(
                "examples: no image of the val split could be read; mend those that the manifest "
                "of collect lists as skipped"
            )
        if not self.sparse:
            sums = totals.ms[self.run.default_encoder]
            totals.n_active = sums.count - sums.at_low
            totals.total = sums.sum_a - sums.at_low * sums.low
        return totals

    def write(self, totals: Totals, folder: Path) -> None:
        """Write the dictionary's part of each table."""
        top = strongest(part.arrays for part in self.encoded.parts())
        scores = {encoder: sums.score() for encoder, sums in totals.ms.items()}
        default = scores[self.run.default_encoder][0]
        tables = {
            FEATURES: self._features(totals, default, top),
            MONOSEMANTICITY: self._monosemanticity(totals, scores),
            TOP_EXAMPLES: self._top_table(top),
            HISTOGRAMS: self._histograms(totals),
            ACTIVATIONS: self._activations(),
            RECONSTRUCTION: self._reconstruction_table(),
        }
        for table, columns in tables.items():
            rows = len(next(iter(columns.values())))
            columns = {"dictionary_id": [self.id] * rows, **columns}
            write_table(table, pa.table(columns), folder)

    def row(self, totals: Totals) -> dict[str, Any]:
        """The dictionary's row of `dictionaries`, but for its fingerprint and source."""
        own = [kind for kind in self.encoded.reconstruction if kind in self._own_kinds]
        pooled = ReconstructionSums()
        for kind in own:
            pooled.merge(self.encoded.reconstruction[kind])
        figures = pooled.figures()
        grid = self.facts["grid"] or (None, None)
        return {
            "dictionary_id": self.id,
            "model": self.place.model,
            "name": self.place.dictionary,
            **{k: self.facts[k] for k in ("hook", "tower", "layer", "point", "depth")},
            **{k: self.facts[k] for k in ("basis", "architecture", "d_in", "d_sae", "group_sizes")},
            "tokens": self.settings.tokens,
            "pooling": self.settings.pooling,
            "grid_height": grid[0],
            "grid_width": grid[1],
            "grid_fit": self.facts["grid_fit"] if self.facts["grid"] else None,
            "l0": figures["l0"] if self.sparse else float(self.facts["d_in"]),
            "fvu": figures["fvu"] if self.sparse else 0.0,
            "dead": int((totals.n_active == 0).sum()),
            "n_examples": len(self.encoded.ids),
            "default_encoder": self.run.default_encoder,
        }

    def _features(self, totals: Totals, ms: NDArray[np.float64], top: Strongest) -> dict[str, Any]:
        groups = np.repeat(np.arange(len(self.facts["group_sizes"])), self.facts["group_sizes"])
        matrix, names = self._tags
        ranked = np.full((self.size, TOP_K), -1)
        ranked[top.feature, top.rank - 1] = np.searchsorted(self.encoded.ids, top.id)
        column, score = labels.mark_out(ranked, matrix)
        active = np.maximum(totals.n_active, 1)
        return {
            "feature_id": np.arange(self.size),
            "group": pa.array(groups) if len(groups) else pa.nulls(self.size),
            "n_active": totals.n_active,
            "density": totals.n_active / len(self.encoded.ids),
            "max": np.where(np.isfinite(totals.high), totals.high, 0),
            "mean": totals.total / active,
            "ms": nullable(ms),
            "ms_percentile": nullable(ranking.percentile(ms)),
            "label": pa.array([names[c] if c >= 0 else None for c in column], pa.string()),
            "label_score": nullable(score),
        }

    def _monosemanticity(self, totals: Totals, scores: dict[str, Any]) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        for encoder, (ms, active) in sorted(scores.items()):
            neuron, direction = self._controls(encoder, totals.n_active)
            parts.append(
                {
                    "encoder": np.full(self.size, encoder),
                    "feature_id": np.arange(self.size),
                    "ms": ms,
                    "n_active": active,
                    "control_neuron": neuron,
                    "control_direction": direction,
                }
            )
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for name in ("ms", "control_neuron", "control_direction"):
            joined[name] = nullable(joined[name])
        return joined

    def _controls(
        self, encoder: str, n_active: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """For each feature the score of a seeded neuron and of a seeded random direction, made as
        sparse as the feature; NaN for neurons, which are what SAEs are compared with."""
        made = [np.full(self.size, np.nan), np.full(self.size, np.nan)]
        if not self.sparse:
            return made[0], made[1]
        name = plan.control_name(self.run, self.place)
        parts = self.encoded.beside(name)
        embeddings = np.concatenate([part.embeddings[encoder] for part in self.encoded.parts()])
        rng = np.random.default_rng(self.run.scores.seed)
        for scores, kind in zip(made, ("neurons", "directions"), strict=True):
            acts = np.concatenate([part[kind] for part in parts])
            chosen = rng.integers(acts.shape[1], size=self.size)
            for neuron in np.unique(chosen):
                features = np.flatnonzero(chosen == neuron)
                scores[features] = density_matched(
                    acts[:, neuron], embeddings, counts=n_active[features]
                )
        return made[0], made[1]

    def _top_table(self, top: Strongest) -> dict[str, Any]:
        has_grid = self.facts["grid"] is not None
        token = pa.array(top.token, mask=(top.token < 0) | (not has_grid))
        return {
            "modality": ["image"] * len(token),
            "feature_id": top.feature,
            "rank": top.rank,
            "example_id": top.id,
            "activation": top.value,
            "token": token,
            "patches": ragged(top.places, top.ends, pa.uint16()),
            "patch_acts": ragged(top.acts, top.ends, pa.float32()),
        }

    def _histograms(self, totals: Totals) -> dict[str, Any]:
        """SAE features: from 0 over the examples that activate them; neurons: over all."""
        live = np.flatnonzero(totals.n_active > 0)
        low = np.zeros(self.size) if self.sparse else totals.low
        span = np.where(totals.high > low, totals.high - low, 1)
        counts = np.zeros((self.size, HISTOGRAM_BINS), np.int64)
        for part in self.encoded.parts():
            coo = sparse.coo_matrix(part.acts) if self.sparse else None
            column = coo.col if coo is not None else np.tile(np.arange(self.size), len(part.ids))
            value = coo.data if coo is not None else part.acts.ravel()
            ranking.add_to_histogram(counts, column, value, low_s=low, span_s=span)
        edges = np.linspace(low[live], (low + span)[live], HISTOGRAM_BINS + 1, axis=1)
        return {
            "modality": ["image"] * len(live),
            "feature_id": live,
            "edges": lists(list(edges), pa.float32()),
            "counts": lists(list(counts[live]), pa.int64()),
        }

    def _activations(self) -> dict[str, Any]:
        """Every pooled activation that is not 0; of neurons the strongest."""
        feature, example, value = (
            np.zeros(0, np.int32),
            np.zeros(0, np.int64),
            np.zeros(0, np.float32),
        )
        for part in self.encoded.parts():
            if self.sparse:
                a = part.arrays
                new = a["feature"], part.ids[a["row"]], a["value"]
            else:
                new = (
                    np.tile(np.arange(self.size, dtype=np.int32), len(part.ids)),
                    np.repeat(part.ids, self.size),
                    part.acts.ravel(),
                )
            feature = np.concatenate([feature, new[0]])
            example = np.concatenate([example, new[1]])
            value = np.concatenate([value, new[2]])
            if not self.sparse:
                kept, _ = ranking.strongest(
                    feature, value, tie=example, count=DENSE_ACTIVATIONS_KEPT
                )
                feature, example, value = feature[kept], example[kept], value[kept]
        return {
            "modality": np.full(len(value), "image"),
            "feature_id": feature,
            "example_id": example,
            "activation": value,
        }

    def _reconstruction_table(self) -> dict[str, Any]:
        kinds = sorted(self.encoded.reconstruction)
        sums = [self.encoded.reconstruction[kind] for kind in kinds]
        figures = [each.figures() for each in sums]
        return {
            "token_type": pa.array(kinds, pa.string()),
            "tokens": pa.array(
                [self.encoded.reconstruction[kind].tokens for kind in kinds], pa.int64()
            ),
            **{
                name: nullable(np.array([f[name] for f in figures], np.float64))
                for name in ("mse", "fvu", "cosine", "l0")
            },
        }

    @property
    def _own_kinds(self) -> set[str]:
        """The kinds of token that the dictionary reads."""
        return set(kinds_read(self.settings.tokens))

    @cached_property
    def _tags(self) -> tuple[NDArray[np.float32], list[str]]:
        """The tags of the examples, in the order of `_ids`."""
        files = [
            self.workspace.part("collect", key) / EXAMPLES.file for key in self.unit.spec["images"]
        ]
        rows = pa.concat_tables([pq.read_table(f, columns=["example_id", "tags"]) for f in files])
        return labels.tag_matrix(rows.sort_by("example_id")["tags"].to_pylist())


def _column(extreme: Any) -> NDArray[np.float64]:
    """scipy gives a sparse row for the extremes of sparse columns."""
    return np.asarray(extreme.todense() if sparse.issparse(extreme) else extreme).ravel()
