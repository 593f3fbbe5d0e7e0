"""Models under study, encoders, and the machine they run on."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.base import Frozen, Names


def _known(family: str) -> str:
    if family not in FAMILIES:
        raise ValueError(f"{family[:40]!r} is no family; name one of {', '.join(FAMILIES)}")
    return family


FAMILIES = tuple(
    sorted(
        file.stem.replace("_", "-")
        for file in Path(__file__).parents[1].glob("models/families/*.py")
        if file.stem != "__init__"
    )
)
"""The families that there are, by their files: importing them would take seconds."""
Family = Annotated[str, AfterValidator(_known)]


class Model(Frozen):
    """A model under study: a Hugging Face id, a local folder, or one that open_clip knows."""

    id: str
    """Of CLIP-Gemma the language model."""
    family: Family | None = None
    """By the model's own config when not given; OpenCLIP and CLIP-Gemma must be named."""
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    quantization: Literal["4bit"] | None = None
    """Weights in 4 bits (bitsandbytes)."""
    prompt: str | None = None
    """What a language model is asked of each image; `{caption}` stands for its first caption. The
    family's own when not given; through the chat template where there is one."""
    hooks: Names
    """Hook points, as `vision.3.resid_post`, `language.-1.mlp_out` or `vision.projection`; -1 is
    the last layer. `python -m pipeline hooks CONFIG` lists them."""
    vision: str | None = None
    """CLIP-Gemma only: the CLIP that sees."""
    vision_revision: str | None = None
    projector: Path | None = None
    """CLIP-Gemma only: the file of the linear projector; `fit-projector` writes one."""

    @model_validator(mode="after")
    def _parts(self) -> "Model":
        joined = self.family == "clip-gemma"
        if joined and self.vision is None:
            raise ValueError("family = 'clip-gemma' needs vision, the id of a CLIP")
        if not joined and (self.vision or self.vision_revision or self.projector):
            raise ValueError("vision and projector are for family = 'clip-gemma'; remove them")
        return self


class Encoder(Frozen):
    """An image encoder for scores, independent of the model under study."""

    id: str
    family: Literal["openclip"] | None = None
    """Only where it is open_clip that loads it."""
    revision: str | None = None
    judges: bool = True
    """Whether MS is computed by it; false: only for search and labels, as the model under study."""
    judges_itself: bool = False
    """Lets it judge a model under study whose image tower it is; every page and export says so."""

    @model_validator(mode="after")
    def _judges_at_all(self) -> "Encoder":
        if self.judges_itself and not self.judges:
            raise ValueError("judges_itself = true and judges = false: drop one of them")
        return self


class Machine(Frozen):
    """Settings that change the speed, not the result."""

    device: str = "auto"
    """`auto` (CUDA, then MPS, then CPU) or a torch device."""
    device_map: str | None = None
    """As accelerate spreads a large model: `auto`, `balanced`, `sequential`."""
    attention: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    """Implementation of attention; the model's own choice when not given."""
    batch_size: int = Field(128, ge=1, le=65_536)
    """Images at once; halved where memory runs out."""
    workers: int | None = Field(None, ge=1, le=1024)
    """Threads that read and prepare images; one a core, at most 16, when not given."""
