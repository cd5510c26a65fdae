"""What TF activity, of cell types and of cells, is computed from: regions with known bases, and their motif scores."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from mudata import MuData
from scipy import sparse

from genebert import _keys
from genebert._validate import check_literal, listed

__all__ = ["Split", "comparable_regions", "motif_scores", "motif_strength"]

Split = Literal["train"]


def motif_scores(mdata: MuData) -> Any:
    """Return the motif scores, which may lie in a store.

    Raises
    ------
    ValueError
        When a TF's name cannot be that of a column in a file.
    """
    scores = _keys.TF_SCORE.get(mdata)
    names = mdata[_keys.TF].var_names
    bad = names[names.duplicated() | names.str.contains("/", regex=False)]
    if len(bad):
        msg = (
            f"Expected names of TFs that occur once and hold no '/', which HDF5 and zarr read as a path; found "
            f"{listed(bad)}. Rename the motifs and scan again: gb.pp.scan_motifs."
        )
        raise ValueError(msg)
    return scores


def motif_strength(scores: np.ndarray | sparse.spmatrix) -> np.ndarray:
    """Turn scores into what is compared: their positive part, float64, dense.

    A log-odds below 0 is more like the background than like the motif; how much more says nothing about the TF, and
    regions without a window free of N have the lowest that there is. Counts and sums of hits stay as they are. (Between
    halves of the chromosomes of 14 cell types, activities from it correlated more than those from hits at a threshold.)

    Raises
    ------
    ValueError
        When a score is NaN or infinite.
    """
    dense = scores.toarray() if sparse.issparse(scores) else np.asarray(scores)
    strength = np.maximum(dense, 0, dtype=np.float64)
    if not np.isfinite(dense).all():  # of `strength` only half of the infinite ones would be seen
        n_bad = int((~np.isfinite(dense)).sum())
        msg = f"Expected motif scores that are numbers; {n_bad} are NaN or infinite. Run gb.pp.scan_motifs again."
        raise ValueError(msg)
    return strength


def comparable_regions(mdata: MuData, *, split: Split | None) -> tuple[np.ndarray, np.ndarray]:
    """Find the regions of the split whose bases are known.

    Returns
    -------
    bool ``(regions,)``, and the GC of all regions.

    Raises
    ------
    KeyError
        When GC or the split are missing.
    ValueError
        When no region is left.
    """
    gc = np.asarray(_keys.GC.get(mdata), dtype=np.float64)
    mask = np.isfinite(gc)
    if split is not None:
        check_literal(split, Split, name="split", also=("None",))
        if not _keys.REGION_SPLIT.has(mdata):
            msg = (
                f"Expected {_keys.REGION_SPLIT.path}, which is missing. Run gb.pp.split_regions first, so that regions which "
                "are scored later have no part in the activity; or use all regions: split=None."
            )
            raise _keys.MissingSlotError(msg)
        mask &= np.asarray(_keys.REGION_SPLIT.get(mdata) == split)
    if not mask.any():
        which = "regions" if split is None else f"{split} regions"
        msg = f"Expected {which} with known bases; found none. Run gb.pp.add_sequence or gb.pp.split_regions again."
        raise ValueError(msg)
    return mask, gc
