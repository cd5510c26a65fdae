"""Open or closed, for each region in each cell type."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mudata import MuData
from scipy import sparse

from genebert import _keys, _mudata, _store
from genebert._chunks import load_dense, row_chunks
from genebert._logging import info
from genebert._validate import check_range, listed
from genebert.pp._shares import MAX_LOG1P

__all__ = ["binarize"]


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
    cell_types = mdata[_keys.ATAC].var_names
    survey = _survey(accessibility)
    _check_accessibility(survey, cell_types)
    if threshold is None:
        _check_log1p(survey, cell_types)
    thresholds = _default_thresholds(survey) if threshold is None else threshold
    calls, n_open = _store.empty_csr(mdata, len(cell_types), copy=copy), 0
    for rows in row_chunks(mdata.n_obs):
        with np.errstate(invalid="ignore"):
            part = sparse.csr_matrix((load_dense(accessibility, rows) >= thresholds).astype(np.float32))
        calls.append(part)
        n_open += part.nnz
    n_unmeasured = int(mdata.n_obs * len(cell_types) - survey.n_measured.sum())
    info(f"Open: {n_open / max(accessibility.size, 1):.1%} of {mdata.n_obs} regions x {len(cell_types)} cell types"
         + (f"; {n_unmeasured} not measured, taken as closed." if n_unmeasured else "."))  # fmt: skip

    mdata = _mudata.writable(mdata, copy=copy)
    _keys.OPEN.set(mdata, calls.finished())
    params = {"threshold": threshold, "n_unmeasured": n_unmeasured}
    _keys.record(mdata, "binarize", _keys.OPEN.key, params=params)
    return mdata if copy else None


class _Survey(NamedTuple):
    """What is known of each cell type after one pass; arrays ``(cell types,)``."""

    n_wrong: np.ndarray
    """Values that are negative or infinite."""
    highest: np.ndarray
    n_measured: np.ndarray
    n_calls: np.ndarray
    """Values that are 0 or 1."""
    totals: np.ndarray
    """Sum of counts per million, if values are their log1p."""


def _survey(accessibility: Any) -> _Survey:
    survey = _Survey(*(np.zeros(accessibility.shape[1]) for _ in _Survey._fields))
    for rows in row_chunks(accessibility.shape[0]):
        part = load_dense(accessibility, rows)
        is_measured = ~np.isnan(part)
        known = np.where(is_measured, part, 0)
        survey.n_wrong[:] += ((known < 0) | np.isinf(known)).sum(axis=0)
        np.maximum(survey.highest, known.max(axis=0, initial=0), out=survey.highest)
        survey.n_measured[:] += is_measured.sum(axis=0)
        survey.n_calls[:] += (is_measured & np.isin(known, (0, 1))).sum(axis=0)
        with np.errstate(over="ignore"):
            survey.totals[:] += np.expm1(known, dtype=np.float64).sum(axis=0)
    return survey


def _check_accessibility(survey: _Survey, cell_types: pd.Index) -> None:
    if survey.n_wrong.any():
        msg = (
            f"Expected accessibility to be finite and at least 0, NaN where not measured; found {int(survey.n_wrong.sum())} "
            f"negative or infinite values in cell type(s) {listed(cell_types[survey.n_wrong > 0])}. "
            "Run gb.pp.normalize_accessibility on raw counts, or set what was not measured to NaN."
        )
        raise ValueError(msg)


def _check_log1p(survey: _Survey, cell_types: pd.Index) -> None:
    """Refuse what is no log1p: its exponential would be a threshold that nothing reaches."""
    wrong = survey.highest > MAX_LOG1P
    if wrong.any():
        msg = (
            f"Expected log1p of normalised counts in {_keys.ACCESSIBILITY.path}, where `threshold` is None; found values up "
            f"to {survey.highest.max():g} in cell type(s) {listed(cell_types[wrong])}, so X does not look "
            "like log1p. Run gb.pp.normalize_accessibility on raw counts, or give `threshold=` in the units of X."
        )
        raise ValueError(msg)


def _default_thresholds(survey: _Survey) -> np.ndarray:
    """Lowest accessibility of an open region, ``(cell types,)``."""
    if (survey.n_calls == survey.n_measured).all():
        return np.ones(len(survey.totals))
    mean = survey.totals / np.maximum(survey.n_measured, 1)
    return np.maximum(np.log1p(mean), np.finfo(np.float32).tiny)  # nothing is open where nothing was counted
