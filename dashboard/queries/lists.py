"""Lists of features: filtered, sorted, counted, by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.queries.bundle import FLAGS
from dashboard.queries.rows import (
    MOST_ROWS,
    MOST_TABLED,
    Connection,
    card_columns,
    card_of,
    dicts,
)
from dashboard.records import columns
from dashboard.records.features import Card, Filter, Key

_FIRES_ON = {
    "pictures": "modality_score = 1", "words": "modality_score = 0",
    "both": "modality_score > 0 AND modality_score < 1",
}  # fmt: skip
MS_BINS = 40
MOST_AMONG = 20_000
"""Features that a filter can name one by one."""
_KEYS = "(SELECT unnest(?::VARCHAR[]), unnest(?::INTEGER[]))"


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
        ValueError: `sort` is no column to sort by.
    """
    # The rows' places first, from narrow columns: sorting must not carry the images along.
    order = _order(sort, descending)
    where, values = _where(dictionary_ids, chosen)
    sql = f"SELECT rowid FROM cards AS features WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?"
    values += [min(limit, MOST_ROWS), max(offset, 0)]
    places = [place for (place,) in connection.cursor().execute(sql, values).fetchall()]
    return _cards(connection, places, examples=examples, order=order)


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
        ValueError: `sort` is no column to sort by.
    """
    order = _order(sort, descending)
    where, values = _where(dictionary_ids, chosen)
    sql = f"""SELECT dictionary_id, feature_id FROM features WHERE {where}
        ORDER BY {order} LIMIT ? OFFSET ?"""
    values += [min(limit, MOST_TABLED), max(offset, 0)]
    return connection.cursor().execute(sql, values).fetchall()


def passing(connection: Connection, dictionary_id: str, chosen: Filter) -> NDArray[np.int64]:
    """The ids of all features of one dictionary that pass the filter, rising."""
    where, values = _where([dictionary_id], chosen)
    sql = f"SELECT feature_id FROM features WHERE {where} ORDER BY feature_id"
    found = connection.cursor().execute(sql, values).fetchnumpy()["feature_id"]
    return np.asarray(found, np.int64)


def ms_histogram(
    connection: Connection, dictionary_ids: Sequence[str], chosen: Filter
) -> tuple[list[int], int]:
    """(features per MS bin, all of them) among those that pass the filter; MS_BINS bins from 0 to
    1, the scores below 0 in the first."""
    where, values = _where(dictionary_ids, chosen)
    rows = (
        connection.cursor()
        .execute(
            f"""SELECT floor(ms * {MS_BINS})::INTEGER AS bin, count(*) FROM features
            WHERE {where} GROUP BY bin""",
            values,
        )
        .fetchall()
    )
    counts = [0] * MS_BINS
    for place, passed in rows:
        if place is not None:
            counts[min(max(place, 0), MS_BINS - 1)] += passed
    return counts, sum(passed for _, passed in rows)


def cards_at(
    connection: Connection, keys: Sequence[tuple[str, int]], *, examples: int
) -> list[Card]:
    """The cards of these features (dictionary, feature id) in their order; unknown ones are left
    out, and so are those beyond MOST_ROWS."""
    sql = f"SELECT rowid FROM cards WHERE (dictionary_id, feature_id) IN {_KEYS}"
    rows = connection.cursor().execute(sql, _columns(keys[:MOST_ROWS])).fetchall()
    found = _cards(connection, [place for (place,) in rows], examples=examples)
    by_key = {(card.dictionary_id, card.feature_id): card for card in found}
    return [by_key[key] for key in keys[:MOST_ROWS] if key in by_key]


def cards_of(
    connection: Connection, dictionary_id: str, feature_ids: Sequence[int], *, examples: int
) -> list[Card]:
    """The cards of these features, each once, the most monosemantic first."""
    keys = [(dictionary_id, int(i)) for i in dict.fromkeys(feature_ids)]
    cards = cards_at(connection, keys, examples=examples)
    return sorted(cards, key=lambda c: (c.ms is None, -(c.ms or 0.0), c.feature_id))


def _cards(
    connection: Connection, places: Sequence[int], *, examples: int, order: str = "rowid"
) -> list[Card]:
    """The cards in these rows: reading them by place, images go along for no others."""
    sql = f"""SELECT {card_columns(connection)} FROM cards
        WHERE rowid IN (SELECT unnest(?::BIGINT[])) ORDER BY {order}"""
    return [card_of(row) for row in dicts(connection, sql, [examples, list(places)])]


def _order(sort: str, descending: bool) -> str:
    names = [column.name for column in columns.sortable()]
    if sort not in names:
        raise ValueError(f"sort by {sort!r}: name one of {', '.join(names)}")
    return f'"{sort}" {"DESC" if descending else "ASC"} NULLS LAST, dictionary_id, feature_id'


def _where(dictionary_ids: Sequence[str], chosen: Filter) -> tuple[str, list[Any]]:
    """The filter as a condition on `features` and its parameters."""
    terms = [f"dictionary_id IN ({', '.join('?' * len(dictionary_ids)) or 'NULL'})"]
    parameters: list[Any] = [*dictionary_ids]
    for ranged in columns.filterable():
        low, high = chosen.range_of(ranged.name)
        for sign, bound in ((">=", low), ("<=", high)):
            if bound is not None:
                terms.append(f'"{ranged.name}" {sign} ?')
                parameters.append(bound)
    for column, among in {"label": chosen.labels, '"group"': chosen.groups}.items():
        if among is not None:
            terms.append(f"{column} IN ({', '.join('?' * len(among)) or 'NULL'})")
            parameters += among
    if chosen.named is not None:
        names = "(SELECT unnest(?::VARCHAR[]))"
        either = [f"label IN {names}", f"(dictionary_id, feature_id) IN {_KEYS}"]
        parameters += [list(chosen.named.names), *_columns(chosen.named.keys)]
        if chosen.named.automatic:
            either.append(
                f"""(dictionary_id, feature_id) IN
                (SELECT dictionary_id, feature_id FROM labels WHERE label IN {names})"""
            )
            parameters.append(list(chosen.named.names))
        terms.append(f"({' OR '.join(either)})")
    if flags := [name for name in FLAGS if name in chosen.without]:
        terms.append(
            f"""NOT EXISTS (SELECT 1 FROM artefacts a WHERE ({" OR ".join(flags)})
            AND a.dictionary_id = features.dictionary_id AND a.feature_id = features.feature_id)"""
        )
    if chosen.among is not None:
        terms.append(f"(dictionary_id, feature_id) IN {_KEYS}")
        parameters += _columns(chosen.among)
    if chosen.fires_on:
        terms.append(f"({' OR '.join(_FIRES_ON[name] for name in chosen.fires_on)})")
    if chosen.steers is not None:
        terms.append("steers" if chosen.steers else "NOT steers")
    if chosen.n_active > 0:
        wordy = " OR modality_score = 0" if "words" in chosen.fires_on else ""
        terms.append(f"(n_active >= ?{wordy})")
        parameters.append(chosen.n_active)
    return " AND ".join(terms), parameters


def _columns(keys: Sequence[tuple[str, int]]) -> list[Any]:
    kept = keys[:MOST_AMONG]
    return [[name for name, _ in kept], [number for _, number in kept]]
