"""What scores, relations, labels and steering are made with."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.base import MANY, Frozen, Names, Seed


class Scores(Frozen):
    """What the score step computes."""

    default_encoder: str | None = None
    """Name of the encoder behind `features.ms`; the first that judges when not given."""
    seed: Seed = 0
    """Of the density-matched controls."""


class Relations(Frozen):
    """What the relate step computes: how features stand to each other."""

    neighbors: int = Field(8, ge=1, le=1000)
    """Nearest features of the same dictionary, of each kind."""
    matches: int = Field(3, ge=1, le=1000)
    """Best counterparts in every other dictionary."""
    samples: int = Field(4, ge=0, le=1000)
    """Examples from each quantile of a feature's activations; twice as many at random."""
    maps: bool = True
    """A map of every SAE's decoder directions."""
    plane: tuple[str, ...] = ()
    """Dictionaries whose features share one map, by the images that they fire on."""
    seed: Seed = 0


class Endpoint(Frozen):
    """A server that is shown pictures and says what they have in common, by OpenAI's protocol of
    chat completions: OpenAI's own, or vLLM, llama.cpp, Ollama and the like."""

    url: str = Field(pattern=r"^https?://[^@?#\s]+$")
    """Its base, as `https://api.openai.com/v1`; without a user, a password or a query."""
    model: str
    key_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The environment variable that holds the key, never the key itself; none is sent when not
    given."""
    features: int = Field(100, ge=1, le=MANY)
    """So many features of each SAE, the most monosemantic first."""
    images: int = Field(16, ge=2, le=16)
    """Of each feature's top images, in one picture."""
    timeout: float = Field(60, gt=0, le=86_400)
    """Seconds to wait for an answer."""
    attempts: int = Field(5, ge=1, le=100)
    """Where it is busy or cannot be reached, with growing pauses."""


class LocalModel(Frozen):
    """A vision-language model of Hugging Face that says what pictures have in common."""

    id: str
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    quantization: Literal["4bit"] | None = None
    features: int = Field(100, ge=1, le=MANY)
    """So many features of each SAE, the most monosemantic first."""
    images: int = Field(16, ge=2, le=16)
    """Of each feature's top images, in one picture."""


class Labels(Frozen):
    """What the label step computes: words for features."""

    encoder: str | None = None
    """Name of a contrastive encoder; the first that embeds words when not given."""
    vocabulary: Path | None = None
    """A word or phrase a line; everyday words and the data set's own when not given."""
    words: int = Field(3, ge=1, le=1000)
    """Words a feature."""
    template: str = "a photo of {}"
    """The sentence in which a word is embedded; {} stands for the word."""
    endpoint: Endpoint | None = None
    local: LocalModel | None = None
    seed: Seed = 0
    """Of the images by which a label is tried."""

    @model_validator(mode="after")
    def _whole(self) -> "Labels":
        if "{}" not in self.template:
            raise ValueError(f"template {self.template!r} has no {{}}, where the word goes")
        if self.endpoint and self.local:
            raise ValueError("endpoint and local: name one of them")
        return self


class Steering(Frozen):
    """What the steer step does: turn features up, one at a time, and keep what the model says."""

    dictionaries: Names | None = None
    """SAEs of models that talk; all of them when not given."""
    hooks: Names | None = None
    """Hook points at which they are steered, as the models name them; all when not given."""
    features: int = Field(32, ge=1, le=MANY)
    """So many live features of each; those with fewer top images than a concept is made of come
    last."""
    order: Literal["label", "ms"] = "label"
    """Which come first. `label`: of each label in turn the feature of which it is surest
    (`label_score`), of equally sure ones the one with the largest activation; those without a label
    follow. `ms`: the most monosemantic."""
    images: int = Field(50, ge=2, le=MANY)
    """Val images that the model is asked about, drawn at random."""
    prompt: str = Field("What is shown in this image? Use exactly one word!", min_length=1)
    """As Pach et al. ask; through the model's chat template."""
    mode: Literal["clamp", "add", "scale"] = "clamp"
    strength: float = Field(3.0, gt=0, le=1e6)
    """Times the feature's largest activation; of scale a factor."""
    scope: Literal["image", "prompt", "generated", "all"] = "image"
    """The tokens at which it is edited."""
    form: Literal["delta", "replace"] = "delta"
    """Add what the edit changes, or put the SAE's reconstruction in place (Pach et al.)."""
    longest: int = Field(8, ge=1, le=1024)
    """Tokens of an answer at most."""
    encoder: str | None = None
    """Name of a contrastive encoder, in whose space answers are compared with images; the first
    that embeds words when not given."""
    seed: Seed = 0
    """Of the images drawn, the shuffled features and the bootstrap."""
