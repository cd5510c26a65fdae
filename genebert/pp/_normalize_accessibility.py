"""Pooled counts to log1p counts per million."""

from __future__ import annotations

import numpy as np
import pandas as pd
from mudata import MuData
from scipy import sparse

from genebert import _keys, _mudata
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
    counts = _dense(_keys.COUNTS.get(mdata))
    cell_types = mdata[_keys.ATAC].var_names
    _check_counts(counts, cell_types)
    log_cpm, n_unmeasured = _log_cpm(counts, target_sum=target_sum), int(np.isnan(counts).sum())
    empty = cell_types[np.nansum(counts, axis=0) == 0]
    if len(empty):
        warn(f"{len(empty)} cell type(s) have no count at all and stay 0: {listed(empty)}.")

    _report_stale(mdata, log_cpm)
    mdata = _mudata.writable(mdata, copy=copy)
    _keys.ACCESSIBILITY.set(mdata, log_cpm)
    params = {"target_sum": target_sum, "n_unmeasured": n_unmeasured}
    _keys.record(mdata, "normalize_accessibility", _keys.ATAC, params=params)
    return mdata if copy else None


def _report_stale(mdata: MuData, log_cpm: np.ndarray) -> None:
    """Say that calls are those of the accessibility before, where that was another."""
    if not (_keys.OPEN.has(mdata) and _keys.ACCESSIBILITY.has(mdata)):
        return
    if not np.allclose(_dense(_keys.ACCESSIBILITY.get(mdata)), log_cpm, rtol=1e-5, equal_nan=True):
        info(f"{_keys.OPEN.path} is still that of the earlier accessibility. Run gb.pp.binarize again.")


def _dense(matrix: np.ndarray | sparse.spmatrix) -> np.ndarray:
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def _check_counts(counts: np.ndarray, cell_types: pd.Index) -> None:
    wrong = (counts < 0) | np.isinf(counts)
    if wrong.any():
        msg = (
            f"Expected counts to be finite and at least 0, NaN where not measured; found {int(wrong.sum())} negative or "
            f"infinite ones in cell type(s) {listed(cell_types[wrong.any(axis=0)])}. Give raw counts."
        )
        raise ValueError(msg)


def _log_cpm(counts: np.ndarray, *, target_sum: float) -> np.ndarray:
    """log1p of counts scaled to `target_sum` per column, float32; NaN stays."""
    totals = np.nansum(counts, axis=0, dtype=np.float64)
    scale = np.divide(target_sum, totals, out=np.zeros_like(totals), where=totals > 0)
    return np.log1p(counts * scale).astype(np.float32)
