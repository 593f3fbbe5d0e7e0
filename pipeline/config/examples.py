"""Where images and captions come from."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.base import MANY, Frozen, Names, Seed


class Scenes(Frozen):
    """The demo's rendered scenes: an endless set of images with known ground truth."""

    kind: Literal["scenes"]
    count: int = Field(8000, ge=2, le=10_000_000)
    seed: Seed = 0


class Folder(Frozen):
    """A folder of images: flat, a class per subfolder, or `train/` and `val/` folders of either."""

    kind: Literal["folder"]
    path: Path
    captions: Path | None = None
    """CSV with a column `image` (path within the folder) and any of `caption`, `label`."""


class HuggingFace(Frozen):
    """A data set of the Hugging Face `datasets` library, by hub id or as a local folder."""

    kind: Literal["huggingface"]
    dataset: str
    subset: str | None = None
    revision: str | None = None
    splits: Names = ("train",)
    image_column: str = "image"
    caption_column: str | None = None
    label_column: str | None = None


Source = Annotated[Scenes | Folder | HuggingFace, Field(discriminator="kind")]


class Examples(Frozen):
    """Where the examples come from, how many are used and how they are split."""

    source: Source
    limit: int | None = Field(None, ge=2, le=MANY)
    """At most so many examples, chosen by the hash of their id."""
    val_fraction: float = Field(0.5, gt=0, lt=1)
    """Share of the val split, by hash of the id; not used where the source names its splits."""
    shard_size: int = Field(500, ge=1, le=1_000_000)
    """Examples to a unit of work."""
    thumbnail: int = Field(128, ge=32, le=512)
    """Side of a thumbnail in pixels."""
    training_tokens: int = Field(32, ge=1, le=65_536)
    """At most so many positions of each train image are kept for training SAEs, at random."""


class Captions(Frozen):
    """How captions are read as examples of their own, beside the images."""

    per_image: int = Field(5, ge=0, le=1_000_000)
    """At most so many captions of an image; 0 reads none."""
    longest: int = Field(128, ge=1, le=65_536)
    """Tokens of a caption that are read, where the model reads no fewer."""
    seed: Seed = 0
    """Of the shuffled pairs of image and caption."""
