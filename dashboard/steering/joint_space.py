"""An image in a contrastive model's joint space, before and after steering: numbers only."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
NEAREST = 8
WAYS = ("unsteered", "reconstruction only", "steered")
MOST_ASKED = 32
SELDOM = 2.0
"""Standard deviations below chance at which two tags are seldom together (Poisson)."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One image, steered and not.

    Attributes:
        unsteered, steered: unit embeddings [d].
        reconstruction: with the SAEs' reconstruction and no edit; None where no feature is edited.
        swept: [n, d] under the other settings.
        key: names the model and its weights.
        changed: what to know where the model is not the one that made the bundle.
    """

    unsteered: Vectors
    reconstruction: Vectors | None
    steered: Vectors
    swept: Vectors
    key: str
    changed: str

    @property
    def kept(self) -> float:
        """Cosine of the steered and the unsteered embedding."""
        return float(self.unsteered @ self.steered)


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels as the model's text tower embeds them.

    Attributes:
        vectors: unit [n, d].
        scale, bias: of the logits (see `pipeline.models.text_tower.Logits`).
        unknown: labels left out, as the model has no tokens for some of their words.
    """

    names: tuple[str, ...]
    vectors: Vectors
    scale: float
    bias: float | None
    unknown: tuple[str, ...] = ()

    def chances(self, embeddings: Vectors) -> NDArray[np.float64]:
        """Probabilities [b, n] of the labels, of unit embeddings [b, d]: over the labels, or with a
        bias each by itself."""
        logits = self.scale * (embeddings.astype(np.float64) @ self.vectors.astype(np.float64).T)
        if self.bias is not None:
            found: NDArray[np.float64] = 1 / (1 + np.exp(-(logits + self.bias)))
            return found
        shares = np.exp(logits - logits.max(1, keepdims=True))
        found = shares / shares.sum(1, keepdims=True)
        return found


@dataclass(frozen=True, eq=False)
class Among:
    """What an embedding is near to.

    Attributes:
        ids: of each the example.
        texts: of captions what they say; else empty.
        vectors: unit [n, d].
        source: where the vectors come from, for the page.
    """

    ids: NDArray[np.int64]
    vectors: Vectors
    texts: tuple[str, ...] = ()
    source: str = ""

    def nearest(
        self, embedding: Vectors, *, count: int = NEAREST, but: int | None = None
    ) -> list[tuple[int, float]]:
        """(place, cosine) of the nearest, `but` of this example's."""
        cosines = self.vectors @ embedding
        kept = np.flatnonzero(self.ids != (-1 if but is None else but))
        order = kept[np.argsort(-cosines[kept], kind="stable")][:count]
        return [(int(place), float(cosines[place])) for place in order]


@dataclass(frozen=True)
class Shift:
    """A label's probabilities in the order of WAYS; None where nothing is rebuilt."""

    name: str
    unsteered: float
    reconstruction: float | None
    steered: float

    @property
    def change(self) -> float:
        return self.steered - self.unsteered


def shifts(labels: Labels, one: Seen) -> list[Shift]:
    """All labels, those that change most first."""
    rebuilt = one.unsteered if one.reconstruction is None else one.reconstruction
    before, middle, after = labels.chances(np.stack([one.unsteered, rebuilt, one.steered])).tolist()
    made = [
        Shift(name, b, None if one.reconstruction is None else m, a)
        for name, b, m, a in zip(labels.names, before, middle, after, strict=True)
    ]
    return sorted(made, key=lambda s: (-abs(s.change), -s.unsteered, s.name))


def new(after: Sequence[tuple[int, float]], before: Sequence[tuple[int, float]]) -> set[int]:
    """The places that are among the nearest after and were not before."""
    return {place for place, _ in after} - {place for place, _ in before}


def rivals(mark: str, total: int, together: Mapping[tuple[str, str], int]) -> list[str]:
    """A tag with those that stand in its place on other images, as far as images tell: each seldom
    together with it and with those taken before, the least first. A tag whose own such tags do not
    make way for each other, as a number does that leaves room for little else, is none.

    Args:
        total, together: of `queries.together`.
    """
    counts = {a: n for (a, b), n in together.items() if a == b}

    def apart(a: str, b: str) -> float:
        chance = counts[a] * counts[b] / total
        return (chance - together.get((a, b), 0)) / math.sqrt(chance)

    def seldom(a: str) -> list[str]:
        return [b for b in counts if b != a and apart(a, b) >= SELDOM]

    def of_kind(a: str) -> bool:
        others = seldom(a)[:MOST_ASKED]
        pairs = [(b, c) for place, b in enumerate(others) for c in others[:place]]
        return 2 * sum(apart(b, c) >= SELDOM for b, c in pairs) >= len(pairs)

    taken = [mark]
    if mark not in counts:
        return taken
    for one in sorted(seldom(mark), key=lambda b: (-apart(mark, b), b)):
        if all(apart(one, other) >= SELDOM for other in taken) and of_kind(one):
            taken.append(one)
    return taken
