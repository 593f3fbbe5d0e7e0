"""Records of words beside pictures: what queries give of captions and of a feature's two sides."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TopCaption:
    """One of the captions that activate a feature most, read without an image."""

    feature_id: int
    rank: int
    caption_id: int
    example_id: int
    """The image that it belongs to."""
    text: str
    activation: float
    """The strongest token's, or the whole caption's one."""
    token: int | None
    """The strongest token; None where the model makes one vector of a caption."""
    tokens: list[int]
    """The tokens that are not 0, rising."""
    token_acts: list[float]
    """Their activations."""
    pieces: list[str] = field(default_factory=list)
    """The text as the model's tokens, blanks before them included; empty where several tokens make
    one letter."""
    cut: int = 0
    """Letters at the end that the model does not read."""


@dataclass(frozen=True)
class Modality:
    """Whether a feature fires on pictures, on words or on both (a row of `modality`)."""

    image_active: int
    text_active: int
    image_density: float
    text_density: float
    image_mean: float
    text_mean: float
    modality_score: float | None
    correlation: float | None
    correlation_shuffled: float | None
    bridge: float
    bridge_best: float | None
    bridge_feature: int | None
    top_overlap: float | None


@dataclass(frozen=True)
class Spoken:
    """What a list shows of a feature that no image activates and captions do."""

    text: str
    """The beginning of the caption that activates it most."""
    density: float | None
    """The share of the images with captions of which a caption activates it; None of dictionaries
    without two sides."""


@dataclass(frozen=True)
class Reading:
    """The captions that one model read."""

    model: str
    captions: int
    cut: int
    """Those of which it did not read the end."""
