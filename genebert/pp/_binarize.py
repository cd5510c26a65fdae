"""Open or closed, for each region in each cell type."""

from __future__ import annotations

import numpy as np
import pandas as pd
from mudata import MuData
from scipy import sparse

from genebert import _keys, _mudata
from genebert._logging import info
from genebert._validate import check_range, listed

__all__ = ["binarize"]

MAX_LOG1P = 30.0  # log1p of counts per million ends at 13.8; e**30 is more than anybody counts


def binarize(mdata: MuData, *, threshold: float | None = None, copy: bool = False) -> MuData | None:
    """Call regions open where their accessibility reaches a threshold.

    Parameters
    ----------
    mdata
        Regions with accessibility.
    threshold
        Lowest accessibility of an open region, in the units of ``mdata["atac"].X``. None for the default: where only
        calls (0 and 1) are known they stay as they are; else values are taken for log1p, and a region is open in a cell
        type when it has at least the mean of the counts per million of that cell type's measured regions, its even
        share of the reads.
    copy
        Whether to leave `mdata` alone and return a changed copy.

    Returns
    -------
    None, or the copy. Writes ``mdata["atac"].layers["open"]``, float32 CSR ``(regions, cell types)``, 1 where open.
    Where accessibility is NaN (not measured) a region counts as closed; the number of those is recorded under
    ``mdata.uns["genebert"]["binarize"]``.

    Raises
    ------
    KeyError
        When there is no accessibility.
    ValueError
        When an accessibility is negative or infinite, or too high for a log1p and there is no `threshold`.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.pp.binarize(mdata, threshold=9.0)
    >>> set(mdata["atac"].layers["open"].data.tolist())
    {1.0}
    """
    if threshold is not None:
        check_range(threshold, name="threshold")
    accessibility = _keys.ACCESSIBILITY.get(mdata)
    accessibility = accessibility.toarray() if sparse.issparse(accessibility) else np.asarray(accessibility)
    _check_accessibility(accessibility, mdata[_keys.ATAC].var_names)
    if threshold is None:
        _check_log1p(accessibility, mdata[_keys.ATAC].var_names)
    thresholds = _default_thresholds(accessibility) if threshold is None else threshold
    with np.errstate(invalid="ignore"):
        is_open = sparse.csr_matrix((accessibility >= thresholds).astype(np.float32))
    n_unmeasured = int(np.isnan(accessibility).sum())
    info(f"Open: {is_open.mean():.1%} of {is_open.shape[0]} regions x {is_open.shape[1]} cell types"
         + (f"; {n_unmeasured} not measured, taken as closed." if n_unmeasured else "."))  # fmt: skip

    mdata = _mudata.writable(mdata, copy=copy)
    _keys.OPEN.set(mdata, is_open)
    params = {"threshold": threshold, "n_unmeasured": n_unmeasured}
    _keys.record(mdata, "binarize", _keys.OPEN.key, params=params)
    return mdata if copy else None


def _check_accessibility(accessibility: np.ndarray, cell_types: pd.Index) -> None:
    wrong = (accessibility < 0) | np.isinf(accessibility)
    if wrong.any():
        msg = (
            f"Expected accessibility to be finite and at least 0, NaN where not measured; found {int(wrong.sum())} negative "
            f"or infinite values in cell type(s) {listed(cell_types[wrong.any(axis=0)])}. "
            "Run gb.pp.normalize_accessibility on raw counts, or set what was not measured to NaN."
        )
        raise ValueError(msg)


def _check_log1p(accessibility: np.ndarray, cell_types: pd.Index) -> None:
    """Refuse what is no log1p: its exponential would be a threshold that nothing reaches."""
    wrong = accessibility > MAX_LOG1P
    if wrong.any():
        msg = (
            f"Expected log1p of normalised counts in {_keys.ACCESSIBILITY.path}, where `threshold` is None; found values up "
            f"to {accessibility[wrong].max():g} in cell type(s) {listed(cell_types[wrong.any(axis=0)])}, so X does not look "
            "like log1p. Run gb.pp.normalize_accessibility on raw counts, or give `threshold=` in the units of X."
        )
        raise ValueError(msg)


def _default_thresholds(accessibility: np.ndarray) -> np.ndarray:
    """Lowest accessibility of an open region, ``(cell types,)``."""
    if np.isin(accessibility, (0, 1)).sum() + np.isnan(accessibility).sum() == accessibility.size:
        return np.ones(accessibility.shape[1])
    measured = ~np.isnan(accessibility)
    totals = np.expm1(np.where(measured, accessibility, 0), dtype=np.float64).sum(axis=0)
    mean = totals / np.maximum(measured.sum(axis=0), 1)
    return np.maximum(np.log1p(mean), np.finfo(np.float32).tiny)  # nothing is open where nothing was counted
