"""What captions do to features, and how many captions there are."""

import json
from collections.abc import Sequence
from dataclasses import replace

from dashboard.queries.rows import MOST_ROWS, Connection, has, records
from dashboard.records.captions import Reading, Spoken, TopCaption
from pipeline.contract.tables import TOP_K

_TOP = """WITH top AS MATERIALIZED (
    SELECT * FROM top_captions WHERE dictionary_id = ?
    AND feature_id IN (SELECT unnest(?::INTEGER[])) AND "rank" <= ?)
SELECT feature_id, "rank", caption_id, example_id, text, activation, token, tokens, token_acts,
    pieces, cut
FROM top JOIN (
    SELECT * FROM read_captions WHERE model = ? AND caption_id IN (SELECT caption_id FROM top)
) USING (caption_id)
ORDER BY feature_id, "rank"
"""


def top_captions(
    connection: Connection, dictionary_id: str, feature_ids: Sequence[int], *, count: int = TOP_K
) -> dict[int, list[TopCaption]]:
    """The first `count` top captions of each of these features, by rank; features that no caption
    activates are left out, and so are those beyond MOST_ROWS; nothing before contract 1.3."""
    if not all(has(connection, name) for name in ("read_captions", "top_captions")):
        return {}
    wanted = [int(i) for i in feature_ids][:MOST_ROWS]
    # As a value: a model that the query had to find first would not bound what it scans.
    sql = "SELECT model FROM dictionaries WHERE dictionary_id = ? LIMIT 1"
    model = connection.cursor().execute(sql, [dictionary_id]).fetchone()
    values = [dictionary_id, wanted, count, *(model or [None])]
    found: dict[int, list[TopCaption]] = {}
    for one in records(connection, TopCaption, _TOP, values):
        pieces = replace(one, pieces=json.loads(str(one.pieces)))
        found.setdefault(one.feature_id, []).append(pieces)
    return found


def spoken(
    connection: Connection, keys: Sequence[tuple[str, int]], *, letters: int = 120
) -> dict[tuple[str, int], Spoken]:
    """The strongest caption of each of these features (dictionary, feature id), its first `letters`
    letters alone; features that no caption activates are left out, and so are those beyond
    MOST_ROWS; nothing before contract 1.3."""
    if not keys or not all(has(connection, n) for n in ("captions", "top_captions", "modality")):
        return {}
    some = keys[:MOST_ROWS]
    sql = """SELECT t.dictionary_id, t.feature_id, left(c.text, ?), m.text_density
        FROM (SELECT * FROM top_captions WHERE "rank" = 1 AND (dictionary_id, feature_id)
            IN (SELECT unnest(?::VARCHAR[]), unnest(?::INTEGER[]))) t
        JOIN captions c USING (caption_id)
        LEFT JOIN modality m USING (dictionary_id, feature_id)"""
    values = [letters, [name for name, _ in some], [number for _, number in some]]
    rows = connection.cursor().execute(sql, values).fetchall()
    return {(name, number): Spoken(text, share) for name, number, text, share in rows}


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
    """How many captions each model read, and of how many not the end; nothing before
    contract 1.3."""
    if not has(connection, "caption_tokens"):
        return []
    return records(
        connection,
        Reading,
        """SELECT model, count(*) AS captions, count(*) FILTER (cut > 0) AS cut
        FROM caption_tokens GROUP BY model ORDER BY model LIMIT 100""",
    )


def captioned(connection: Connection) -> int | None:
    """How many val images have captions that are read; None before contract 1.3."""
    if not has(connection, "captions"):
        return None
    sql = "SELECT count(DISTINCT example_id) FROM captions"
    ((count,),) = connection.cursor().execute(sql).fetchall()
    return int(count)
