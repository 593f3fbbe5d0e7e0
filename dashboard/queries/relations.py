"""How features stand to each other: neighbours, matches, places on maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dashboard.queries.rows import CARD, MOST_ROWS, Connection, has, records
from dashboard.records import Agreement, Card, Pair, Points, Related


def neighbors(
    connection: Connection, dictionary_id: str, feature_id: int, *, examples: int
) -> list[Related]:
    """The nearest features of the same dictionary, by kind and then rank."""
    return _related(
        connection,
        """SELECT n.kind, n.score, NULL, n.dictionary_id, n.neighbor, n.rank
        FROM neighbors n WHERE n.dictionary_id = ? AND n.feature_id = ?""",
        [dictionary_id, feature_id],
        examples=examples,
    )


def matches(
    connection: Connection, dictionary_id: str, feature_id: int, *, examples: int
) -> list[Related]:
    """The best match in every other dictionary."""
    return _related(
        connection,
        """SELECT m.other_id, m.correlation, m.jaccard, m.other_id, m.match, m.rank
        FROM matches m WHERE m.dictionary_id = ? AND m.feature_id = ? AND m.rank = 1""",
        [dictionary_id, feature_id],
        examples=examples,
    )


def has_matches(connection: Connection) -> bool:
    """Whether the bundle says which features of its dictionaries match."""
    return has(connection, "matches")


def agreement(
    connection: Connection, dictionary_id: str, other_id: str, *, threshold: float
) -> Agreement:
    """How far the features of one dictionary are found again in another."""
    sql = """SELECT (SELECT count(*) FROM features WHERE dictionary_id = ? AND n_active > 0),
            count(*) FILTER (correlation >= ?), avg(correlation)
        FROM matches WHERE dictionary_id = ? AND other_id = ? AND rank = 1"""
    values = [dictionary_id, threshold, dictionary_id, other_id]
    return Agreement(*connection.cursor().execute(sql, values).fetchall()[0])


def pairs(
    connection: Connection, dictionary_id: str, other_id: str, *, limit: int, offset: int
) -> list[Pair]:
    """Features with their best match, the best correlated first."""
    return records(
        connection,
        Pair,
        """SELECT * FROM matches WHERE dictionary_id = ? AND other_id = ? AND rank = 1
        ORDER BY correlation DESC, feature_id LIMIT ? OFFSET ?""",
        [dictionary_id, other_id, min(limit, MOST_ROWS), max(offset, 0)],
    )


def unmatched(
    connection: Connection,
    dictionary_id: str,
    other_id: str,
    *,
    threshold: float,
    limit: int,
    offset: int,
) -> list[int]:
    """Live features without a match of at least `threshold`, the most monosemantic first."""
    sql = """SELECT feature_id FROM features f WHERE dictionary_id = ? AND n_active > 0
        AND feature_id NOT IN (
            SELECT feature_id FROM matches
            WHERE dictionary_id = ? AND other_id = ? AND rank = 1 AND correlation >= ?)
        ORDER BY ms DESC NULLS LAST, feature_id LIMIT ? OFFSET ?"""
    values = [dictionary_id, dictionary_id, other_id, threshold, min(limit, MOST_ROWS), offset]
    return [row[0] for row in connection.cursor().execute(sql, values).fetchall()]


def mapped(connection: Connection) -> list[str]:
    """The dictionaries that have a map of their own."""
    if not has(connection, "maps"):
        return []
    sql = "SELECT DISTINCT dictionary_id FROM maps WHERE basis = 'decoder' ORDER BY 1 LIMIT 1000"
    return [row[0] for row in connection.cursor().execute(sql).fetchall()]


def points(connection: Connection, dictionary_id: str) -> Points:
    """Every feature's place on the dictionary's map."""
    found = (
        connection.cursor()
        .execute(
            """SELECT m.feature_id, m.x, m.y, f.ms, f.density, f.max, f."group"
            FROM maps m JOIN features f USING (dictionary_id, feature_id)
            WHERE m.basis = 'decoder' AND m.dictionary_id = ? ORDER BY m.feature_id""",
            [dictionary_id],
        )
        .fetchnumpy()
    )
    whole = found.pop("feature_id").astype(np.int32)
    return Points(whole, *(np.ma.filled(a.astype(np.float32), np.nan) for a in found.values()))


def _related(
    connection: Connection, sql: str, values: Sequence[Any], *, examples: int
) -> list[Related]:
    """Features that `sql` names, with the cards of those."""
    if not has(connection, "neighbors"):
        return []
    rows = connection.cursor().execute(f"{sql} ORDER BY 1, rank LIMIT 200", values).fetchall()
    wanted = sorted({(row[3], row[4]) for row in rows})
    if not wanted:
        return []
    marks = " OR ".join(["(dictionary_id = ? AND feature_id = ?)"] * len(wanted))
    cards = records(
        connection,
        Card,
        f"""SELECT {CARD}, [t.example_id FOR t IN coalesce(top, [])[1:?]] AS examples
        FROM cards WHERE {marks}""",
        [examples, *(value for pair in wanted for value in pair)],
    )
    by_id = {(card.dictionary_id, card.feature_id): card for card in cards}
    return [Related(r[0], r[1], r[2], by_id[r[3], r[4]]) for r in rows if (r[3], r[4]) in by_id]
