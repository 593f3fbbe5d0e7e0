"""Records of dictionaries: what they are, in sum, and how far they agree with each other."""

from dataclasses import dataclass, field


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
class Agreement:
    """How far the live features of one dictionary are found again in another."""

    live: int
    matched: int
    """Those whose best match correlates at least as much as the threshold."""
    mean: float | None
    """Mean correlation of the best matches."""


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
