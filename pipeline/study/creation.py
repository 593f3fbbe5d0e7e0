"""Making a study of a bundle: drawing features, their images, checks and practice."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from pipeline import contract, store
from pipeline.study import draw
from pipeline.study.content import Content, Feature, Item, Picture, Side, X, Y
from pipeline.study.draw import Pool, StudyError
from pipeline.study.files import Study

Judged = tuple[tuple[Side, ...], str | None]
"""An item's sides, and its answer where that is known."""


def create(study: Study) -> Content:
    """The study that a file states, drawn from its bundle.

    Raises:
        StudyError: it asks for what the bundle does not have.
        StoreError: there is no bundle.
    """
    bundle = store.open_bundle(study.bundle)
    with duckdb.connect(str(bundle.database), read_only=True) as database:
        source = _Source(database, study)
        making = _Making(study, source)
        items = making.pairs() if study.kind == "pairs" else making.alone()
        return Content(
            study=study,
            run=str(bundle.manifest.get("config", {}).get("name", study.bundle.name)),
            features=tuple(making.features),
            items=tuple(items),
            images=source.pictures(making.shown),
        )


@dataclass(frozen=True, eq=False)
class _Table:
    """The live features of the study's dictionaries."""

    dictionary_id: list[str]
    fingerprint: list[str]
    feature: Int[np.ndarray, " n"]
    neuron: Int[np.ndarray, " n"]
    scores: dict[str, Float[np.ndarray, " n"]]


class _Source:
    """The bundle, as far as a study reads it."""

    def __init__(self, database: duckdb.DuckDBPyConnection, study: Study) -> None:
        self.database, self.study = database, study
        self.table = self._features()

    def _features(self) -> _Table:
        wanted = self._dictionaries()
        numbers = [
            field.name
            for field in contract.FEATURES.schema
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
            {columns} FROM features f JOIN dictionaries d USING (dictionary_id)
            WHERE f.dictionary_id IN (SELECT unnest(?)) AND f.n_active >= ?
            ORDER BY ALL""",
            [wanted, self.study.images],
        ).fetchnumpy()
        scores = {
            name: np.ma.filled(found[name].astype(np.float64), np.nan)
            for name in numbers
            if name in there
        }
        scores |= self._by_encoder(found["dictionary_id"], found["feature_id"])
        return _Table(
            list(map(str, found["dictionary_id"])),
            list(map(str, found["fingerprint"])),
            np.asarray(found["feature_id"]),
            np.asarray(found["neuron"]).astype(int),
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
        """Of a feature: its strongest, or evenly over its activations; in an order left to
        chance."""
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
        return _mixed(ids[:count], rng)

    def unrelated(self, place: int, count: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Images drawn from all that do not activate the feature.

        Raises:
            StudyError: there are not so many.
        """
        key = [self.table.dictionary_id[place], int(self.table.feature[place])]
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
            raise StudyError(
                f"{key[0]}:{key[1]}: {len(ids)} images do not activate it, {count} are wanted for "
                "checks; draw from sparser dictionaries, or ask for none"
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


class _Making:
    """Puts items together."""

    def __init__(self, study: Study, source: _Source) -> None:
        self.study, self.source = study, source
        self.rng = np.random.default_rng(study.seed)
        self.features: list[Feature] = []
        self.shown: set[int] = set()
        self._place: dict[int, int] = {}
        table = source.table
        scored = table.scores[study.draw.score]
        self.kept = np.flatnonzero(~np.isnan(scored))
        self.pool = Pool(
            np.unique(table.dictionary_id, return_inverse=True)[1][self.kept],
            table.feature[self.kept],
            scored[self.kept],
            table.neuron[self.kept],
        )

    def pairs(self) -> list[Item]:
        if self.study.draw.how == "list":
            x, y = (self._listed(column) for column in (X, Y))
            chosen = list(zip(x, y, strict=True))
        else:
            chosen = draw.pairs(self.pool, self.study.draw, seed=self.study.seed)
        trials: list[Judged] = [
            (tuple(self._side(place) for place in pair), None) for pair in chosen
        ]
        known = [self._known(pair[0]) for pair in self._drawn(chosen)]
        return _numbered(trials, known, self.study.practice)

    def alone(self) -> list[Item]:
        if self.study.draw.how == "list":
            chosen = self._listed(X)
        else:
            chosen = draw.alone(self.pool, self.study.draw, seed=self.study.seed)
        if self.study.kind == "intruder":
            checked = [pair[0] for pair in self._drawn([(place, place) for place in chosen])]
            made = [self._intruded(place) for place in [*chosen, *checked]]
            return _numbered(made[: len(chosen)], made[len(chosen) :], self.study.practice)
        return _numbered([((self._side(place),), None) for place in chosen], [], 0)

    def _drawn(self, chosen: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of which practice and checks are made: the clearest first, by their score."""
        count = self.study.practice + self.study.checks.catch
        best = sorted(chosen, key=lambda pair: -self.pool.score[pair[0]])
        return [best[i % len(best)] for i in range(count)] if best else []

    def _known(self, place: int) -> Judged:
        """A feature's images beside as many that do not activate it."""
        side = self._side(place)
        others = self.source.unrelated(int(self.kept[place]), len(side.images), self.rng)
        self.shown.update(others)
        return (side, Side(feature=None, images=others)), X

    def _intruded(self, place: int) -> Judged:
        side = self._side(place, count=self.study.images - 1)
        (intruder,) = self.source.unrelated(int(self.kept[place]), 1, self.rng)
        self.shown.add(intruder)
        mixed = _mixed([*side.images, intruder], self.rng)
        return (Side(feature=side.feature, images=mixed),), str(intruder)

    def _side(self, place: int, *, count: int | None = None) -> Side:
        images = self.source.images(int(self.kept[place]), count or self.study.images, self.rng)
        self.shown.update(images)
        return Side(feature=self._feature(place), images=images)

    def _feature(self, place: int) -> int:
        if place not in self._place:
            table, at = self.source.table, int(self.kept[place])
            scores = {
                name: None if np.isnan(of[at]) else float(of[at])
                for name, of in table.scores.items()
            }
            self._place[place] = len(self.features)
            self.features.append(
                Feature(
                    dictionary_id=table.dictionary_id[at],
                    fingerprint=table.fingerprint[at],
                    feature_id=int(table.feature[at]),
                    scores=scores,
                )
            )
        return self._place[place]

    def _listed(self, column: str) -> list[int]:
        file = self.study.draw.file
        assert file is not None
        try:
            with file.open(newline="", encoding="utf-8-sig") as opened:
                names = [(row.get(column) or "").strip() for row in csv.DictReader(opened)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise StudyError(f"{file}: cannot be read ({error})") from None
        table = self.source.table
        known = {
            f"{table.dictionary_id[at]}:{table.feature[at]}": place
            for place, at in enumerate(self.kept)
        }
        return draw.listed(names, known, file=str(file))


def _numbered(trials: Sequence[Judged], known: Sequence[Judged], practice: int) -> list[Item]:
    """Items in the order of their numbers; of those with a known answer the first are practice."""
    roles = ["trial"] * len(trials) + ["practice"] * practice + ["catch"] * len(known)
    return [
        Item(item=number, role=role, sides=sides, answer=answer)
        for number, (role, (sides, answer)) in enumerate(
            zip(roles, [*trials, *known], strict=False)
        )
    ]


def _mixed(ids: list[int], rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(i) for i in rng.permutation(ids))


def _is_number(kind: object) -> bool:
    return str(kind) in ("float", "double", "int16", "int32", "int64")
