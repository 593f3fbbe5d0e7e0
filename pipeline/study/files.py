"""A study as its file states it: `config.load(path, Study)`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.config import NAME

QUESTIONS = {
    "pairs": "Which group of images is more about one thing?",
    "rating": "How much are these images about one thing?",
    "intruder": "Which image does not belong to the others?",
    "outputs": "How good are these texts?",
    "choice": "Which text fits the image best?",
}
"""What is asked where the file asks nothing else; of `outputs` every scale has its question."""

SCALES = {
    "coherence": "How coherent is the text: does it read well, and make sense?",
    "relatedness": "How much does the text have to do with {concept}?",
}
"""What outputs are rated on where the file names no scales: name -> question."""
CONCEPT = "{concept}"
"""Stands in a scale's question for what the file of outputs says, else for the image."""
TEXTS = ("outputs", "choice")
"""Kinds of studies that are about texts."""
RATED = ("rating", "outputs")
"""Kinds of studies whose answers are RATINGS."""
RATINGS = tuple("12345")


ScaleName = Annotated[str, Field(pattern=NAME)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Draw(_Frozen):
    """Which features are judged."""

    how: Literal["random", "stratified", "neurons", "list"] = "stratified"
    """Of pairs: any two; evenly over the difference of their scores; an SAE's feature and a
    neuron; those of a file. What is judged alone is drawn at random, evenly over the score, or
    listed."""
    dictionaries: tuple[str, ...] = ()
    """Names, or whole ids, of dictionaries; all SAEs when not given, with `neurons` these too."""
    count: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Pairs, or features."""
    features: Annotated[int, Field(ge=2)] | None = None
    """Of pairs: so many features that all pairs are made of, and with `neurons` as many neurons;
    any when not given."""
    score: str = "ms"
    """A numeric column of the bundle's table `features`."""
    strata: Annotated[int, Field(ge=1, le=100)] = 5
    """Parts of the scores' range, or of that of their differences, that give as many each."""
    file: Path | None = None
    """CSV of a fixed list: columns `x` and `y` (alone: `x`) of `MODEL/HOOK/DICTIONARY:FEATURE`; or
    of texts (see `outputs`)."""

    @model_validator(mode="after")
    def _listed(self) -> "Draw":
        if (self.how == "list") != (self.file is not None):
            raise ValueError("file: name one with how = 'list', and only then")
        return self


class Checks(_Frozen):
    """How it is seen whether people pay attention, and judge alike twice."""

    catch: Annotated[int, Field(ge=0, le=1000)] = 5
    """Trials with a known answer that are made: a side, or a group, of unrelated images drawn at
    random."""
    catch_every: Annotated[int, Field(ge=0)] = 12
    """One of them after so many trials on average; 0 for none."""
    repeat_every: Annotated[int, Field(ge=0)] = 10
    """A pair seen before, with its sides swapped, after so many trials; 0 for none."""
    gap: Annotated[int, Field(ge=1)] = 5
    """At least so many trials lie between the two."""


class Study(_Frozen):
    """One study."""

    name: str = Field(pattern=NAME)
    title: str = Field("", max_length=200)
    bundle: Path
    """Folder of a run or of a bundle."""
    kind: Literal["pairs", "rating", "intruder", "outputs", "choice"] = "pairs"
    question: str = Field("", max_length=1000)
    instructions: str = Field("", max_length=20_000)
    consent: str = Field("", max_length=20_000)
    """What people agree to before they begin; nothing is asked when empty."""
    scales: dict[ScaleName, str] = Field(SCALES, min_length=1, max_length=10)
    """What outputs are rated on: name -> question."""
    ends: tuple[str, str] = ("not at all", "entirely")
    """What 1 and 5 mean."""
    images: Annotated[int, Field(ge=2, le=16)] = 16
    """A side; of an intruder among them."""
    images_from: Literal["top", "range"] = "top"
    """The strongest images, or some of all that activate the feature, evenly by activation."""
    votes: Annotated[int, Field(ge=1, le=1000)] = 3
    """For each pair or feature."""
    trials: Annotated[int, Field(ge=1)] | None = None
    """For one annotator at most, checks and practice aside."""
    choice: Literal["balanced", "active"] = "balanced"
    """Among those with the fewest votes, by chance; or the pair whose vote is expected to tell most
    by Bradley & Terry, among all that lack votes."""
    tie: bool = True
    skip: bool = True
    names: bool = False
    """Whether anyone with the study's address may join under a name of their own."""
    login: bool = False
    """Whether anyone with the study's address who signs in (OIDC) may join."""
    people: Annotated[int, Field(ge=1)] | None = None
    """So many take part, invited ones among them, before nobody else can join; any number when not
    given. Invitations are never refused."""
    emails: bool = False
    """Whether the address that the login vouches for is kept, in place of a name; no export has
    it."""
    contact: str = Field("", max_length=200)
    """Whom to ask about the study, and to have one's answers erased."""
    practice: Annotated[int, Field(ge=0, le=50)] = 3
    """Trials with a known answer, and feedback, that come first."""
    rest_every: Annotated[int, Field(ge=0)] = 50
    """A reminder to rest after so many trials; 0 for none."""
    hold_minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60)] = 30
    """So long a trial without an answer keeps its place from others."""
    draw: Draw = Draw()
    checks: Checks = Checks()
    seed: int = Field(0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _kept(self) -> "Study":
        if self.emails and not self.login:
            raise ValueError("emails: only a login vouches for them; set login = true too")
        if self.choice == "active" and self.kind != "pairs":
            raise ValueError("choice: only pairs are chosen actively; set choice = 'balanced'")
        if self.kind in TEXTS and self.draw.file is None:
            raise ValueError("draw: texts come from a CSV; set how = 'list' and file")
        return self

    @property
    def asked(self) -> str:
        """The question."""
        return self.question or QUESTIONS[self.kind]
