"""What steering did to a caption: is the value named now, and did all else stay?

The unsteered caption of the same picture is what a steered one is held against, not the truth: what
the model would have got wrong anyway is no doing of the edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.demo.scenes import VOCABULARY, Scene, tags
from scripts.demo import talk

ATTRIBUTES = ("colour", "texture", "shape", "background")
"""What captions say of every scene and what has more than two values."""
ATTRIBUTE = {value: name for name in ATTRIBUTES for value in VOCABULARY[name]}
"""The attribute of each value that is steered to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One steered caption beside the unsteered one.

    Attributes:
        named: the value is named, in whatever form.
        formed: the steered caption has the form of a caption.
        kept, others: of all values of other attributes that either caption names, how many are the
            same; as `talk.grade` counts them.
        taking, items: of the values of this attribute, how many are this one.
    """

    named: bool
    formed: bool
    kept: int
    others: int
    taking: int
    items: int

    @property
    def steered(self) -> bool:
        """Whether the value is named in a well-formed caption."""
        return self.named and self.formed

    @property
    def clean(self) -> bool:
        """Whether it is, and nothing else is otherwise."""
        return self.steered and self.kept == self.others


def is_absent(value: str, scene: Scene, plain: str) -> bool:
    """Whether neither the scene nor its unsteered caption has the value, so that naming it is the
    edit's doing."""
    return value not in tags(scene) and value not in talk.named(plain)[ATTRIBUTE[value]]


def outcome(value: str, *, said: str, plain: str) -> Outcome:
    """What became of a caption when its model was steered to a value.

    The value's own attribute does not count among the others, of no item: an edit at all tokens of
    the image is one of all its items. What counts is every other value: each item's, the background
    and the place. An item that is left out or made up counts by all its other values; items are
    paired so that most is the same.

    Args:
        said: the steered caption.
        plain: what the model says of the same picture unsteered.
    """
    attribute = ATTRIBUTE[value]
    counts = talk.agreement(said, plain, without=attribute).values()
    values = talk.named(said)[attribute]
    return Outcome(
        named=value in values,
        formed=talk.is_well_formed(said),
        kept=sum(right for right, _ in counts),
        others=sum(cases for _, cases in counts),
        taking=values.count(value),
        items=len(values),
    )


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over scenes; a share of nothing is 0, so that it counts as failed."""

    outcomes: tuple[Outcome, ...]

    def share(self, which: str) -> float:
        """Of the scenes: "named", "formed", "steered" or "clean"."""
        return _share(sum(getattr(one, which) for one in self.outcomes), len(self.outcomes))

    @property
    def kept(self) -> float:
        """Of the other values named, over all scenes."""
        return kept(self.outcomes)

    @property
    def kept_where_steered(self) -> float:
        """The same over the scenes in which steering worked: where nothing happened, all stays."""
        return kept([one for one in self.outcomes if one.steered])

    @property
    def worst_kept(self) -> float:
        """The smaller of the two."""
        return min(self.kept, self.kept_where_steered)


def kept(outcomes: Sequence[Outcome]) -> float:
    """Share of the values of other attributes that stay as they were."""
    return _share(sum(one.kept for one in outcomes), sum(one.others for one in outcomes))


def _share(some: int, of: int) -> float:
    return some / of if of else 0.0
