"""The steering score: of each feature that was steered, and of dictionaries in sum."""

from dashboard.queries.rows import MOST_TABLED, Connection, has, records
from dashboard.records.steering import Steered, SteeredSum


def steered_sums(connection: Connection) -> list[SteeredSum]:
    """The dictionaries of which features were steered, in the order of depth; none in bundles
    before contract 1.4."""
    if not has(connection, "steering"):
        return []
    return records(
        connection,
        SteeredSum,
        """SELECT s.dictionary_id, count(*) AS features, count(*) FILTER (steers) AS steer,
            avg(score) AS score, avg(score_unsteered) AS score_unsteered,
            avg(score_shuffled) AS score_shuffled, avg(gain) AS gain,
            stddev_samp(gain) / sqrt(count(*)) AS gain_error,
            avg(over_shuffled) AS over_shuffled,
            stddev_samp(over_shuffled) / sqrt(count(over_shuffled)) AS over_shuffled_error,
            avg(changed) AS changed
        FROM steering s JOIN dictionaries d USING (dictionary_id)
        GROUP BY s.dictionary_id, model, depth, name ORDER BY model, depth, name LIMIT 1000""",
    )


def steered(connection: Connection, dictionary_id: str) -> list[Steered]:
    """The steered features of one dictionary, by id; at most MOST_TABLED."""
    return records(
        connection,
        Steered,
        f"""SELECT s.*, f.label FROM steering s JOIN features f USING (dictionary_id, feature_id)
        WHERE s.dictionary_id = ? AND f.dictionary_id = ? ORDER BY feature_id
        LIMIT {MOST_TABLED}""",
        [dictionary_id, dictionary_id],
    )


def steering_of(connection: Connection, dictionary_id: str, feature_id: int) -> Steered | None:
    """What came of turning this feature up; None where that was not done."""
    if not has(connection, "steering"):
        return None
    found = records(
        connection,
        Steered,
        "SELECT * FROM steering WHERE dictionary_id = ? AND feature_id = ? LIMIT 1",
        [dictionary_id, feature_id],
    )
    return found[0] if found else None
