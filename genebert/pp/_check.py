"""What is wrong with a data set, before time is spent on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from mudata import MuData
from scipy import sparse

from genebert import _keys, _mudata
from genebert._chunks import Progress, load, row_chunks
from genebert._dna import N
from genebert._logging import info
from genebert._regions import genomic_order
from genebert._validate import listed
from genebert.pp._overlaps import Overlap, overlaps

__all__ = ["check"]

_Status = Literal["ok", "warning", "error"]


class _Finding(NamedTuple):
    check: str
    status: _Status
    count: int
    detail: str


def check(mdata: MuData, *, drop_shared: bool = False) -> pd.DataFrame:
    """Look for what goes wrong most often: in coordinates, sequences, matrices, and between splits.

    Between each two splits that are there, regions of the second are counted whose sequence the first holds as well:
    the same, its reverse complement, or one that shares a stretch of 32 bases (on either strand) with it. All are
    compared, exactly. A stretch holds no N, and N at the ends of a sequence is no part of it. Matrices are read chunk by
    chunk; sequences several times.

    Parameters
    ----------
    mdata
        Regions; what it does not hold is not checked.
    drop_shared
        Whether to take regions that share sequence with an earlier split (in the order train, val, test) out of theirs.
        They stay in `mdata`, but belong to no split: nothing is trained or scored on them. Train keeps all of its regions.
        Where this costs too many, split anew with ``gb.pp.split_regions(mdata, by="similarity")``.

    Returns
    -------
    One row per check: ``check``, ``status`` (ok, warning, error), ``count`` (regions, columns or values concerned) and
    ``detail``, with examples of regions that share sequence (``region ~ partner``). What is not ok, or is dropped, is logged, too.

    Nothing is written unless regions are dropped: then ``mdata["seq"].obs["region_split"]`` (category) is missing for
    them, ``mdata.uns["genebert"]["check"]["region_split"]`` counts them per split, and the rows about what they shared
    are ok, with the count of what was found.

    Raises
    ------
    KeyError
        When regions are to be dropped and there are no splits or no sequences.
    ValueError
        When no region would be left in a split.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> table = gb.pp.check(mdata)
    >>> table.query("status == 'error'").empty
    True
    """
    for slot in (_keys.REGION_SPLIT, _keys.DNA_CODE) if drop_shared else ():
        slot.get(mdata)
    shared = _overlaps(mdata)
    kept = _without(_keys.REGION_SPLIT.get(mdata), shared) if drop_shared else None

    checks = (_alignment, _coordinates, _sequences, _accessibility, _tf_scores, _labels)
    findings = [row for run in checks for row in run(mdata)]
    found = [_shared(overlap, mdata.obs_names, is_dropped=drop_shared) for overlap in shared]
    table = pd.DataFrame([*findings, *found], columns=list(_keys.CHECK_COLUMNS))
    for row in table[table["status"] != "ok"].itertuples():
        info(f"{row.status}: {row.check}: {row.count} {row.detail}")
    dropped = [finding for finding in found if drop_shared and finding.count]
    for finding in dropped:
        info(f"shared: {finding.check}: {finding.count} {finding.detail}")
    if (table["status"] == "ok").all():
        info(f"{len(table)} checks, all ok{' but for shared sequence, which is taken out' if dropped else ''}.")
    if kept is not None:
        _drop(mdata, *kept)
    return table


def _finding(name: str, count: int, detail: str, *, bad: _Status = "warning") -> _Finding:
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
    codes = _keys.DNA_CODE.get(mdata)
    n_empty = n_partly = n_unknown = 0
    for part in _parts(codes, "sequences"):
        per_region = (part >= N).sum(axis=1)
        n_empty += (per_region == codes.shape[1]).sum()
        n_partly += ((per_region > 0) & (per_region < codes.shape[1])).sum()
        n_unknown += per_region.sum()
    yield _finding("unknown sequences", n_empty, "sequences are all N")
    share = n_unknown / max(np.prod(codes.shape), 1)
    yield _finding("unknown bases", n_partly, f"sequences hold an N; {share:.2%} of all bases are N", bad="ok")


def _accessibility(mdata: MuData) -> Iterator[_Finding]:
    if not _keys.ACCESSIBILITY.has(mdata):
        return
    accessibility = _keys.ACCESSIBILITY.get(mdata)
    n_missing = n_wrong = 0
    for part in map(_stored, _parts(accessibility, "accessibility")):
        n_missing += np.isnan(part).sum()
        n_wrong += ((part < 0) | np.isinf(part)).sum()
    share = n_missing / max(np.prod(accessibility.shape), 1)
    yield _finding("accessibility missing", n_missing, f"values are NaN, {share:.2%}", bad="ok")
    yield _finding("accessibility", n_wrong, "values are negative or infinite", bad="error")
    if _keys.OPEN.has(mdata):
        n_open = sum(np.asarray(part.sum(axis=0)).ravel() for part in _parts(_keys.OPEN.get(mdata), "open regions"))
        closed = mdata[_keys.ATAC].var_names[n_open == 0]
        yield _finding("open regions", len(closed), f"cell types without an open region: {listed(closed) or 'none'}")


def _tf_scores(mdata: MuData) -> Iterator[_Finding]:
    if not _keys.TF_SCORE.has(mdata):
        return
    scores = _keys.TF_SCORE.get(mdata)
    n_wrong = 0
    low, high = np.full(scores.shape[1], np.inf), np.full(scores.shape[1], -np.inf)
    for part in _parts(scores, "motif scores"):
        n_wrong += (~np.isfinite(_stored(part))).sum()
        low, high = (
            np.minimum(low, _dense(part.min(axis=0)).ravel()),
            np.maximum(high, _dense(part.max(axis=0)).ravel()),
        )
    yield _finding("TF scores", n_wrong, "scores are NaN or infinite", bad="error")
    constant = mdata[_keys.TF].var_names[low == high]
    yield _finding("constant TFs", len(constant), f"TFs with one score for all regions: {listed(constant) or 'none'}")


def _labels(mdata: MuData) -> Iterator[_Finding]:
    if not _keys.LABELS.has(mdata):
        return
    labels = _keys.LABELS.get(mdata)
    n_missing = 0
    low = high = np.full(labels.shape[1], np.nan)
    for part in map(_dense, _parts(labels, "labels")):
        n_missing += np.isnan(part).sum()
        low, high = np.fmin(low, np.fmin.reduce(part, axis=0)), np.fmax(high, np.fmax.reduce(part, axis=0))
    share = n_missing / max(np.prod(labels.shape), 1)
    yield _finding("labels missing", n_missing, f"labels are NaN, {share:.2%}", bad="ok")
    single = mdata[_keys.LABEL].var_names[~(low < high)]
    yield _finding("labels", len(single), f"experiments with fewer than two classes: {listed(single) or 'none'}")


def _overlaps(mdata: MuData) -> list[Overlap]:
    if not (_keys.REGION_SPLIT.has(mdata) and _keys.DNA_CODE.has(mdata)):
        return []
    return list(overlaps(_keys.DNA_CODE.get(mdata), _keys.REGION_SPLIT.get(mdata)))


def _shared(found: Overlap, names: pd.Index, *, is_dropped: bool) -> _Finding:
    detail = f"regions of {found.second} whose {found.what} {found.first} holds, too"
    pairs = [f"{names[region]} ~ {names[partner]}" for region, partner in found.examples]
    if pairs:
        more = " ..." if len(found.regions) > len(pairs) else ""
        detail += f" ({'taken out of the split; ' if is_dropped else ''}{', '.join(pairs)}{more})"
    name = f"{found.first} / {found.second}: {found.what}"
    return _finding(name, len(found.regions), detail, bad="ok" if is_dropped else "warning")


def _without(split: pd.Series, shared: list[Overlap]) -> tuple[pd.Categorical, dict[str, int]]:
    """Make regions that share sequence with an earlier split belong to none, and count them.

    A region of test goes, too, where the region of val that it resembles is itself taken out.
    """
    is_dropped = np.zeros(len(split), dtype=bool)
    for found in shared:
        is_dropped[found.regions] = True
    kept = split.mask(is_dropped)
    n_before, n_after = split.value_counts(), kept.value_counts()
    names = [name for name in n_before.index if n_before[name] > 0]
    empty = [name for name in names if n_after.get(name, 0) == 0]
    if empty:
        msg = (
            f"Expected regions left in each split; all {n_before[empty[0]]} of {empty[0]} share sequence with an earlier "
            'split. Split anew with gb.pp.split_regions(mdata, by="similarity").'
        )
        raise ValueError(msg)
    return pd.Categorical(kept), {str(name): int(n_before[name] - n_after[name]) for name in names}


def _drop(mdata: MuData, split: pd.Categorical, n_dropped: dict[str, int]) -> None:
    mdata = _mudata.writable(mdata, copy=False)
    _keys.REGION_SPLIT.set(mdata, split)
    _keys.record(mdata, "check", _keys.REGION_SPLIT.key, params={"drop_shared": True}, n_dropped=n_dropped)
    info(f"Regions taken out of their split: {', '.join(f'{name} {count}' for name, count in n_dropped.items())}.")


def _parts(matrix: Any, what: str) -> Iterator[np.ndarray | sparse.csr_matrix]:
    """Read a matrix chunk by chunk."""
    progress = Progress(f"checking {what}", matrix.shape[0])
    for rows in row_chunks(matrix.shape[0]):
        part = load(matrix, rows)
        yield part
        progress.update(part.shape[0])


def _stored(matrix: np.ndarray | sparse.spmatrix) -> np.ndarray:
    """Values that are there; zeros that a sparse matrix leaves out are fine."""
    return matrix.data if sparse.issparse(matrix) else matrix


def _dense(matrix: np.ndarray | sparse.spmatrix) -> np.ndarray:
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
