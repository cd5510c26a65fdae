"""Which regions are trained on, and which score an epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys

__all__ = ["RegionSplit", "inner_part", "split_regions"]

_INNER_FRACTION = 0.1


@dataclass(frozen=True)
class RegionSplit:
    """Regions of a training run, each as bool ``(regions,)``."""

    train: np.ndarray
    val: np.ndarray


def split_regions(mdata: MuData, *, seed: int) -> RegionSplit:
    """Take train and val of ``region_split``; where there is no val, cut an inner part from train."""
    if not _keys.REGION_SPLIT.has(mdata):
        return inner_part(mdata, np.ones(mdata.n_obs, dtype=bool), seed=seed)
    split = np.asarray(_keys.REGION_SPLIT.get(mdata))
    if (split == "val").any():
        return RegionSplit(split == "train", split == "val")
    return inner_part(mdata, split == "train", seed=seed)


def inner_part(mdata: MuData, train: np.ndarray, *, seed: int) -> RegionSplit:
    """Cut a part from `train`, bool ``(regions,)``: whole chromosomes where there are several, else regions at random."""
    rng = np.random.default_rng(seed)
    group = np.asarray(_keys.CHROM.get(mdata), dtype=object) if _keys.CHROM.has(mdata) else np.arange(mdata.n_obs)
    if len(pd.unique(group[train])) < 2:
        group = np.arange(mdata.n_obs)
    names, count = np.unique(group[train], return_counts=True)
    order = rng.permutation(len(names))
    # The fewest groups that hold the fraction, but never all of them.
    n_inner = min(np.searchsorted(count[order].cumsum(), _INNER_FRACTION * train.sum()) + 1, len(names) - 1)
    inner = np.isin(group, names[order[:n_inner]])
    return RegionSplit(train & ~inner, train & inner)
