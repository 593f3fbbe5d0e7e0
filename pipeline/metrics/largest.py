"""The largest values of each row of large arrays, without sorting them.

Values are ranked in single precision, so that those that differ only in how a sum was ordered are
equal, and of equal ones the lower column comes first: the result does not depend on the blocks in
which a caller works.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray


def none(rows: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Columns of -1 and values of NaN."""
    return np.full((rows, count), -1, np.int64), np.full((rows, count), np.nan, np.float32)


def candidates(
    value_mn: Float[np.ndarray, "m n"], count: int, *, slack: float = 0
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """(row, column) of everything that can be among a row's `count` largest, and few others: all
    within `slack` of a bound that at least `count` reach. -inf is never among them.

    In long rows the bound is the count-th largest of the maxima of groups, which are cheap to find;
    a partition of whole rows takes many times as long.
    """
    m, n = value_mn.shape
    groups = 16 * count
    if not (m and n and count):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if n >= 4 * groups:
        whole = n // groups * groups
        best = value_mn[:, :whole].reshape(m, -1, groups).max(1)
    else:
        best = value_mn
    if best.shape[1] > count:
        bound = np.partition(best, -count, axis=1)[:, -count, None]
    else:
        bound = np.full((m, 1), -np.inf, value_mn.dtype)
    row, column = np.nonzero(value_mn >= bound - value_mn.dtype.type(slack))
    some = value_mn[row, column] > -np.inf
    return row[some], column[some]


def ranked(
    row: Int[np.ndarray, " p"],
    column: Int[np.ndarray, " p"],
    value: Float[np.ndarray, " p"],
    *,
    rows: int,
    count: int,
) -> tuple[Int[np.ndarray, "rows count"], Float[np.ndarray, "rows count"]]:
    """Of p pairs each row's `count` largest values, falling; of equal ones the lower column first.

    Returns:
        (columns, -1 where there are fewer; values in float32, NaN where there are fewer).
    """
    single = value.astype(np.float32)
    order = np.lexsort((column, -single, row))
    row, column, single = row[order], column[order], single[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    kept = rank < count
    columns, values = none(rows, count)
    columns[row[kept], rank[kept]] = column[kept]
    values[row[kept], rank[kept]] = single[kept]
    return columns, values


def ranked_rows(
    value_mn: Float[np.ndarray, "m n"], *, count: int
) -> tuple[Int[np.ndarray, "m count"], Float[np.ndarray, "m count"]]:
    """As `ranked`, of a whole float32 array; NaN and -inf are left out. Overwrites NaNs."""
    value_mn[np.isnan(value_mn)] = -np.inf
    row, column = candidates(value_mn, count)
    return ranked(row, column, value_mn[row, column], rows=len(value_mn), count=count)


def ranked_stored(
    matrix: Any, value: Float[np.ndarray, " p"], *, count: int
) -> tuple[Int[np.ndarray, "m count"], Float[np.ndarray, "m count"]]:
    """As `ranked`, of the p stored entries of a CSR matrix with `value` in place of its data; NaNs
    are left out. Holds one float32 array as wide as the fullest row."""
    stored = np.diff(matrix.indptr)
    row = np.repeat(np.arange(len(stored)), stored)
    padded = np.full((len(stored), stored.max(initial=0)), np.nan, np.float32)
    padded[row, np.arange(len(row)) - matrix.indptr[row]] = value
    padded[np.isnan(padded)] = -np.inf
    row, at = candidates(padded, count)
    column = matrix.indices[matrix.indptr[row] + at]
    return ranked(row, column, padded[row, at], rows=len(stored), count=count)
