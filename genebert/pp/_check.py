"""What is wrong with a data set, before time is spent on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from mudata import MuData
from scipy import sparse

from genebert import _keys
from genebert._dna import N
from genebert._logging import info
from genebert._regions import genomic_order
from genebert._validate import listed
from genebert.pp._overlaps import overlaps

__all__ = ["check"]


class _Finding(NamedTuple):
    check: str
    status: Literal["ok", "warning", "error"]
    count: int
    detail: str


def check(mdata: MuData) -> pd.DataFrame:
    """Look for what goes wrong most often: in coordinates, sequences, matrices, and between splits.

    Parameters
    ----------
    mdata
        Regions; what it does not hold is not checked.

    Returns
    -------
    One row per check: ``check``, ``status`` (ok, warning, error), ``count`` (regions, columns or values concerned) and
    ``detail``. What is not ok is logged, too. Nothing is written.

    Between each two splits that are there, regions of the second are counted whose sequence the first holds as well:
    the same, its reverse complement, or one that shares a stretch of 32 bases (either strand) with it.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> table = gb.pp.check(mdata)
    >>> table.query("status == 'error'").empty
    True
    """
    checks = (_alignment, _coordinates, _sequences, _accessibility, _tf_scores, _labels, _splits)
    table = pd.DataFrame([row for run in checks for row in run(mdata)], columns=list(_keys.CHECK_COLUMNS))
    for row in table[table["status"] != "ok"].itertuples():
        info(f"{row.status}: {row.check}: {row.count} {row.detail}")
    if (table["status"] == "ok").all():
        info(f"{len(table)} checks, all ok.")
    return table


def _finding(name: str, count: int, detail: str, *, bad: Literal["ok", "warning", "error"] = "warning") -> _Finding:
    return _Finding(name, bad if count else "ok", int(count), detail)


def _alignment(mdata: MuData) -> Iterator[_Finding]:
    wrong = [name for name, modality in mdata.mod.items() if not modality.obs_names.equals(mdata.obs_names)]
    yield _finding("alignment", len(wrong), f"modalities with other regions: {listed(wrong) or 'none'}", bad="error")
    n_repeated = int(mdata.obs_names.duplicated().sum())
    yield _finding("region names", n_repeated, "regions whose name is taken by another", bad="error")


def _coordinates(mdata: MuData) -> Iterator[_Finding]:
    slots = (_keys.CHROM, _keys.START, _keys.END)
    if not all(slot.has(mdata) for slot in slots):
        return
    regions = pd.DataFrame(dict(zip(("chrom", "start", "end"), (slot.get(mdata) for slot in slots), strict=True)))
    known = regions.dropna()
    yield _finding("bare sequences", len(regions) - len(known), "regions without coordinates", bad="ok")
    impossible = (known["start"] < 0) | (known["end"] <= known["start"])
    yield _finding("coordinates", impossible.sum(), "regions that start below 0 or end before they start", bad="error")
    yield _finding("duplicates", known.duplicated().sum(), "regions with the coordinates of another")
    order = genomic_order(known["chrom"].astype(str), known["start"], known["end"])
    n_unsorted = int((np.diff(order) < 0).sum())
    yield _finding("order", n_unsorted, "steps back along the genome; windows sort for themselves", bad="ok")
    widths = known["end"] - known["start"]
    detail = f"widths, {widths.min()} to {widths.max()} bp" if len(widths) else "widths"
    yield _finding("widths", widths.nunique(), detail, bad="ok")


def _sequences(mdata: MuData) -> Iterator[_Finding]:
    if not _keys.DNA_CODE.has(mdata):
        return
    is_unknown = np.asarray(_keys.DNA_CODE.get(mdata)) == N
    yield _finding("unknown sequences", is_unknown.all(axis=1).sum(), "sequences are all N")
    n_partly = int((is_unknown.any(axis=1) & ~is_unknown.all(axis=1)).sum())
    yield _finding(
        "unknown bases", n_partly, f"sequences hold an N; {is_unknown.mean():.2%} of all bases are N", bad="ok"
    )


def _accessibility(mdata: MuData) -> Iterator[_Finding]:
    if not _keys.ACCESSIBILITY.has(mdata):
        return
    values = _dense(_keys.ACCESSIBILITY.get(mdata))
    n_missing = int(np.isnan(values).sum())
    yield _finding(
        "accessibility missing", n_missing, f"values are NaN, {n_missing / max(values.size, 1):.2%}", bad="ok"
    )
    wrong = (values < 0) | np.isinf(values)
    yield _finding("accessibility", wrong.sum(), "values are negative or infinite", bad="error")
    if _keys.OPEN.has(mdata):
        n_open = np.asarray(_keys.OPEN.get(mdata).sum(axis=0)).ravel()
        closed = mdata[_keys.ATAC].var_names[n_open == 0]
        yield _finding("open regions", len(closed), f"cell types without an open region: {listed(closed) or 'none'}")


def _tf_scores(mdata: MuData) -> Iterator[_Finding]:
    if not _keys.TF_SCORE.has(mdata):
        return
    scores = _keys.TF_SCORE.get(mdata)
    stored = scores.data if sparse.issparse(scores) else scores
    yield _finding("TF scores", (~np.isfinite(stored)).sum(), "scores are NaN or infinite", bad="error")
    low, high = (np.asarray(_dense(edge)).ravel() for edge in (scores.min(axis=0), scores.max(axis=0)))
    constant = mdata[_keys.TF].var_names[low == high]
    yield _finding("constant TFs", len(constant), f"TFs with one score for all regions: {listed(constant) or 'none'}")


def _labels(mdata: MuData) -> Iterator[_Finding]:
    if not _keys.LABELS.has(mdata):
        return
    labels = pd.DataFrame(_dense(_keys.LABELS.get(mdata)), columns=mdata[_keys.LABEL].var_names)
    n_missing = int(labels.isna().to_numpy().sum())
    yield _finding("labels missing", n_missing, f"labels are NaN, {n_missing / max(labels.size, 1):.2%}", bad="ok")
    single = labels.columns[labels.nunique() < 2]
    yield _finding("labels", len(single), f"experiments with fewer than two classes: {listed(single) or 'none'}")


def _splits(mdata: MuData) -> Iterator[_Finding]:
    if not (_keys.REGION_SPLIT.has(mdata) and _keys.DNA_CODE.has(mdata)):
        return
    for found in overlaps(np.asarray(_keys.DNA_CODE.get(mdata)), _keys.REGION_SPLIT.get(mdata).astype(str).to_numpy()):
        detail = f"regions of {found.second} whose {found.what} {found.first} holds, too"
        yield _finding(f"{found.first} / {found.second}: {found.what}", found.is_shared.sum(), detail)


def _dense(matrix: np.ndarray | sparse.spmatrix) -> np.ndarray:
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
