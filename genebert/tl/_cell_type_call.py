"""What verbs on unseen cell types check of a call before they read anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mudata import MuData

from genebert import _keys, _mudata
from genebert._chunks import load_dense, row_chunks
from genebert._logging import warn
from genebert._validate import check_cell_type, check_key, check_literal, check_names, check_range, check_seed, listed
from genebert.tl._cell_type_data import LEAST_REGIONS
from genebert.tl._cell_type_fit import Known
from genebert.tl._cell_type_scores import TargetKind
from genebert.tl._leak_guard import check_tf_weight

__all__ = ["check_call", "measured_train_rows", "named_types"]

MANY_LEFT_OUT = 0.1  # of the train regions: from more on it is told


def check_call(
    mdata: MuData, *, target: str, known: str, tf_weight: str, kind: str, max_regions: int, seed: int, key_added: str
) -> None:
    """Raise unless `mdata` is a MuData and each of these is what it may be."""
    _mudata.check_mudata(mdata)
    check_tf_weight(tf_weight, target)
    check_literal(known, Known, name="known")
    check_literal(kind, TargetKind, name="kind")
    check_range(max_regions, name="max_regions", low=LEAST_REGIONS, integer=True)
    check_seed(seed)
    check_key(key_added, reserved=mdata.mod)


def named_types(mdata: MuData, names: str | Sequence[str] | None, *, name: str) -> list[str]:
    """Check that cell types have accessibility, and take each once; None: all that have.

    Parameters
    ----------
    names
        What the argument `name` holds.
    """
    check_names(names, name=name)
    _keys.ACCESSIBILITY.get(mdata)
    there = [str(cell_type) for cell_type in mdata[_keys.ATAC].var_names]
    asked = there if names is None else [names] if isinstance(names, str) else list(dict.fromkeys(map(str, names)))
    for cell_type in asked:
        check_cell_type(cell_type, there, name=name)
    return asked


def measured_train_rows(mdata: MuData, names: Sequence[str]) -> np.ndarray:
    """Rows of train regions, of all regions without a split, in which each of these cell types was measured; warn where many are not.

    Raises
    ------
    ValueError
        When they are too few to learn from.
    """
    is_train = np.ones(mdata.n_obs, dtype=bool)
    if _keys.REGION_SPLIT.has(mdata):
        is_train = np.asarray(_keys.REGION_SPLIT.get(mdata) == "train")
    columns = mdata[_keys.ATAC].var_names.get_indexer(list(names))
    is_whole, n_gaps = is_train.copy(), np.zeros(len(names), dtype=np.int64)
    for rows in row_chunks(mdata.n_obs):
        gaps = np.isnan(load_dense(_keys.ACCESSIBILITY.get(mdata), rows)[:, columns])
        is_whole[rows] &= ~gaps.any(axis=1)
        n_gaps += gaps[is_train[rows]].sum(axis=0)
    n_train, n_whole = int(is_train.sum()), int(is_whole.sum())
    if n_whole < LEAST_REGIONS:
        msg = f"Expected at least {LEAST_REGIONS} train regions in which {listed(names)} were measured; found {n_whole}.{_gaps(names, n_gaps)}"
        raise ValueError(msg)
    if n_train - n_whole > MANY_LEFT_OUT * n_train:
        warn(
            f"{n_train - n_whole:,} of {n_train:,} train regions are left out, since not all training types were measured "
            f"there.{_gaps(names, n_gaps)}",
            stacklevel=5,
        )
    return np.flatnonzero(is_whole)


def _gaps(names: Sequence[str], n_gaps: np.ndarray) -> str:
    """Say which cell types have the most gaps, and what to do; nothing where there are none."""
    worst = [f"{names[i]} ({n_gaps[i]:,})" for i in np.argsort(-n_gaps, kind="stable")[:3] if n_gaps[i]]
    return f" Most gaps: {listed(worst)}. Leave such types out: train_cell_types=[...]." if worst else ""
