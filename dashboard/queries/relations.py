"""How features stand to each other: neighbours and matches."""

from collections.abc import Sequence
from typing import Any

from dashboard.queries.rows import Connection, card_columns, has, records
from dashboard.records import Card, Related


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
        f"""SELECT {card_columns(connection)}
        FROM cards WHERE {marks}""",
        [examples, *(value for pair in wanted for value in pair)],
    )
    by_id = {(card.dictionary_id, card.feature_id): card for card in cards}
    return [Related(r[0], r[1], r[2], by_id[r[3], r[4]]) for r in rows if (r[3], r[4]) in by_id]
