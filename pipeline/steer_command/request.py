"""What a command line asks for, read against a run's finished bundle."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image
from pydantic import ValidationError

from pipeline import config
from pipeline.bundle.opening import Bundle, open_bundle
from pipeline.bundle.sealed import StoreError
from pipeline.contract.tables import DICTIONARIES, EXAMPLES, FEATURES
from pipeline.inputs import examples, pictures, readers, reading
from pipeline.interventions import InterventionError, Setting
from pipeline.interventions.setting import checked
from pipeline.saes.sae import SAE

BLANK = "blank"
_STEPS = 64


@dataclass(frozen=True)
class Request:
    """The words of the command line; see `python -m pipeline steer --help`.

    Attributes:
        features: `DICTIONARY:FEATURE=STRENGTH`.
        directions: `HOOK:KIND:FILE[:FILE]=STRENGTH`.
        sweep: `FROM:TO:STEPS`, or empty.
        more: the rest of a `Setting`.
    """

    config: Path
    out: Path | None
    model: str | None
    images: Sequence[str]
    features: Sequence[str]
    directions: Sequence[str]
    sweep: str
    more: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Picture:
    """An image to ask about.

    Attributes:
        uri: as it was named, or as its source calls it.
    """

    image: Image.Image
    uri: str


class Home:
    """A run's settings with its finished bundle.

    Args:
        path: the run's TOML file, or the folder of a run or of a bundle.
        out: the run's folder, where it is not data/runs/NAME.

    Raises:
        ConfigError, StoreError: there is none.
    """

    bundle: Bundle
    settings: config.RunConfig

    def __init__(self, path: Path, out: Path | None) -> None:
        if path.is_dir():
            self.bundle = open_bundle(path)
            self.settings = _settings(self.bundle)
            return
        self.settings = config.load(path)
        root = out or Path("data/runs") / self.settings.name
        if not (root / "bundle").exists() and not (root / "manifest.json").exists():
            raise StoreError(
                f"{root}: holds no finished bundle, from which the SAEs come; make it with: "
                f"python -m pipeline run {path}"
            )
        self.bundle = open_bundle(root)

    @cached_property
    def dictionaries(self) -> dict[str, dict[str, Any]]:
        """`dictionary_id` -> its row of the bundle's table."""
        rows = pq.read_table(self.bundle.table(DICTIONARIES.name)).to_pylist()
        return {row["dictionary_id"]: row for row in rows}

    def dictionary(self, name: str) -> str:
        """The `dictionary_id` that `name` means: all of it, or its end where one alone ends so.

        Raises:
            InterventionError: none is, several are, or it holds no SAE.
        """
        saes = [key for key, row in self.dictionaries.items() if row["basis"] == "sae"]
        found = [key for key in self.dictionaries if f"/{key}".endswith(f"/{name}")]
        found = [key for key in found if key == name] or found
        if len(found) > 1:
            raise InterventionError(f"dictionary {name!r}: which of {', '.join(found)}?")
        if not found or found[0] not in saes:
            what = "holds neurons, no SAE" if found else "there is none"
            raise InterventionError(f"dictionary {name!r}: {what}; there are {', '.join(saes)}")
        return found[0]

    def sae(self, dictionary: str) -> SAE:
        """The SAE of a `dictionary_id`, on the CPU.

        Raises:
            StoreError: it is not in the bundle's folder.
            SAEError: it cannot be read.
        """
        folder = self.bundle.sae(dictionary)
        if not folder.is_dir():
            raise StoreError(f"{folder}: no such folder; copy the SAE there, or run the pipeline")
        return SAE.load(folder)

    def largest(self, dictionary: str, feature: int) -> float:
        """The feature's largest activation in the bundle, 0 of a dead one.

        Raises:
            InterventionError: there is no such feature.
        """
        count = self.dictionaries[dictionary]["d_sae"]
        if not 0 <= feature < count:
            raise InterventionError(
                f"{dictionary}: no feature {feature}: it has {count}, 0 to {count - 1}"
            )
        found = pq.read_table(
            self.bundle.table(FEATURES.name), columns=["max"],
            filters=[("dictionary_id", "=", dictionary), ("feature_id", "=", feature)],
        )  # fmt: skip
        return max([0.0, *filter(None, found["max"].to_pylist())])

    def picture(self, name: str) -> Picture:
        """The picture that `name` means: `blank`, a file, or an example by its number or uri.

        Raises:
            Unreadable: it cannot be read, or there is none such.
        """
        if name == BLANK:
            return Picture(pictures.blank(), BLANK)
        if Path(name).is_file():
            return Picture(pictures.read_rgb(Path(name)), name)
        column, value = ("example_id", int(name)) if name.isdecimal() else ("uri", name)
        rows = pq.read_table(
            self.bundle.table(EXAMPLES.name), columns=["example_id", "uri"],
            filters=[(column, "=", value)],
        ).to_pylist()  # fmt: skip
        if not rows:
            raise pictures.Unreadable("no file, and no example of the run by its number or uri")
        example = examples.Example(rows[0]["example_id"], rows[0]["uri"], "val")
        return Picture(reading.picture(self._source, example)[1], example.uri)

    @cached_property
    def _source(self) -> readers.Reader:
        return readers.reader(self.settings.examples.source)


def _settings(bundle: Bundle) -> config.RunConfig:
    """The settings of the run that made the bundle.

    Raises:
        StoreError: its manifest holds none, or damaged ones.
    """
    try:
        return config.RunConfig.model_validate(bundle.config)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(
            f"{bundle.root / 'manifest.json'}: its config is none of a run ({where}: "
            f"{first['msg']}); name the run's TOML file instead of a folder"
        ) from None


@dataclass(frozen=True)
class Strength:
    """A number, or so many times a feature's largest activation, in a sweep of directions alone
    their own strength.

    Attributes:
        shown: as it was given.
    """

    value: float
    times: bool
    shown: str

    def of(self, largest: float, mode: str) -> float:
        """In the unit of an activation; of scale a factor."""
        return self.value * largest if self.times and mode != "scale" else self.value


def strength(text: str, what: str) -> Strength:
    """`8`, `-2.5`, or `2x`.

    Raises:
        InterventionError: it is none of these.
    """
    times = text.endswith("x")
    try:
        value = float(text.removesuffix("x"))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InterventionError(
            f"{what}: strength {text!r}; give a number, or 2x for twice the max"
        )
    return Strength(value, times, text)


def sweep(text: str) -> list[Strength]:
    """The strengths of `FROM:TO:STEPS`, both ends among them; times the maxima where an end says x.

    Raises:
        InterventionError: it is not of that form.
    """
    low, high, steps, *rest = [*text.split(":"), "", "", ""][:4]
    if rest != [""] or not steps.isdecimal() or not 2 <= int(steps) <= _STEPS:
        raise InterventionError(
            f"sweep {text!r}: give FROM:TO:STEPS, as 0:4x:9, with 2 to {_STEPS} steps"
        )
    start, end = strength(low, f"sweep {text!r}"), strength(high, f"sweep {text!r}")
    times, last = start.times or end.times, int(steps) - 1
    values = [start.value + (end.value - start.value) * n / last for n in range(last + 1)]
    return [Strength(value, times, f"{value:g}{'x' * times}") for value in values]


def setting(request: Request, home: Home) -> Setting:
    """The experiment.

    Raises:
        InterventionError: something in it cannot be.
    """
    mode = request.more.get("mode", "clamp")
    found = []
    for text in request.features:
        name, equals, value = text.rpartition("=")
        if not equals and mode == "ablate":
            name, value = text, "0"
        match = re.fullmatch(r"(?P<dictionary>.+):(?P<feature>\d+)", name)
        if match is None:
            raise InterventionError(
                f"feature {text!r}: give DICTIONARY:FEATURE=STRENGTH, as sight:112=2x"
            )
        dictionary, feature = home.dictionary(match["dictionary"]), int(match["feature"])
        largest, turned = home.largest(dictionary, feature), strength(value, f"feature {text!r}")
        if turned.times and not largest and mode != "scale":
            raise InterventionError(
                f"feature {text!r}: it fires on no image of the bundle, so that {value} of its "
                "largest activation is 0; give a number"
            )
        found.append(
            {"dictionary": dictionary, "feature": feature, "strength": turned.of(largest, mode)}
        )
    directions = [_along(text) for text in request.directions]
    return checked({"features": found, "directions": directions, **request.more})


def swept(base: Setting, home: Home, steps: Sequence[Strength]) -> list[Setting]:
    """The setting at each strength of a sweep: features stand at it, directions at the same share
    of their own as it is of the largest; where there are directions alone, they stand at it.

    Raises:
        InterventionError: there is no strength to vary, or one cannot be.
    """
    if not base.sweeps:
        raise InterventionError(
            "sweep: nothing to vary: ablate and project_out have no strength; give another mode or "
            "kind, or leave the sweep out"
        )
    top = max(abs(step.value) for step in steps) or 1.0
    alone = not base.features or base.mode == "ablate"
    made = []
    for to in steps:
        turned = [
            one.model_copy(
                update={"strength": to.of(home.largest(one.dictionary, one.feature), base.mode)}
            )
            for one in base.features
        ]
        along = tuple(
            one.model_copy(
                update={
                    "strength": to.of(one.strength, "add")
                    if alone
                    else one.strength * to.value / top
                }
            )
            for one in base.directions
        )
        parts = {"features": tuple(turned), "directions": along}
        made.append(checked(base.model_copy(update=parts).model_dump()))
    return made


def _along(text: str) -> dict[str, Any]:
    name, equals, value = text.rpartition("=")
    hook, kind, *files = (name if equals else text).split(":")
    what = f"direction {text!r}"
    if len(files) != 1 + (kind == "move") or (not equals and kind != "project_out"):
        raise InterventionError(
            f"{what}: give HOOK:add:FILE=LENGTH, HOOK:move:FROM:TO=SHARE or HOOK:project_out:FILE"
        )
    along = strength(value, what) if equals else Strength(0.0, False, "")
    if along.times:
        raise InterventionError(f"{what}: {value} is for features; give a number")
    found = {"hook": hook, "kind": kind, "direction": files[0], "strength": along.value}
    return found | ({"to": files[1]} if kind == "move" else {})
