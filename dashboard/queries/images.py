"""Single images: finding one, and which features fire on it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dashboard.queries.rows import Connection, among, has, records
from dashboard.records.images import Example

MOST_NAMES = 4096
"""Features named at once."""
MOST_MARKS = 5000
MOST_WORDS = 20
"""Words of a search that count."""
_EXAMPLE = "example_id, uri, captions, label, tags, width / height AS aspect"


def find(connection: Connection, text: str, *, limit: int) -> list[Example]:
    """Val images whose id is `text`, or that have each of its words somewhere in uri, captions,
    label and tags: first those that have the words as they stand there, then by id."""
    words = [f"%{_escaped(word)}%" for word in text.split()[:MOST_WORDS]]
    every = " AND ".join(["said ILIKE ? ESCAPE '~'"] * len(words)) or "false"
    sql = f"""SELECT {_EXAMPLE} FROM (
            SELECT *, concat_ws(chr(10), uri, label, array_to_string(captions, chr(10)),
                array_to_string(tags, chr(10))) AS said
            FROM examples WHERE split = 'val')
        WHERE example_id::VARCHAR = ? OR ({every})
        ORDER BY said ILIKE ? ESCAPE '~' DESC, example_id LIMIT ?"""
    return records(connection, Example, sql, [text, *words, f"%{_escaped(text)}%", limit])


def drawn(connection: Connection, seed: int, *, limit: int) -> list[Example]:
    """Val images at random, the same ones for the same seed."""
    sql = f"""SELECT {_EXAMPLE} FROM examples WHERE split = 'val'
        ORDER BY hash(example_id + ?), example_id LIMIT ?"""
    return records(connection, Example, sql, [seed, limit])


def marks(connection: Connection, *, limit: int = MOST_MARKS) -> list[str]:
    """The tags and classes of val images, the commonest first."""
    sql = """SELECT mark FROM (
            SELECT unnest(list_distinct(list_append(tags, label))) AS mark
            FROM examples WHERE split = 'val')
        WHERE mark IS NOT NULL GROUP BY mark ORDER BY count(*) DESC, mark LIMIT ?"""
    return [mark for (mark,) in connection.cursor().execute(sql, [limit]).fetchall()]


def together(connection: Connection, *, limit: int) -> tuple[int, dict[tuple[str, str], int]]:
    """How many val images there are, and on how many two tags or classes stand together, of the
    commonest; a pair of one and itself has its own images."""
    sql = """WITH of AS (
            SELECT example_id, unnest(list_distinct(list_append(tags, label))) AS mark
            FROM examples WHERE split = 'val'),
        known AS (SELECT * FROM of WHERE list_contains($marks, mark))
        SELECT a.mark, b.mark, count(*) FROM known a JOIN known b USING (example_id)
        GROUP BY a.mark, b.mark"""
    values = {"marks": marks(connection, limit=limit)}
    found = connection.cursor().execute(sql, values).fetchall()
    total = connection.cursor().execute("SELECT count(*) FROM examples WHERE split = 'val'")
    return int((total.fetchone() or (0,))[0]), {(a, b): n for a, b, n in found}


def marked(
    connection: Connection, mark: str, *, without: str | None = None, limit: int
) -> list[int]:
    """Val images with this tag or class, and not with the other: the same ones each time."""
    sql = """SELECT example_id FROM (
            SELECT example_id, list_append(tags, label) AS marks FROM examples WHERE split = 'val')
        WHERE list_contains(marks, ?) AND NOT coalesce(list_contains(marks, ?), false)
        ORDER BY hash(example_id), example_id LIMIT ?"""
    found = connection.cursor().execute(sql, [mark, without, limit]).fetchall()
    return [one for (one,) in found]


def sha256s(connection: Connection, example_ids: Sequence[int]) -> dict[int, str]:
    """The hashes of these images' pixels, of those that there are."""
    return dict(among(connection, "SELECT example_id, sha256 FROM examples", example_ids))


def sha256(connection: Connection, example_id: int) -> str:
    """The hash of the image's pixels as the pipeline read them; empty where there is no image."""
    sql = "SELECT sha256 FROM examples WHERE example_id = ? LIMIT 1"
    found = connection.cursor().execute(sql, [example_id]).fetchone()
    return str(found[0]) if found else ""


def fired(
    connection: Connection, dictionary_id: str, example_id: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(features, pooled activations) that the tables know of an image, the strongest first: at
    most the 64 strongest."""
    if has(connection, "example_features"):
        sql = """SELECT f.feature_id AS feature, f.activation AS activation FROM (
            SELECT unnest(features) AS f FROM example_features
            WHERE dictionary_id = ? AND example_id = ?)"""
    else:
        sql = """SELECT feature_id AS feature, activation FROM activations
            WHERE dictionary_id = ? AND modality = 'image' AND example_id = ?
            ORDER BY activation DESC, feature_id LIMIT 64"""
    found = connection.cursor().execute(sql, [dictionary_id, example_id]).fetchnumpy()
    return found["feature"].astype(np.int64), found["activation"].astype(np.float32)


def feature_names(
    connection: Connection, dictionary_id: str, feature_ids: Sequence[int]
) -> dict[int, str | None]:
    """The labels of these features, by id."""
    ids = [int(i) for i in feature_ids][:MOST_NAMES]
    sql = """SELECT feature_id, label FROM features
        WHERE dictionary_id = ? AND feature_id IN (SELECT unnest(?::INTEGER[]))"""
    return dict(connection.cursor().execute(sql, [dictionary_id, ids]).fetchall())


def encoder_fingerprint(connection: Connection, encoder: str) -> str | None:
    """The hash of the weights that the encoder had when the bundle was made."""
    sql = "SELECT fingerprint FROM encoders WHERE encoder = ? LIMIT 1"
    found = connection.cursor().execute(sql, [encoder]).fetchone()
    return str(found[0]) if found else None


def _escaped(text: str) -> str:
    """`text` as ILIKE finds it literally, with ~ as the escape."""
    return "".join(f"~{c}" if c in "~%_" else c for c in text)
