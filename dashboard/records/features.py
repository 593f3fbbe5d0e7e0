"""Records of features: the card, the numbers, what raised a flag, what people say."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Key = tuple[str, int]
"""A feature: its dictionary's id and its own."""


@dataclass(frozen=True)
class Named:
    """Features that carry one of some names."""

    names: tuple[str, ...]
    keys: tuple[Key, ...] = ()
    """Those that people call so."""
    automatic: bool = False
    """Whether the names count among the automatic labels too: older bundles have none."""


FIRES_ON = ("pictures", "words", "both")
"""On pictures alone, on words alone, or on both."""
Range = tuple[float | None, float | None]
"""From and up to; None is an open end."""


@dataclass(frozen=True)
class Filter:
    """Which features a list shows; None is an open end."""

    ms: Range = (None, None)
    density: Range = (None, None)
    labels: tuple[str, ...] | None = None
    """Any of these; None lets all pass."""
    groups: tuple[int, ...] | None = None
    """Matryoshka levels, from 0."""
    among: tuple[tuple[str, int], ...] | None = None
    """Only these features, by dictionary and id."""
    named: Named | None = None
    """What a search by label finds."""
    n_active: int = 1
    """At least so many val images activate it; 0 lets dead features pass."""
    without: tuple[str, ...] = ()
    """Artefact flags that no feature shown has."""
    modality_score: Range = (None, None)
    pair_correlation: Range = (None, None)
    fires_on: tuple[str, ...] = ()
    """Any of FIRES_ON; none lets all pass. Words alone let features pass that no image activates,
    whatever `n_active` says."""
    steers: bool | None = None
    """Only features that steer, or only those that were tried and do not; None lets all pass."""
    ranges: tuple[tuple[str, Range], ...] = field(default=(), repr=False)
    """The ranges of columns that have no field of their own here, by name. What was chosen is named
    in addresses by its text, which says nothing of columns that are not filtered by."""

    def range_of(self, column: str) -> Range:
        """The range of this column."""
        own: Range = getattr(self, column, (None, None))
        return dict(self.ranges).get(column, own)


@dataclass(frozen=True)
class Card:
    """A row of `features` and its first top examples: what the one feature card shows."""

    dictionary_id: str
    feature_id: int
    group: int | None
    n_active: int
    density: float
    max: float
    mean: float
    ms: float | None
    ms_percentile: float | None
    label: str | None
    label_score: float | None
    modality_score: float | None = None
    """From words (0) to pictures (1); None where no caption is read, of dead features and before
    contract 1.3."""
    pair_correlation: float | None = None
    """Of its activations on images and on their captions; None likewise."""
    steering_score: float | None = None
    """How nearly the model's answers mean what it shows, when it is turned up; None where that was
    not tried, and before contract 1.4."""
    steers: bool | None = None
    """Whether that is above both baselines; None likewise."""
    examples: list[int] = field(default_factory=list)
    more: dict[str, float | None] = field(default_factory=dict, compare=False)
    """The columns that have no field of their own here, by name."""

    def value(self, column: str) -> Any:
        """What the feature has in this column of `features`; None where nothing is known."""
        return getattr(self, column, self.more.get(column))


@dataclass(frozen=True)
class Top:
    """One of the examples that activate a feature most, with where in the image."""

    rank: int
    example_id: int
    activation: float
    token: int | None
    patches: list[int]
    patch_acts: list[float]


@dataclass(frozen=True)
class Feature:
    """All that the page of one feature shows, but for pictures and captions."""

    card: Card
    top: list[Top]
    edges: list[float]
    counts: list[int]


@dataclass(frozen=True)
class Artefacts:
    """What makes a feature look like something other than a concept."""

    dead: bool
    dense: bool
    on_cls: bool
    on_high_norm: bool
    duplicate: bool
    token_density: float
    cls_share: float | None
    norm_ratio: float | None
    twin: int | None

    def raised(self, *, spoken: bool) -> list[str]:
        """The flags that are up. Images alone count: what is `spoken`, in that captions activate
        it, is not dead."""
        every = [name for name, up in vars(self).items() if up is True]
        return [name for name in every if not (spoken and name == "dead")]


@dataclass(frozen=True)
class AutoLabel:
    """What the pipeline calls a feature."""

    kind: str
    """`word`, `class` or `model`."""
    rank: int
    label: str
    value: float | None
    tells: float | None
    """AUROC with which it tells the feature's images from others; 0.5 is chance."""


@dataclass(frozen=True)
class Sample:
    """An example of a feature beyond its strongest."""

    kind: str
    example_id: int
    activation: float


@dataclass(frozen=True, eq=False)
class Points:
    """Where a dictionary's features lie on its map, with what colours them; NaN where not known.

    Features without a place (dead ones) are left out.
    """

    feature_id: NDArray[np.int32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    ms: NDArray[np.float32]
    density: NDArray[np.float32]
    max: NDArray[np.float32]
    group: NDArray[np.float32]


@dataclass(frozen=True)
class Score:
    """MS by one encoder and what sparsity alone would give."""

    encoder: str
    ms: float | None
    control_neuron: float | None
    control_direction: float | None
    is_default: bool
    judges_itself: bool | None = None
    """Whether the encoder is the image tower of a model under study; None before 1.5."""


@dataclass(frozen=True)
class Said:
    """What a person said of a feature: a label, a note, stars."""

    kind: str
    text: str
    author: str | None = None
