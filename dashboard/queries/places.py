"""Where features lie on maps, and which belong together between maps."""

import numpy as np
from numpy.typing import NDArray

from dashboard.queries.rows import Connection, has
from dashboard.records.features import Points


def mapped(connection: Connection, *, basis: str = "decoder") -> list[str]:
    """The dictionaries on maps of this basis: `decoder`, a map each, or `activations`, the plane
    that several share."""
    if not has(connection, "maps"):
        return []
    sql = "SELECT DISTINCT dictionary_id FROM maps WHERE basis = ? ORDER BY 1 LIMIT 1000"
    return [row[0] for row in connection.cursor().execute(sql, [basis]).fetchall()]


def points(connection: Connection, dictionary_id: str, *, basis: str = "decoder") -> Points:
    """Every feature's place on the dictionary's map, by feature id."""
    found = (
        connection.cursor()
        .execute(
            """SELECT m.feature_id, m.x, m.y, f.ms, f.density, f.max, f."group"
            FROM maps m JOIN features f USING (dictionary_id, feature_id)
            WHERE m.basis = ? AND m.dictionary_id = ? AND f.dictionary_id = ?""",
            [basis, dictionary_id, dictionary_id],
        )
        .fetchnumpy()
    )
    order = np.argsort(found["feature_id"])  # quicker than an ORDER BY
    ids = found.pop("feature_id")[order].astype(np.int32)
    rest = {n: np.ma.filled(a.astype(np.float32), np.nan)[order] for n, a in found.items()}
    return Points(ids, **rest)


def linked(
    connection: Connection, dictionary_id: str, other_id: str, *, threshold: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Features whose best match in another dictionary correlates by `threshold` or more, and that
    match; none in a bundle without matches."""
    if not has(connection, "matches"):
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    sql = """SELECT feature_id, match FROM matches
        WHERE dictionary_id = ? AND other_id = ? AND rank = 1 AND correlation >= ?"""
    values = [dictionary_id, other_id, threshold]
    found = connection.cursor().execute(sql, values).fetchnumpy()
    return found["feature_id"].astype(np.int32), found["match"].astype(np.int32)
