"""Pool cells into cell types by sparse products; a cells x peaks matrix is never made dense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from genebert._logging import info, warn
from genebert.io._modalities import check_accessibility

__all__ = ["mean_log_cpm", "pool"]

CHUNK = 20_000  # cells read or copied at once
BLOCK = 2**16  # values checked at once: what a check allocates stays in the cache


def pool(matrix: Any, groups: np.ndarray, *, n_groups: int, keep: np.ndarray) -> sparse.csr_matrix:
    """Sum the rows of each group.

    Parameters
    ----------
    matrix
        ``(cells, features)``: array, scipy sparse matrix, or one of either that lies in a file.
    groups
        Group of each cell; -1 leaves it out. ``(cells,)``
    n_groups
        Number of groups.
    keep
        Which features to keep. bool ``(features,)``

    Returns
    -------
    CSR ``(n_groups, kept features)``.
    """
    sums = sparse.csr_matrix((n_groups, int(keep.sum())), dtype=np.float32)
    n_missing, is_whole = 0, True
    for start, chunk in _chunks(matrix, in_part=not keep.all()):
        rows = chunk if keep.all() else chunk[:, keep]
        rows, n, are_whole = _checked(rows)
        n_missing += n
        is_whole &= are_whole
        sums = sums + sparse.csr_matrix(_indicator(groups[start : start + rows.shape[0]], n_groups) @ rows)
    if n_missing:
        info(f"accessibility: {n_missing} values are NaN (not measured), left out of the sums")
    if not is_whole:
        warn(
            "Expected raw counts; found values that are not whole numbers. Name the layer with counts, such as `layer='counts'`.",
            stacklevel=4,
        )
    return sums


def mean_log_cpm(
    sums: sparse.csr_matrix, cell_types: np.ndarray, *, n_cell_types: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log1p of the mean, over the replicates of each cell type, of counts per million.

    Parameters
    ----------
    sums
        Counts of each replicate of each cell type. ``(replicates, regions)``
    cell_types
        Cell type of each row. ``(replicates,)``
    n_cell_types
        Number of cell types.

    Returns
    -------
    float32 ``(regions, cell types)``, and int64 ``(cell types,)``: replicates averaged, those without counts left out.
    """
    totals = np.asarray(sums.sum(axis=1, dtype=np.float64)).ravel()
    counted = totals > 0
    n_replicates = np.bincount(cell_types[counted], minlength=n_cell_types)
    weights = np.zeros(len(totals))
    weights[counted] = 1e6 / totals[counted] / n_replicates[cell_types[counted]]
    average = sparse.csr_matrix((weights, (cell_types, np.arange(len(totals)))), shape=(n_cell_types, len(totals)))
    return np.log1p((average @ sums).toarray()).T.astype(np.float32), n_replicates.astype(np.int64)


def _indicator(groups: np.ndarray, n_groups: int) -> sparse.csr_matrix:
    cells = np.flatnonzero(groups >= 0)
    ones = np.ones(len(cells), dtype=np.float32)
    return sparse.csr_matrix((ones, (groups[cells], cells)), shape=(n_groups, len(groups)))


def _chunks(matrix: Any, *, in_part: bool) -> Iterator[tuple[int, Any]]:
    """Cut into rows, so that no copy is larger than `CHUNK` of them.

    A CSR in memory of which all columns are wanted is not copied at all, and one product is faster than the sum of many;
    other sparse formats have no rows to cut.
    """
    if sparse.issparse(matrix) and not (in_part and matrix.format == "csr"):
        yield 0, matrix
        return
    for start in range(0, matrix.shape[0], CHUNK):
        chunk = matrix[start : start + CHUNK]
        yield start, chunk.compute() if hasattr(chunk, "compute") else chunk


def _checked(rows: Any) -> tuple[Any, int, bool]:
    """Refuse impossible values; put 0 for NaN, on a copy. With it, how many there were and whether all are whole."""
    values = rows.data if sparse.issparse(rows) else rows
    n_missing, is_whole = 0, True
    step = max(1, BLOCK // max(1, values[:1].size))
    for start in range(0, len(values), step):
        block = values[start : start + step]
        if not (block.min(initial=0) >= 0 and block.max(initial=0) < np.inf):  # also where there is a NaN
            check_accessibility(block)
            block = block[~np.isnan(block)]
            n_missing += values[start : start + step].size - block.size
        is_whole = is_whole and bool((np.rint(block) == block).all())
    if n_missing:
        rows = rows.copy()
        values = rows.data if sparse.issparse(rows) else rows
        np.nan_to_num(values, copy=False, nan=0)
    return rows, n_missing, is_whole
