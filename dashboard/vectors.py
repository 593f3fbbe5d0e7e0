"""Directions live: their vectors, how long they are, and which features they are made of.

What is recorded for them is kept piece by piece for all visitors; each piece is one turn of the
model, so that nobody waits for a whole class of images.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboard import connection, live, queries, sight, toward
from dashboard.faults import Unavailable, told
from dashboard.records import Dictionary
from dashboard.toward import End, Named, Toward
from pipeline import config, examples

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.interventions import Along

MOST_IMAGES, AT_ONCE, MOST_TEXTS, LONGEST = 64, 16, 64, 128
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
    run: connection.Run, at: live.Studied, alongs: "Iterable[Along | Toward]"
) -> "dict[str, Tensor]":
    """The vectors [d], float32 on the model's device, by the names in these edits; to be called
    inside `live.studied`.

    Raises:
        Unavailable: a name says no direction, or what it is made of is not to be had.
    """
    names = dict.fromkeys(
        name for one in alongs for name in (one.direction, one.to) if name is not None
    )
    with faults():
        return {name: _vector(run, at, name).to(at.adapter.device) for name in names}


def scale(run: connection.Run, model: str, name: str) -> Scale:
    """What a strength along this direction is measured by; takes turns of the model.

    Raises:
        Unavailable: as `named`.
    """
    asked = _parsed(name)
    key = ("scale", run.key, model, name)

    def measured() -> Scale:
        _warm(run, model, asked)
        with live.studied(run, model) as at, faults():
            _, norm, _ = _mean_of(run, at, asked.hook, _common(run))
            length = float(_vector(run, at, name).norm())
        between = asked.start is not None and asked.end.source in ("tag", "feature")
        return Scale(norm, length if between else None)

    found: Scale = live.shared().directions.get(key, measured)
    return found


def near(run: connection.Run, model: str, name: str) -> list[Near]:
    """The features of the model's SAEs at the direction's hook point that lie nearest to it, and
    few that approximate it; takes turns of the model.

    Raises:
        Unavailable: as `named`, or an SAE is not to be had.
    """
    asked = _parsed(name)
    _warm(run, model, asked)
    with live.studied(run, model) as at, faults():
        from pipeline.interventions import approximate, nearest_features

        vector = _vector(run, at, name).to(at.adapter.device)
        found = []
        for one in _here(run, model, asked.hook):
            if one.basis != "sae":
                continue
            rows = live.sae_of(run, one, at.adapter).W_dec
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
    live.shared().directions.get(("file", text), lambda: vector)
    return End("file", text)


def tokens(run: connection.Run, model: str, hook: str) -> str:
    """Whose mean a direction of images is: `cls` where every SAE there reads the CLS token alone,
    else `image` for all of the image's tokens."""
    reads = {one.tokens for one in _here(run, model, hook) if one.basis == "sae"}
    return "cls" if reads == {"cls"} else "image"


def _here(run: connection.Run, model: str, hook: str) -> list[Dictionary]:
    every = connection.dictionaries(run.connection, run.key)
    return [one for one in every if (one.model, one.hook) == (model, hook)]


def _parsed(name: str) -> Named:
    found = toward.named(name)
    if found is None:
        raise Unavailable(f"{name[:200]}: says no direction; choose one again")
    return found


def _common(run: connection.Run) -> list[int]:
    """Images that stand for all."""
    return [one.example_id for one in queries.drawn(run.connection, 0, limit=MOST_IMAGES)]


def _warm(run: connection.Run, model: str, asked: Named) -> None:
    """Record what the direction's images need, a piece a turn."""
    wanted = _common(run)
    for end, other in ((asked.end, asked.start), (asked.start, asked.end)):
        if end is not None and end.source in ("tag", "feature"):
            wanted += _images(run, end, other)
    for piece in _pieces(wanted):
        with live.studied(run, model) as at:
            _sums(run, at, asked.hook, piece)


def _vector(run: connection.Run, at: live.Studied, name: str) -> "Tensor":
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
            start = _words(at, asked.hook, marks)
        else:
            start = _mean_of(run, at, asked.hook, _common(run))[0]
        found = difference_of_means(start[None], end[None])
        if not found.any():
            raise Unavailable(f"{asked.end.told}: both ends are the same there; choose others")
        return found

    vector: Tensor = live.shared().directions.get((run.key, at.key, name), made)
    return vector


def _filed(end: End, d_in: int) -> "Tensor":
    def missing() -> Any:
        raise Unavailable(f"{end.told}: this server keeps the file no more; give it again")

    vector: Tensor = live.shared().directions.get(("file", end.text), missing)
    if len(vector) != d_in:
        raise Unavailable(f"{end.told}: holds {len(vector)} numbers, not {d_in}; give another file")
    return vector


def _end(run: connection.Run, at: live.Studied, hook: str, end: End, other: End | None) -> "Tensor":
    if end.source == "words":
        return _words(at, hook, [end.text])
    if end.source == "file":
        raise Unavailable(f"{end.told}: a file is a direction by itself; give it alone")
    return _mean_of(run, at, hook, _images(run, end, other))[0]


def _images(run: connection.Run, end: End, other: End | None) -> list[int]:
    """The images that an end means, at most MOST_IMAGES; of two classes those of one alone."""
    if end.source == "tag":
        without = other.text if other is not None and other.source == "tag" else None
        found = queries.marked(run.connection, end.text, without=without, limit=MOST_IMAGES)
        if not found:
            beside = f" and not {without}" if without else ""
            raise Unavailable(f"no val image has the tag {end.text}{beside}; choose another")
        return found
    dictionary_id, _, number = end.text.rpartition(":")
    known = number.isascii() and number.isdigit() and len(number) < 10
    feature = queries.feature(run.connection, dictionary_id, int(number)) if known else None
    if feature is None or not feature.top:
        raise Unavailable(f"{end.text}: no such feature with top images; choose another")
    return [one.example_id for one in feature.top[:MOST_IMAGES]]


def _mean_of(
    run: connection.Run, at: live.Studied, hook: str, ids: Sequence[int]
) -> "tuple[Tensor, float, int]":
    """(mean activations [d], their mean length, how many) of the images' tokens."""
    pieces = [_sums(run, at, hook, piece) for piece in _pieces(ids)]
    count = sum(n for _, _, n in pieces)
    if not count:
        raise Unavailable("none of the images is at hand; see that the run's source is there")
    total = sum((s for s, _, _ in pieces[1:]), pieces[0][0])
    return (total / count).float(), sum(norm for _, norm, _ in pieces) / count, count


def _sums(
    run: connection.Run, at: live.Studied, hook: str, ids: Sequence[int]
) -> "tuple[Tensor, float, int]":
    """(sum of activations [d], of their lengths, how many) of a few images' tokens."""

    def recorded() -> "tuple[Tensor, float, int]":
        import torch

        name = at.adapter.resolve(hook).name
        looks = [look for one in ids if (look := sight.of_example(run, one)) and look.picture]
        pictures = [look.picture for look in looks if look.picture is not None]
        given = [(examples.Example(0, one.uri, "val", one.captions), one.image) for one in pictures]
        total, norms, count = torch.zeros(at.adapter.resolve(hook).d_in).double(), 0.0, 0
        if not given:
            return total, norms, count
        said = run.bundle.manifest.get("config", {}).get("captions", {})
        longest = config.Captions.model_validate(said).longest
        only = tokens(run, at.model, name)
        for part, acts in at.adapter.recorded(at.adapter.inputs(given, longest=longest), [name]):
            layout = at.adapter.layout(part, name)
            wanted = layout.read("cls")
            if only == "image" or not wanted.any():
                wanted = wanted | layout.read("patches")
            found = layout.tokens_of(wanted).of(acts[name]).double().cpu()
            total += found.sum(0)
            norms += float(found.norm(dim=1).sum())
            count += len(found)
        return total, norms, count

    with told():
        key = ("sums", run.key, at.key, hook, tuple(ids))
        found: tuple[Tensor, float, int] = live.shared().directions.get(key, recorded)
    return found


def _words(at: live.Studied, hook: str, texts: Sequence[str]) -> "Tensor":
    """Mean activations [d] of texts that are read alone; of a joint space the mean of their unit
    vectors."""
    import torch

    from pipeline.models.layout import code

    point = at.adapter.resolve(hook)
    if not at.adapter.takes_words(point):
        raise Unavailable(
            f"words alone do not reach {point.name}; choose classes, or a hook point of the "
            "language model or the projection of a model with a text tower"
        )
    words, total, count = at.adapter.read_words(texts, longest=LONGEST), None, 0
    for _, acts, layout in at.adapter.recorded_words(words, [point.name]):
        found = acts[point.name].float()[(layout.kind == code("text")).to(acts[point.name].device)]
        if point.point == "projection":
            found = torch.nn.functional.normalize(found, dim=1)
        part, count = found.sum(0).cpu(), count + len(found)
        total = part if total is None else total + part
    if total is None or not count:
        raise Unavailable(f"“{texts[0][:80]}”: the model reads no word of it; give another text")
    return total / count


def _pieces(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(ids), AT_ONCE):
        yield ids[first : first + AT_ONCE]


@contextmanager
def faults() -> Iterator[None]:
    """Faults of directions, as `Unavailable`."""
    from pipeline.interventions import InterventionError

    try:
        with told():
            yield
    except InterventionError as error:
        raise Unavailable(str(error)) from error
