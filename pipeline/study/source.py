"""A bundle, as far as a study reads it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from pipeline.contract.tables import FEATURES
from pipeline.study.content import Picture
from pipeline.study.draw import StudyError
from pipeline.study.files import TEXTS, Study


@dataclass(frozen=True, eq=False)
class Table:
    """The live features of the study's dictionaries."""

    dictionary_id: list[str]
    fingerprint: list[str]
    feature: Int[np.ndarray, " n"]
    neuron: Int[np.ndarray, " n"]
    complete: Bool[np.ndarray, " n"]
    """Whether the bundle keeps every image that activates it: of neurons, and what else is dense,
    it keeps the strongest only."""
    others: Int[np.ndarray, " n"]
    """Images that do not activate it."""
    scores: dict[str, Float[np.ndarray, " n"]]


class Source:
    """The bundle, as far as a study reads it."""

    def __init__(self, database: duckdb.DuckDBPyConnection, study: Study) -> None:
        self.database, self.study = database, study
        self.table = self._features()

    def _features(self) -> Table:
        wanted = self._dictionaries()
        numbers = [
            field.name
            for field in FEATURES.schema
            if field.name not in ("dictionary_id", "feature_id") and _is_number(field.type)
        ]
        if self.study.draw.score not in numbers:
            raise StudyError(
                f"draw.score = {self.study.draw.score!r}: no numeric column of `features`; name "
                f"one of {', '.join(numbers)}"
            )
        there = set(self.database.table("features").columns)
        columns = ", ".join(f'f."{name}"' for name in numbers if name in there)
        found = self.database.execute(
            f"""SELECT f.dictionary_id, d.fingerprint, f.feature_id, d.basis = 'neurons' AS neuron,
            coalesce(a.kept, 0) = f.n_active AS complete,
            (SELECT count(*) FROM examples WHERE split = 'val') - f.n_active AS others, {columns}
            FROM features f JOIN dictionaries d USING (dictionary_id)
            LEFT JOIN (
                SELECT dictionary_id, feature_id, count(*) AS kept FROM activations
                WHERE modality = 'image' AND dictionary_id IN (SELECT unnest(?)) GROUP BY ALL
            ) a ON a.dictionary_id = f.dictionary_id AND a.feature_id = f.feature_id
            WHERE f.dictionary_id IN (SELECT unnest(?)) AND f.n_active >= ?
            ORDER BY ALL""",
            [wanted, wanted, 0 if self.study.kind in TEXTS else self.study.images],
        ).fetchnumpy()
        scores = {
            name: np.ma.filled(found[name].astype(np.float64), np.nan)
            for name in numbers
            if name in there
        }
        scores |= self._by_encoder(found["dictionary_id"], found["feature_id"])
        return Table(
            list(map(str, found["dictionary_id"])),
            list(map(str, found["fingerprint"])),
            np.asarray(found["feature_id"]),
            np.asarray(found["neuron"]).astype(int),
            np.asarray(found["complete"]).astype(bool),
            np.asarray(found["others"]),
            scores,
        )

    def _by_encoder(
        self, dictionary: NDArray[Any], feature: NDArray[Any]
    ) -> dict[str, Float[np.ndarray, " n"]]:
        """Every encoder's MS, as `ms_ENCODER`, of these features."""
        place = {at: n for n, at in enumerate(zip(dictionary, feature.tolist(), strict=True))}
        rows = self.database.execute(
            """SELECT dictionary_id, encoder, feature_id, ms FROM monosemanticity
            WHERE ms IS NOT NULL AND dictionary_id IN (SELECT unnest(?)) ORDER BY encoder""",
            [sorted(set(map(str, dictionary)))],
        ).fetchall()
        scores: dict[str, Float[np.ndarray, " n"]] = {}
        for of, encoder, number, ms in rows:
            if (of, number) in place:
                scores.setdefault(f"ms_{encoder}", np.full(len(place), np.nan))
                scores[f"ms_{encoder}"][place[of, number]] = ms
        return scores

    def _dictionaries(self) -> list[str]:
        rows = self.database.execute(
            "SELECT dictionary_id, name, basis FROM dictionaries"
        ).fetchall()
        named = self.study.draw.dictionaries
        for name in named:
            if not any(name in (of, short) for of, short, _ in rows):
                there = ", ".join(sorted({short for _, short, _ in rows}))
                raise StudyError(f"draw.dictionaries has {name!r}: name some of {there}")
        if named:
            return [of for of, short, _ in rows if of in named or short in named]
        every = self.study.draw.how in ("neurons", "list")
        return [of for of, _, basis in rows if every or basis == "sae"]

    def images(self, place: int, count: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Of a feature: its strongest, or, of a complete one, evenly over its activations; in an
        order left to chance."""
        key = [self.table.dictionary_id[place], int(self.table.feature[place])]
        table = "top_examples" if self.study.images_from == "top" else "activations"
        ids = [
            row[0]
            for row in self.database.execute(
                f"""SELECT example_id FROM {table} WHERE dictionary_id = ? AND feature_id = ?
                AND modality = 'image' ORDER BY activation DESC, example_id""",
                key,
            ).fetchall()
        ]
        if self.study.images_from == "range":
            ids = [ids[i] for i in np.linspace(0, len(ids) - 1, count).round().astype(int)]
        return mixed(ids[:count], rng)

    def unrelated(self, place: int | None, count: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Images drawn from all that do not activate a complete feature; from all, of None.

        Raises:
            StudyError: there are not so many.
        """
        none: list[object] = ["", -1]
        of = self.table
        key = none if place is None else [of.dictionary_id[place], int(of.feature[place])]
        ids = [
            row[0]
            for row in self.database.execute(
                """SELECT example_id FROM examples WHERE split = 'val' EXCEPT SELECT example_id
                FROM activations WHERE dictionary_id = ? AND feature_id = ? AND modality = 'image'
                ORDER BY example_id""",
                key,
            ).fetchall()
        ]
        if len(ids) < count:
            what = "are there" if place is None else f"do not activate {key[0]}:{key[1]}"
            raise StudyError(
                f"checks: {len(ids)} images {what}, {count} are wanted; leave the feature out, or "
                "ask for no checks"
            )
        return tuple(int(i) for i in rng.choice(ids, count, replace=False))

    def pictures(self, ids: set[int]) -> dict[int, Picture]:
        """The images of these ids."""
        rows = self.database.execute(
            """SELECT example_id, uri, sha256 FROM examples WHERE example_id IN (SELECT unnest(?))
            ORDER BY example_id""",
            [sorted(ids)],
        ).fetchall()
        return {number: Picture(uri=uri, sha256=sha256) for number, uri, sha256 in rows}

    def numbers(self, named: Collection[str]) -> dict[str, int]:
        """The ids of images that are named by number or uri; of those that there are."""
        rows = self.database.execute(
            """SELECT uri, example_id FROM examples WHERE uri IN (SELECT unnest(?))
            UNION ALL SELECT CAST(example_id AS VARCHAR), example_id FROM examples
            WHERE CAST(example_id AS VARCHAR) IN (SELECT unnest(?))""",
            [sorted(named)] * 2,
        ).fetchall()
        return dict(rows)


def mixed(ids: list[int], rng: np.random.Generator) -> tuple[int, ...]:
    """In an order left to chance."""
    return tuple(int(i) for i in rng.permutation(ids))


def _is_number(kind: object) -> bool:
    return str(kind) in ("float", "double", "int16", "int32", "int64")
