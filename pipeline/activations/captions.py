"""Captions as a model reads them without an image."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pipeline import config
from pipeline.inputs.examples import Caption
from pipeline.models.adapter import Adapter
from pipeline.models.layout import Layout


@dataclass(frozen=True, eq=False)
class CaptionBatch:
    """Some captions as a model reads them without an image.

    Attributes:
        pieces, cut: as in `models.words.Words`.
        acts: hook point -> [r, t, d_in].
    """

    captions: Sequence[Caption]
    pieces: Sequence[Sequence[str]]
    cut: Sequence[int]
    acts: Mapping[str, Float[Tensor, "r t d"]]
    layout: Layout


def read_captions(
    model: Adapter, captions: Sequence[Caption], hooks: Sequence[str], *, run: config.RunConfig
) -> Iterator[CaptionBatch]:
    """The captions in order, in parts that fit in memory."""
    for first in range(0, len(captions), run.machine.batch_size):
        some = captions[first : first + run.machine.batch_size]
        words = model.read_words([c.text for c in some], longest=run.captions.longest)
        start = 0
        for count, acts, layout in model.recorded_words(words, hooks):
            part = slice(start, start + count)
            yield CaptionBatch(some[part], words.pieces[part], words.cut[part], acts, layout)
            start += count
