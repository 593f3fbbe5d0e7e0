"""How much a run will write, against what is free."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import config
from pipeline.errors import LoupeError
from pipeline.models.hook_points import HookPoint
from pipeline.run.plan import Place, Unit, control_name


class SpaceError(LoupeError, RuntimeError):
    """The disk has no room for a run; the message says how much it wants."""


@dataclass
class Bytes:
    """What surely will be written, and what likely."""

    least: float = 0
    likely: float = 0

    def add(self, least: float, likely: float | None = None) -> None:
        self.least += least
        self.likely += least if likely is None else likely


def wanted(
    run: config.RunConfig,
    missing: Mapping[str, Sequence[Unit]],
    points: Mapping[Place, HookPoint],
    numbers: Mapping[Place, int],
) -> Bytes:
    """How much the missing units of collect, train and encode will write.

    Args:
        points: the hook points of the run's dictionaries, of the models that are known.
        numbers: how many numbers the SAEs hold, of those that are known.
    """
    found = Bytes()
    for unit in missing["collect"]:
        examples = len(unit.spec["examples"])
        if unit.spec["split"] == "val":
            side = run.examples.thumbnail
            found.add(0, examples * side * side / 2)  # JPEG, half a byte a pixel
        for model, hook, tokens in unit.spec["reads"]:
            point = next(
                (p for at, p in points.items() if (at.model, at.hook) == (model, hook)), None
            )
            if point is not None:
                width = point.d_in * (4 if run.models[model].dtype == "float32" else 2)
                least, likely = _tokens(point, tokens, most=run.examples.training_tokens)
                found.add(examples * least * width, examples * likely * width)
    for unit in missing["train"]:
        found.add(8 * numbers.get(unit.spec["place"], 0))  # its own files, and the bundle's
    for unit in missing["encode"]:
        examples = len(unit.spec["examples"])
        here = {p: point for p, point in points.items() if p.model == unit.spec["model"]}
        saes = [p for p in here if not isinstance(run.dictionaries[p.dictionary], config.Neurons)]
        controls = {control_name(run, place): here[place].d_in for place in saes}
        dense = [point.d_in for place, point in here.items() if place not in saes]
        found.add(examples * 4 * (sum(dense) + 2 * sum(controls.values())))
        found.add(0, examples * len(saes) * 64 * 16)  # some dozens of codes
    return found


def refuse(root: Path, need: Bytes) -> str | None:
    """A line where the disk may become full; None where it will not.

    Raises:
        SpaceError: it surely will.
    """
    there = root.expanduser().absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if need.least > free:
        raise SpaceError(
            f"{root}: the run writes at least {_size(need.least)}, and {_size(free)} are free; "
            "make room, name another folder by --out, or lower examples.limit or "
            "examples.training_tokens"
        )
    if need.likely > free * 0.9:
        return (
            f"{root}: the run may write {_size(need.likely)}, and {_size(free)} are free; if it "
            "stops for want of room, make some and run it again"
        )
    return None


def _tokens(point: HookPoint, kind: str, *, most: int) -> tuple[int, int]:
    """How many of an image's tokens are kept of the point: surely, and likely."""
    if point.layer is None and point.tokens == 1:
        return 1, 1
    if kind == "cls":
        return (1, 1) if "cls" in point.kinds else (0, 0)
    if point.grid is not None and kind in ("patches", "all"):
        count = min(most, math.prod(point.grid))
        return count, count
    return 1, most


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:,.3g} TiB"
