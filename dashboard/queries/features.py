"""Lists of features, and the one that a page is about."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.queries.bundle import FLAGS
from dashboard.queries.rows import (
    CARD,
    MOST_ROWS,
    MOST_TABLED,
    Connection,
    card_columns,
    has,
    records,
)
from dashboard.records import Artefacts, AutoLabel, Card, Feature, Filter, Key, Sample, Score, Top

SORTS = ("ms", "density", "n_active", "max", "mean", "label", "label_score", "group", "feature_id")
"""Columns of `features` that a list may be sorted by."""
MS_BINS = 40
QUANTILES = (0.25, 0.5, 0.75, 0.95)
"""Where the examples beyond the top come from (`sample_examples.kind`)."""
MOST_AMONG = 20_000
"""Features that a filter can name one by one."""


def count(connection: Connection, dictionary_ids: Sequence[str], chosen: Filter) -> int:
    """How many features of the dictionaries pass the filter."""
    where, values = _where(dictionary_ids, chosen)
    sql = f"SELECT count(*) FROM features WHERE {where}"
    found: int = connection.cursor().execute(sql, values).fetchall()[0][0]
    return found


def page(
    connection: Connection,
    dictionary_ids: Sequence[str],
    chosen: Filter,
    *,
    sort: str = "ms",
    descending: bool = True,
    limit: int = 24,
    offset: int = 0,
    examples: int = 8,
) -> list[Card]:
    """One page of the features that pass the filter, each with its first `examples` top images.

    Features without a value in the column sorted by come last; equal ones by dictionary and id.

    Raises:
        ValueError: `sort` is not one of SORTS.
    """
    # The ids first, from the narrow table: sorting must not carry the top examples along.
    found = keys(
        connection, dictionary_ids, chosen, sort=sort, descending=descending,
        limit=min(limit, MOST_ROWS), offset=offset,
    )  # fmt: skip
    return cards_at(connection, found, examples=examples)


def keys(
    connection: Connection,
    dictionary_ids: Sequence[str],
    chosen: Filter,
    *,
    sort: str = "ms",
    descending: bool = True,
    limit: int = MOST_TABLED,
    offset: int = 0,
) -> list[Key]:
    """The features that pass the filter, in the order of `page`, at most MOST_TABLED.

    Raises:
        ValueError: `sort` is not one of SORTS.
    """
    if sort not in SORTS:
        raise ValueError(f"sort by {sort!r}: name one of {', '.join(SORTS)}")
    where, values = _where(dictionary_ids, chosen)
    order = f'"{sort}" {"DESC" if descending else "ASC"} NULLS LAST, dictionary_id, feature_id'
    sql = f"""SELECT dictionary_id, feature_id FROM features WHERE {where}
        ORDER BY {order} LIMIT ? OFFSET ?"""
    values += [min(limit, MOST_TABLED), max(offset, 0)]
    return connection.cursor().execute(sql, values).fetchall()


def named(
    connection: Connection, dictionary_ids: Sequence[str], names: Sequence[str]
) -> list[tuple[str, int]]:
    """The features that carry one of these names among their automatic labels."""
    if not names or not has(connection, "labels"):
        return []
    sql = f"""SELECT DISTINCT dictionary_id, feature_id FROM labels
        WHERE dictionary_id IN ({", ".join("?" * len(dictionary_ids))})
        AND label IN ({", ".join("?" * len(names))}) LIMIT {MOST_AMONG}"""
    return connection.cursor().execute(sql, [*dictionary_ids, *names]).fetchall()


def passing(connection: Connection, dictionary_id: str, chosen: Filter) -> NDArray[np.int64]:
    """The ids of all features of one dictionary that pass the filter, rising."""
    where, values = _where([dictionary_id], chosen)
    sql = f"SELECT feature_id FROM features WHERE {where} ORDER BY feature_id"
    found = connection.cursor().execute(sql, values).fetchnumpy()["feature_id"]
    return np.asarray(found, np.int64)


def top_ids(connection: Connection, dictionary_id: str) -> NDArray[np.int64]:
    """[n, 3]: feature, rank and example of the dictionary's top images, in that order."""
    found = (
        connection.cursor()
        .execute(
            """SELECT feature_id, "rank", example_id FROM top_examples
            WHERE dictionary_id = ? AND modality = 'image'""",
            [dictionary_id],
        )
        .fetchnumpy()
    )
    return np.stack([np.asarray(column, np.int64) for column in found.values()], 1)


def ms_histogram(
    connection: Connection, dictionary_ids: Sequence[str], chosen: Filter
) -> tuple[list[int], int]:
    """(features per MS bin, all of them) among those that pass the filter; MS_BINS bins from 0 to
    1, the scores below 0 in the first."""
    where, values = _where(dictionary_ids, chosen)
    rows = (
        connection.cursor()
        .execute(
            f"""SELECT CASE WHEN ms IS NOT NULL THEN
                least(greatest(floor(ms * {MS_BINS}), 0), {MS_BINS - 1})::INTEGER END AS bin,
            count(*) FROM features WHERE {where} GROUP BY bin""",
            values,
        )
        .fetchall()
    )
    counts = [0] * MS_BINS
    for place, passed in rows:
        if place is not None:
            counts[place] = passed
    return counts, sum(passed for _, passed in rows)


def cards_at(
    connection: Connection, keys: Sequence[tuple[str, int]], *, examples: int
) -> list[Card]:
    """The cards of these features (dictionary, feature id) in their order; unknown ones are left
    out, and so are those beyond MOST_ROWS."""
    wanted: dict[str, list[int]] = {}
    for dictionary_id, feature_id in keys[:MOST_ROWS]:
        wanted.setdefault(dictionary_id, []).append(int(feature_id))
    if not wanted:
        return []
    marks = " OR ".join(
        f"(dictionary_id = ? AND feature_id IN ({', '.join('?' * len(ids))}))"
        for ids in wanted.values()
    )
    values = [value for name, ids in wanted.items() for value in (name, *ids)]
    found = records(
        connection,
        Card,
        f"""SELECT {card_columns(connection)}
        FROM cards WHERE {marks}""",
        [examples, *values],
    )
    by_key = {(card.dictionary_id, card.feature_id): card for card in found}
    return [by_key[key] for key in keys[:MOST_ROWS] if key in by_key]


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
        f"""SELECT {card_columns(connection)}
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


def _where(dictionary_ids: Sequence[str], chosen: Filter) -> tuple[str, list[Any]]:
    """The filter as a condition on `features` and its parameters."""
    terms = [f"dictionary_id IN ({', '.join('?' * len(dictionary_ids)) or 'NULL'})"]
    parameters: list[Any] = [*dictionary_ids]
    for column, (low, high) in {"ms": chosen.ms, "density": chosen.density}.items():
        for sign, bound in ((">=", low), ("<=", high)):
            if bound is not None:
                terms.append(f"{column} {sign} ?")
                parameters.append(bound)
    for column, among in {"label": chosen.labels, '"group"': chosen.groups}.items():
        if among is not None:
            terms.append(f"{column} IN ({', '.join('?' * len(among)) or 'NULL'})")
            parameters += among
    if chosen.named is not None:
        names, keys = chosen.named
        terms.append(
            f"""(label IN ({", ".join("?" * len(names)) or "NULL"}) OR (dictionary_id, feature_id)
            IN (SELECT unnest(?::VARCHAR[]), unnest(?::INTEGER[])))"""
        )
        parameters += [*names, *_columns(keys)]
    if flags := [name for name in FLAGS if name in chosen.without]:
        terms.append(
            f"""NOT EXISTS (SELECT 1 FROM artefacts a WHERE ({" OR ".join(flags)})
            AND a.dictionary_id = features.dictionary_id AND a.feature_id = features.feature_id)"""
        )
    if chosen.among is not None:
        terms.append(
            """(dictionary_id, feature_id) IN (SELECT unnest(?::VARCHAR[]), unnest(?::INTEGER[]))"""
        )
        parameters += _columns(chosen.among)
    if chosen.n_active > 0:
        terms.append("n_active >= ?")
        parameters.append(chosen.n_active)
    return " AND ".join(terms), parameters


def _columns(keys: Sequence[tuple[str, int]]) -> list[Any]:
    kept = keys[:MOST_AMONG]
    return [[name for name, _ in kept], [number for _, number in kept]]
