"""How features stand to each other: neighbours, matches in other dictionaries, maps, artefacts, and
examples beyond the strongest.

A part holds a dictionary's tables; the part of the plane, which several dictionaries share, holds
`maps` alone.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import config, contract
from pipeline.activations.encoded import Encoded
from pipeline.bundle import sealed
from pipeline.bundle.tables import nullable, write_table
from pipeline.contract.tables import ARTEFACTS, MAPS, MATCHES, NEIGHBORS, SAMPLE_EXAMPLES, Table
from pipeline.metrics import artefacts, maps, relations, samples
from pipeline.models.layout import kinds_read
from pipeline.run import plan
from pipeline.run.workspace import Workspace
from pipeline.saes.sae import SAE

Array = NDArray[Any]
Columns = dict[str, Any]


class Worker:
    """Does relate's units."""

    def __init__(self, run: config.RunConfig, workspace: Workspace) -> None:
        self.run, self.workspace = run, workspace

    def make(self, unit: plan.Unit, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
        if unit.name == plan.PLANE:
            _write(MAPS, self._plane(unit.spec["dictionaries"]), folder)
        else:
            one = Dictionary(self.run, self.workspace, unit.spec)
            for table, columns in one.tables(unit.spec["others"]).items():
                rows = len(next(iter(columns.values())))
                _write(table, {"dictionary_id": [one.id] * rows, **columns}, folder)
        advance(1)
        return {}

    def _plane(self, specs: Sequence[Mapping[str, Any]]) -> Columns:
        """One map of several dictionaries' features, by the images that they fire on."""
        settings = self.run.relations
        ones = [Dictionary(self.run, self.workspace, spec) for spec in specs]
        profiles = [maps.profiles(_from_zero(one), width=256, seed=settings.seed) for one in ones]
        plane = maps.layout(np.concatenate(profiles), seed=settings.seed)
        ids = np.repeat([one.id for one in ones], [one.encoded.size for one in ones])
        features = np.concatenate([np.arange(one.encoded.size) for one in ones])
        return _placed("activations", plane, feature_id=features, dictionary_id=ids)


class Dictionary:
    """One dictionary among the others."""

    def __init__(
        self, run: config.RunConfig, workspace: Workspace, spec: Mapping[str, Any]
    ) -> None:
        self.settings, self.workspace, self.spec = run.relations, workspace, spec
        self.place: plan.Place = spec["place"]
        self.reads = kinds_read(run.dictionaries[self.place.dictionary].tokens)
        self.encoded = Encoded(workspace, spec)
        self.id = contract.dictionary_id(
            self.place.model, self.encoded.facts["hook"], self.place.dictionary
        )
        self._run = run

    def tables(self, others: Sequence[Mapping[str, Any]]) -> dict[Table, Columns]:
        """Its part of each table."""
        acts = self.encoded.acts
        directions = self._directions()
        near = None
        if directions is not None:
            count = self.settings.neighbors
            near = relations.Ranked(*relations.nearest_directions(directions, count=count))
        return {
            NEIGHBORS: self._neighbors(acts, near),
            MATCHES: self._matches(acts, others),
            MAPS: self._map(directions),
            ARTEFACTS: self._artefacts(near),
            SAMPLE_EXAMPLES: self._samples(acts),
        }

    def _directions(self) -> NDArray[np.float32] | None:
        """The decoder's rows; neurons have none but the axes."""
        if self.spec["trained"] is None:
            return None
        sae = SAE.load(self.workspace.part("train", self.spec["trained"]))
        directions: NDArray[np.float32] = sae.W_dec.numpy()
        return directions

    def _neighbors(self, acts: Any, near: relations.Ranked | None) -> Columns:
        jaccard, correlation = relations.coactivation(acts, count=self.settings.neighbors)
        kinds = {"correlation": correlation, "decoder": near, "jaccard": jaccard}
        parts = [
            {"feature_id": feature, "kind": [kind] * len(feature), "rank": rank,
             "neighbor": other, "score": score}
            for kind, found in kinds.items() if found is not None
            for feature, rank, other, score in [_long(found.feature, found.value)]
        ]  # fmt: skip
        return _sorted(parts, NEIGHBORS)

    def _matches(self, acts: Any, others: Sequence[Mapping[str, Any]]) -> Columns:
        top, parts = self.encoded.top, []
        for spec in others:
            other = Dictionary(self._run, self.workspace, spec)
            if not np.array_equal(other.encoded.ids, self.encoded.ids):
                raise sealed.StoreError(
                    f"{self.id} and {other.id} were not measured on the same images; delete "
                    f"{self.workspace.root / 'parts'} and run again"
                )
            found = relations.matches(
                acts, other.encoded.acts, count=self.settings.matches, top_a=top,
                top_b=other.encoded.top,
            )  # fmt: skip
            feature, rank, match, correlation = _long(found.feature, found.correlation)
            jaccard = nullable(found.jaccard[feature, rank - 1])
            parts.append(
                {"feature_id": feature, "other_id": [other.id] * len(feature), "rank": rank,
                 "match": match, "correlation": correlation, "jaccard": jaccard}
            )  # fmt: skip
        return _sorted(parts, MATCHES)

    def _map(self, directions: NDArray[np.float32] | None) -> Columns:
        if directions is None or not self.settings.maps:
            return _placed("decoder", np.zeros((0, 2)), feature_id=np.zeros(0, np.int32))
        plane = maps.layout(directions, seed=self.settings.seed)
        return _placed("decoder", plane, feature_id=np.arange(len(plane)))

    def _artefacts(self, near: relations.Ranked | None) -> Columns:
        size = self.encoded.size if near is not None else 0
        fired, on_cls = np.zeros(size, np.int64), np.zeros(size, np.int64)
        norm, tokens = np.zeros(size), np.zeros(2)
        for arrays in self.encoded.beside(self.spec["file"]) if near is not None else ():
            fired += arrays["fired"]
            on_cls += arrays["fired_cls"]
            norm += arrays["fired_norm"]
            tokens += arrays["tokens"]
        once = np.maximum(fired, 1)
        mixed = "cls" in self.reads and "patch" in self.reads and self.encoded.facts["grid"]
        share = np.where((fired > 0) & bool(mixed), on_cls / once, np.nan)
        mean = tokens[1] / max(1, tokens[0])
        ratio = np.where(fired > 0, norm / once / max(mean, 1e-30), np.nan)
        density = fired / max(1, tokens[0])
        first = (near.feature[:, 0], near.value[:, 0]) if near is not None else (fired, norm)
        made = artefacts.flags(
            density_s=density, cls_share_s=share, norm_ratio_s=ratio, cosine_s=first[1],
            neighbor_s=first[0],
        )  # fmt: skip
        return {
            "feature_id": np.arange(size),
            **{name: getattr(made, name) for name in
               ("dead", "dense", "on_cls", "on_high_norm", "duplicate")},
            "token_density": density,
            "cls_share": nullable(share),
            "norm_ratio": nullable(ratio),
            "twin": pa.array(first[0].astype(np.int32), mask=~made.duplicate),
        }  # fmt: skip

    def _samples(self, acts: Any) -> Columns:
        if not self.encoded.is_sae:
            return _sorted([], SAMPLE_EXAMPLES)
        columns, count = acts.tocsc(), self.settings.samples
        drawn = samples.draw(
            columns.indptr, columns.indices, columns.data, examples=len(self.encoded.ids),
            seed=self.settings.seed, per_bin=count, random=2 * count, silent=count,
        )  # fmt: skip
        # Place -1, of silent ones, is the zero at the end.
        activation = np.append(columns.data, np.float32(0))[drawn.at]
        one = {
            "modality": ["image"] * len(drawn.at),
            "feature_id": drawn.feature,
            "kind": np.array(samples.KINDS, object)[drawn.kind],
            "example_id": self.encoded.ids[drawn.example],
            "activation": activation,
        }
        return _sorted([one], SAMPLE_EXAMPLES)


def _from_zero(one: Dictionary) -> Any:
    """Activations from 0 on: what neurons have in common would draw them all together."""
    acts = one.encoded.acts
    return acts if one.encoded.is_sae else acts - acts.min(0)


def _long(feature_sc: Array, value_sc: Array) -> tuple[Array, Array, Array, Array]:
    """(feature, rank from 1, other, value) of each of the ranked others that there are."""
    feature, column = np.nonzero(feature_sc >= 0)
    return feature, column + 1, feature_sc[feature, column], value_sc[feature, column]


def _placed(basis: str, plane: Array, **columns: Array) -> Columns:
    """Rows of the features that have a place: dead ones fire on nothing that could place them."""
    known = np.isfinite(plane).all(1)
    made = {name: values[known] for name, values in columns.items()}
    return {"basis": [basis] * int(known.sum()), **made, "x": plane[known, 0], "y": plane[known, 1]}


def _sorted(parts: Sequence[Columns], table: Table) -> Columns:
    """The parts joined, in the table's order."""
    names = [name for name in table.schema.names if name != "dictionary_id"]
    schema = pa.schema([table.schema.field(name) for name in names])
    made = [pa.table(part).select(names).cast(schema) for part in parts]
    joined = pa.concat_tables(made or [schema.empty_table()])
    order = [(name, "ascending") for name in table.sort if name != "dictionary_id"]
    joined = joined.sort_by(order)
    return {name: joined[name] for name in names}


def _write(table: Table, columns: Columns, folder: Path) -> None:
    write_table(table, pa.table(columns), folder)
