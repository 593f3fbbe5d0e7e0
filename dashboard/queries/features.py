"""Lists of features, and the one that a page is about."""

from collections.abc import Sequence
from typing import Any

from dashboard.queries.bundle import FLAGS
from dashboard.queries.rows import CARD, MOST_ROWS, Connection, has, records
from dashboard.records import Artefacts, Card, Feature, Filter, Sample, Score, Top

SORTS = ("ms", "density", "max", "mean", "label_score", "feature_id")
"""Columns of `features` that a list may be sorted by."""
MS_BINS = 40


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
    return records(
        connection,
        Card,
        f"""WITH wanted AS (
            SELECT feature_id FROM features WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?
        )
        SELECT {CARD}, [t.example_id FOR t IN coalesce(top, [])[1:?]] AS examples
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


def cards_of(
    connection: Connection, dictionary_id: str, feature_ids: Sequence[int], *, examples: int
) -> list[Card]:
    """The cards of these features, the most monosemantic first."""
    ids = [int(i) for i in feature_ids][:MOST_ROWS]
    if not ids:
        return []
    return records(
        connection,
        Card,
        f"""SELECT {CARD}, [t.example_id FOR t IN coalesce(top, [])[1:?]] AS examples
        FROM cards WHERE dictionary_id = ? AND feature_id IN ({", ".join("?" * len(ids))})
        ORDER BY ms DESC NULLS LAST, feature_id""",
        [examples, dictionary_id, *ids],
    )


def feature(connection: Connection, dictionary_id: str, feature_id: int) -> Feature | None:
    """The feature with its top images and histogram, or None where there is no such feature."""
    rows = (
        connection.cursor()
        .execute(
            f"""SELECT {CARD}, coalesce(top, []), coalesce(edges, []), coalesce(counts, [])
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
    return records(
        connection,
        Score,
        """SELECT m.*, e.is_default FROM monosemanticity m JOIN encoders e USING (encoder)
        WHERE m.dictionary_id = ? AND m.feature_id = ?
        ORDER BY e.is_default DESC, encoder LIMIT 100""",
        [dictionary_id, feature_id],
    )


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
