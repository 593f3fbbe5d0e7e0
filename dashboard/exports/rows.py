"""Rows of the tables that Compare and Image show, for files of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.records.dictionaries import Agreement
from dashboard.records.matches import Aligned


@dataclass(frozen=True)
class FoundAgain:
    """How far the live features of one dictionary are found again in another."""

    dictionary_id: str
    other_id: str
    live: int
    matched: int
    share: float | None
    mean_correlation: float | None
    """Of the best matches."""


@dataclass(frozen=True)
class Match:
    """A feature's best match in another dictionary; empty where nothing fires with it."""

    dictionary_id: str
    feature_id: int
    other_id: str
    match: int | None
    correlation: float | None
    jaccard: float | None
    found: bool
    """Whether it correlates at least as much as the page asks for."""


@dataclass(frozen=True)
class OnImage:
    """A feature that fires on an image."""

    image: str
    example_id: int | None
    """None for an image that a visitor gave."""
    dictionary_id: str
    feature_id: int
    label: str | None
    activation: float
    patches: int | None
    """On how many it fires; None where it is not known."""


def found_again(ids: Sequence[str], said: Mapping[tuple[int, int], Agreement]) -> list[FoundAgain]:
    """The cells of the matrix of the dictionaries `ids`, row by row; `said` is by their places."""
    return [
        FoundAgain(
            ids[i], ids[j], one.live, one.matched, one.matched / one.live if one.live else None,
            one.mean,
        )
        for (i, j), one in said.items()
    ]  # fmt: skip


def matches(
    dictionary_id: str, other_ids: Sequence[str], rows: Sequence[Aligned], *, threshold: float
) -> list[Match]:
    """Aligned rows with a row for each of the other dictionaries."""
    return [
        Match(dictionary_id, row.feature_id, other, None, None, None, False)
        if pair is None
        else Match(
            dictionary_id, row.feature_id, other, pair.match, pair.correlation, pair.jaccard,
            pair.correlation >= threshold,
        )
        for row in rows
        for other, pair in zip(other_ids, row.pairs, strict=True)
    ]  # fmt: skip
