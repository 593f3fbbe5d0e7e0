"""What the queries answer with: plain records, of which every number is as stored."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dashboard.modality import Modality, TopCaption

Key = tuple[str, int]
"""A feature: its dictionary's id and its own."""


@dataclass(frozen=True)
class Dictionary:
    """A row of `dictionaries` with the mean MS of its scored features and its hook's short name."""

    dictionary_id: str
    model: str
    hook: str
    name: str
    depth: int
    basis: str
    architecture: str
    d_in: int
    d_sae: int
    tokens: str
    pooling: str
    grid_height: int | None
    grid_width: int | None
    l0: float | None
    fvu: float | None
    dead: int
    n_examples: int
    default_encoder: str
    models: int
    """How many models the bundle holds."""
    ms: float | None
    grid_fit: str | None = None
    group_sizes: list[int] = field(default_factory=list)
    learnt_from: str | None = None
    """The tokens that an SAE of the run learnt from; None of others, and before contract 1.3."""
    source: str = ""
    tokens_seen: int = 0
    fingerprint: str = ""
    """Hash of its weights and place: what people say of its features is kept under it."""
    ms_judged_by_itself: bool | None = None
    """Whether its default encoder is the image tower of a model under study; None before 1.5."""

    @property
    def place(self) -> str:
        """The hook point, shortened: `vision.3` for `vision.3.resid_post`; with its model, where
        the bundle holds several."""
        short = self.hook.removesuffix(".resid_post")
        return short if self.models == 1 else f"{self.model} {short}"

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of patches, where there are any."""
        if self.grid_height is None or self.grid_width is None:
            return None
        return self.grid_height, self.grid_width

    @property
    def short(self) -> str:
        """`vision.3 / matryoshka`, as cards and headings name it."""
        return f"{self.place} / {self.name}"


@dataclass(frozen=True)
class Summary:
    """How MS is spread over a dictionary's scored features, with its density-matched controls."""

    dictionary_id: str
    scored: int
    mean: float | None
    error: float | None
    """Standard error of the mean."""
    p05: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p95: float | None
    control_neuron: float | None
    control_direction: float | None


@dataclass(frozen=True)
class Reconstruction:
    """How well a dictionary reconstructs one kind of token."""

    dictionary_id: str
    token_type: str
    tokens: int
    fvu: float | None
    """None where it cannot be measured: of one token, or where all are the same."""
    cosine: float | None
    l0: float
    mse: float | None = None


@dataclass(frozen=True)
class Holdings:
    """What a bundle holds, counted."""

    train: int
    val: int
    skipped: int
    encoders: tuple[str, ...]


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


@dataclass(frozen=True)
class Filter:
    """Which features a list shows; None is an open end."""

    ms: tuple[float | None, float | None] = (None, None)
    density: tuple[float | None, float | None] = (None, None)
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
    modality_score: tuple[float | None, float | None] = (None, None)
    pair_correlation: tuple[float | None, float | None] = (None, None)
    fires_on: tuple[str, ...] = ()
    """Any of FIRES_ON; none lets all pass. Words alone let features pass that no image activates,
    whatever `n_active` says."""
    steers: bool | None = None
    """Only features that steer, or only those that were tried and do not; None lets all pass."""


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
class Related:
    """A feature that stands near another one: its card, how near, and in what way."""

    kind: str
    """Of neighbours `decoder`, `jaccard` or `correlation`; of matches the dictionary's id."""
    score: float
    overlap: float | None
    """Of matches: Jaccard index of the top images."""
    card: Card


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


@dataclass(frozen=True)
class Pair:
    """A feature and its best match in another dictionary."""

    feature_id: int
    match: int
    correlation: float
    jaccard: float | None


@dataclass(frozen=True)
class Agreement:
    """How far the live features of one dictionary are found again in another."""

    live: int
    matched: int
    """Those whose best match correlates at least as much as the threshold."""
    mean: float | None
    """Mean correlation of the best matches."""


@dataclass(frozen=True)
class Aligned:
    """A feature with its best match in each of several other dictionaries, in their order."""

    feature_id: int
    pairs: tuple[Pair | None, ...]
    """None where nothing there fires together with it."""


@dataclass(frozen=True)
class Bands:
    """The live features of a layer's dictionary, counted by whether the layers before and after it
    have them too."""

    through: int
    """Before and after."""
    starts: int
    """After alone."""
    ends: int
    """Before alone."""
    alone: int

    @property
    def before(self) -> int:
        return self.through + self.ends

    @property
    def after(self) -> int:
        return self.through + self.starts

    @property
    def live(self) -> int:
        return self.through + self.starts + self.ends + self.alone


@dataclass(frozen=True)
class Merges:
    """Features whose best match in another dictionary is also another feature's."""

    features: int
    targets: int
    """How many features there they share."""


@dataclass(frozen=True)
class Tie:
    """One of several chosen features is named as another's neighbour or match."""

    one: Key
    other: Key
    kind: str
    """`match`, or a kind of neighbour: `decoder`, `jaccard` or `correlation`."""
    score: float


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
class Example:
    """What is known of an image."""

    example_id: int
    uri: str
    captions: list[str]
    label: str | None
    tags: list[str]
    aspect: float = 1.0
    """Width over height."""


@dataclass(frozen=True)
class Encoder:
    """An image encoder of the run."""

    encoder: str
    source: str
    is_default: bool
    judges: bool | None = True
    """Whether MS is by it too; the others only serve search and labels."""
    text: bool | None = None
    """Whether it embeds texts too."""
    judges_itself: bool | None = None
    """Whether it judges and is the image tower of a model under study."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One encoder's unit embeddings of the val images, by rising id."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Said:
    """What a person said of a feature: a label, a note, stars."""

    kind: str
    text: str
    author: str | None = None


@dataclass(frozen=True)
class Profile:
    """All that a bundle says of one feature, in one piece: what files of it are made from."""

    dictionary: Dictionary
    feature: Feature
    scores: list[Score]
    artefacts: Artefacts | None
    neighbors: list[Related]
    matches: list[Related]
    samples: list[Sample]
    place: tuple[float, float] | None
    """On the dictionary's map."""
    shorts: dict[str, str]
    """Dictionaries by id, as `Dictionary.short` names them."""
    examples: dict[int, Example]
    sha256: dict[int, str]
    pictures: dict[int, bytes]
    """WebP bytes of its top images."""
    names: list[AutoLabel] = field(default_factory=list)
    """Automatic labels; older bundles have none."""
    modality: Modality | None = None
    """How its two sides compare; None where no caption is read, and before contract 1.3."""
    captions: list[TopCaption] = field(default_factory=list)
    """Its top captions."""

    @property
    def key(self) -> Key:
        return self.feature.card.dictionary_id, self.feature.card.feature_id

    @property
    def name(self) -> str:
        """`vision.3 / matryoshka #29`."""
        return f"{self.dictionary.short} #{self.feature.card.feature_id}"

    @property
    def judged_by_itself(self) -> list[str]:
        """The encoders among its scores' that are the image tower of a model under study."""
        return [score.encoder for score in self.scores if score.judges_itself]


@dataclass(frozen=True, eq=False)
class Fired:
    """What one image activates in one dictionary, live from the model.

    Attributes:
        feature, activation: [n] features that fire on the image and their pooled activations, the
            strongest first; of neurons all.
        cell, cell_feature, cell_activation: [m] the same on its patches, by patch (in reading
            order, from 0), the strongest first; without patches empty.
        changed: what to know where the model is not the one that made the bundle.
    """

    feature: NDArray[np.int64]
    activation: NDArray[np.float32]
    cell: NDArray[np.int64]
    cell_feature: NDArray[np.int64]
    cell_activation: NDArray[np.float32]
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """Left, top, right, bottom of what the patches cover, as shares of the picture's sides."""
    changed: str = ""
