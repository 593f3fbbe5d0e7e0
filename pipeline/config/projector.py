"""Fitting a projector."""

from pathlib import Path

from pydantic import Field, model_validator

from pipeline.config.base import MANY, NAME, Frozen, Seed
from pipeline.config.models import Machine, Model


class Conversations(Frozen):
    """Images and what is said of them, in LLaVA's JSON."""

    path: Path
    """A list of {"id", "image", "conversations": [{"from": "human" or "gpt", "value"}, ...]}."""
    images: Path
    """The folder that `image` is a path in."""
    limit: int | None = Field(None, ge=1, le=MANY)
    """At most so many, from the beginning."""


class Fit(Frozen):
    """How a projector is trained."""

    steps: int | None = Field(None, ge=1, le=MANY)
    """Optimizer steps; one pass over the data when not given."""
    batch: int = Field(32, ge=1, le=65_536)
    """Conversations to an optimizer step, over all processes."""
    accumulate: int = Field(1, ge=1, le=65_536)
    """Pieces in which such a batch goes through the model."""
    lr: float = Field(1e-3, gt=0, le=10)
    warmup: float = Field(0.03, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; then it falls as a cosine."""
    weight_decay: float = Field(0.0, ge=0, le=10)
    max_text: int = Field(512, ge=8, le=1_048_576)
    """Words beyond this many tokens are cut off."""
    save_every: int = Field(200, ge=1, le=MANY)
    """Steps between states from which a killed training goes on."""
    seed: Seed = 0


class FitProjector(Frozen):
    """The training of CLIP-Gemma's projector: `python -m pipeline fit-projector CONFIG`."""

    name: str = Field(pattern=NAME)
    model: Model
    data: Conversations
    fit: Fit = Fit()
    machine: Machine = Machine()

    @model_validator(mode="after")
    def _joined(self) -> "FitProjector":
        if self.model.family != "clip-gemma":
            raise ValueError("model.family: only 'clip-gemma' has a projector to fit")
        return self
