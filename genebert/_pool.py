"""Pool cells into cell types; a matrix of cells x peaks, or x genes, is never made dense."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from genebert._logging import info, warn
from genebert._pool_kernel import add_columns, add_rows
from genebert._validate import check_amounts, check_columns, listed

__all__ = ["Groups", "column_name", "group_cells", "mean_log_cpm", "pool"]

CHUNK = 5_000  # cells read from a file at once; in 200,000 peaks these are some 200 MB
BLOCK = 2**16  # values of a dense matrix, and sums, at once: what that allocates stays in the cache
_KNOWN = {np.dtype(bool): np.uint8, np.dtype(np.float16): np.float32, np.dtype(np.longdouble): np.float64}
"""What numba takes instead of types that it has not, or cannot turn into numbers."""


class Groups(NamedTuple):
    """Which cells are pooled."""

    of_cell: np.ndarray
    """Group of each cell, -1 for none. int64 ``(cells,)``"""
    cell_type: np.ndarray
    """Cell type of each group: itself, or that of a replicate. int64 ``(groups,)``"""
    cell_types: pd.Index
    n_cells: np.ndarray
    """int64 ``(cell types,)``"""


def column_name(column: str | pd.Series | None, *, name: str, optional: bool = False) -> str | None:
    """Name of a column of the cells, or of a Series that stands for one; None for None where it is optional.

    Raises
    ------
    TypeError
        When it is neither.
    """
    if isinstance(column, str) or (column is None and optional):
        return column
    if isinstance(column, pd.Series):
        return name if column.name is None else str(column.name)
    remedy = "Give an array as pd.Series(values, index=adata.obs_names)."
    if isinstance(column, (list, tuple)) and all(isinstance(part, str) for part in column):
        remedy = "Join several into one column first: adata.obs['a'].astype(str) + ' ' + adata.obs['b'].astype(str)."
    msg = f"Expected `{name}` to be the name of one column, or a Series by the cells' names; found a {type(column).__name__}. {remedy}"
    raise TypeError(msg)


def group_cells(cells: pd.DataFrame, *, groupby: str | pd.Series, replicate: str | pd.Series | None) -> Groups:
    """Number the cell types, or the pairs of cell type and replicate, of a table of cells.

    A Series, such as a column of another table, is matched by the cells' names. Cells without either are left out, and
    their number is logged. Cell types without cells are none.
    """
    asked = {"groupby": groupby} | ({} if replicate is None else {"replicate": replicate})
    names = [column_name(column, name=name) for name, column in asked.items()]
    check_columns(
        cells.columns, [column for column in asked.values() if isinstance(column, str)], what="a table of cells"
    )
    columns = {
        name: cells[column] if isinstance(column, str) else _by_name(column, cells.index, name=name)
        for name, column in asked.items()
    }
    known = np.all([column.notna() for column in columns.values()], axis=0)
    if not known.all():
        info(f"{(~known).sum()} of {len(known)} cells have no {' or no '.join(map(repr, names))}, left out")
    types = columns["groupby"][known].astype("category").cat.remove_unused_categories().cat
    codes = np.full(len(cells), -1)
    codes[known] = types.codes
    n_cells = np.bincount(codes[known], minlength=len(types.categories)).astype(np.int64)
    if replicate is None:
        return Groups(codes, np.arange(len(types.categories)), types.categories, n_cells)
    return Groups(*_pairs(codes, columns["replicate"].astype(str).to_numpy()), types.categories, n_cells)


def _by_name(values: pd.Series, cells: pd.Index, *, name: str) -> pd.Series:
    """Values of the cells, from a column of another table."""
    n_known = int(cells.isin(values.index).sum())
    if n_known == 0 or not values.index.is_unique:
        msg = (
            f"Expected `{name}` to be indexed by the {len(cells)} cells, each once ({listed(cells, most=2)}); found "
            f"{listed(values.index, most=2)}, {n_known} of them among the cells. Give it the names of the cells."
        )
        raise ValueError(msg)
    return values.reindex(cells)


def _pairs(codes: np.ndarray, replicates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the pairs of cell type and replicate: the pair of each cell (-1 = none), the cell type of each pair."""
    known = codes >= 0
    labels, pairs = pd.factorize(pd.MultiIndex.from_arrays([codes[known], replicates[known]]), sort=True)
    groups = np.full(len(codes), -1)
    groups[known] = labels
    return groups, pairs.get_level_values(0).to_numpy()


def pool(
    matrix: Any,
    groups: np.ndarray,
    *,
    n_groups: int,
    keep: np.ndarray,
    what: str = "accessibility",
    stacklevel: int = 4,
) -> sparse.csr_matrix:
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
    what
        What the values are, for messages.
    stacklevel
        Of the warning about values that are not whole numbers; 4 is the caller of the caller.

    Returns
    -------
    float64 CSR ``(n_groups, kept features)``.
    """
    sums = sparse.csr_matrix((n_groups, int(keep.sum())))
    n_missing = n_fractions = 0
    for start, chunk in _chunks(matrix):
        add = _add_sparse if sparse.issparse(chunk) else _add_dense
        of_cell = groups[start : start + chunk.shape[0]]
        added, missing, fractions = add(chunk, of_cell, n_groups=n_groups, keep=keep, what=what)
        sums = sums + added
        n_missing, n_fractions = n_missing + missing, n_fractions + fractions
    if n_missing:
        info(f"{what}: {n_missing} values are NaN (not measured), left out of the sums")
    if n_fractions:
        warn(
            "Expected raw counts; found values that are not whole numbers. Name the layer with counts, such as `layer='counts'`.",
            stacklevel=stacklevel,
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


def _chunks(matrix: Any) -> Iterator[tuple[int, Any]]:
    """Cut into rows, so that no copy is larger than `CHUNK` of them; a sparse matrix in memory is not copied at all."""
    if sparse.issparse(matrix):
        yield 0, matrix
        return
    for start in range(0, matrix.shape[0], CHUNK):
        chunk = matrix[start : start + CHUNK]
        yield start, chunk.compute() if hasattr(chunk, "compute") else chunk


def _add_sparse(
    matrix: Any, groups: np.ndarray, *, n_groups: int, keep: np.ndarray, what: str
) -> tuple[sparse.csr_matrix, int, int]:
    """Sums of each group, and how many values are missing and no whole numbers."""
    if (known := _KNOWN.get(matrix.dtype)) is not None:
        matrix = matrix.astype(known)
    if matrix.format == "csc":
        sums, faults = _sums_of_columns(matrix, groups, n_groups=n_groups, keep=keep)
    else:
        matrix = matrix.tocsr()  # a CSR stays itself
        sums, faults = _sums_of_rows(matrix, groups, n_groups=n_groups, keep=keep)
    n_missing, n_fractions, n_bad = faults
    if n_bad:
        check_amounts(matrix.tocsr()[groups >= 0][:, keep].data, what=what)  # raises, and says what is wrong
    return sums, n_missing, n_fractions


def _sums_of_rows(
    matrix: sparse.csr_matrix, groups: np.ndarray, *, n_groups: int, keep: np.ndarray
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Group by group, so that one dense row is all that is needed besides the result."""
    wanted = np.zeros(0, dtype=bool) if keep.all() else keep
    order = np.argsort(groups, kind="stable")
    limits = np.searchsorted(groups[order], np.arange(n_groups + 1))
    faults = np.zeros(3, dtype=np.int64)
    rows = []
    for first, last in pairwise(limits):
        sums = np.zeros(matrix.shape[1])
        faults += add_rows(matrix.data, matrix.indices, matrix.indptr, order[first:last], wanted, sums)
        rows.append(sparse.csr_matrix(sums[keep]))
    return sparse.vstack(rows, format="csr"), faults


def _sums_of_columns(
    matrix: sparse.csc_matrix, groups: np.ndarray, *, n_groups: int, keep: np.ndarray
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Some columns at a time, so that little of the result is ever dense."""
    columns, step = np.flatnonzero(keep), max(1, BLOCK // n_groups)
    faults = np.zeros(3, dtype=np.int64)
    blocks = [sparse.csr_matrix((0, n_groups))]
    for start in range(0, len(columns), step):
        some = columns[start : start + step]
        sums = np.zeros((len(some), n_groups))
        faults += add_columns(matrix.data, matrix.indices, matrix.indptr, groups, some, sums)
        blocks.append(sparse.csr_matrix(sums))
    return sparse.vstack(blocks, format="csr").T.tocsr(), faults


def _add_dense(
    values: np.ndarray, groups: np.ndarray, *, n_groups: int, keep: np.ndarray, what: str
) -> tuple[sparse.csr_matrix, int, int]:
    """As `_add_sparse`."""
    values = values if keep.all() else values[:, keep]
    sums = np.zeros((n_groups, values.shape[1]))
    n_missing = n_fractions = 0
    step = max(1, BLOCK // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        to = groups[start : start + step]
        block, to = values[start : start + step][to >= 0], to[to >= 0]
        if not (block.min(initial=0) >= 0 and block.max(initial=0) < np.inf):  # also where there is a NaN
            check_amounts(block, what=what)
            n_missing += int(np.isnan(block).sum())
            block = np.nan_to_num(block, nan=0)
        n_fractions += int((np.rint(block) != block).sum())
        sums += sparse.csr_matrix((np.ones(len(to)), (to, np.arange(len(to)))), shape=(n_groups, len(to))) @ block
    return sparse.csr_matrix(sums), n_missing, n_fractions
