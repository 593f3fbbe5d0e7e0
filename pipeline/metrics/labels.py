"""What a feature's top examples have in common, in the data's own words."""

from collections.abc import Sequence

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
