"""The inner loops of pooling, compiled by numba: one pass over the non-zeros checks them and adds them up."""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["add_columns", "add_rows"]


@numba.njit(cache=True, nogil=True)
def _are_counts(values: np.ndarray) -> bool:
    """Whether all values are whole, finite and not negative. Without a jump in the loop, so it runs on vectors."""
    n_odd = 0
    for value in values:
        n_odd += (np.floor(value) - value != 0) | (value < 0)
    return n_odd == 0


@numba.njit(cache=True, nogil=True)
def _add(sums: np.ndarray, place: int, value: float, faults: np.ndarray) -> None:
    """Add one value, unless it is missing or impossible, and count what is odd."""
    if 0 <= value < np.inf:
        sums[place] += value
        faults[1] += value != np.floor(value)
    elif np.isnan(value):
        faults[0] += 1
    else:
        faults[2] += 1


@numba.njit(cache=True, nogil=True)
def add_rows(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, rows: np.ndarray, keep: np.ndarray, sums: np.ndarray
) -> np.ndarray:
    """Add `rows` of a CSR matrix up.

    Parameters
    ----------
    data, indices, indptr
        The matrix.
    rows
        Which rows.
    keep
        Columns to add; others are not looked at. Empty = all. bool ``(columns,)``
    sums
        float64 ``(columns,)``, changed in place.

    Returns
    -------
    Numbers of values that are NaN (left out), that are no whole numbers, and that are negative or infinite (left out).
    int64 ``(3,)``
    """
    faults = np.zeros(3, dtype=np.int64)
    for row in rows:
        values, columns = data[indptr[row] : indptr[row + 1]], indices[indptr[row] : indptr[row + 1]]
        if len(keep) == 0 and _are_counts(values):
            for i in range(len(values)):
                sums[columns[i]] += values[i]
        else:
            for i in range(len(values)):
                if len(keep) == 0 or keep[columns[i]]:
                    _add(sums, columns[i], float(values[i]), faults)
    return faults


@numba.njit(cache=True, nogil=True)
def add_columns(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, groups: np.ndarray, columns: np.ndarray, sums: np.ndarray
) -> np.ndarray:
    """Add the rows of each group of a CSC matrix up, for some of its columns.

    Parameters
    ----------
    data, indices, indptr
        The matrix.
    groups
        Group of each row, -1 for none.
    columns
        Which columns.
    sums
        float64 ``(columns, groups)``, changed in place.

    Returns
    -------
    As `add_rows`.
    """
    faults = np.zeros(3, dtype=np.int64)
    for to, column in enumerate(columns):
        for i in range(indptr[column], indptr[column + 1]):
            group = groups[indices[i]]
            if group >= 0:
                _add(sums[to], group, float(data[i]), faults)
    return faults
