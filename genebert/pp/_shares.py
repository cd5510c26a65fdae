"""Which share of each cell type's accessibility lies in each region, read chunk by chunk."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from genebert import _keys
from genebert._chunks import load_dense, row_chunks
from genebert._validate import check_amounts

__all__ = ["MAX_LOG1P", "Shares", "survey"]

MAX_LOG1P = 30.0
"""Higher values are no log1p: that of counts per million ends at 13.8; e**30 is more than anybody counts."""


class Shares(NamedTuple):
    """What two passes over the accessibility tell."""

    is_log1p: bool
    """Whether shares are those of the exponential."""
    total: np.ndarray
    """Sum of each cell type. ``(cell types,)``"""
    mean: np.ndarray
    """Mean share of each region over the cell types; NaN where it is not used or not measured. ``(regions,)``"""
    pattern: np.ndarray
    """Equal for cell types measured in the same regions. ``(cell types,)``"""
    n_unmeasured: int

    def read(self, matrix: Any, mask: np.ndarray, rows: slice) -> np.ndarray:
        """Shares of the regions in `rows` and `mask`; NaN where not measured. ``(regions, cell types)``."""
        values = _read(matrix, mask, rows)
        # Of a cell type without any accessibility no share is known.
        return (np.expm1(values) if self.is_log1p else values) / np.where(self.total > 0, self.total, np.nan)


def survey(matrix: Any, mask: np.ndarray, *, is_log1p: bool | None) -> Shares:
    """Pass over accessibility twice.

    Parameters
    ----------
    matrix
        ``(regions, cell types)``: array, sparse matrix, or one in a store.
    mask
        Regions to use. bool ``(regions,)``
    is_log1p
        Whether values are log1p; None to take calls (0/1) as they are, and anything else for log1p.

    Raises
    ------
    ValueError
        When a value is negative, infinite or too high for a log1p, or fewer than two cell types have any accessibility.
    """
    chunks = [rows for rows in row_chunks(len(mask)) if mask[rows].any()]
    plain, counts = np.zeros((2, matrix.shape[1]))
    highest, is_whole, n_unmeasured = 0.0, True, 0
    for rows in chunks:
        values = _read(matrix, mask, rows)
        check_amounts(values, what="accessibility", remedy="Run gb.pp.normalize_accessibility on raw counts.")
        n_unmeasured += int(np.isnan(values).sum())
        values = np.nan_to_num(values)
        highest = max(highest, values.max(initial=0))
        is_whole = is_whole and bool((values % 1 == 0).all())
        plain += values.sum(axis=0)
        with np.errstate(over="ignore"):
            counts += np.expm1(values).sum(axis=0)
    is_log1p = not (is_whole and highest <= 1) if is_log1p is None else is_log1p
    if is_log1p and (is_whole or highest > MAX_LOG1P):
        found = "whole numbers" if is_whole else "values"
        msg = (
            f"Expected log1p of normalised counts, or calls, in {_keys.ACCESSIBILITY.path}; found {found} up to {highest:g}. "
            "Run gb.pp.normalize_accessibility on raw counts, or name the layer to use as it is: layer=..."
        )
        raise ValueError(msg)
    total = counts if is_log1p else plain
    if (total > 0).sum() < 2:
        msg = (
            f"Expected two or more cell types with accessible regions, to compare them; found {(total > 0).sum()} of "
            f"{len(total)}. Use more regions or more cell types."
        )
        raise ValueError(msg)
    return _compared(matrix, mask, chunks, Shares(is_log1p, total, np.full(len(mask), np.nan), total, n_unmeasured))


def _compared(matrix: Any, mask: np.ndarray, chunks: list[slice], shares: Shares) -> Shares:
    """Fill in mean shares, and which cell types were measured in the same regions."""
    both = np.zeros((len(shares.total),) * 2)
    for rows in chunks:
        found = shares.read(matrix, mask, rows)
        measured = (~np.isnan(found)).astype(np.float64)
        n_measured = measured.sum(axis=1)
        shares.mean[rows][mask[rows]] = np.nansum(found, axis=1) / np.where(n_measured > 0, n_measured, np.nan)
        both += measured.T @ measured
    alone = np.diag(both)
    is_same = (both == alone) & (both == alone[:, None])  # as many regions in common as either has
    return shares._replace(pattern=is_same.argmax(axis=0))


def _read(matrix: Any, mask: np.ndarray, rows: slice) -> np.ndarray:
    return load_dense(matrix, rows)[mask[rows]].astype(np.float64)
