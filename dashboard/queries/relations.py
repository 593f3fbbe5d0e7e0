"""How features stand to each other: neighbours and matches."""

from collections.abc import Sequence
from typing import Any

from dashboard.queries.lists import cards_at
from dashboard.queries.rows import Connection, has
from dashboard.records.matches import Related


def neighbors(
    connection: Connection, dictionary_id: str, feature_id: int, *, examples: int
) -> list[Related]:
    """The nearest features of the same dictionary, by kind and then rank."""
    return _related(
        connection,
        "neighbors",
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
        "matches",
        """SELECT m.other_id, m.correlation, m.jaccard, m.other_id, m.match, m.rank
        FROM matches m WHERE m.dictionary_id = ? AND m.feature_id = ? AND m.rank = 1""",
        [dictionary_id, feature_id],
        examples=examples,
    )


def _related(
    connection: Connection, table: str, sql: str, values: Sequence[Any], *, examples: int
) -> list[Related]:
    """Features that `sql` names, with the cards of those; none where there is no such table."""
    if not has(connection, table):
        return []
    rows = connection.cursor().execute(f"{sql} ORDER BY 1, rank LIMIT 200", values).fetchall()
    wanted = sorted({(row[3], row[4]) for row in rows})
    cards = cards_at(connection, wanted, examples=examples)
    by_id = {(card.dictionary_id, card.feature_id): card for card in cards}
    return [Related(r[0], r[1], r[2], by_id[r[3], r[4]]) for r in rows if (r[3], r[4]) in by_id]
