"""A steering experiment as data: what is asked, which edits and where; and the ways in which a
model is then asked, side by side."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from pipeline.hooks import Edit
from pipeline.interventions.answers import Way
from pipeline.interventions.base import InterventionError
from pipeline.interventions.directions import add_direction, move, project_out
from pipeline.interventions.features import FeatureEdit, Mode, delta, replace
from pipeline.models.layout import Scope
from pipeline.saes.sae import SAE

Form = Literal["delta", "replace"]
MOST = 1e6
"""A strength is at most so large, or so far below 0."""
Strength = Annotated[float, Field(ge=-MOST, le=MOST, allow_inf_nan=False)]
UNSTEERED, RECONSTRUCTION, STEERED = "unsteered", "reconstruction", "steered"
PROMPTED = "prompted"
JUDGED = "steered, as the unsteered model finds it"
"""Names of the ways; the last says what STEERED says, unedited."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Turned(_Frozen):
    """A feature that is turned up or down.

    Attributes:
        dictionary: `MODEL/HOOK/DICTIONARY`.
        strength: in the unit of its activation; of scale a factor.
    """

    dictionary: str
    feature: int = Field(ge=0)
    strength: Strength = 0.0

    @property
    def hook(self) -> str:
        return self.dictionary.split("/")[1]

    @property
    def name(self) -> str:
        """As the command line has it: `DICTIONARY:FEATURE`."""
        return f"{self.dictionary}:{self.feature}"


class Along(_Frozen):
    """An edit along a direction.

    Attributes:
        direction: its name; a move's from.
        to: only of a move.
        strength: of add: length of what is added, in the activations' unit; of move a share, 1
            for all; project_out has none.
    """

    hook: str
    kind: Literal["add", "move", "project_out"]
    direction: str
    to: str | None = None
    strength: Strength = 0.0

    @model_validator(mode="after")
    def _two_ends(self) -> "Along":
        if (self.kind == "move") != (self.to is not None):
            raise ValueError("`to` is for a move, which needs it")
        return self


class Setting(_Frozen):
    """One experiment.

    Attributes:
        mode, scope: of all edits; of a model without images the scope must be another.
        form: of the features' edits.
        concept: words that the prompt-only baseline asks for; none when empty.
        longest: tokens of an answer at most.
    """

    prompt: str = Field("Describe the image.", max_length=2000)
    features: tuple[Turned, ...] = ()
    directions: tuple[Along, ...] = ()
    mode: Mode = "clamp"
    scope: Scope = "image"
    form: Form = "delta"
    concept: str = Field("", max_length=200)
    longest: int = Field(64, ge=1, le=1024)
    temperature: float = Field(0.0, ge=0, le=5)
    seed: int = Field(0, ge=0, lt=2**31)

    @property
    def asked_for(self) -> str:
        """The prompt of the baseline that asks for the concept in words."""
        return f"{self.prompt} Say that there is {self.concept} in it."

    @model_validator(mode="after")
    def _one_replaces(self) -> "Setting":
        if self.form == "replace" and (hook := self._crowded):
            raise ValueError(
                f"two dictionaries at {hook}: what the second puts in place of the activations "
                "undoes the first's edit; replace with one dictionary a hook point, or keep the "
                "rest (delta)"
            )
        return self

    @property
    def _crowded(self) -> str | None:
        """A hook point at which features of several dictionaries are edited."""
        hooks = Counter(hook for hook, _ in {(f.hook, f.dictionary) for f in self.features})
        return next((hook for hook, count in sorted(hooks.items()) if count > 1), None)

    @property
    def rebuilds(self) -> bool:
        """Whether there is a RECONSTRUCTION: features are edited, of one dictionary a hook point.
        Of two, each is added to what the model has, and nothing that is asked rebuilds by both."""
        return bool(self.features) and self._crowded is None

    @property
    def sweeps(self) -> bool:
        """Whether it has a strength to vary: features, unless they are ablated, or directions that
        are not projected out."""
        features = self.features and self.mode != "ablate"
        return bool(features) or any(one.kind != "project_out" for one in self.directions)


def checked(fields: Mapping[str, Any]) -> Setting:
    """The setting of these fields, features and directions as dictionaries of theirs.

    Raises:
        InterventionError: what cannot be, in one line.
    """
    try:
        return Setting.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        name, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        match first["loc"]:
            case ("features", int(place), "strength"):
                one = fields["features"][place]
                name = f"feature {one['dictionary']}:{one['feature']}"
            case ("directions", int(place), "strength"):
                one = fields["directions"][place]
                name = f"direction {one['hook']}:{one['kind']}:{one['direction']}"
        if first["loc"][-1:] == ("strength",):
            said = f"strength {first['input']:g}; give one from {-MOST:,.0f} to {MOST:,.0f}"
        raise InterventionError(f"{name}: {said}" if name else said) from None


SAEs = Callable[[str], SAE]
"""Gives the SAE of a `dictionary_id`."""
Directions = Mapping[str, Float[Tensor, " d"]]


def edits_of(setting: Setting, saes: SAEs, directions: Directions) -> dict[str, list[Edit]]:
    """Hook point -> the edits of a setting, features first.

    Raises:
        InterventionError: an edit does not fit its SAE or direction.
        KeyError: a direction that is not among `directions`.
    """
    of_features = defaultdict(list)
    for one in setting.features:
        of_features[one.dictionary].append(one)
    found: dict[str, list[Edit]] = defaultdict(list)
    form = delta if setting.form == "delta" else replace
    for dictionary, turned in of_features.items():
        edits = [FeatureEdit(one.feature, setting.mode, one.strength) for one in turned]
        found[turned[0].hook].append(form(saes(dictionary), edits))
    for along in setting.directions:
        found[along.hook].append(_along(along, directions))
    return dict(found)


def ways_of(setting: Setting, saes: SAEs, directions: Directions) -> dict[str, Way]:
    """What is said side by side, by name: UNSTEERED; RECONSTRUCTION, where the setting `rebuilds`:
    the SAEs' reconstruction, no feature edited; STEERED; JUDGED; PROMPTED, where there is a
    concept.

    Raises:
        As `edits_of`.
    """
    plain = Way(setting.prompt)
    found = {UNSTEERED: plain}
    if setting.rebuilds:
        by = {one.hook: one.dictionary for one in setting.features}
        rebuilt = {hook: [replace(saes(dictionary), [])] for hook, dictionary in by.items()}
        found[RECONSTRUCTION] = Way(setting.prompt, rebuilt, setting.scope)
    steered = len(found)
    found[STEERED] = Way(setting.prompt, edits_of(setting, saes, directions), setting.scope)
    found[JUDGED] = Way(setting.prompt, follows=steered)
    if setting.concept:
        found[PROMPTED] = Way(setting.asked_for)
    return found


def _along(along: Along, directions: Directions) -> Edit:
    start = directions[along.direction]
    if along.kind == "add":
        return add_direction(start / start.norm(), along.strength)
    if along.to is not None:
        return move(start, directions[along.to], strength=along.strength)
    return project_out(start)
