"""The DuckDB file of a bundle: its tables, sorted, and one row a feature for the pages."""

from pathlib import Path

import duckdb

from pipeline.bundle.opening import DATABASE
from pipeline.contract.tables import TABLES

NOT_INDEXED = ("embeddings",)
"""Read by programs from Parquet, by no page."""

# One row a feature, so that a page reads one place on disk instead of searching four tables. Lists
# of cards read `examples` alone: beside the patches in `top` the ids take twenty times as long.
_CARDS = """
CREATE TABLE cards AS
SELECT f.*, t.examples, t.top, h.edges, h.counts
FROM features f
LEFT JOIN (
    SELECT dictionary_id, feature_id, list(example_id ORDER BY rank) AS examples,
           list({'rank': rank, 'example_id': example_id, 'activation': activation,
                 'token': token, 'patches': patches, 'patch_acts': patch_acts} ORDER BY rank) AS top
    FROM top_examples WHERE modality = 'image' GROUP BY ALL
) t USING (dictionary_id, feature_id)
LEFT JOIN (SELECT * EXCLUDE (modality) FROM histograms WHERE modality = 'image') h
    USING (dictionary_id, feature_id)
ORDER BY dictionary_id, feature_id
"""

# The best match alone, dictionary against dictionary: each two lie in one place on disk.
_BEST_MATCHES = """
CREATE TABLE best_matches AS
SELECT dictionary_id, other_id, feature_id, match, correlation, jaccard
FROM matches WHERE rank = 1
ORDER BY dictionary_id, other_id, feature_id
"""

# A caption beside its pieces, which are one text here (a list in JSON): DuckDB takes ten times as
# long to fetch some lists of texts out of a long column.
_READ_CAPTIONS = """
CREATE TABLE read_captions AS
SELECT model, caption_id, example_id, text, to_json(tokens)::VARCHAR AS pieces, cut
FROM caption_tokens JOIN captions USING (caption_id)
ORDER BY model, caption_id
"""

_EXAMPLE_FEATURES = """
INSERT INTO example_features
SELECT dictionary_id, example_id,
       list({'feature_id': feature_id, 'activation': activation}
            ORDER BY activation DESC, feature_id)[1:?]
FROM activations WHERE modality = 'image' AND dictionary_id = ?
GROUP BY ALL ORDER BY example_id
"""
PER_EXAMPLE = 64
"""Features of an example that `example_features` holds for each dictionary."""

DERIVED = {
    "cards": "SELECT count(*) FROM features",
    "best_matches": "SELECT count(*) FROM matches WHERE rank = 1",
    "read_captions": "SELECT count(*) FROM caption_tokens JOIN captions USING (caption_id)",
    "example_features": """SELECT count(*) FROM (SELECT DISTINCT dictionary_id, example_id
        FROM activations WHERE modality = 'image')""",
}
"""The tables made of others -> what counts the rows that each should have."""


def build(folder: Path) -> None:
    """Build `loupe.duckdb` from the Parquet tables in `folder` (a bundle that is being published).

    Tables keep the Parquet files' order, which is the contract's. `cards` joins to each row of
    `features` its top examples (list of structs, by rank) and its histogram; `best_matches` is
    `matches` of rank 1, sorted by both dictionaries; `read_captions` a row for each caption and
    model that reads it, with its text and pieces.
    """
    with duckdb.connect(str(folder / DATABASE)) as connection:
        connection.execute("SET enable_progress_bar = false")  # the run has its own
        for table in TABLES.values():
            if table.name in NOT_INDEXED:
                continue
            source = str(folder / table.file).replace("'", "''")
            connection.execute(f"CREATE TABLE {table.name} AS FROM read_parquet('{source}')")
        connection.execute(_CARDS)
        connection.execute(_BEST_MATCHES)
        connection.execute(_READ_CAPTIONS)
        _example_features(connection)


def tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The names of the tables that are there."""
    return {str(row[0]) for row in connection.execute("SHOW TABLES").fetchall()}


def _example_features(connection: duckdb.DuckDBPyConnection) -> None:
    """`activations` by image: that table is sorted by feature, and finding an image in it means
    reading all of it. One dictionary at a time, since its rows are sorted in memory."""
    connection.execute(
        """CREATE TABLE example_features (dictionary_id VARCHAR, example_id BIGINT,
            features STRUCT(feature_id INTEGER, activation FLOAT)[])"""
    )
    names = connection.execute("SELECT dictionary_id FROM dictionaries ORDER BY 1").fetchall()
    for (name,) in names:
        connection.execute(_EXAMPLE_FEATURES, [PER_EXAMPLE, name])
