"""Directions live: their vectors, how long they are, and which features they are made of."""

import hashlib
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboard import queries
from dashboard.bundle import opening
from dashboard.faults import Unavailable
from dashboard.live import models
from dashboard.records.dictionaries import Dictionary
from dashboard.steering import direction_names, mean_activations
from dashboard.steering.direction_names import End, Named, Toward

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.interventions import Along

MOST_TEXTS = 64
MOST_BYTES = 20 * 2**20
NEAREST, PARTS = 12, 8
"""Features that are named of a direction: the nearest, and those that approximate it."""


@dataclass(frozen=True)
class Scale:
    """What a strength is measured by, in the activations' unit.

    Attributes:
        norm: mean length of the activations of the image tokens that are read.
        distance: between the two means that make the direction; None of a file and of words.
    """

    norm: float
    distance: float | None

    @property
    def unit(self) -> float:
        return self.norm if self.distance is None else self.distance


@dataclass(frozen=True)
class Near:
    """What a dictionary knows of a direction.

    Attributes:
        nearest: (feature, cosine with its decoder row), the nearest to the direction's line first.
        parts: (feature, weight) that together approximate it.
        fvu: the share of its squared length that they leave.
    """

    dictionary: Dictionary
    nearest: tuple[tuple[int, float], ...]
    parts: tuple[tuple[int, float], ...]
    fvu: float


def named(
    run: opening.Run, at: models.Studied, alongs: "Iterable[Along | Toward]"
) -> "dict[str, Tensor]":
    """The vectors [d], float32 on the model's device, by the names in these edits; to be called
    inside `live.studied`.

    Raises:
        Unavailable: a name says no direction, or what it is made of is not to be had.
    """
    names = dict.fromkeys(
        name for one in alongs for name in (one.direction, one.to) if name is not None
    )
    with mean_activations.faults():
        return {name: _vector(run, at, name).to(at.adapter.device) for name in names}


def scale(run: opening.Run, model: str, name: str) -> Scale:
    """What a strength along this direction is measured by; takes turns of the model.

    Raises:
        Unavailable: as `named`.
    """
    asked = _parsed(name)
    key = ("scale", run.key, model, name)

    def measured() -> Scale:
        _warm(run, model, asked)
        with models.studied(run, model) as at, mean_activations.faults():
            _, norm, _ = mean_activations.mean_of(run, at, asked.hook, mean_activations.common(run))
            length = float(_vector(run, at, name).norm())
        between = asked.start is not None and asked.end.source in ("tag", "feature")
        return Scale(norm, length if between else None)

    found: Scale = models.shared().directions.get(key, measured)
    return found


def near(run: opening.Run, model: str, name: str) -> list[Near]:
    """The features of the model's SAEs at the direction's hook point that lie nearest to it, and
    few that approximate it; takes turns of the model.

    Raises:
        Unavailable: as `named`, or an SAE is not to be had.
    """
    asked = _parsed(name)
    _warm(run, model, asked)
    with models.studied(run, model) as at, mean_activations.faults():
        from pipeline.interventions import approximate, nearest_features

        vector = _vector(run, at, name).to(at.adapter.device)
        found = []
        for one in mean_activations.dictionaries_at(run, model, asked.hook):
            if one.basis != "sae":
                continue
            rows = models.sae_of(run, one, at.adapter).W_dec
            ids, cosines = nearest_features(vector, rows, count=NEAREST)
            made = approximate(vector, rows, count=PARTS)
            nearest = tuple(zip(ids.tolist(), cosines.tolist(), strict=True))
            parts = tuple(zip(made.features, made.weights, strict=True))
            found.append(Near(one, nearest, parts, made.fvu))
        return found


def kept(name: str, content: bytes, *, d_in: int) -> End:
    """The end that a visitor's file is, its vector kept for as long as this server has room.

    Args:
        name: of the file, which says its format.
        d_in: width of the hook point.

    Raises:
        Unavailable: it is too large, or holds no one vector of that width.
    """
    if len(content) > MOST_BYTES:
        raise Unavailable(f"{name}: is over {MOST_BYTES >> 20} MB; save the one vector alone")
    from pipeline.interventions import InterventionError, load_direction

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"direction{Path(name).suffix.lower()}")
        path.write_bytes(content)
        try:
            vector = load_direction(path, d_in=d_in).clone()
        except InterventionError as error:
            raise Unavailable(str(error).replace(str(path), name)) from None
    clean = re.sub(r"[^\w.]+", "-", name)[-60:]
    text = f"{clean}-{hashlib.sha256(content).hexdigest()[:12]}"
    models.shared().directions.get(("file", text), lambda: vector)
    return End("file", text)


def _parsed(name: str) -> Named:
    found = direction_names.named(name)
    if found is None:
        raise Unavailable(f"{name[:200]}: says no direction; choose one again")
    return found


def _warm(run: opening.Run, model: str, asked: Named) -> None:
    """Record what the direction's images need, a piece a turn."""
    wanted = mean_activations.common(run)
    for end, other in ((asked.end, asked.start), (asked.start, asked.end)):
        if end is not None and end.source in ("tag", "feature"):
            wanted += mean_activations.images_of(run, end, other)
    for piece in mean_activations.pieces(wanted):
        with models.studied(run, model) as at:
            mean_activations.sums(run, at, asked.hook, piece)


def _vector(run: opening.Run, at: models.Studied, name: str) -> "Tensor":
    """The direction [d], on the CPU."""
    asked = _parsed(name)
    if asked.end.source == "file":
        return _filed(asked.end, at.adapter.resolve(asked.hook).d_in)

    def made() -> "Tensor":
        from pipeline.interventions import difference_of_means

        end = _end(run, at, asked.hook, asked.end, asked.start)
        if asked.start is not None:
            start = _end(run, at, asked.hook, asked.start, asked.end)
        elif asked.end.source == "words":
            marks = queries.marks(run.connection, limit=MOST_TEXTS)
            if not marks:
                raise Unavailable("this run has no tags to set a text off from; give two texts")
            start = mean_activations.words_mean(at, asked.hook, marks)
        else:
            start = mean_activations.mean_of(run, at, asked.hook, mean_activations.common(run))[0]
        found = difference_of_means(start[None], end[None])
        if not found.any():
            raise Unavailable(f"{asked.end.told}: both ends are the same there; choose others")
        return found

    vector: Tensor = models.shared().directions.get((run.key, at.key, name), made)
    return vector


def _filed(end: End, d_in: int) -> "Tensor":
    def missing() -> Any:
        raise Unavailable(f"{end.told}: this server keeps the file no more; give it again")

    vector: Tensor = models.shared().directions.get(("file", end.text), missing)
    if len(vector) != d_in:
        raise Unavailable(f"{end.told}: holds {len(vector)} numbers, not {d_in}; give another file")
    return vector


def _end(run: opening.Run, at: models.Studied, hook: str, end: End, other: End | None) -> "Tensor":
    if end.source == "words":
        return mean_activations.words_mean(at, hook, [end.text])
    if end.source == "file":
        raise Unavailable(f"{end.told}: a file is a direction by itself; give it alone")
    return mean_activations.mean_of(run, at, hook, mean_activations.images_of(run, end, other))[0]
