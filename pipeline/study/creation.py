"""Making a study of a bundle: drawing features, their images, checks and practice."""

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import duckdb
import numpy as np
from jaxtyping import Float

from pipeline.bundle import opening
from pipeline.study import draw, outputs, sheets
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
    bundle = opening.open_bundle(study.bundle)
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
            run=str(bundle.config.get("name", study.bundle.name)),
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
        self._whole = study.kind == "intruder" or (
            study.images_from == "range" and study.kind not in TEXTS
        )
        if self._whole:
            self._see_to_complete()
        of = ~np.isnan(scored) & (table.complete | (not self._whole))
        if study.kind == "intruder" and study.draw.how != "list":
            of &= table.others > 0
        self.kept = np.flatnonzero(of | (study.kind in TEXTS))
        self.pool = Pool(
            np.unique(table.dictionary_id, return_inverse=True)[1][self.kept],
            table.feature[self.kept],
            scored[self.kept],
            table.neuron[self.kept],
        )

    def _see_to_complete(self) -> None:
        """That there are features of which the bundle keeps all images that activate them.

        Raises:
            StudyError: there are none, or none of a dictionary that is asked for.
        """
        of, table = self.study.draw, self.source.table
        live = dict.fromkeys(table.dictionary_id)
        lacking = live.keys() - set(np.array(table.dictionary_id)[table.complete])
        if not lacking or (not of.dictionaries and of.how != "neurons" and live.keys() > lacking):
            return
        what = "kind = 'intruder'"
        remedy = "name others in draw.dictionaries, or choose another kind"
        if self.study.kind != "intruder":
            what, remedy = "images_from = 'range'", "set images_from = 'top'"
        raise StudyError(
            f"{what}: needs all images that activate a feature, and of "
            f"{', '.join(sorted(lacking))[:300]} the bundle keeps only the strongest; {remedy}"
        )

    def pairs(self) -> list[Item]:
        if self.study.draw.how == "list":
            chosen = self._listed_pairs()
        else:
            chosen = draw.pairs(self.pool, self.study.draw, seed=self.study.seed)
        trials: list[Judged] = [
            (tuple(self._side(place) for place in pair), None) for pair in chosen
        ]
        known = [self._known(place) for place in self._clearest(chain(*chosen))]
        return _numbered(trials, known, self.study.practice)

    def alone(self) -> list[Item]:
        if self.study.draw.how == "list":
            chosen = self._listed_alone()
        else:
            chosen = draw.alone(self.pool, self.study.draw, seed=self.study.seed)
        if self.study.kind == "intruder":
            checked = self._clearest(chosen)
            made = [self._intruded(place) for place in [*chosen, *checked]]
            return _numbered(made[: len(chosen)], made[len(chosen) :], self.study.practice)
        trials: list[Judged] = [((self._side(place),), None) for place in chosen]
        known = [*self._tried(chosen), *(self._random() for _ in range(self.study.checks.catch))]
        return _numbered(trials, known, self.study.practice)

    def texts(self) -> list[Item]:
        """Of `outputs` every text on every scale, or on the one that is known of it; of `choice`
        every row."""
        file, several = self._file, self.study.kind == "choice"
        rows = outputs.read(file, several=several)
        ids = self.source.numbers({row.image for row in rows} - {""})
        known = self._places()
        trials, known_texts = list[Item](), list[list[Item]]()
        for row in rows:
            if row.image and row.image not in ids:
                raise StudyError(
                    f"{file}, line {row.line}: {row.image[:200]!r} is no image of the bundle; give "
                    "an example's number or uri, or leave the cell empty"
                )
            named = [(row.line, row.feature)] if row.feature else []
            places = draw.named_features(named, known, file=str(file))
            feature = self._feature(places[0]) if places else None
            images = (ids[row.image],) if row.image else ()
            self.shown.update(images)
            item = Item(
                item=0, role="trial", sides=(Side(feature=feature, images=images),),
                answer=row.answer or None, texts=row.texts, groups=row.groups, prompt=row.prompt,
            )  # fmt: skip
            made = [item] if several else self._scaled(item, row)
            if row.answer:
                known_texts.append(made)
            else:
                trials.extend(made)
        tried = self.study.practice
        if self.study.checks.catch_every:  # some must be left to check with
            tried = min(tried, len(known_texts) // 2)
        practice = list(chain(*known_texts[:tried]))
        catch = list(chain(*known_texts[tried:]))
        roles = ["trial"] * len(trials) + ["practice"] * len(practice) + ["catch"] * len(catch)
        return [
            item.model_copy(update={"item": number, "role": role})
            for number, (item, role) in enumerate(
                zip([*trials, *practice, *catch], roles, strict=True)
            )
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
        """Those of which practice and checks are made: complete ones that images enough do not
        activate, the clearest by MS, or by their score where they have none, each another one as
        far as there are so many, so that nobody knows a check by its images.

        Raises:
            StudyError: there are none.
        """
        count = self.study.practice + self.study.checks.catch
        if not count:
            return []
        table = self.source.table
        most = 1 if self.study.kind == "intruder" else self.study.images
        fit = (table.complete & (table.others >= most))[self.kept]
        best = self._by_ms(place for place in set(places) if fit[place])
        if not best:
            raise StudyError(
                f"checks: of no drawn feature are {most} images known not to activate it (of dense "
                "ones the bundle keeps the strongest only); set practice = 0 and checks.catch = 0"
            )
        return [best[i % len(best)] for i in range(count)]

    @property
    def _ms(self) -> Float[np.ndarray, " n"]:
        """Of the pool; NaN where there is none."""
        table = self.source.table
        return table.scores.get("ms", np.full(len(table.feature), np.nan))[self.kept]

    def _by_ms(self, places: Iterable[int]) -> list[int]:
        """Those with the highest MS first; by their score where they have none."""
        known = np.nan_to_num(self._ms, nan=-np.inf)
        return sorted(places, key=lambda place: (-known[place], -self.pool.score[place], place))

    def _tried(self, chosen: Sequence[int]) -> list[Judged]:
        """Ratings to practise on, so that both ends of the scale are seen: by turns a feature of
        which nobody is asked after, of an SAE and of the upper quarter of its MS, and images that
        are about nothing; the latter alone where there is no such feature."""
        of = np.isin(self.pool.dictionary, self.pool.dictionary[list(chosen)])
        ms = self._ms
        least = np.nanquantile(ms[of], 0.75) if (~np.isnan(ms[of])).any() else np.inf
        clear = np.flatnonzero(of & (ms >= least) & (self.pool.neuron == 0))
        free = self._by_ms(set(clear.tolist()) - set(chosen))
        found = list[Judged]()
        for turn in range(self.study.practice):
            at, nothing = divmod(turn, 2)
            if nothing or at >= len(free):
                found.append(self._random())
            else:
                found.append(((self._side(free[at]),), RATINGS[-1]))
        return found

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

    def _listed_pairs(self) -> list[tuple[int, int]]:
        file, rows = str(self._file), sheets.rows_of(self._file, X, Y)
        for line, row in rows:
            if row[X] == row[Y]:
                raise StudyError(
                    f"{file}, line {line}: {row[X][:200]!r} stands against itself; name two "
                    "features"
                )
        x, y = (self._found([(line, row[side]) for line, row in rows]) for side in (X, Y))
        pairs = list(zip(x, y, strict=True))
        lines = [line for line, _ in rows]
        draw.once(zip(lines, map(frozenset, pairs), strict=True), "pair", file=file)
        return pairs

    def _listed_alone(self) -> list[int]:
        names = [(line, row[X]) for line, row in sheets.rows_of(self._file, X)]
        draw.once(names, "feature", file=str(self._file))
        return self._found(names)

    def _found(self, names: Sequence[tuple[int, str]]) -> list[int]:
        table = self.source.table
        partial = {self._name(at) for at in np.flatnonzero(~table.complete).tolist() if self._whole}
        return draw.named_features(names, self._places(), file=str(self._file), partial=partial)

    @property
    def _file(self) -> Path:
        assert self.study.draw.file is not None
        return self.study.draw.file

    def _places(self) -> dict[str, int]:
        """Names of features -> their places in the pool."""
        return {self._name(at): place for place, at in enumerate(self.kept.tolist())}

    def _name(self, at: int) -> str:
        table = self.source.table
        return f"{table.dictionary_id[at]}:{table.feature[at]}"


def _numbered(trials: Sequence[Judged], known: Sequence[Judged], practice: int) -> list[Item]:
    """Items in the order of their numbers; of those with a known answer the first are practice."""
    roles = ["trial"] * len(trials) + ["practice"] * practice + ["catch"] * len(known)
    return [
        Item(item=number, role=role, sides=sides, answer=answer)
        for number, (role, (sides, answer)) in enumerate(
            zip(roles, [*trials, *known], strict=False)
        )
    ]
