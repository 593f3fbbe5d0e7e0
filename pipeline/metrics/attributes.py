"""Whether a feature stands for an attribute: does it fire where that is, and only there?"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import sparse

from pipeline.metrics.modality import Activations


class Rules(NamedTuple):
    """The best rule "has the attribute where the activation is above the threshold".

    Attributes:
        threshold: [s, t], 0 or above; infinite where a feature never fires.
        f1: [s, t], of the rule on what it was found on, 0 to 1.
    """

    threshold: Float[np.ndarray, "s t"]
    f1: Float[np.ndarray, "s t"]


def best_rules(acts_ns: Activations, has_nt: Bool[np.ndarray, "n t"]) -> Rules:
    """Of each feature and attribute the threshold with the largest F1 (van Rijsbergen 1979),

        F1 = 2 true / (fires + has),

    of all thresholds from 0 on: exact. A threshold lies half way between two activations, so that
    neither depends on the last digit. Of equally good ones the highest, that fires least, is taken.

    Args:
        acts_ns: activations, 0 or above; a feature that is 0 does not fire.
        has_nt: which example has which attribute.

    Raises:
        ValueError: not the same examples.
    """
    columns, has = _columns(acts_ns, has_nt), np.asarray(has_nt, bool)
    positives = has.sum(0)
    threshold = np.full((columns.shape[1], has.shape[1]), np.inf)
    f1 = np.zeros(threshold.shape)
    for feature in range(len(threshold)):
        value, row = _falling(columns, feature)
        if not len(value):
            continue
        # Cuts are made behind the last of equal activations only.
        last = np.flatnonzero(np.append(value[1:] < value[:-1], True))
        true = has[row].cumsum(0)[last]
        every = 2 * true / ((last + 1)[:, None] + positives)
        best = every.argmax(0)
        below = np.append(value, 0)[last + 1]
        below[-1] = -value[last[-1]]  # so that the lowest threshold is 0
        threshold[feature] = ((value[last] + below) / 2)[best]
        f1[feature] = every[best, np.arange(has.shape[1])]
    return Rules(threshold, f1)


def f1_of(
    acts_ns: Activations,
    has_nt: Bool[np.ndarray, "n t"],
    *,
    threshold_st: Float[np.ndarray, "s t"],
) -> Float[np.ndarray, "s t"]:
    """F1 of given rules, as `best_rules` finds them on other examples; 0 where a feature does not
    fire and nothing has the attribute.

    Raises:
        ValueError: not the same examples, features or attributes.
    """
    columns, has = _columns(acts_ns, has_nt), np.asarray(has_nt, bool)
    if threshold_st.shape != (columns.shape[1], has.shape[1]):
        raise ValueError(
            f"thresholds of {threshold_st.shape}, activations and attributes of "
            f"{(columns.shape[1], has.shape[1])} (features, attributes)"
        )
    positives = has.sum(0)
    f1 = np.zeros(threshold_st.shape)
    for feature in range(len(f1)):
        value, row = _falling(columns, feature)
        fires = value[:, None] > threshold_st[feature]
        of = fires.sum(0) + positives
        f1[feature] = 2 * (fires & has[row]).sum(0) / np.maximum(of, 1)
    return f1


def always(has_nt: Bool[np.ndarray, "n t"]) -> Float[np.ndarray, " t"]:
    """F1 of saying of every example that it has the attribute: what a feature has to beat."""
    share = np.asarray(has_nt, np.float64).mean(0)
    return 2 * share / (1 + share)


def _columns(acts_ns: Any, has_nt: Any) -> Any:
    """In CSC; raises ValueError where the examples are not those of the attributes."""
    if acts_ns.shape[0] != len(has_nt):
        raise ValueError(f"activations of {acts_ns.shape[0]} examples, attributes of {len(has_nt)}")
    return sparse.csc_matrix(acts_ns)


def _falling(columns: Any, feature: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A feature's activations above 0, the largest first, and their rows."""
    part = slice(columns.indptr[feature], columns.indptr[feature + 1])
    value, row = columns.data[part].astype(np.float64), columns.indices[part]
    order = np.argsort(-value, kind="stable")
    order = order[: int((value > 0).sum())]
    return value[order], row[order]
