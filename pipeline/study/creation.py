"""Making a study of a bundle: drawing features, their images, checks and practice."""

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import duckdb
import numpy as np

from pipeline import store
from pipeline.study import benchmark, draw, outputs
from pipeline.study.active import MOST_FEATURES
from pipeline.study.content import Content, Feature, Item, Side, X, Y
from pipeline.study.draw import Pool, StudyError
from pipeline.study.files import CONCEPT, RATINGS, TEXTS, Study
from pipeline.study.source import Source, mixed

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
        source = Source(database, study)
        making = _Making(study, source)
        if study.kind in TEXTS:
            items = making.texts()
        else:
            items = making.pairs() if study.kind == "pairs" else making.alone()
        if study.choice == "active" and len(making.features) > MOST_FEATURES:
            raise StudyError(
                f"choice = 'active': {len(making.features):,} features, {MOST_FEATURES:,} are "
                "possible; draw fewer, or choose balanced"
            )
        return Content(
            study=study,
            run=str(bundle.manifest.get("config", {}).get("name", study.bundle.name)),
            features=tuple(making.features),
            items=tuple(items),
            images=source.pictures(making.shown),
        )


class _Making:
    """Puts items together."""

    def __init__(self, study: Study, source: Source) -> None:
        self.study, self.source = study, source
        self.rng = np.random.default_rng(study.seed)
        self.features: list[Feature] = []
        self.shown: set[int] = set()
        self._place: dict[int, int] = {}
        table = source.table
        scored = table.scores[study.draw.score]
        self.kept = np.flatnonzero(~np.isnan(scored) | (study.kind in TEXTS))
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
        known = [self._known(place) for place in self._clearest(chain(*chosen))]
        return _numbered(trials, known, self.study.practice)

    def alone(self) -> list[Item]:
        if self.study.draw.how == "list":
            chosen = self._listed(X)
        else:
            chosen = draw.alone(self.pool, self.study.draw, seed=self.study.seed)
        if self.study.kind == "intruder":
            checked = self._clearest(chosen)
            made = [self._intruded(place) for place in [*chosen, *checked]]
            return _numbered(made[: len(chosen)], made[len(chosen) :], self.study.practice)
        trials: list[Judged] = [((self._side(place),), None) for place in chosen]
        return _numbered(trials, [self._random() for _ in range(self.study.checks.catch)], 0)

    def texts(self) -> list[Item]:
        """Of `outputs` every text on every scale, or on the one that is known of it; of `choice`
        every row."""
        file, several = self._file, self.study.kind == "choice"
        rows = outputs.read(file, several=several)
        ids = self.source.numbers({row.image for row in rows} - {""})
        known = self._places()
        trials, checks = list[Item](), list[Item]()
        for row in rows:
            if row.image and row.image not in ids:
                raise StudyError(
                    f"{file}, line {row.line}: {row.image[:200]!r} is no image of the bundle; give "
                    "an example's number or uri, or leave the cell empty"
                )
            named = [row.feature] if row.feature else []
            places = draw.listed(named, known, file=str(file), line=row.line)
            feature = self._feature(places[0]) if places else None
            images = (ids[row.image],) if row.image else ()
            self.shown.update(images)
            item = Item(
                item=0, role="trial", sides=(Side(feature=feature, images=images),),
                answer=row.answer or None, texts=row.texts, groups=row.groups, prompt=row.prompt,
            )  # fmt: skip
            (checks if row.answer else trials).extend(
                [item] if several else self._scaled(item, row)
            )
        roles = ["trial"] * len(trials) + ["practice"] * (several and self.study.practice)
        roles += ["catch"] * len(checks)
        return [
            item.model_copy(update={"item": number, "role": role})
            for number, (item, role) in enumerate(zip([*trials, *checks], roles, strict=False))
        ]

    def _scaled(self, item: Item, row: outputs.Output) -> list[Item]:
        """The text on each scale, or on the one that the row names."""
        found = []
        scales = self.study.scales
        if row.scale and row.scale not in scales:
            raise StudyError(
                f"{self._file}, line {row.line}: the scale {row.scale[:80]!r} is none of "
                f"{', '.join(scales)}"
            )
        for scale, question in scales.items():
            if row.scale not in ("", scale):
                continue
            if CONCEPT in question and not row.concept and not row.image:
                raise StudyError(
                    f"{self._file}, line {row.line}: has neither a concept nor an image that the "
                    f"scale {scale} could be about; give one, or name other scales"
                )
            asked = question.replace(CONCEPT, row.concept or "the image")
            found.append(item.model_copy(update={"scale": scale, "asked": asked}))
        return found

    def _clearest(self, places: Iterable[int]) -> list[int]:
        """Those of which practice and checks are made: the clearest by their score, each another
        one as far as there are so many, so that nobody knows a check by its images."""
        count = self.study.practice + self.study.checks.catch
        best = sorted(set(places), key=lambda place: (-self.pool.score[place], place))
        return [best[i % len(best)] for i in range(count)] if best else []

    def _known(self, place: int) -> Judged:
        """A feature's images beside as many that do not activate it."""
        side = self._side(place)
        others = self.source.unrelated(int(self.kept[place]), len(side.images), self.rng)
        self.shown.update(others)
        return (side, Side(feature=None, images=others)), X

    def _random(self) -> Judged:
        """Images that are about nothing: their rating is the lowest."""
        others = self.source.unrelated(None, self.study.images, self.rng)
        self.shown.update(others)
        return (Side(feature=None, images=others),), RATINGS[0]

    def _intruded(self, place: int) -> Judged:
        side = self._side(place, count=self.study.images - 1)
        (intruder,) = self.source.unrelated(int(self.kept[place]), 1, self.rng)
        self.shown.add(intruder)
        shown = mixed([*side.images, intruder], self.rng)
        return (Side(feature=side.feature, images=shown),), str(intruder)

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
        names = [row[column] for row in benchmark.rows_of(self._file, column)]
        return draw.listed(names, self._places(), file=str(self._file))

    @property
    def _file(self) -> Path:
        assert self.study.draw.file is not None
        return self.study.draw.file

    def _places(self) -> dict[str, int]:
        """Names of features -> their places in the pool."""
        table = self.source.table
        return {
            f"{table.dictionary_id[at]}:{table.feature[at]}": place
            for place, at in enumerate(self.kept)
        }


def _numbered(trials: Sequence[Judged], known: Sequence[Judged], practice: int) -> list[Item]:
    """Items in the order of their numbers; of those with a known answer the first are practice."""
    roles = ["trial"] * len(trials) + ["practice"] * practice + ["catch"] * len(known)
    return [
        Item(item=number, role=role, sides=sides, answer=answer)
        for number, (role, (sides, answer)) in enumerate(
            zip(roles, [*trials, *known], strict=False)
        )
    ]
