"""What files of chosen features are made from: all that the bundle says of each, and one table."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa

from dashboard.queries.bundle import dictionaries, examples, judged_alone, pictures
from dashboard.queries.captions import top_captions
from dashboard.queries.features import feature_columns, feature_of
from dashboard.queries.rows import (
    MOST_ROWS,
    MOST_TABLED,
    Connection,
    among,
    card_fields,
    card_of,
    dicts,
    has,
    judged_by_itself,
    names_of,
    record,
)
from dashboard.records import columns
from dashboard.records.captions import Modality, TopCaption
from dashboard.records.features import Artefacts, AutoLabel, Feature, Key, Sample, Score
from dashboard.records.images import Example
from dashboard.records.matches import Related
from dashboard.records.profile import Profile
from pipeline.contract.tables import TOP_K

AT_ONCE = MOST_ROWS * TOP_K
"""Examples that one query names: the top images of MOST_ROWS features."""
WANTED = """WITH wanted AS (
    SELECT unnest(?::VARCHAR[]) AS dictionary_id, unnest(?::INTEGER[]) AS feature_id,
        unnest(range(?)) AS place)
"""
T = TypeVar("T")


def profiles(connection: Connection, keys: Sequence[Key]) -> list[Profile]:
    """All that the bundle says of these features, in their order; ones that it does not hold are
    left out, and so are those beyond MOST_ROWS."""
    keys = list(dict.fromkeys(keys))[:MOST_ROWS]
    every = {d.dictionary_id: d for d in dictionaries(connection)}
    shorts = {name: d.short for name, d in every.items()}
    found = _features(connection, keys)
    itself = judged_by_itself(connection, "e.encoder")
    by_encoder = _SCORES.format(itself=itself)
    scores = _of_each(connection, keys, "monosemanticity", by_encoder, partial(record, Score))
    artefacts = _of_each(connection, keys, "artefacts", _ARTEFACTS, partial(record, Artefacts))
    near = _of_each(connection, keys, "neighbors", _NEIGHBORS, _related)
    matches = _of_each(connection, keys, "matches", _MATCHES, _related)
    names = _of_each(connection, keys, "labels", _NAMES, partial(record, AutoLabel))
    samples = _of_each(connection, keys, "sample_examples", _SAMPLES, partial(record, Sample))
    places = _of_each(connection, keys, "maps", _PLACES, lambda row: (row["x"], row["y"]))
    sides = _of_each(connection, keys, "modality", _SIDES, partial(record, Modality))
    said = _captions(connection, keys)
    top = {t.example_id for one in found.values() for t in one.top}
    drawn_too = {one.example_id for some in samples.values() for one in some}
    ids = sorted(top | drawn_too | {one.example_id for some in said.values() for one in some})
    known: dict[int, Example] = {}
    sums: dict[int, str] = {}
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        known |= examples(connection, some)
        sums |= dict(among(connection, "SELECT example_id, sha256 FROM examples", some))
    shown = pictures(connection, sorted(top))
    made = []
    for key in keys:
        if key not in found or key[0] not in every:
            continue
        one, drawn = found[key], samples.get(key, [])
        mine = {t.example_id for t in one.top}
        held = mine | {s.example_id for s in drawn}
        held |= {c.example_id for c in said.get(key, [])}
        made.append(
            Profile(
                every[key[0]], one, scores.get(key, []), next(iter(artefacts.get(key, [])), None),
                near.get(key, []), matches.get(key, []), drawn,
                next(iter(places.get(key, [])), None), shorts,
                {i: known[i] for i in held & known.keys()},
                {i: sums[i] for i in held & sums.keys()},
                {i: shown[i] for i in mine & shown.keys()},
                names.get(key, []), next(iter(sides.get(key, [])), None), said.get(key, []),
            )
        )  # fmt: skip
    return made


def table(connection: Connection, keys: Sequence[Key]) -> pa.Table:
    """Every column of `features` that is exported, for these features in their order, each with its
    dictionary's model, hook point and name; at most MOST_TABLED rows. Where the model judged
    itself, a column says so."""
    itself = judged_by_itself(connection, "d.default_encoder")
    column = f", {itself} AS ms_judged_by_itself" if judged_alone(connection) else ""
    hidden = [c.name for c in columns.COLUMNS if not c.exported]
    there = [f'"{name}"' for name in hidden if has(connection, "features", name)]
    but = f" EXCLUDE ({', '.join(there)})" if there else ""
    sql = f"""SELECT d.model, d.hook, d.name, f.*{but}{column} FROM wanted
        JOIN features f USING (dictionary_id, feature_id) JOIN dictionaries d USING (dictionary_id)
        ORDER BY place"""
    values = _values(keys[:MOST_TABLED])
    return connection.cursor().sql(WANTED + sql, params=values).to_arrow_table()


_SCORES = """encoder, ms, control_neuron, control_direction, e.is_default,
    {itself} AS judges_itself
    FROM wanted JOIN monosemanticity USING (dictionary_id, feature_id)
    JOIN encoders e USING (encoder) ORDER BY e.is_default DESC, encoder"""
_ARTEFACTS = f"""{", ".join(names_of(Artefacts))}
    FROM wanted JOIN artefacts USING (dictionary_id, feature_id)"""
_NEIGHBORS = """kind, score, NULL AS overlap, f.*
    FROM wanted JOIN neighbors n USING (dictionary_id, feature_id)
    JOIN others f ON f.dictionary_id = n.dictionary_id AND f.feature_id = n.neighbor
    ORDER BY kind, rank"""
_MATCHES = """other_id AS kind, correlation AS score, jaccard AS overlap, f.*
    FROM wanted JOIN matches m USING (dictionary_id, feature_id)
    JOIN others f ON f.dictionary_id = m.other_id AND f.feature_id = m.match
    WHERE rank = 1 ORDER BY other_id"""
_NAMES = f"""{", ".join(names_of(AutoLabel))}
    FROM wanted JOIN labels USING (dictionary_id, feature_id) ORDER BY kind, rank"""
_SAMPLES = f"""{", ".join(names_of(Sample))}
    FROM wanted JOIN sample_examples USING (dictionary_id, feature_id) WHERE modality = 'image'
    ORDER BY kind IN ('random', 'silent'), kind = 'silent', kind DESC, activation DESC,
        example_id"""
_PLACES = """x, y FROM wanted JOIN maps USING (dictionary_id, feature_id)
    WHERE basis = 'decoder'"""
_SIDES = f"""{", ".join(names_of(Modality))}
    FROM wanted JOIN modality USING (dictionary_id, feature_id)"""


def _captions(connection: Connection, keys: Sequence[Key]) -> dict[Key, list[TopCaption]]:
    """The top captions of each feature that has some."""
    ids: dict[str, list[int]] = {}
    for name, number in keys:
        ids.setdefault(name, []).append(number)
    return {
        (name, number): found
        for name, numbers in ids.items()
        for number, found in top_captions(connection, name, numbers).items()
    }


def _of_each(
    connection: Connection,
    keys: Sequence[Key],
    name: str,
    sql: str,
    make: Callable[[Mapping[str, Any]], T],
) -> dict[Key, list[T]]:
    """The rows of the table `name`, which older bundles may lack, by feature, each as `make` has
    it."""
    if not has(connection, name):
        return {}
    made: dict[Key, list[T]] = {}
    others = f"others AS (SELECT {card_fields(connection)} FROM features)"
    # Rows of other features have a dictionary and an id of their own too.
    of = "wanted.dictionary_id AS of_dictionary, wanted.feature_id AS of_feature"
    select = f"{WANTED}, {others} SELECT {of}, {sql}"
    for row in dicts(connection, select, _values(keys)):
        made.setdefault((row["of_dictionary"], row["of_feature"]), []).append(make(row))
    return made


def _features(connection: Connection, keys: Sequence[Key]) -> dict[Key, Feature]:
    sql = f"""{WANTED} SELECT {feature_columns(connection)}
        FROM wanted JOIN cards USING (dictionary_id, feature_id)"""
    found = [feature_of(row) for row in dicts(connection, sql, _values(keys))]
    return {(one.card.dictionary_id, one.card.feature_id): one for one in found}


def _related(row: Mapping[str, Any]) -> Related:
    return Related(row["kind"], row["score"], row["overlap"], card_of(row))


def _values(keys: Sequence[Key]) -> list[Any]:
    return [[name for name, _ in keys], [int(number) for _, number in keys], len(keys)]
