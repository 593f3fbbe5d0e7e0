"""The one feature that a page is about."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.queries.rows import (
    Connection,
    card_fields,
    card_of,
    dicts,
    has,
    judged_by_itself,
    record,
    records,
)
from dashboard.records.features import Artefacts, AutoLabel, Feature, Sample, Score, Top
from pipeline.contract.tables import TOP_K

QUANTILES = (0.25, 0.5, 0.75, 0.95)
"""Where the examples beyond the top come from (`sample_examples.kind`)."""


def top_ids(
    connection: Connection, dictionary_id: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(places [n], example ids [n]) of the dictionary's top images; a place is TOP_K times the
    feature plus the rank from 0."""
    found = (
        connection.cursor()
        .execute(
            f"""SELECT feature_id::BIGINT * {TOP_K} + "rank" - 1 AS place, example_id
            FROM top_examples
            WHERE dictionary_id = ? AND modality = 'image'""",
            [dictionary_id],
        )
        .fetchnumpy()
    )
    return np.asarray(found["place"], np.int64), np.asarray(found["example_id"], np.int64)


def feature(connection: Connection, dictionary_id: str, feature_id: int) -> Feature | None:
    """The feature with its top images and histogram, or None where there is no such feature."""
    sql = f"""SELECT {feature_columns(connection)} FROM cards
        WHERE dictionary_id = ? AND feature_id = ? LIMIT 1"""
    found = dicts(connection, sql, [dictionary_id, feature_id])
    return feature_of(found[0]) if found else None


def feature_columns(connection: Connection) -> str:
    """Columns of `cards` that `feature_of` reads."""
    lists = ("top", "edges", "counts")
    return ", ".join([card_fields(connection), *(f"coalesce({n}, []) AS {n}" for n in lists)])


def feature_of(row: Mapping[str, Any]) -> Feature:
    """A row of `cards` as the feature."""
    top = [record(Top, each) for each in row["top"]]
    return Feature(card_of(row), top, row["edges"], row["counts"])


def scores(connection: Connection, dictionary_id: str, feature_id: int) -> list[Score]:
    """MS of the feature by every encoder, the default one first."""
    return records(
        connection,
        Score,
        f"""SELECT m.*, e.is_default, {judged_by_itself(connection, "m.encoder")} AS judges_itself
        FROM monosemanticity m JOIN encoders e USING (encoder)
        WHERE m.dictionary_id = ? AND m.feature_id = ?
        ORDER BY e.is_default DESC, encoder LIMIT 100""",
        [dictionary_id, feature_id],
    )


def auto_labels(connection: Connection, dictionary_id: str, feature_id: int) -> list[AutoLabel]:
    """What the pipeline calls the feature, kind by kind; nothing in older bundles."""
    if not has(connection, "labels"):
        return []
    return records(
        connection,
        AutoLabel,
        """SELECT * FROM labels WHERE dictionary_id = ? AND feature_id = ?
        ORDER BY kind, "rank" LIMIT 100""",
        [dictionary_id, feature_id],
    )


def quantiles(
    connection: Connection, dictionary_id: str, feature_id: int
) -> list[tuple[float, float]]:
    """(share, activation) at the QUANTILES of an SAE feature's activations above 0."""
    shares = ", ".join(map(str, QUANTILES))
    sql = f"""SELECT quantile_cont(activation, [{shares}]) FROM activations
        WHERE dictionary_id = ? AND modality = 'image' AND feature_id = ?"""
    ((found,),) = connection.cursor().execute(sql, [dictionary_id, feature_id]).fetchall()
    return list(zip(QUANTILES, found or (), strict=False))


def artefacts(connection: Connection, dictionary_id: str, feature_id: int) -> Artefacts | None:
    """What makes the feature look like an artefact; None for neurons and in older bundles."""
    if not has(connection, "artefacts"):
        return None
    found = records(
        connection,
        Artefacts,
        "SELECT * FROM artefacts WHERE dictionary_id = ? AND feature_id = ? LIMIT 1",
        [dictionary_id, feature_id],
    )
    return found[0] if found else None


def samples(connection: Connection, dictionary_id: str, feature_id: int) -> list[Sample]:
    """Examples of the feature beyond its strongest, the stronger kinds first."""
    if not has(connection, "sample_examples"):
        return []
    return records(
        connection,
        Sample,
        """SELECT * FROM sample_examples WHERE dictionary_id = ? AND modality = 'image'
        AND feature_id = ? ORDER BY kind IN ('random', 'silent'), kind = 'silent', kind DESC,
        activation DESC, example_id LIMIT 200""",
        [dictionary_id, feature_id],
    )
