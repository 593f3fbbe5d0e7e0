"""Dictionaries between pictures and words: every feature's two sides, and layers in sum."""

from collections.abc import Sequence

import numpy as np

from dashboard.queries.rows import MOST_ROWS, Connection, dicts, has, names_of, record, records
from dashboard.records.captions import Modality
from dashboard.records.modalities import Correlations, Overlap, Sides


def two_sided(connection: Connection) -> list[str]:
    """The dictionaries that have a side of pictures and one of words, that of the highest mean pair
    correlation first; none in bundles before contract 1.3."""
    if not (has(connection, "overlap") and has(connection, "modality")):
        return []
    sql = """SELECT dictionary_id FROM modality GROUP BY 1
        ORDER BY avg(coalesce(correlation, 0)) DESC, 1 LIMIT 1000"""
    return [name for (name,) in connection.cursor().execute(sql).fetchall()]


def worded(connection: Connection) -> list[str]:
    """The dictionaries that captions went through. Those that read words beside the picture too are
    among them and have no two sides; none in bundles before contract 1.3."""
    # One row a dictionary; the captions themselves are many.
    sql = """SELECT DISTINCT dictionary_id FROM reconstruction
        WHERE token_type = 'caption_alone' ORDER BY 1 LIMIT 1000"""
    return [name for (name,) in connection.cursor().execute(sql).fetchall()]


def sides(connection: Connection, dictionary_id: str) -> Sides:
    """Every feature's two sides, by feature id; empty where no caption is read."""
    found = (
        connection.cursor()
        .execute(
            """SELECT m.feature_id, m.image_active, m.text_active, m.image_density,
                m.text_density, m.modality_score, m.correlation, m.top_overlap, f.ms
            FROM modality m JOIN features f USING (dictionary_id, feature_id)
            WHERE m.dictionary_id = ? AND f.dictionary_id = ?""",
            [dictionary_id, dictionary_id],
        )
        .fetchnumpy()
    )
    order = np.argsort(found["feature_id"])  # quicker than an ORDER BY
    ids = found.pop("feature_id")[order].astype(np.int32)
    image, text = (
        found.pop(f"{side}_active")[order].astype(np.int64) for side in ("image", "text")
    )
    rest = {n: np.ma.filled(a.astype(np.float32), np.nan)[order] for n, a in found.items()}
    return Sides(ids, image, text, **rest)


def modality_of(
    connection: Connection, dictionary_id: str, feature_ids: Sequence[int]
) -> dict[int, Modality]:
    """How the two sides of these features compare, by id; unknown ones are left out, and so are
    those beyond MOST_ROWS."""
    sql = f"""SELECT feature_id, {", ".join(names_of(Modality))} FROM modality
        WHERE dictionary_id = ? AND feature_id IN (SELECT unnest(?::INTEGER[]))"""
    wanted = [int(i) for i in feature_ids][:MOST_ROWS]
    rows = dicts(connection, sql, [dictionary_id, wanted])
    return {row["feature_id"]: record(Modality, row) for row in rows}


def overlaps(connection: Connection, dictionary_ids: Sequence[str]) -> list[Overlap]:
    """The shares of live features by threshold, dictionary by dictionary, thresholds rising."""
    if not has(connection, "overlap"):
        return []
    return records(
        connection,
        Overlap,
        """SELECT * FROM overlap WHERE dictionary_id IN (SELECT unnest(?::VARCHAR[]))
        ORDER BY dictionary_id, threshold LIMIT 20000""",
        [list(dictionary_ids)],
    )


def correlations(connection: Connection, dictionary_id: str) -> Correlations | None:
    """The spread of the pair correlations of one dictionary; None in bundles before 1.3."""
    if not has(connection, "modality"):
        return None
    quarters = "[0.25, 0.5, 0.75]"
    found = records(
        connection,
        Correlations,
        f"""SELECT *, own[1] AS p25, own[2] AS p50, own[3] AS p75,
            other[1] AS shuffled_p25, other[2] AS shuffled_p50, other[3] AS shuffled_p75
        FROM (SELECT ? AS dictionary_id, count(correlation) AS known, avg(correlation) AS mean,
            quantile_cont(correlation, {quarters}) AS own,
            quantile_cont(correlation_shuffled, {quarters}) AS other
        FROM modality WHERE dictionary_id = ?)""",
        [dictionary_id, dictionary_id],
    )
    return found[0] if found and found[0].known else None
