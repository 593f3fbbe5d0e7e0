"""Records of features that stand near each other: neighbours and matches."""

from dataclasses import dataclass

from dashboard.records.features import Card, Key


@dataclass(frozen=True)
class Related:
    """A feature that stands near another one: its card, how near, and in what way."""

    kind: str
    """Of neighbours `decoder`, `jaccard` or `correlation`; of matches the dictionary's id."""
    score: float
    overlap: float | None
    """Of matches: Jaccard index of the top images."""
    card: Card


@dataclass(frozen=True)
class Pair:
    """A feature and its best match in another dictionary."""

    feature_id: int
    match: int
    correlation: float
    jaccard: float | None


@dataclass(frozen=True)
class Aligned:
    """A feature with its best match in each of several other dictionaries, in their order."""

    feature_id: int
    pairs: tuple[Pair | None, ...]
    """None where nothing there fires together with it."""


@dataclass(frozen=True)
class Tie:
    """One of several chosen features is named as another's neighbour or match."""

    one: Key
    other: Key
    kind: str
    """`match`, or a kind of neighbour: `decoder`, `jaccard` or `correlation`."""
    score: float
