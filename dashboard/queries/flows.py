"""How the features of dictionaries find each other: matches aligned, counted, followed by layer.

A feature is found in another dictionary where its best match there correlates with it by at least
a `threshold`. Only live features count: a dead one could match nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.queries.rows import MOST_ROWS, MOST_TABLED, Connection, has
from dashboard.records.dictionaries import Agreement, Bands, Merges
from dashboard.records.matches import Aligned, Pair, Tie

BANDS = {
    "through": "before AND after", "starts": "after AND NOT before",
    "ends": "before AND NOT after", "alone": "NOT before AND NOT after",
}  # fmt: skip
"""Kinds of features of a layer, by whether the layers before and after it have them."""
ORDERS = ("correlation", "ms", "found", "difference")
"""What aligned rows may be sorted by."""
MOST_COLUMNS = 4
DENSITY_BINS, LEAST_DENSITY = 36, 1e-6
"""Bins of density, equal in its logarithm, from the least density to 1."""

_BEST = """(SELECT feature_id, match, correlation, jaccard FROM best_matches
    WHERE dictionary_id = ? AND other_id = ?)"""
_BEST_OF = """(SELECT feature_id, match, correlation, jaccard FROM best_matches
    WHERE dictionary_id = $one AND other_id = $other{0})"""
_MS_OF = """(SELECT feature_id AS match, ms FROM features WHERE dictionary_id = $other{0}) g{0}
    ON g{0}.match = m{0}.match AND m{0}.correlation >= $least"""
_FOUND = """feature_id IN (SELECT feature_id FROM best_matches
    WHERE dictionary_id = ? AND other_id = ? AND correlation >= ?)"""


def has_matches(connection: Connection) -> bool:
    """Whether the bundle says which features of its dictionaries match."""
    return has(connection, "matches")


def agreement(
    connection: Connection, dictionary_id: str, other_id: str, *, threshold: float
) -> Agreement:
    """How far the features of one dictionary are found again in another."""
    sql = """SELECT (SELECT count(*) FROM features WHERE dictionary_id = ? AND n_active > 0),
            count(*) FILTER (correlation >= ?), avg(correlation)
        FROM best_matches WHERE dictionary_id = ? AND other_id = ?"""
    values = [dictionary_id, threshold, dictionary_id, other_id]
    return Agreement(*_rows(connection, sql, values)[0])


def aligned(
    connection: Connection,
    dictionary_id: str,
    other_ids: Sequence[str],
    *,
    threshold: float,
    sort: str = "correlation",
    limit: int,
    offset: int,
) -> list[Aligned]:
    """Features found in at least one of the others, each with its best match in every one.

    Args:
        other_ids: one to MOST_COLUMNS - 1 dictionaries.
        sort: `correlation` (its mean over the others, the highest first), `ms`, `found` (in how
            many of the others) or `difference` (of MS, to the match that differs most).

    Raises:
        ValueError: `sort` is not one of ORDERS.
    """
    if sort not in ORDERS:
        raise ValueError(f"sort by {sort!r}: name one of {', '.join(ORDERS)}")
    at = range(len(other_ids))
    columns = ", ".join(f"m{i}.match, m{i}.correlation, m{i}.jaccard" for i in at)
    joins = " ".join(f"LEFT JOIN {_BEST_OF.format(i)} m{i} USING (feature_id)" for i in at)
    total = " + ".join(f"coalesce(m{i}.correlation, 0)" for i in at)
    found = " + ".join(f"(coalesce(m{i}.correlation, -1) >= $least)::INTEGER" for i in at)
    apart = ", ".join(f"abs(f.ms - g{i}.ms)" for i in at)
    if sort == "difference":
        joins += " ".join(f" LEFT JOIN {_MS_OF.format(i)}" for i in at)
    order = {"correlation": total, "ms": "f.ms", "found": f"{found} DESC, {total}",
             "difference": f"greatest({apart})"}[sort]  # fmt: skip
    rows = _rows(
        connection,
        f"""SELECT f.feature_id, {columns} FROM features f {joins}
        WHERE f.dictionary_id = $one AND f.n_active > 0 AND {found} > 0
        ORDER BY {order} DESC NULLS LAST, f.feature_id LIMIT $limit OFFSET $offset""",
        {"one": dictionary_id, **{f"other{i}": other for i, other in enumerate(other_ids)},
         "least": threshold, "limit": min(limit, MOST_TABLED), "offset": max(offset, 0)},
    )  # fmt: skip
    return [
        Aligned(row[0], tuple(_pair(row[0], row[1 + 3 * i : 4 + 3 * i]) for i in at))
        for row in rows
    ]


def unmatched(
    connection: Connection,
    dictionary_id: str,
    other_ids: Sequence[str],
    *,
    threshold: float,
    limit: int,
    offset: int,
) -> list[int]:
    """Live features that none of the others has, the most monosemantic first."""
    without, values = _without(dictionary_id, other_ids, threshold)
    sql = f"""SELECT feature_id FROM features WHERE {without}
        ORDER BY ms DESC NULLS LAST, feature_id LIMIT ? OFFSET ?"""
    rows = _rows(connection, sql, [*values, min(limit, MOST_TABLED), max(offset, 0)])
    return [row[0] for row in rows]


def count_unmatched(
    connection: Connection, dictionary_id: str, other_ids: Sequence[str], *, threshold: float
) -> int:
    """How many live features none of the others has."""
    without, values = _without(dictionary_id, other_ids, threshold)
    sql = f"SELECT count(*) FROM features WHERE {without}"
    return int(_rows(connection, sql, values)[0][0])


def density_histogram(connection: Connection, dictionary_id: str) -> list[int]:
    """Live features by density: DENSITY_BINS equal bins of its logarithm."""
    sql = f"""SELECT least(greatest(floor((1 - log10(density) / log10({LEAST_DENSITY}))
            * {DENSITY_BINS}), 0), {DENSITY_BINS - 1})::INTEGER AS bin, count(*)
        FROM features WHERE dictionary_id = ? AND density > 0 GROUP BY bin"""
    counts = [0] * DENSITY_BINS
    for place, held in _rows(connection, sql, [dictionary_id]):
        counts[place] = held
    return counts


def bands(
    connection: Connection,
    dictionary_id: str,
    *,
    before: str | None,
    after: str | None,
    threshold: float,
) -> Bands:
    """The live features of a layer's dictionary by whether the layers around it have them; a layer
    that is None has none."""
    source, values = _banded(dictionary_id, before, after, threshold)
    counts = ", ".join(f"count(*) FILTER ({condition})" for condition in BANDS.values())
    return Bands(*_rows(connection, f"SELECT {counts} FROM {source}", values)[0])


def of_band(
    connection: Connection,
    dictionary_id: str,
    *,
    band: str,
    before: str | None,
    after: str | None,
    threshold: float,
    limit: int,
    offset: int,
) -> list[int]:
    """The features of one of a layer's BANDS, the most monosemantic first."""
    source, values = _banded(dictionary_id, before, after, threshold)
    sql = f"""SELECT feature_id FROM {source} WHERE {BANDS[band]}
        ORDER BY ms DESC NULLS LAST, feature_id LIMIT ? OFFSET ?"""
    rows = _rows(connection, sql, [*values, min(limit, MOST_TABLED), max(offset, 0)])
    return [row[0] for row in rows]


def merges(
    connection: Connection, dictionary_id: str, other_id: str, *, threshold: float
) -> Merges:
    """How many features share their best match in the other dictionary with another one."""
    sql = """SELECT coalesce(sum(sharing), 0), count(*) FROM (
        SELECT count(*) AS sharing FROM best_matches
        WHERE dictionary_id = ? AND other_id = ? AND correlation >= ?
        GROUP BY match HAVING count(*) > 1)"""
    row = _rows(connection, sql, [dictionary_id, other_id, threshold])[0]
    return Merges(int(row[0]), int(row[1]))


def merged(
    connection: Connection,
    dictionary_id: str,
    other_id: str,
    *,
    threshold: float,
    limit: int,
    offset: int,
) -> list[Aligned]:
    """Features that share their best match, those of one match together, the most shared first."""
    sql = f"""SELECT feature_id, match, correlation, jaccard FROM {_BEST}
        JOIN (SELECT match, count(*) AS sharing FROM {_BEST} WHERE correlation >= ?
            GROUP BY match HAVING count(*) > 1) USING (match)
        WHERE correlation >= ? ORDER BY sharing DESC, match, correlation DESC, feature_id
        LIMIT ? OFFSET ?"""
    values = [dictionary_id, other_id, dictionary_id, other_id, threshold, threshold]
    rows = _rows(connection, sql, [*values, min(limit, MOST_TABLED), max(offset, 0)])
    return [Aligned(row[0], (_pair(row[0], row[1:]),)) for row in rows]


def ties(connection: Connection, features: Sequence[tuple[str, int]]) -> list[Tie]:
    """Where the tables name one of the features as another's neighbour or match."""
    chosen = list(features)[:MOST_ROWS]
    found = []
    tables = {
        "neighbors": "SELECT dictionary_id AS other_id, neighbor AS other, kind, score",
        "matches": "SELECT other_id, match AS other, 'match' AS kind, correlation AS score",
    }
    for table, select in tables.items():
        if not has(connection, table):
            continue
        sql = f"{select} FROM {table} WHERE dictionary_id = ? AND feature_id = ? LIMIT 5000"
        for one in chosen:
            rows = _rows(connection, sql, list(one))
            found += [Tie(one, (r[0], r[1]), r[2], r[3]) for r in rows if (r[0], r[1]) in chosen]
    return found


def _pair(feature_id: int, row: Sequence[Any]) -> Pair | None:
    return None if row[0] is None else Pair(feature_id, *row)


def _without(
    dictionary_id: str, other_ids: Sequence[str], threshold: float
) -> tuple[str, list[Any]]:
    marks = ", ".join("?" * len(other_ids))
    where = f"""dictionary_id = ? AND n_active > 0 AND feature_id NOT IN (
        SELECT feature_id FROM best_matches
        WHERE dictionary_id = ? AND other_id IN ({marks}) AND correlation >= ?)"""
    return where, [dictionary_id, dictionary_id, *other_ids, threshold]


def _banded(
    dictionary_id: str, before: str | None, after: str | None, threshold: float
) -> tuple[str, list[Any]]:
    """Live features with `before` and `after`: whether those layers have them."""
    columns, values = [], []
    for name, layer in (("before", before), ("after", after)):
        columns.append(f"{'false' if layer is None else _FOUND} AS {name}")
        values += [] if layer is None else [dictionary_id, layer, threshold]
    source = f"""(SELECT feature_id, ms, {", ".join(columns)} FROM features
        WHERE dictionary_id = ? AND n_active > 0)"""
    return source, [*values, dictionary_id]


def _rows(
    connection: Connection, sql: str, values: Sequence[Any] | Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    # An older bundle lacks the table, and is read where it stands, more slowly.
    if " best_matches" in sql and not has(connection, "best_matches"):
        sql = sql.replace(" best_matches", " (SELECT * FROM matches WHERE rank = 1)")
    return connection.cursor().execute(sql, values).fetchall()
