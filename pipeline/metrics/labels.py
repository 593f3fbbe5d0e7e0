"""What a feature's top examples have in common, in the data's own words."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int


def tag_matrix(tags: Sequence[Sequence[str]]) -> tuple[Float[np.ndarray, "n t"], list[str]]:
    """Which of n examples has which tag (0 or 1), and the tags in alphabetical order."""
    names = sorted({tag for of_one in tags for tag in of_one})
    column = {name: at for at, name in enumerate(names)}
    matrix = np.zeros((len(tags), len(names)), np.float32)
    for row, of_one in enumerate(tags):
        matrix[row, [column[tag] for tag in of_one]] = 1
    return matrix, names


def mark_out(
    top_sk: Int[np.ndarray, "s k"], matrix_nt: Float[np.ndarray, "n t"]
) -> tuple[Int[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """The tag that most marks out each feature's top examples.

    That is the one whose share p among them most exceeds its share `base` among all examples. Its
    score is that excess over what chance leaves, `(p - base) / (1 - base)` (the form of Cohen's
    kappa, 1960): 1 where every top example has it, 0 where no more than chance would have. The
    score would choose badly: of two tags that all top examples have it cannot tell the rarer one.

    Args:
        top_sk: rows of the top examples, -1 where a feature has fewer than k.
        matrix_nt: as from `tag_matrix`.

    Returns:
        (tag's column, score); column -1 and score NaN where a feature has fewer than two top
        examples or there are no tags.
    """
    known = top_sk >= 0
    enough = (known.sum(1) >= 2) & (matrix_nt.shape[1] > 0)
    column, score = np.full(len(top_sk), -1), np.full(len(top_sk), np.nan)
    base = matrix_nt.mean(0) if len(matrix_nt) else np.zeros(matrix_nt.shape[1])
    room = np.where(base < 1, 1 - base, np.inf)
    for feature in np.flatnonzero(enough):
        share = matrix_nt[top_sk[feature][known[feature]]].mean(0)
        best = (share - base).argmax()
        column[feature], score[feature] = best, max(0, (share - base)[best] / room[best])
    return column, score


Told = tuple[str | None, float | None]
"""A label and its score."""


def or_words(own: Mapping[int, Told], words: Mapping[int, Told]) -> dict[int, Told]:
    """The label of each feature with its score: its own, or else its first word.

    Args:
        own: by feature, as from `mark_out`.
        words: by feature, the word with how well it tells the feature's images from others, 0 to 1;
            its score is how far that is above chance, `max(0, 2 tells - 1)`.
    """
    made = dict(own)
    for feature, (label, _) in own.items():
        if label is None and feature in words:
            word, tells = words[feature]
            made[feature] = word, None if tells is None else max(0.0, 2 * tells - 1)
    return made


def in_turn(
    told: Mapping[int, Told], most: Mapping[int, float]
) -> dict[int, tuple[bool, int, float, float]]:
    """What sorts features so that the surest of every label comes first, then the second of each,
    and those without a label last; of equally sure ones the one that fires strongest. MS would
    choose the rare and weak ones among them, whose largest activation moves little.

    Args:
        told: by feature, its label and the label's score.
        most: by feature, its largest activation.
    """
    found: dict[int, tuple[bool, int, float, float]] = {}
    seen: Counter[str | None] = Counter()
    for one in sorted(told, key=lambda f: (-(told[f][1] or 0.0), -most[f], f)):
        label, score = told[one]
        found[one] = (label is None, seen[label], -(score or 0.0), -most[one])
        seen[label] += label is not None
    return found
