"""Dictionaries: SAEs to train or to open, and raw neurons."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.base import Frozen, Names, Seed, distinct


class Training(Frozen):
    """How an SAE is trained (sae-lens)."""

    samples: int = Field(500_000, ge=1, le=10**12)
    """Activation vectors to see, with repetition where the train split holds fewer."""
    batch: int = Field(4096, ge=1, le=1_048_576)
    lr: float = Field(1e-3, gt=0, le=10)
    auxiliary: float = Field(1.0, ge=0, le=1000)
    """Weight of the loss that revives dead features."""
    seed: Seed = 0


class Reading(Frozen):
    hooks: Names | None = None
    """Hook points to read; every one of its models when not given."""
    models: Names | None = None
    tokens: Literal["patches", "cls", "text", "all"] = "patches"
    """Tokens to read: patches are the image tokens in a language model, text its other words; a
    hook point of one vector an image has only that one."""
    pooling: Literal["max", "mean"] = "max"


class Neurons(Reading):
    """The raw neurons, the baseline: each coordinate of the activations is a feature."""

    kind: Literal["neurons"]


Learnt = Literal["patches", "cls", "text", "all", "captions"]


class TrainedSAE(Reading):
    """A sparse autoencoder that the run trains."""

    kind: Literal["batchtopk", "matryoshka"]
    k: int = Field(16, ge=1, le=1_048_576)
    """Active features a token, on average over a batch."""
    expansion: float = Field(2, gt=0, le=1024)
    """Features to a dimension of the activations."""
    learns: Annotated[tuple[Learnt, ...], Field(min_length=1), AfterValidator(distinct)] | None = (
        None
    )
    """What to learn from: tokens of the images' passes, and `captions`, which are captions without
    their image (of a contrastive model's projection their vectors, of a language model their
    words); the tokens that it reads when not given."""
    levels: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.0625, 0.125, 0.25, 0.5625), min_length=1, max_length=64
    )
    """Matryoshka only: share of the features in each level, inner first (Pach et al.)."""
    training: Training = Training()

    @property
    def learnt(self) -> tuple[Learnt, ...]:
        """What it learns from."""
        return self.learns or (self.tokens,)

    @model_validator(mode="after")
    def _whole(self) -> "TrainedSAE":
        if abs(sum(self.levels) - 1) > 1e-6:
            raise ValueError(f"levels sum to {sum(self.levels):g}; make them sum to 1")
        return self


class PublishedSAE(Frozen):
    """Sparse autoencoders that somebody else trained."""

    kind: Literal["published"]
    sources: dict[str, str] = Field(min_length=1)
    """Hook point -> the SAE: a file or folder, `hf:OWNER/REPO/PATH` or `sae-lens:RELEASE/ID`."""
    revision: str | None = None
    """Of hub repositories."""
    models: Names | None = None
    tokens: Literal["patches", "cls", "text", "all"] = "patches"
    pooling: Literal["max", "mean"] = "max"

    @property
    def hooks(self) -> tuple[str, ...]:
        """Hook points to read."""
        return tuple(self.sources)


Dictionary = Annotated[Neurons | TrainedSAE | PublishedSAE, Field(discriminator="kind")]
