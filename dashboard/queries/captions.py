"""What words do to features: their top captions, and how pictures and words compare."""

import json
from collections.abc import Sequence

from dashboard.modality import Modality, Reading, TopCaption
from dashboard.queries.rows import MOST_ROWS, Connection, has, records
from pipeline.contract import TOP_K

_TOP = """WITH top AS MATERIALIZED (
    SELECT * FROM top_captions WHERE dictionary_id = ?
    AND feature_id IN (SELECT unnest(?::INTEGER[])) AND "rank" <= ?)
SELECT feature_id, "rank", caption_id, example_id, text, activation, token, tokens, token_acts,
    pieces, cut
FROM top JOIN (
    SELECT * FROM read_captions WHERE model = (SELECT model FROM dictionaries WHERE dictionary_id = ?)
    AND caption_id IN (SELECT caption_id FROM top)) USING (caption_id)
ORDER BY feature_id, "rank"
"""


def has_captions(connection: Connection) -> bool:
    """Whether the bundle tells what captions do; those before contract 1.3 do not."""
    return has(connection, "modality") and has(connection, "read_captions")


def reads_captions(connection: Connection, dictionary_id: str) -> bool:
    """Whether captions went through this dictionary: it is an SAE that words reach."""
    if not has_captions(connection):
        return False
    sql = "SELECT 1 FROM modality WHERE dictionary_id = ? LIMIT 1"
    return connection.cursor().execute(sql, [dictionary_id]).fetchone() is not None


def top_captions(
    connection: Connection, dictionary_id: str, feature_ids: Sequence[int], *, count: int = TOP_K
) -> dict[int, list[TopCaption]]:
    """The first `count` top captions of each of these features, by rank; features that no caption
    activates are left out, and so are those beyond MOST_ROWS. Nothing in older bundles."""
    if not has_captions(connection) or not feature_ids:
        return {}
    wanted = [int(i) for i in feature_ids][:MOST_ROWS]
    values = [dictionary_id, wanted, count, dictionary_id]
    found: dict[int, list[TopCaption]] = {}
    for *row, pieces, cut in connection.cursor().execute(_TOP, values).fetchall():
        one = TopCaption(*row, pieces=json.loads(pieces), cut=cut)
        found.setdefault(one.feature_id, []).append(one)
    return found


def modality(connection: Connection, dictionary_id: str, feature_id: int) -> Modality | None:
    """How the feature's two sides compare; None where no caption is read, and in older bundles."""
    if not has(connection, "modality"):
        return None
    found = records(
        connection,
        Modality,
        "SELECT * FROM modality WHERE dictionary_id = ? AND feature_id = ? LIMIT 1",
        [dictionary_id, feature_id],
    )
    return found[0] if found else None


def text_histogram(
    connection: Connection, dictionary_id: str, feature_id: int
) -> tuple[list[float], list[int]]:
    """(edges, counts) of the feature's activations on captions, by image; both empty where none
    activates it."""
    sql = """SELECT edges, counts FROM histograms
        WHERE dictionary_id = ? AND modality = 'text' AND feature_id = ? LIMIT 1"""
    found = connection.cursor().execute(sql, [dictionary_id, feature_id]).fetchone()
    return (list(found[0]), list(found[1])) if found else ([], [])


def readings(connection: Connection) -> list[Reading]:
    """How many captions each model read, and of how many not the end; nothing in older bundles."""
    if not has(connection, "caption_tokens"):
        return []
    return records(
        connection,
        Reading,
        """SELECT model, count(*) AS captions, count(*) FILTER (cut > 0) AS cut
        FROM caption_tokens GROUP BY model ORDER BY model LIMIT 100""",
    )


def captioned(connection: Connection) -> int | None:
    """How many val images have captions that are read; None in older bundles."""
    if not has(connection, "captions"):
        return None
    sql = "SELECT count(DISTINCT example_id) FROM captions"
    ((count,),) = connection.cursor().execute(sql).fetchall()
    return int(count)
