"""Activity of each TF in each cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from genebert import _keys
from genebert._chunks import Progress, load, row_chunks
from genebert._coordinates import check_anndata, region_names, regions_are_obs
from genebert._logging import info, warn
from genebert._validate import check_key, check_layer, check_literal, check_range, listed
from genebert.pp._comparable import Split, comparable_regions, motif_scores, motif_strength
from genebert.pp._deviations import (
    N_TERMS,
    Background,
    Moments,
    Score,
    cell_moments,
    deviations,
    match_background,
    moments,
)

__all__ = ["cell_tf_activity"]

CELLS = 2**12  # cells computed at once
ROWS = 2**12  # regions computed at once, in float64


def cell_tf_activity(
    adata: AnnData,
    mdata: MuData,
    *,
    split: Split | None = None,
    layer: str | None = None,
    score: Score = "z",
    n_bins: int = 10,
    key_added: str = _keys.CELL_TF_ACTIVITY,
    copy: bool = False,
) -> AnnData | None:
    """Compute how much more accessible a cell is where a TF's motif is, among regions of the same kind.

    As `genebert.pp.tf_activity`, with cells for cell types: the deviation scores of chromVAR (Schep et al. 2017) with the
    random background regions made exact. The share of a region in the accessibility of all cells together stands
    for the mean share. Nothing of the size cells x peaks is made dense.

    Parameters
    ----------
    adata
        Cells x peaks, sparse or dense, also in backed mode. Peaks are matched to the regions by coordinates; those that
        are no region, and genes beside them, do not count. Regions without a count in any of the given cells are left out,
        so a subset of cells may rest on fewer regions.
    mdata
        Regions with motif scores and GC.
    split
        None: all regions, to look at cells. ``"train"``: train regions only, for what a model is to see.
    layer
        Layer of `adata` with the accessibility; None for ``adata.X``. Give counts, of fragments or of insertions, or
        calls (0/1).
    score
        ``"z"``, standard deviations from matched regions, or ``"correlation"``, which is small in cells with few
        fragments.
    n_bins
        Most groups by GC, and by mean accessibility within each; fewer where strata would hold less than about 50
        regions. 1 = one stratum, and GC and accessibility are taken off by the regression alone.
    key_added
        Name in ``adata.obsm``.
    copy
        Whether to leave `adata` alone and return a changed copy.

    Returns
    -------
    None, or the copy. Writes

    - ``adata.obsm[key_added]``: float32 DataFrame (cells, TFs); NaN for a cell without an accessible region, 0 for a TF
      whose scores do not differ between the regions of any stratum.
    - ``adata.uns["genebert"]["cell_tf_activity"][key_added]``: parameters, numbers of regions and strata.

    Raises
    ------
    KeyError
        When motif scores, GC or the split are missing.
    TypeError
        When `adata` is no AnnData.
    ValueError
        When regions are its observations, there is no such layer, no peak is a region, or an accessibility is negative,
        infinite or NaN.

    Examples
    --------
    >>> import anndata as ad
    >>> mdata = gb.datasets.toy()
    >>> cells = ad.AnnData(mdata["atac"].layers["counts"].T.tocsr(), var=mdata["seq"].obs[[]])
    >>> cells.obs_names = mdata["atac"].var_names
    >>> gb.pp.cell_tf_activity(cells, mdata)
    >>> cells.obsm["tf_activity"].loc["B cell", ["IRF4", "NFE2"]].round().tolist()
    [9.0, -7.0]
    """
    check_literal(score, Score, name="score")
    check_range(n_bins, name="n_bins", low=1, integer=True)
    check_key(key_added)
    scores, matrix = motif_scores(mdata), _accessibility(adata, layer)
    mask, gc = comparable_regions(mdata, split=split)
    used = _matched(adata, mdata, mask)
    totals, by_region = _totals(matrix, used.peaks)
    used = used.subset(by_region > 0)
    background = match_background(gc[used.regions], by_region[by_region > 0] / by_region.sum(), n_bins=n_bins)
    activity = _activity(scores, matrix, used, (totals, background), score=score)
    n_empty = int((totals == 0).sum())
    if n_empty:
        warn(f"{n_empty} of {adata.n_obs} cells have no accessible region and get NaN. Filter them out first.")
    info(
        f"TF activity: {adata.n_obs} cells x {scores.shape[1]} TFs from {len(used.regions)} regions in "
        f"{background.n_strata} strata of GC and accessibility."
    )

    adata = adata.copy() if copy else adata
    adata.obsm[key_added] = pd.DataFrame(activity, index=adata.obs_names, columns=mdata[_keys.TF].var_names)
    params = {"split": split, "layer": layer, "score": score, "n_bins": n_bins}
    counts = {"n_regions": len(used.regions), "n_strata": background.n_strata, "n_empty": n_empty}
    _keys.record(adata, "cell_tf_activity", key_added, params=params | counts)
    return adata if copy else None


class _Used(NamedTuple):
    """Peaks that are regions, in the order of the regions."""

    peaks: np.ndarray
    regions: np.ndarray

    def subset(self, which: np.ndarray) -> _Used:
        return _Used(self.peaks[which], self.regions[which])


def _accessibility(adata: AnnData, layer: str | None) -> Any:
    check_anndata(adata)
    check_layer(layer, adata.layers)
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None or 0 in adata.shape:
        found = "none" if matrix is None else f"{adata.n_obs} x {adata.n_vars}"
        msg = f"Expected accessibility of cells x peaks in `adata`; found {found}. Name a layer: {listed(adata.layers, most=20)}."
        raise ValueError(msg)
    return matrix


def _matched(adata: AnnData, mdata: MuData, mask: np.ndarray) -> _Used:
    if regions_are_obs(adata):
        msg = "Expected cells x peaks; found regions as observations of `adata`. Give adata.T.copy()."
        raise ValueError(msg)
    names = region_names(adata.var)
    rows = mdata.obs_names.get_indexer(names)
    n_matched = int((rows >= 0).sum())
    peaks = np.flatnonzero((rows >= 0) & mask[rows])
    if not len(peaks):
        which = "of the split" if n_matched else f"of `mdata`, such as {listed(mdata.obs_names, most=2)}"
        msg = (
            f"Expected peaks that are regions {which}; none of {len(names)} is: {listed(names, most=3)}. Give the AnnData "
            "that `mdata` was made from."
        )
        raise ValueError(msg)
    if n_matched < len(names):
        info(f"{n_matched} of {len(names)} peaks are among the {mdata.n_obs} regions; the others do not count")
    peaks = peaks[np.argsort(rows[peaks])]
    return _Used(peaks, rows[peaks])


def _cells(matrix: Any, peaks: np.ndarray) -> Iterator[tuple[slice, sparse.csr_matrix]]:
    """Yield cells x peaks, some cells at once."""
    for cells in row_chunks(matrix.shape[0], step=CELLS):
        yield cells, sparse.csr_matrix(load(matrix, cells))[:, peaks]


def _totals(matrix: Any, peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum over peaks ``(cells,)`` and over cells ``(peaks,)``."""
    totals, by_region = np.zeros(matrix.shape[0]), np.zeros(len(peaks))
    for cells, part in _cells(matrix, peaks):
        if not (part.data.min(initial=0) >= 0 and part.data.max(initial=0) < np.inf):  # also where there is a NaN
            msg = "Expected accessibilities that are finite and not negative; found others. Give raw counts, e.g. `layer='counts'`."
            raise ValueError(msg)
        totals[cells] = np.asarray(part.sum(axis=1, dtype=np.float64)).ravel()
        by_region += np.asarray(part.sum(axis=0, dtype=np.float64)).ravel()
    if not by_region.any():
        msg = "Expected cells with accessible regions; found none. Name the layer with counts: `layer='counts'`."
        raise ValueError(msg)
    return totals, by_region


def _blocks(scores: Any, regions: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the strength of motifs in some of the regions at once, and which of them these are."""
    for rows in row_chunks(scores.shape[0]):
        first, last = np.searchsorted(regions, [rows.start, rows.stop])
        if first < last:
            yield slice(first, last), load(scores, rows)[regions[first:last] - rows.start]


def _activity(
    scores: Any, matrix: Any, used: _Used, known: tuple[np.ndarray, Background], *, score: Score
) -> np.ndarray:
    """Pass over the regions for the motifs, and over cells and regions for both. float32 ``(cells, TFs)``."""
    totals, background = known
    motifs, design = _motif_moments(scores, used.regions, background), background.design()
    # Less their mean, products are small: in 32 bits, they are what is left of large sums where there are many fragments.
    mean = motifs.total[::N_TERMS].sum(axis=0) / len(used.regions)
    activity = np.full((len(totals), scores.shape[1]), np.nan, dtype=np.float32)
    progress = Progress("TF activity", len(totals), unit="cells")
    for cells, part in _cells(matrix, used.peaks):
        filled = totals[cells] > 0
        scale = sparse.diags_array((1 / totals[cells][filled]).astype(np.float32))
        shares = (scale @ part[filled].astype(np.float32, copy=False)).tocsc()
        products = np.zeros((shares.shape[0], scores.shape[1]))
        for rows, block in _blocks(scores, used.regions):
            strength = motif_strength(block)
            strength -= mean
            products += shares[:, rows] @ strength.astype(np.float32)
        of_cells = cell_moments(shares, design)
        products += np.outer(of_cells.total[::N_TERMS].sum(axis=0), mean)  # SciPy would sum shares in 32 bits
        found = deviations(motifs, of_cells, products, score=score)
        activity[np.flatnonzero(filled) + cells.start] = found
        progress.update(cells.stop - cells.start)
    return activity


def _motif_moments(scores: Any, regions: np.ndarray, background: Background) -> Moments:
    found = moments(np.zeros((0, scores.shape[1])), background.design(slice(0)))
    for rows, block in _blocks(scores, regions):
        for part in row_chunks(block.shape[0], step=ROWS):
            place = slice(rows.start + part.start, rows.start + part.stop)
            found = found.plus(moments(motif_strength(block[part]), background.design(place)))
    return found
