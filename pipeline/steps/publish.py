"""Joins the parts into the bundle: tables, their DuckDB file, the SAEs, and a manifest."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from pipeline import config, contract
from pipeline.bundle import database, opening, sealed
from pipeline.bundle.tables import TableWriter, sort_rows, write_table
from pipeline.contract.tables import (
    ACTIVATIONS,
    ARTEFACTS,
    CAPTION_TOKENS,
    CAPTIONS,
    DICTIONARIES,
    EMBEDDINGS,
    ENCODERS,
    EXAMPLES,
    FEATURES,
    HISTOGRAMS,
    LABELS,
    MAPS,
    MATCHES,
    MODALITY,
    MONOSEMANTICITY,
    NEIGHBORS,
    OVERLAP,
    RECONSTRUCTION,
    SAMPLE_EXAMPLES,
    SKIPPED,
    STEERING,
    TABLES,
    THUMBNAILS,
    TOP_CAPTIONS,
    TOP_EXAMPLES,
    Table,
)
from pipeline.fingerprints.keys import content_key
from pipeline.metrics.labels import or_words
from pipeline.models import likeness
from pipeline.run import engine, identity, plan
from pipeline.run.workspace import Workspace
from pipeline.saes.sae import SAE

_SCORED = (FEATURES, MONOSEMANTICITY, TOP_EXAMPLES)

_OF_BOTH = (HISTOGRAMS, ACTIVATIONS, RECONSTRUCTION)
"""Score has the images' rows, modality the captions'."""

_COMPARED = (TOP_CAPTIONS, MODALITY, OVERLAP)

_RELATED = (
    NEIGHBORS,
    MATCHES,
    MAPS,
    ARTEFACTS,
    SAMPLE_EXAMPLES,
)


class Worker:
    """Does publish's one unit."""

    def __init__(self, run: config.RunConfig, workspace: Workspace) -> None:
        likeness.refuse_selves(run)
        self.run, self.workspace = run, workspace

    def make(self, unit: plan.Unit, folder: Path, advance: Callable[[int], None]) -> dict[str, Any]:
        self._examples(unit, folder)
        self._encoders(unit, folder)
        rows = self._dictionaries(unit, folder)
        for table in _SCORED:
            with TableWriter(table, folder) as writer:
                for place, key in self._in_order(unit, rows):
                    read = self._read("score", key, table)
                    if table is FEATURES:
                        read = _labelled(read, self._labels(unit, place))
                        read = _compared(read, self._worded(unit, place, MODALITY))
                        read = _steered(read, self._steered(unit, place))
                    writer.write(read)
        self._captions(unit, rows, folder)
        self._relations(unit, rows, folder)
        with TableWriter(STEERING, folder) as writer:
            for place, _ in self._in_order(unit, rows):
                writer.write(self._steered(unit, place))
        database.build(folder)
        self._manifest(unit, folder)
        advance(1)
        return {"dictionaries": len(rows)}

    def _examples(self, unit: plan.Unit, folder: Path) -> None:
        skipped: dict[str, str] = {}
        for key in unit.spec["collected"]:
            skipped |= self.workspace.facts("collect", key)["skipped"]
        parts = [self._read("collect", key, EXAMPLES) for key in unit.spec["collected"]]
        write_table(EXAMPLES, pa.concat_tables(parts), folder)
        parts = [self._read("collect", key, THUMBNAILS) for key in unit.spec["images"]]
        write_table(THUMBNAILS, pa.concat_tables(parts), folder)
        rows = [{"uri": uri, "reason": reason} for uri, reason in skipped.items()]
        table = pa.Table.from_pylist(rows, schema=SKIPPED.schema)
        write_table(SKIPPED, table, folder)

    def _captions(self, unit: plan.Unit, rows: dict[str, dict[str, Any]], folder: Path) -> None:
        """The captions, as the models read them, and what they tell of features."""
        parts = [self._read("collect", key, CAPTIONS) for key in unit.spec["images"]]
        write_table(CAPTIONS, pa.concat_tables(parts), folder)
        with TableWriter(CAPTION_TOKENS, folder) as writer:
            for _, keys in sorted(unit.spec["encoded"].items()):
                parts = [self._read("encode", key, CAPTION_TOKENS) for key in keys]
                writer.write(sort_rows(CAPTION_TOKENS, pa.concat_tables(parts)))
        for table in _OF_BOTH:
            with TableWriter(table, folder) as writer:
                for place, key in self._in_order(unit, rows):
                    both = [self._read("score", key, table), self._worded(unit, place, table)]
                    joined = pa.concat_tables(both)
                    # `image` comes before `text`; kinds of token are mixed.
                    mixed = table is RECONSTRUCTION
                    writer.write(sort_rows(table, joined) if mixed else joined)
        for table in _COMPARED:
            with TableWriter(table, folder) as writer:
                for place, _ in self._in_order(unit, rows):
                    writer.write(self._worded(unit, place, table))

    def _worded(self, unit: plan.Unit, place: plan.Place, table: Table) -> pa.Table:
        return self._read("modality", unit.spec["worded"][str(place)], table)

    def _steered(self, unit: plan.Unit, place: plan.Place) -> pa.Table:
        key = unit.spec["steered"].get(str(place))
        table = STEERING
        return table.schema.empty_table() if key is None else self._read("steer", key, table)

    def _encoders(self, unit: plan.Unit, folder: Path) -> None:
        names = sorted(self.run.encoders)
        themselves = likeness.selves(self.run)
        width: dict[str, int] = {}
        labelled = next(iter(unit.spec["labelled"].values()))
        speaks = self.workspace.facts("label", labelled)["speaks"]
        with TableWriter(EMBEDDINGS, folder) as writer:
            for name in names:
                parts = list(self._embeddings(unit.spec["images"], name))
                width[name] = parts[0]["vector"].type.list_size if parts else 0
                joined = pa.concat_tables(parts).sort_by("example_id")
                writer.write(joined.add_column(0, "encoder", pa.array([name] * len(joined))))
        rows = [
            {
                "encoder": name,
                "source": _source(self.run.encoders[name]),
                "fingerprint": identity.model_identity(
                    self.run.encoders[name].id, self.run.encoders[name].revision
                ),
                "d": width[name],
                "is_default": name == self.run.default_encoder,
                "judges": name in self.run.judges,
                "judges_itself": name in themselves,
                "text": speaks[name],
            }
            for name in names
        ]
        schema = ENCODERS.schema
        write_table(ENCODERS, pa.Table.from_pylist(rows, schema=schema), folder)

    def _embeddings(self, keys: Sequence[str], encoder: str) -> Iterator[pa.Table]:
        for key in keys:
            ids = self._read("collect", key, EXAMPLES)["example_id"]
            file = self.workspace.part("collect", key) / "embeddings.safetensors"
            vectors = load_file(file).get(encoder)
            if vectors is not None:
                column = pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
                yield pa.table({"example_id": ids, "vector": column})

    def _dictionaries(self, unit: plan.Unit, folder: Path) -> dict[str, dict[str, Any]]:
        """Write `dictionaries` and the SAEs' folders; the rows by place."""
        rows = {}
        for place, key in unit.spec["scored"]:
            row = self.workspace.facts("score", key)["dictionary"]
            row |= {name: _finite(row[name]) for name in ("l0", "fvu")}
            trained = unit.spec["trained"].get(str(place))
            facts = (row["hook"], self._weights[place.model])
            if trained is None:
                made = content_key("neurons", *facts)
                row |= {"fingerprint": made, "source": "the model's own", "tokens_seen": 0}
            else:
                source = self.workspace.part("train", trained)
                target = folder / opening.SAES / row["dictionary_id"]
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("part.json", ".*"))
                row |= {
                    "fingerprint": SAE.load(source).fingerprint(*facts),
                    "source": self._source(place, row["dictionary_id"]),
                    "tokens_seen": self.workspace.facts("train", trained)["tokens_seen"],
                    "learnt_from": self.workspace.facts("train", trained).get("learnt_from"),
                }
            rows[str(place)] = row
        table = pa.Table.from_pylist(list(rows.values()), schema=DICTIONARIES.schema)
        write_table(DICTIONARIES, table, folder)
        return rows

    @cached_property
    def _weights(self) -> dict[str, str]:
        return {name: identity.weights_identity(model) for name, model in self.run.models.items()}

    def _relations(self, unit: plan.Unit, rows: dict[str, dict[str, Any]], folder: Path) -> None:
        related: dict[str, str] = unit.spec["related"]
        for table in _RELATED:
            with TableWriter(table, folder) as writer:
                # The plane's basis, `activations`, comes before `decoder`.
                if table is MAPS and plan.PLANE in related:
                    writer.write(self._read("relate", related[plan.PLANE], table))
                for place, _ in self._in_order(unit, rows):
                    writer.write(self._read("relate", related[str(place)], table))
        with TableWriter(LABELS, folder) as writer:
            for place, _ in self._in_order(unit, rows):
                writer.write(self._labels(unit, place))

    def _labels(self, unit: plan.Unit, place: plan.Place) -> pa.Table:
        return self._read("label", unit.spec["labelled"][str(place)], LABELS)

    def _source(self, place: plan.Place, dictionary_id: str) -> str:
        """Where an SAE comes from."""
        settings = self.run.dictionaries[place.dictionary]
        if isinstance(settings, config.PublishedSAE):
            revision = f" @ {settings.revision}" if settings.revision else ""
            return f"{settings.sources[place.hook]}{revision}"
        return f"trained by this run: {opening.SAES}/{dictionary_id}"

    def _in_order(
        self, unit: plan.Unit, rows: dict[str, dict[str, Any]]
    ) -> list[tuple[plan.Place, str]]:
        """The scored parts in the order of their dictionaries' ids, which is the tables'."""
        scored: list[tuple[plan.Place, str]] = unit.spec["scored"]
        return sorted(scored, key=lambda entry: rows[str(entry[0])]["dictionary_id"])

    def _manifest(self, unit: plan.Unit, folder: Path) -> None:
        models = {
            name: {
                **m.model_dump(mode="json", exclude={"hooks"}),
                "fingerprint": self._weights[name],
            }
            for name, m in self.run.models.items()
        }
        counts = {t.name: pq.read_metadata(folder / t.file).num_rows for t in TABLES.values()}
        manifest: dict[str, Any] = {
            "contract": contract.VERSION,
            "key": unit.key,
            "name": self.run.name,
            "title": self.run.title or self.run.name,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "config": self.run.model_dump(mode="json"),
            "models": models,
            "rows": counts,
            "versions": engine.versions(),
        }
        manifest[sealed.FILES] = sealed.listing(folder, times=False)
        sealed.write_json(folder / "manifest.json", manifest, sort=False)  # the config has an order

    def _read(self, step: str, key: str, table: Table) -> pa.Table:
        return pq.read_table(self.workspace.part(step, key) / table.file)


def _labelled(features: pa.Table, labels: pa.Table) -> pa.Table:
    """`features` in which those without a label of the data's own have their first word."""
    rows = labels.filter((pc.field("kind") == "word") & (pc.field("rank") == 1)).to_pylist()
    words = {row["feature_id"]: (row["label"], row["tells"]) for row in rows}
    own = (features[name].to_pylist() for name in ("feature_id", "label", "label_score"))
    told = or_words(
        {feature: (text, score) for feature, text, score in zip(*own, strict=True)}, words
    )
    label, score = zip(*told.values(), strict=True) if told else ((), ())
    made = {"label": pa.array(label, pa.string()), "label_score": pa.array(score, pa.float32())}
    for name, column in made.items():
        features = features.set_column(features.column_names.index(name), name, column)
    return features


def _compared(features: pa.Table, compared: pa.Table) -> pa.Table:
    """`features` with what lists show of `modality`, which has all of them or none."""
    if not len(compared):
        return features
    for name, of in (("modality_score", "modality_score"), ("pair_correlation", "correlation")):
        features = features.set_column(features.column_names.index(name), name, compared[of])
    return features


def _steered(features: pa.Table, steered: pa.Table) -> pa.Table:
    """`features` with what lists show of `steering`, which has some of them or none."""
    row = {feature: at for at, feature in enumerate(steered["feature_id"].to_pylist())}
    at = pa.array([row.get(feature) for feature in features["feature_id"].to_pylist()], pa.int64())
    for name, of in (("steering_score", "score"), ("steers", "steers")):
        # Parts of features from before 1.4 lack these columns.
        found = features.column_names
        features = features.drop_columns([name]) if name in found else features
        features = features.append_column(name, steered[of].combine_chunks().take(at))
    return features


def _finite(value: float | None) -> float | None:
    """The value, None where it is not a number or no float32 holds it."""
    return value if value is not None and abs(value) <= np.finfo(np.float32).max else None


def _source(settings: config.Encoder) -> str:
    return f"{settings.id}@{settings.revision}" if settings.revision else settings.id
