"""A run's configuration: a TOML file read into frozen models that refuse what they don't know.

Relative paths are meant from the working directory. Device, batch size and engine are settings of
the machine, not of the result: they stand under `[machine]` and never enter a step's key.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import TypeVar

from pipeline.errors import LoupeError

NAME = r"^[a-z0-9][a-z0-9._-]*$"
"""Names become parts of identities and file names: lower case, digits, dot, dash, underscore."""


MANY = 1_000_000_000
"""More than there is of anything that is counted; a larger number is a slip."""
LARGEST = 1_048_576
"""Bytes of a config."""
_LINES = 20

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""As every library of random numbers takes them."""


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("one is named twice; name each once")
    return names


Names = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_distinct)]
"""At least one, each once."""


class ConfigError(LoupeError, ValueError):
    """The configuration cannot be used; the message names the key and the remedy."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scenes(_Frozen):
    """The demo's rendered scenes: an endless set of images with known ground truth."""

    kind: Literal["scenes"]
    count: int = Field(8000, ge=2, le=10_000_000)
    seed: Seed = 0


class Folder(_Frozen):
    """A folder of images: flat, a class per subfolder, or `train/` and `val/` folders of either."""

    kind: Literal["folder"]
    path: Path
    captions: Path | None = None
    """CSV with a column `image` (path within the folder) and any of `caption`, `label`."""


class HuggingFace(_Frozen):
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


class Examples(_Frozen):
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


class Captions(_Frozen):
    """How captions are read as examples of their own, beside the images."""

    per_image: int = Field(5, ge=0, le=1_000_000)
    """At most so many captions of an image; 0 reads none."""
    longest: int = Field(128, ge=1, le=65_536)
    """Tokens of a caption that are read, where the model reads no fewer."""
    seed: Seed = 0
    """Of the shuffled pairs of image and caption."""


Family = Literal[
    "clip",
    "siglip",
    "openclip",
    "llava",
    "llava-next",
    "paligemma",
    "gemma2",
    "clip-gemma",
    "generic",
]


class Model(_Frozen):
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


class Encoder(_Frozen):
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


class Training(_Frozen):
    """How an SAE is trained (sae-lens)."""

    samples: int = Field(500_000, ge=1, le=10**12)
    """Activation vectors to see, with repetition where the train split holds fewer."""
    batch: int = Field(4096, ge=1, le=1_048_576)
    lr: float = Field(1e-3, gt=0, le=10)
    auxiliary: float = Field(1.0, ge=0, le=1000)
    """Weight of the loss that revives dead features."""
    seed: Seed = 0


class _Reading(_Frozen):
    hooks: Names | None = None
    """Hook points to read; every one of its models when not given."""
    models: Names | None = None
    tokens: Literal["patches", "cls", "text", "all"] = "patches"
    """Tokens to read: patches are the image tokens in a language model, text its other words; a
    hook point of one vector an image has only that one."""
    pooling: Literal["max", "mean"] = "max"


class Neurons(_Reading):
    """The raw neurons, the baseline: each coordinate of the activations is a feature."""

    kind: Literal["neurons"]


Learnt = Literal["patches", "cls", "text", "all", "captions"]


class TrainedSAE(_Reading):
    """A sparse autoencoder that the run trains."""

    kind: Literal["batchtopk", "matryoshka"]
    k: int = Field(16, ge=1, le=1_048_576)
    """Active features a token, on average over a batch."""
    expansion: float = Field(2, gt=0, le=1024)
    """Features to a dimension of the activations."""
    learns: Annotated[tuple[Learnt, ...], Field(min_length=1), AfterValidator(_distinct)] | None = (
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


class PublishedSAE(_Frozen):
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


class Scores(_Frozen):
    """What the score step computes."""

    default_encoder: str | None = None
    """Name of the encoder behind `features.ms`; the first that judges when not given."""
    seed: Seed = 0
    """Of the density-matched controls."""


class Relations(_Frozen):
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


class Endpoint(_Frozen):
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


class LocalModel(_Frozen):
    """A vision-language model of Hugging Face that says what pictures have in common."""

    id: str
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    quantization: Literal["4bit"] | None = None
    features: int = Field(100, ge=1, le=MANY)
    """So many features of each SAE, the most monosemantic first."""
    images: int = Field(16, ge=2, le=16)
    """Of each feature's top images, in one picture."""


class Labels(_Frozen):
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


class Steering(_Frozen):
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


class Machine(_Frozen):
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


class Conversations(_Frozen):
    """Images and what is said of them, in LLaVA's JSON."""

    path: Path
    """A list of {"id", "image", "conversations": [{"from": "human" or "gpt", "value"}, ...]}."""
    images: Path
    """The folder that `image` is a path in."""
    limit: int | None = Field(None, ge=1, le=MANY)
    """At most so many, from the beginning."""


class Fit(_Frozen):
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


class FitProjector(_Frozen):
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


class RunConfig(_Frozen):
    """One run: examples, models, encoders and dictionaries, by name."""

    name: str = Field(pattern=NAME)
    title: str = ""
    examples: Examples
    models: dict[Annotated[str, Field(pattern=NAME)], Model] = Field(min_length=1)
    encoders: dict[Annotated[str, Field(pattern=NAME)], Encoder] = Field(min_length=1)
    dictionaries: dict[Annotated[str, Field(pattern=NAME)], Dictionary] = Field(min_length=1)
    scores: Scores = Scores()
    relations: Relations = Relations()
    captions: Captions = Captions()
    labels: Labels = Labels()
    steering: Steering | None = None
    """Nothing is steered when not given."""
    machine: Machine = Machine()

    @model_validator(mode="after")
    def _names_exist(self) -> "RunConfig":
        if not self.judges:
            raise ValueError("encoders: none judges; name one that does, or drop judges = false")
        default, worded = self.scores.default_encoder, self.labels.encoder
        if default is not None and default not in self.judges:
            raise ValueError(
                f"scores.default_encoder = {default!r}: name one that judges: {list(self.judges)}"
            )
        if worded is not None and worded not in self.encoders:
            raise ValueError(f"labels.encoder = {worded!r}: name one of {list(self.encoders)}")
        for name, studied in self.models.items():
            if studied.family == "clip-gemma" and studied.projector is None:
                raise ValueError(
                    f"models.{name}.projector: name the file of a trained projector; "
                    "fit-projector writes one"
                )
        for name in self.relations.plane:
            if name not in self.dictionaries:
                raise ValueError(
                    f"relations.plane has {name!r}: name some of {list(self.dictionaries)}"
                )
        for name, dictionary in self.dictionaries.items():
            for model in dictionary.models or ():
                if model not in self.models:
                    raise ValueError(
                        f"dictionaries.{name}.models has {model!r}: name one of {list(self.models)}"
                    )
        return self

    @model_validator(mode="after")
    def _steered_names_exist(self) -> "RunConfig":
        if self.steering is None:
            return self
        saes = [name for name, d in self.dictionaries.items() if not isinstance(d, Neurons)]
        for name in self.steering.dictionaries or ():
            if name not in saes:
                raise ValueError(f"steering.dictionaries has {name!r}: name some SAEs of {saes}")
        hooks = list(dict.fromkeys(hook for m in self.models.values() for hook in m.hooks))
        for name in self.steering.hooks or ():
            if name not in hooks:
                raise ValueError(f"steering.hooks has {name!r}: name some of {hooks}")
        encoder = self.steering.encoder
        if encoder is not None and encoder not in self.encoders:
            raise ValueError(f"steering.encoder = {encoder!r}: name one of {list(self.encoders)}")
        return self

    @property
    def default_encoder(self) -> str:
        """The encoder behind `features.ms`."""
        return self.scores.default_encoder or self.judges[0]

    @property
    def judges(self) -> tuple[str, ...]:
        """The encoders by which MS is computed."""
        return tuple(name for name, encoder in self.encoders.items() if encoder.judges)


Settings = TypeVar("Settings", bound=BaseModel, default=RunConfig)


def parse(
    text: str,
    kind: type[Settings] = RunConfig,  # type: ignore[assignment]
    *,
    source: str = "config",
) -> Settings:
    """A TOML text as a RunConfig, or as another kind of settings.

    Raises:
        ConfigError: malformed TOML, an unknown key or a value out of range; one line a fault,
            each naming `source` and the key.
    """
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except RecursionError:
        raise ConfigError(f"{source}: nested too deeply; a run needs four levels") from None
    except ValueError as error:  # also of numbers and dates that Python cannot make
        raise ConfigError(f"{source}: not TOML: {_plain(str(error), most=200)}") from None
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        lines = [_line(source, fault, data) for fault in faults[:_LINES]]
        if len(faults) > _LINES:
            lines.append(f"{source}: {len(faults) - _LINES:,} faults more")
        raise ConfigError("\n".join(lines)) from None


def load(
    path: Path,
    kind: type[Settings] = RunConfig,  # type: ignore[assignment]
) -> Settings:
    """The settings in the TOML file at `path`; raises ConfigError as `parse` does."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ConfigError(f"{path}: over {LARGEST:,} bytes, no config; name a TOML file")
        text = content.decode("utf-8-sig")
    except ConfigError:
        raise
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text; name a TOML file") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{_plain(str(path), most=_LONGEST_PATH)}: cannot be read ({why}); name a TOML file"
        ) from None
    # As Python's own reading of text does.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return parse(text, kind, source=str(path))


def _line(source: str, fault: Any, data: Any) -> str:
    path = []
    for part in fault["loc"]:
        if isinstance(data, dict) and part not in data and part == data.get("kind"):
            continue  # pydantic names the kind that it chose, which is no key of the file
        path.append(_plain(str(part)))
        data = data.get(part) if isinstance(data, dict) else None
    where = ".".join(path)
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "unknown key; remove it or mend its spelling"
    elif fault["type"].startswith(_OF_VALUES):
        message += f", not {_value(fault['input'])}"
    return f"{source}: {where + ': ' if where else ''}{_plain(message, most=1000)}"


# Not those of a pattern: somebody may have written a password into an address, or a key in place of
# the name of its variable.
_LONGEST_PATH = 4096
"""As long as a system allows one to be."""
_OF_VALUES = ("greater_", "less_", "finite_", "int_", "float_", "bool_", "literal_")


def _value(given: Any) -> str:
    """A value as the file has it, where it is short enough to say."""
    if isinstance(given, str):
        return _plain(repr(given))
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int) and abs(given) >= 10**30:
        return "a number of more than 30 digits"
    return str(given) if isinstance(given, int | float) else f"a {type(given).__name__}"


def _plain(text: str, *, most: int = 80) -> str:
    """Printable, on one line and not long, whatever a file holds."""
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:most])
    return plain + ("…" if len(text) > most else "")
