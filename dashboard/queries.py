"""All SQL of the pages: parameters in, records out. No streamlit, no torch, no pandas.

Every call makes its own cursor: threads that share a DuckDB connection without one read each
other's rows. Every query is bounded, values go in as parameters, and names of columns that a page
may choose come from a whitelist.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import duckdb
import numpy as np

from dashboard.records import (
    Agreement,
    Artefacts,
    Card,
    Dictionary,
    Example,
    Feature,
    Filter,
    Holdings,
    Pair,
    Points,
    Related,
    Sample,
    Score,
    Summary,
    Top,
)

SORTS = ("ms", "density", "max", "mean", "label_score", "feature_id")
"""Columns of `features` that a list may be sorted by."""
FLAGS = ("dense", "on_cls", "on_high_norm", "duplicate")
"""Columns of `artefacts` that a list may leave out."""
MS_BINS = 40
MOST_SKIPPED = 200
MOST_LABELS = 500
MOST_TAGS = 5000
MOST_ROWS = 200

Connection = duckdb.DuckDBPyConnection
T = TypeVar("T")


_CARD = (
    'dictionary_id, feature_id, "group", n_active, density, max, mean, ms, ms_percentile, '
    "label, label_score"
)


def dictionaries(connection: Connection) -> list[Dictionary]:
    """Every dictionary, model by model, in the order of depth, SAEs before neurons."""
    return _records(
        connection,
        Dictionary,
        """SELECT d.*, f.ms, (SELECT count(DISTINCT model) FROM dictionaries) AS models
        FROM dictionaries d
        LEFT JOIN (SELECT dictionary_id, avg(ms) AS ms FROM features GROUP BY ALL) f
        USING (dictionary_id)
        ORDER BY model, depth, basis = 'neurons', name LIMIT 1000""",
    )


def summaries(connection: Connection) -> list[Summary]:
    """The spread of MS in every dictionary, by its default encoder."""
    return _records(
        connection,
        Summary,
        """SELECT d.dictionary_id, count(m.ms) AS scored, avg(m.ms) AS mean,
            stddev_samp(m.ms) / sqrt(count(m.ms)) AS error,
            quantile_cont(m.ms, 0.05) AS p05, quantile_cont(m.ms, 0.25) AS p25,
            quantile_cont(m.ms, 0.5) AS p50, quantile_cont(m.ms, 0.75) AS p75,
            quantile_cont(m.ms, 0.95) AS p95,
            avg(m.control_neuron) AS control_neuron,
            avg(m.control_direction) AS control_direction
        FROM dictionaries d
        JOIN monosemanticity m ON m.dictionary_id = d.dictionary_id
            AND m.encoder = d.default_encoder
        GROUP BY d.dictionary_id ORDER BY d.dictionary_id LIMIT 1000""",
    )


def holdings(connection: Connection) -> Holdings:
    """Images by split, skipped inputs and encoders, the default encoder first."""
    cursor = connection.cursor()
    splits = dict(cursor.execute("SELECT split, count(*) FROM examples GROUP BY split").fetchall())
    skipped = cursor.execute("SELECT count(*) FROM skipped").fetchall()[0][0]
    encoders = cursor.execute(
        "SELECT encoder FROM encoders ORDER BY is_default DESC, encoder LIMIT 100"
    ).fetchall()
    names = tuple(name for (name,) in encoders)
    return Holdings(splits.get("train", 0), splits.get("val", 0), skipped, names)


def skipped(connection: Connection, *, limit: int = MOST_SKIPPED) -> list[tuple[str, str]]:
    """(uri, reason) of the first inputs that could not be read."""
    sql = "SELECT uri, reason FROM skipped ORDER BY uri LIMIT ?"
    return connection.cursor().execute(sql, [limit]).fetchall()


def labels(connection: Connection, *, limit: int = MOST_LABELS) -> list[str]:
    """The labels that features of the bundle carry, the commonest first."""
    sql = """SELECT label FROM features WHERE label IS NOT NULL
        GROUP BY label ORDER BY count(*) DESC, label LIMIT ?"""
    return [name for (name,) in connection.cursor().execute(sql, [limit]).fetchall()]


def count(connection: Connection, dictionary_id: str, chosen: Filter) -> int:
    """How many features of the dictionary pass the filter."""
    where, values = _where(dictionary_id, chosen)
    sql = f"SELECT count(*) FROM features WHERE {where}"
    found: int = connection.cursor().execute(sql, values).fetchall()[0][0]
    return found


def page(
    connection: Connection,
    dictionary_id: str,
    chosen: Filter,
    *,
    sort: str = "ms",
    descending: bool = True,
    limit: int = 24,
    offset: int = 0,
    examples: int = 8,
) -> list[Card]:
    """One page of the features that pass the filter, each with its first `examples` top images.

    Features without a value in the column sorted by come last; equal ones by feature id.

    Raises:
        ValueError: `sort` is not one of SORTS.
    """
    if sort not in SORTS:
        raise ValueError(f"sort by {sort!r}: name one of {', '.join(SORTS)}")
    where, values = _where(dictionary_id, chosen)
    order = f"{sort} {'DESC' if descending else 'ASC'} NULLS LAST, feature_id"
    # The ids first, from the narrow table: sorting must not carry the top examples along.
    return _records(
        connection,
        Card,
        f"""WITH wanted AS (
            SELECT feature_id FROM features WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?
        )
        SELECT {_CARD}, [t.example_id FOR t IN coalesce(top, [])[1:?]] AS examples
        FROM cards WHERE dictionary_id = ? AND feature_id IN (SELECT feature_id FROM wanted)
        ORDER BY {order}""",
        [*values, min(limit, MOST_ROWS), max(offset, 0), examples, dictionary_id],
    )


def ms_histogram(
    connection: Connection, dictionary_id: str, chosen: Filter
) -> tuple[list[int], list[int]]:
    """Features per MS bin (MS_BINS of them over 0 to 1): of the dictionary, and of the filter."""
    where, values = _where(dictionary_id, chosen)
    rows = (
        connection.cursor()
        .execute(
            f"""SELECT least(greatest(floor(ms * {MS_BINS}), 0), {MS_BINS - 1})::INTEGER AS bin,
            count(*), count(*) FILTER (WHERE {where})
            FROM features WHERE dictionary_id = ? AND ms IS NOT NULL GROUP BY bin""",
            [*values, dictionary_id],
        )
        .fetchall()
    )
    every, passed = [0] * MS_BINS, [0] * MS_BINS
    for place, total, kept in rows:
        every[place], passed[place] = total, kept
    return every, passed


def feature(connection: Connection, dictionary_id: str, feature_id: int) -> Feature | None:
    """The feature with its top images and histogram, or None where there is no such feature."""
    rows = (
        connection.cursor()
        .execute(
            f"""SELECT {_CARD}, coalesce(top, []), coalesce(edges, []), coalesce(counts, [])
            FROM cards WHERE dictionary_id = ? AND feature_id = ? LIMIT 1""",
            [dictionary_id, feature_id],
        )
        .fetchall()
    )
    if not rows:
        return None
    *card, top, edges, counts = rows[0]
    return Feature(Card(*card), [Top(**t) for t in top], edges, counts)


def scores(connection: Connection, dictionary_id: str, feature_id: int) -> list[Score]:
    """MS of the feature by every encoder, the default one first."""
    return _records(
        connection,
        Score,
        """SELECT m.*, e.is_default FROM monosemanticity m JOIN encoders e USING (encoder)
        WHERE m.dictionary_id = ? AND m.feature_id = ?
        ORDER BY e.is_default DESC, encoder LIMIT 100""",
        [dictionary_id, feature_id],
    )


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
    return _has(connection, "matches")


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
    return _records(
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


def artefacts(connection: Connection, dictionary_id: str, feature_id: int) -> Artefacts | None:
    """What makes the feature look like an artefact; None for neurons and in older bundles."""
    if not _has(connection, "artefacts"):
        return None
    found = _records(
        connection,
        Artefacts,
        "SELECT * FROM artefacts WHERE dictionary_id = ? AND feature_id = ? LIMIT 1",
        [dictionary_id, feature_id],
    )
    return found[0] if found else None


def flags(connection: Connection) -> list[str]:
    """The artefact flags that some feature of the bundle has."""
    if not _has(connection, "artefacts"):
        return []
    counts = ", ".join(f"bool_or({name})" for name in FLAGS)
    (row,) = connection.cursor().execute(f"SELECT {counts} FROM artefacts").fetchall()
    return [name for name, up in zip(FLAGS, row, strict=True) if up]


def samples(connection: Connection, dictionary_id: str, feature_id: int) -> list[Sample]:
    """Examples of the feature beyond its strongest, the stronger kinds first."""
    if not _has(connection, "sample_examples"):
        return []
    return _records(
        connection,
        Sample,
        """SELECT * FROM sample_examples WHERE dictionary_id = ? AND modality = 'image'
        AND feature_id = ? ORDER BY kind IN ('random', 'silent'), kind = 'silent', kind DESC,
        activation DESC, example_id LIMIT 200""",
        [dictionary_id, feature_id],
    )


def mapped(connection: Connection) -> list[str]:
    """The dictionaries that have a map of their own."""
    if not _has(connection, "maps"):
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


def cards_of(
    connection: Connection, dictionary_id: str, feature_ids: Sequence[int], *, examples: int
) -> list[Card]:
    """The cards of these features, the most monosemantic first."""
    ids = [int(i) for i in feature_ids][:MOST_ROWS]
    if not ids:
        return []
    return _records(
        connection,
        Card,
        f"""SELECT {_CARD}, [t.example_id FOR t IN coalesce(top, [])[1:?]] AS examples
        FROM cards WHERE dictionary_id = ? AND feature_id IN ({", ".join("?" * len(ids))})
        ORDER BY ms DESC NULLS LAST, feature_id""",
        [examples, dictionary_id, *ids],
    )


def pictures(connection: Connection, example_ids: Sequence[int]) -> dict[int, bytes]:
    """WebP bytes of the thumbnails there are of these examples."""
    return dict(_among(connection, "SELECT example_id, image FROM thumbnails", example_ids))


def examples(connection: Connection, example_ids: Sequence[int]) -> dict[int, Example]:
    """What is known of these examples, by id."""
    sql = "SELECT example_id, uri, captions, label, tags, width / height FROM examples"
    return {row[0]: Example(*row) for row in _among(connection, sql, example_ids)}


def tag_rates(connection: Connection, *, limit: int = MOST_TAGS) -> dict[str, float]:
    """The share of val images that carry each tag, for the commonest tags."""
    sql = """SELECT tag, count(*) / (SELECT count(*) FROM examples WHERE split = 'val')
        FROM (SELECT unnest(tags) AS tag FROM examples WHERE split = 'val')
        GROUP BY tag ORDER BY count(*) DESC, tag LIMIT ?"""
    return dict(connection.cursor().execute(sql, [limit]).fetchall())


def _among(connection: Connection, sql: str, example_ids: Sequence[int]) -> list[tuple[Any, ...]]:
    ids = list(example_ids)[: MOST_ROWS * 16]
    if not ids:
        return []
    marks = ", ".join("?" * len(ids))
    return connection.cursor().execute(f"{sql} WHERE example_id IN ({marks})", ids).fetchall()


def _related(
    connection: Connection, sql: str, values: Sequence[Any], *, examples: int
) -> list[Related]:
    """Features that `sql` names, with the cards of those."""
    if not _has(connection, "neighbors"):
        return []
    rows = connection.cursor().execute(f"{sql} ORDER BY 1, rank LIMIT 200", values).fetchall()
    wanted = sorted({(row[3], row[4]) for row in rows})
    if not wanted:
        return []
    marks = " OR ".join(["(dictionary_id = ? AND feature_id = ?)"] * len(wanted))
    cards = _records(
        connection,
        Card,
        f"""SELECT {_CARD}, [t.example_id FOR t IN coalesce(top, [])[1:?]] AS examples
        FROM cards WHERE {marks}""",
        [examples, *(value for pair in wanted for value in pair)],
    )
    by_id = {(card.dictionary_id, card.feature_id): card for card in cards}
    return [Related(r[0], r[1], r[2], by_id[r[3], r[4]]) for r in rows if (r[3], r[4]) in by_id]


def _has(connection: Connection, table: str) -> bool:
    """Whether the bundle has this table, which older ones lack."""
    sql = "SELECT count(*) FROM duckdb_tables() WHERE table_name = ?"
    return bool(connection.cursor().execute(sql, [table]).fetchall()[0][0])


def _where(dictionary_id: str, chosen: Filter) -> tuple[str, list[Any]]:
    """The filter as a condition on `features` and its parameters."""
    terms = ["dictionary_id = ?"]
    parameters: list[Any] = [dictionary_id]
    for column, (low, high) in {"ms": chosen.ms, "density": chosen.density}.items():
        for sign, bound in ((">=", low), ("<=", high)):
            if bound is not None:
                terms.append(f"{column} {sign} ?")
                parameters.append(bound)
    if chosen.labels:
        terms.append(f"label IN ({', '.join('?' * len(chosen.labels))})")
        parameters += chosen.labels
    if flags := [name for name in FLAGS if name in chosen.without]:
        up = f"dictionary_id = ? AND ({' OR '.join(flags)})"
        terms.append(f"feature_id NOT IN (SELECT feature_id FROM artefacts WHERE {up})")
        parameters.append(dictionary_id)
    if chosen.n_active > 0:
        terms.append("n_active >= ?")
        parameters.append(chosen.n_active)
    return " AND ".join(terms), parameters


def _records(
    connection: Connection, kind: type[T], sql: str, values: Sequence[Any] = ()
) -> list[T]:
    """The rows as records of `kind`; columns that it does not have are left out, and what an older
    bundle lacks is as the record's default says."""
    cursor = connection.cursor().execute(sql, list(values))
    names = [column[0] for column in cursor.description or ()]
    wanted = [(f.name, names.index(f.name)) for f in fields(kind) if f.name in names]  # type: ignore[arg-type]
    return [kind(**{name: row[at] for name, at in wanted}) for row in cursor.fetchall()]
