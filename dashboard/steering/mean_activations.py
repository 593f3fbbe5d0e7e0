"""Mean activations, recorded live: of a class of images, of a feature's top images, of texts.

What is recorded is kept piece by piece for all visitors; each piece can be a turn of the model of
its own, so that nobody waits for a whole class.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dashboard import queries
from dashboard.bundle import cached, opening
from dashboard.faults import Unavailable, told
from dashboard.live import images, models
from dashboard.records.dictionaries import Dictionary
from dashboard.steering.direction_names import End
from pipeline.inputs import examples

if TYPE_CHECKING:
    from torch import Tensor

MOST_IMAGES, AT_ONCE, LONGEST = 64, 16, 128
"""Images a class, images at once, tokens of a text."""


def tokens(run: opening.Run, model: str, hook: str) -> str:
    """Whose mean a direction of images is: `cls` where every SAE there reads the CLS token alone,
    else `image` for all of the image's tokens."""
    reads = {one.tokens for one in dictionaries_at(run, model, hook) if one.basis == "sae"}
    return "cls" if reads == {"cls"} else "image"


def dictionaries_at(run: opening.Run, model: str, hook: str) -> list[Dictionary]:
    every = cached.dictionaries(run)
    return [one for one in every if (one.model, one.hook) == (model, hook)]


def common(run: opening.Run) -> list[int]:
    """Images that stand for all."""
    return [one.example_id for one in queries.drawn(run.connection, 0, limit=MOST_IMAGES)]


def images_of(run: opening.Run, end: End, other: End | None) -> list[int]:
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


def mean_of(
    run: opening.Run, at: models.Studied, hook: str, ids: Sequence[int]
) -> "tuple[Tensor, float, int]":
    """(mean activations [d], their mean length, how many) of the images' tokens."""
    parts = [sums(run, at, hook, piece) for piece in pieces(ids)]
    count = sum(n for _, _, n in parts)
    if not count:
        raise Unavailable("none of the images is at hand; see that the run's source is there")
    total = sum((s for s, _, _ in parts[1:]), parts[0][0])
    return (total / count).float(), sum(norm for _, norm, _ in parts) / count, count


def sums(
    run: opening.Run, at: models.Studied, hook: str, ids: Sequence[int]
) -> "tuple[Tensor, float, int]":
    """(sum of activations [d], of their lengths, how many) of a few images' tokens."""

    def recorded() -> "tuple[Tensor, float, int]":
        import torch

        name = at.adapter.resolve(hook).name
        looks = [look for one in ids if (look := images.of_example(run, one)) and look.picture]
        pictures = [look.picture for look in looks if look.picture is not None]
        given = [(examples.Example(0, one.uri, "val", one.captions), one.image) for one in pictures]
        total, norms, count = torch.zeros(at.adapter.resolve(hook).d_in).double(), 0.0, 0
        if not given:
            return total, norms, count
        longest = models.captions(run).longest
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
        found: tuple[Tensor, float, int] = models.shared().directions.get(key, recorded)
    return found


def words_mean(at: models.Studied, hook: str, texts: Sequence[str]) -> "Tensor":
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


def pieces(ids: Sequence[int]) -> Iterator[Sequence[int]]:
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
