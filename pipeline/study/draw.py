"""Which features, and which pairs of them, a study is about."""

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pipeline.errors import LoupeError
from pipeline.study.files import Draw

_TRIES = 200
"""Pairs that are looked at for each that is wanted of a stratum."""


class StudyError(LoupeError, ValueError):
    """A study that cannot be made or read; one line that names it and the remedy."""


@dataclass(frozen=True, eq=False)
class Pool:
    """The features that may be drawn: live ones, with images enough to show.

    Attributes:
        dictionary: of each the number of its dictionary.
        feature: its id.
        score: by which strata are made; no NaN.
        neuron: whether it is one.
    """

    dictionary: Int[np.ndarray, " n"]
    feature: Int[np.ndarray, " n"]
    score: Float[np.ndarray, " n"]
    neuron: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.feature)


def pairs(pool: Pool, draw: Draw, *, seed: int) -> list[tuple[int, int]]:
    """Pairs of places in the pool, each another pair, in an order left to chance.

    `stratified` gives every part of the range of score differences as many pairs, as far as there
    are any: at random most pairs differ little.

    Raises:
        StudyError: the pool has not so many pairs.
    """
    rng = np.random.default_rng(seed)
    sides = _sides(pool, draw, rng)
    possible = _possible(*sides)
    if draw.count > possible:
        raise StudyError(
            f"draw.count = {draw.count:,}: there are {possible:,} pairs; ask for fewer, or name "
            "more dictionaries"
        )
    if possible <= 4 * draw.count or possible <= 20_000:
        every = _all_pairs(*sides)
    else:
        every = _some_pairs(*sides, count=min(possible // 2, _TRIES * draw.count), rng=rng)
    every = every[rng.permutation(len(every))]
    if draw.how == "stratified":
        apart = np.abs(pool.score[every[:, 0]] - pool.score[every[:, 1]])
        every = every[even(apart, strata=draw.strata, count=draw.count)]
    chosen = every[: draw.count]
    return [(int(x), int(y)) for x, y in chosen[rng.permutation(len(chosen))]]


def alone(pool: Pool, draw: Draw, *, seed: int) -> list[int]:
    """Places in the pool, evenly over the score where it is `stratified`.

    Raises:
        StudyError: the pool has not so many features.
    """
    if draw.count > len(pool):
        raise StudyError(
            f"draw.count = {draw.count:,}: there are {len(pool):,} features; ask for fewer, or "
            "name more dictionaries"
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool))
    if draw.how == "stratified":
        order = order[even(pool.score[order], strata=draw.strata, count=draw.count)]
    chosen = order[: draw.count]
    return [int(place) for place in chosen[rng.permutation(len(chosen))]]


def even(values: Float[np.ndarray, " n"], *, strata: int, count: int) -> Int[np.ndarray, " m"]:
    """Places of `count` values of which every stratum, an equal part of the values' range, has as
    many: in turns the next of each, until it has no more."""
    low, high = values.min(), values.max()
    width = (high - low) / strata or 1.0
    stratum = np.minimum(((values - low) / width).astype(int), strata - 1)
    turn = np.zeros(len(values), np.int64)
    for number in range(strata):
        here = np.flatnonzero(stratum == number)
        turn[here] = np.arange(len(here))
    return np.lexsort((stratum, turn))[:count]


def _sides(pool: Pool, draw: Draw, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The places from which the two features of a pair come."""
    neuron = pool.neuron.astype(bool)
    if draw.how != "neurons":
        every = _few(np.arange(len(pool)), pool, draw, rng)
        return every, every
    x, y = (_few(np.flatnonzero(side), pool, draw, rng) for side in (~neuron, neuron))
    return x, y


def _few(places: np.ndarray, pool: Pool, draw: Draw, rng: np.random.Generator) -> np.ndarray:
    """As many of these places as the pairs are to be made of: at random, or evenly by score."""
    if draw.features is None or len(places) <= draw.features:
        return places
    order = rng.permutation(places)
    if draw.how == "stratified":
        order = order[even(pool.score[order], strata=draw.strata, count=draw.features)]
    return np.sort(order[: draw.features])


def _possible(xs: np.ndarray, ys: np.ndarray) -> int:
    return len(xs) * (len(xs) - 1) // 2 if xs is ys else len(xs) * len(ys)


def _all_pairs(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    if xs is ys:
        first, second = np.triu_indices(len(xs), 1)
        return np.stack([xs[first], xs[second]], 1)
    return np.stack(np.meshgrid(xs, ys, indexing="ij"), -1).reshape(-1, 2)


def _some_pairs(
    xs: np.ndarray, ys: np.ndarray, *, count: int, rng: np.random.Generator
) -> np.ndarray:
    found = np.stack([rng.choice(xs, 2 * count), rng.choice(ys, 2 * count)], 1)
    if xs is ys:
        found = np.sort(found[found[:, 0] != found[:, 1]], 1)
    found = np.unique(found, axis=0)
    return found[rng.permutation(len(found))[:count]]


def named_features(
    names: Iterable[tuple[int, str]],
    pool: Mapping[str, int],
    *,
    file: str,
    partial: Collection[str] = (),
) -> list[int]:
    """The places of features named `MODEL/HOOK/DICTIONARY:FEATURE`.

    Args:
        names: each with its line.
        partial: features of which the study would need all images that activate them, and the
            bundle keeps the strongest only.

    Raises:
        StudyError: one is not in the pool.
    """
    found = []
    for line, name in names:
        if name in partial:
            raise StudyError(
                f"{file}, line {line}: of {name[:200]!r} the bundle keeps only the strongest "
                "images, and this study needs all that activate it; leave it out"
            )
        if name not in pool:
            raise StudyError(
                f"{file}, line {line}: {name[:200]!r} is no live feature of the bundle; write "
                "MODEL/HOOK/DICTIONARY:FEATURE"
            )
        found.append(pool[name])
    return found


def once(rows: Iterable[tuple[int, Hashable]], what: str, *, file: str) -> None:
    """See to it that no row of a list says what one before it says.

    Args:
        rows: each with its line.

    Raises:
        StudyError: one does.
    """
    before: dict[Hashable, int] = {}
    for line, row in rows:
        first = before.setdefault(row, line)
        if first != line:
            raise StudyError(
                f"{file}, line {line}: the same {what} as in line {first}; leave one of them out"
            )
