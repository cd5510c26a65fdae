"""Activity of each TF in each cell type, from the accessibility of the regions with its motif."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys, _mudata
from genebert._chunks import Progress, load, row_chunks
from genebert._logging import info, warn
from genebert._validate import check_layer, check_literal, check_range, listed
from genebert.pp._comparable import Split, comparable_regions, motif_scores, motif_strength
from genebert.pp._deviations import Background, Score, Sums, match_background
from genebert.pp._shares import Shares, survey

__all__ = ["region_activity", "tf_activity"]

FEW_REGIONS = 100
ROWS = 2**12  # regions computed at once, in float64; more of them are read at once


def tf_activity(
    mdata: MuData,
    *,
    split: Split | None = "train",
    layer: str | None = None,
    score: Score = "correlation",
    n_bins: int = 10,
    copy: bool = False,
) -> MuData | None:
    r"""Compute how much more accessible a cell type is where a TF's motif is, among regions of the same kind.

    Let :math:`y_{rc}` be the share of cell type :math:`c`'s accessibility that lies in region :math:`r`, and :math:`m_{rt}`
    the motif score of TF :math:`t`, 0 where it is negative. Regions are put into strata of the same GC and, within it, of
    the same mean share over cell types. With :math:`\tilde y` and :math:`\tilde m` for what is left of both after a
    regression on GC and mean share within each stratum, the activity is

    .. math::

        \frac{\sum_r \tilde m_{rt} \tilde y_{rc}}{\sqrt{\sum_r \tilde m_{rt}^2 \; \sum_r \tilde y_{rc}^2}},

    a partial correlation, which does not grow with the number of regions. ``score="z"`` divides by the standard deviation
    that the numerator has when regions are permuted within strata instead. That is the deviation score of chromVAR (Schep
    et al. 2017), whose random background regions are a sample of what is computed here, and grows with the root of the
    number of regions.

    Parameters
    ----------
    mdata
        Regions with motif scores, accessibility and GC.
    split
        ``"train"``: computed on train regions only, so that it may be the input when accessibility or binding in other
        regions is predicted. None: on all regions; not for such use.
    layer
        Layer of ``mdata["atac"]`` to use as it is; None for ``X``, calls (0/1) as they are and anything else taken back
        from log1p, so that replicates weigh what they weigh there.
    score
        ``"correlation"`` or ``"z"``.
    n_bins
        Most groups by GC, and by mean accessibility within each; fewer where strata would hold less than about 50
        regions. 1 = one stratum, and GC and accessibility are taken off by the regression alone.
    copy
        Whether to leave `mdata` alone and return a changed copy.

    Returns
    -------
    None, or the copy. Writes

    - ``mdata["atac"].varm["tf_activity"]``: float32 DataFrame (cell types, TFs). 0 for a TF whose scores do not differ
      between the regions of any stratum; NaN for a cell type without any accessible region.
    - ``mdata["seq"].obs["in_tf_activity"]``: bool, the regions that it was computed on. Those without known bases or
      without any measured accessibility are left out.
    - ``mdata.uns["genebert"]["tf_activity"]["tf_activity"]``: parameters, chromosomes, numbers of regions and strata.

    Accessibility that is NaN (not measured) is left out for that cell type.

    Raises
    ------
    KeyError
        When motif scores, accessibility, GC or the split are missing.
    ValueError
        When an argument is out of range, accessibility is negative, infinite or no log1p, a motif score is NaN, no
        region is left, or fewer than two cell types have accessible regions.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.pp.tf_activity(mdata)
    >>> mdata["atac"].varm["tf_activity"][["IRF4", "NFE2"]].round(1)
                    IRF4  NFE2
    B cell           0.4  -0.3
    Dendritic cell   0.6  -0.1
    Monocyte        -0.2  -0.3
    Erythroid cell  -0.3   0.4
    Megakaryocyte   -0.2   0.5
    Progenitor      -0.4  -0.3
    """
    check_literal(score, Score, name="score")
    check_range(n_bins, name="n_bins", low=1, integer=True)
    scores = motif_scores(mdata)
    matrix = _accessibility(mdata, layer)
    cell_types, tfs = mdata[_keys.ATAC].var_names, mdata[_keys.TF].var_names
    mask, gc = comparable_regions(mdata, split=split)
    is_log1p = None if layer is None else False
    activity, mask, (shares, background) = region_activity(
        scores, matrix, mask, gc=gc, is_log1p=is_log1p, score=score, n_bins=n_bins
    )
    _report(mask, background, shares, cell_types=cell_types, n_tfs=len(tfs))

    mdata = _mudata.writable(mdata, copy=copy)
    _keys.TF_ACTIVITY.set(mdata, pd.DataFrame(activity, index=cell_types, columns=tfs))
    _keys.IN_TF_ACTIVITY.set(mdata, mask)
    params = {"split": split, "layer": layer, "score": score, "n_bins": n_bins}
    counts = {"n_regions": int(mask.sum()), "n_strata": background.n_strata, "n_unmeasured": shares.n_unmeasured}
    found = {"chromosomes": _chromosomes(mdata, mask), "is_log1p": shares.is_log1p}
    _keys.record(mdata, "tf_activity", _keys.TF_ACTIVITY.key, params=params | counts | found)
    return mdata if copy else None


def _accessibility(mdata: MuData, layer: str | None) -> Any:
    matrix = _keys.ACCESSIBILITY.get(mdata)
    layers = mdata[_keys.ATAC].layers
    check_layer(layer, layers)
    return matrix if layer is None else layers[layer]


def region_activity(
    scores: Any,
    matrix: Any,
    mask: np.ndarray,
    *,
    gc: np.ndarray,
    is_log1p: bool | None = None,
    score: Score = "correlation",
    n_bins: int = 10,
) -> tuple[np.ndarray, np.ndarray, tuple[Shares, Background]]:
    """Compute activity from matrices.

    Parameters
    ----------
    scores, matrix
        Motif scores ``(regions, TFs)`` and accessibility ``(regions, cell types)``.
    mask
        Regions to use, bool ``(regions,)``.
    gc
        Of each region.
    is_log1p, score, n_bins
        See `survey` and `tf_activity`.

    Returns
    -------
    float32 ``(cell types, TFs)``; the regions used, bool ``(regions,)``; and what they were compared with.
    """
    shares = survey(matrix, mask, is_log1p=is_log1p)
    mask = mask & np.isfinite(shares.mean)
    background = match_background(gc[mask], shares.mean[mask], n_bins=n_bins)
    return _activity(scores, matrix, mask, (shares, background), score=score), mask, (shares, background)


def _activity(
    scores: Any, matrix: Any, mask: np.ndarray, known: tuple[Shares, Background], *, score: Score
) -> np.ndarray:
    """Pass over the regions once and compare. float32 ``(cell types, TFs)``."""
    shares, background = known
    # Cell types measured in the same regions share what is summed of the motifs.
    patterns = [np.flatnonzero(shares.pattern == pattern) for pattern in np.unique(shares.pattern)]
    sums = [Sums(background, n_tfs=scores.shape[1], n_cell_types=len(columns)) for columns in patterns]
    progress, n_done = Progress("TF activity", len(mask)), 0
    for rows in row_chunks(len(mask)):
        if (inside := mask[rows]).any():
            motifs, found = load(scores, rows)[inside], shares.read(matrix, mask, rows)
            for part in row_chunks(len(found), step=ROWS):
                strength, place = motif_strength(motifs[part]), n_done + np.arange(len(found))[part]
                for columns, total in zip(patterns, sums, strict=True):
                    total.add(strength, found[part, columns], place)
            n_done += len(found)
        progress.update(len(inside))
    activity = np.empty((len(shares.total), scores.shape[1]), dtype=np.float32)
    for columns, total in zip(patterns, sums, strict=True):
        activity[columns] = total.deviations(score)
    activity[shares.total == 0] = np.nan
    return activity


def _chromosomes(mdata: MuData, mask: np.ndarray) -> list[str] | None:
    """Those of the regions used; None for bare sequences."""
    if not _keys.CHROM.has(mdata):
        return None
    return sorted(_keys.CHROM.get(mdata)[mask].dropna().astype(str).unique()) or None


def _report(mask: np.ndarray, background: Background, shares: Shares, *, cell_types: pd.Index, n_tfs: int) -> None:
    empty = cell_types[shares.total == 0]
    if len(empty):
        warn(f"{len(empty)} cell type(s) have no accessible region and get NaN: {listed(empty)}.")
    if mask.sum() < FEW_REGIONS:
        warn(f"TF activity from {mask.sum()} regions is mostly noise; {FEW_REGIONS} open ones per cell type are few.")
    unmeasured = f"; {shares.n_unmeasured} values not measured, left out" if shares.n_unmeasured else ""
    info(
        f"TF activity: {len(cell_types)} cell types x {n_tfs} TFs from {mask.sum()} of {len(mask)} regions in "
        f"{background.n_strata} strata of GC and accessibility{unmeasured}."
    )
