"""Pooled counts to log1p counts per million."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys, _mudata, _store
from genebert._chunks import load_dense, row_chunks
from genebert._logging import info, warn
from genebert._validate import check_range, listed

__all__ = ["normalize_accessibility"]


def normalize_accessibility(mdata: MuData, *, target_sum: float = 1e6, copy: bool = False) -> MuData | None:
    """Scale the counts of each cell type to the same total and take ``log1p``.

    :func:`genebert.io.from_anndata` has done so already; where it averaged over replicates, this takes the average back,
    since it starts from the summed counts.

    Parameters
    ----------
    mdata
        Regions with pooled counts.
    target_sum
        Total of each cell type; 1e6 gives counts per million.
    copy
        Whether to leave `mdata` alone and return a changed copy.

    Returns
    -------
    None, or the copy. Writes ``mdata["atac"].X``, float32 ``(regions, cell types)``, dense. Counts that are NaN (not
    measured) stay NaN and are left out of the total; their number is recorded under
    ``mdata.uns["genebert"]["normalize_accessibility"]``.

    Raises
    ------
    KeyError
        When there are no counts.
    ValueError
        When a count is negative or infinite.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.pp.normalize_accessibility(mdata, target_sum=1e4)
    >>> np.expm1(mdata["atac"].X).sum(axis=0).round()
    array([10000., 10000., 10000., 10000., 10000., 10000.], dtype=float32)
    """
    check_range(target_sum, name="target_sum", low=1)
    counts = _keys.COUNTS.get(mdata)
    cell_types = mdata[_keys.ATAC].var_names
    totals, n_unmeasured = _totals(counts, cell_types)
    empty = cell_types[totals == 0]
    if len(empty):
        warn(f"{len(empty)} cell type(s) have no count at all and stay 0: {listed(empty)}.")

    log_cpm = _store.empty(mdata, counts.shape, np.float32, copy=copy)
    before = _keys.ACCESSIBILITY.get(mdata) if _keys.OPEN.has(mdata) and _keys.ACCESSIBILITY.has(mdata) else None
    is_stale = False
    for rows in row_chunks(mdata.n_obs):
        part = _log_cpm(load_dense(counts, rows), totals, target_sum=target_sum)
        is_stale |= before is not None and not np.allclose(load_dense(before, rows), part, rtol=1e-5, equal_nan=True)
        log_cpm[rows] = part
    if is_stale:
        info(f"{_keys.OPEN.path} is still that of the earlier accessibility. Run gb.pp.binarize again.")

    mdata = _mudata.writable(mdata, copy=copy)
    _keys.ACCESSIBILITY.set(mdata, log_cpm)
    params = {"target_sum": target_sum, "n_unmeasured": n_unmeasured}
    _keys.record(mdata, "normalize_accessibility", _keys.ATAC, params=params)
    return mdata if copy else None


def _totals(counts: Any, cell_types: pd.Index) -> tuple[np.ndarray, int]:
    """Sum the counts of each cell type, float64 ``(cell types,)``, without NaN; and count those.

    Raises
    ------
    ValueError
        When a count is negative or infinite.
    """
    totals, n_unmeasured, n_wrong = np.zeros(len(cell_types)), 0, np.zeros(len(cell_types), dtype=np.int64)
    for rows in row_chunks(counts.shape[0]):
        part = load_dense(counts, rows)
        totals += np.nansum(part, axis=0, dtype=np.float64)
        n_unmeasured += int(np.isnan(part).sum())
        n_wrong += ((part < 0) | np.isinf(part)).sum(axis=0)
    if n_wrong.any():
        msg = (
            f"Expected counts to be finite and at least 0, NaN where not measured; found {n_wrong.sum()} negative or "
            f"infinite ones in cell type(s) {listed(cell_types[n_wrong > 0])}. Give raw counts."
        )
        raise ValueError(msg)
    return totals, n_unmeasured


def _log_cpm(counts: np.ndarray, totals: np.ndarray, *, target_sum: float) -> np.ndarray:
    """log1p of counts scaled to `target_sum` per column, float32; NaN stays."""
    scale = np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0)
    return np.log1p(counts * scale).astype(np.float32)
