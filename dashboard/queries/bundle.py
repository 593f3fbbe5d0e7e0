"""What the bundle holds: dictionaries, their scores in sum, images, what was skipped."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dashboard.queries.captions import captioned
from dashboard.queries.rows import Connection, among, has, judged_by_itself, names_of, records
from dashboard.records.dictionaries import Dictionary, Encoder, Holdings, Reconstruction, Summary
from dashboard.records.images import Example
from pipeline.metrics import notices as told

FLAGS = ("dense", "on_cls", "on_high_norm", "duplicate")
"""Columns of `artefacts` that a list may leave out."""
MOST_SKIPPED = 200
MOST_LABELS = 500
MOST_TAGS = 5000
MOST_NAMES = 100_000
"""Distinct labels among which a search by label looks."""


def dictionaries(connection: Connection) -> list[Dictionary]:
    """Every dictionary, model by model, in the order of depth, SAEs before neurons."""
    return records(
        connection,
        Dictionary,
        f"""SELECT d.*, f.ms, (SELECT count(DISTINCT model) FROM dictionaries) AS models,
            {judged_by_itself(connection, "d.default_encoder")} AS ms_judged_by_itself
        FROM dictionaries d
        LEFT JOIN (SELECT dictionary_id, avg(ms) AS ms FROM features GROUP BY ALL) f
        USING (dictionary_id)
        ORDER BY model, depth, basis = 'neurons', name LIMIT 1000""",
    )


def summaries(connection: Connection) -> list[Summary]:
    """The spread of MS in every dictionary, by its default encoder."""
    return records(
        connection,
        Summary,
        """SELECT *, quantiles[1] AS p05, quantiles[2] AS p25, quantiles[3] AS p50,
            quantiles[4] AS p75, quantiles[5] AS p95
        FROM (SELECT d.dictionary_id, count(m.ms) AS scored, avg(m.ms) AS mean,
            stddev_samp(m.ms) / sqrt(count(m.ms)) AS error,
            quantile_cont(m.ms, [0.05, 0.25, 0.5, 0.75, 0.95]) AS quantiles,
            avg(m.control_neuron) AS control_neuron,
            avg(m.control_direction) AS control_direction
        FROM dictionaries d
        JOIN monosemanticity m ON m.dictionary_id = d.dictionary_id
            AND m.encoder = d.default_encoder
        GROUP BY d.dictionary_id) ORDER BY dictionary_id LIMIT 1000""",
    )


def reconstruction(connection: Connection) -> list[Reconstruction]:
    """How well each dictionary reconstructs, by kind of token."""
    sql = "SELECT * FROM reconstruction ORDER BY dictionary_id, tokens DESC, token_type LIMIT 5000"
    return records(connection, Reconstruction, sql)


def holdings(connection: Connection) -> Holdings:
    """Images by split, skipped inputs and the encoders behind MS, the default one first."""
    cursor = connection.cursor()
    splits = dict(cursor.execute("SELECT split, count(*) FROM examples GROUP BY split").fetchall())
    skipped = cursor.execute("SELECT count(*) FROM skipped").fetchall()[0][0]
    names = tuple(each.encoder for each in encoders(connection) if each.judges is not False)
    return Holdings(splits.get("train", 0), splits.get("val", 0), skipped, names)


def notices(connection: Connection, config: Mapping[str, Any]) -> list[str]:
    """What the figures tell that a reader should know before using them, a line each; `config` is
    of the manifest."""
    live: dict[str, int] = {}
    if has(connection, "overlap"):
        sql = "SELECT dictionary_id, live FROM overlap WHERE threshold = 0"
        live = dict(connection.cursor().execute(sql).fetchall())
    return told.notices(
        config=config,
        dictionaries=[asdict(each) for each in dictionaries(connection)],
        reconstruction=[asdict(each) for each in reconstruction(connection)],
        encoders=[asdict(each) for each in encoders(connection)],
        live=live,
        val=holdings(connection).val,
        captioned=captioned(connection),
    )


def judged_alone(connection: Connection) -> list[str]:
    """What is to be said wherever MS by an encoder stands that is the model under study, a line
    each."""
    return [told.judged_by_itself(e.encoder) for e in encoders(connection) if e.judges_itself]


def skipped(connection: Connection, *, limit: int = MOST_SKIPPED) -> list[tuple[str, str]]:
    """(uri, reason) of the first inputs that could not be read."""
    sql = "SELECT uri, reason FROM skipped ORDER BY uri LIMIT ?"
    return connection.cursor().execute(sql, [limit]).fetchall()


def labels(connection: Connection, *, limit: int = MOST_LABELS) -> list[str]:
    """The labels that features of the bundle carry, the commonest first."""
    sql = """SELECT label FROM features WHERE label IS NOT NULL
        GROUP BY label ORDER BY count(*) DESC, label LIMIT ?"""
    return [name for (name,) in connection.cursor().execute(sql, [limit]).fetchall()]


def has_labels(connection: Connection) -> bool:
    """Whether the bundle has automatic labels."""
    return has(connection, "labels")


def label_names(connection: Connection, *, limit: int = MOST_NAMES) -> list[str]:
    """Every name that features carry, as their label or among the automatic ones, the commonest
    first."""
    more = "UNION ALL SELECT label FROM labels" if has_labels(connection) else ""
    sql = f"""SELECT label FROM (SELECT label FROM features {more}) WHERE label IS NOT NULL
        GROUP BY label ORDER BY count(*) DESC, label LIMIT ?"""
    return [name for (name,) in connection.cursor().execute(sql, [limit]).fetchall()]


def encoders(connection: Connection) -> list[Encoder]:
    """The run's image encoders, the default one first."""
    sql = "SELECT * FROM encoders ORDER BY is_default DESC, encoder LIMIT 100"
    return records(connection, Encoder, sql)


def flags(connection: Connection) -> list[str]:
    """The artefact flags that some feature of the bundle has."""
    if not has(connection, "artefacts"):
        return []
    counts = ", ".join(f"bool_or({name})" for name in FLAGS)
    (row,) = connection.cursor().execute(f"SELECT {counts} FROM artefacts").fetchall()
    return [name for name, up in zip(FLAGS, row, strict=True) if up]


def tag_rates(connection: Connection, *, limit: int = MOST_TAGS) -> dict[str, float]:
    """The share of val images that carry each tag, for the commonest tags."""
    sql = """SELECT tag, count(*) / (SELECT count(*) FROM examples WHERE split = 'val')
        FROM (SELECT unnest(tags) AS tag FROM examples WHERE split = 'val')
        GROUP BY tag ORDER BY count(*) DESC, tag LIMIT ?"""
    return dict(connection.cursor().execute(sql, [limit]).fetchall())


def pictures(connection: Connection, example_ids: Sequence[int]) -> dict[int, bytes]:
    """WebP bytes of the thumbnails there are of these examples."""
    return dict(among(connection, "SELECT example_id, image FROM thumbnails", example_ids))


def examples(connection: Connection, example_ids: Sequence[int]) -> dict[int, Example]:
    """What is known of these examples, by id."""
    names = ["width / height" if n == "aspect" else n for n in names_of(Example)]
    sql = f"SELECT {', '.join(names)} FROM examples"
    return {row[0]: Example(*row) for row in among(connection, sql, example_ids)}
