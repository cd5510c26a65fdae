"""How a cell type weighs the matrix."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from genebert import _keys
from genebert._chunks import load_dense
from genebert._validate import check_cell_type

__all__ = ["TFWeight", "cell_type_weight", "context_weight"]

TFWeight = Literal["none", "accessibility", "open", "activity", "expression"]

_SLOTS = {
    "accessibility": _keys.ACCESSIBILITY,
    "open": _keys.OPEN,
    "activity": _keys.TF_ACTIVITY,
    "expression": _keys.TF_EXPRESSION,
}


def cell_type_weight(mdata: Any, cell_type: str, *, tf_weight: TFWeight, tfs: list[str]) -> np.ndarray:
    """Read what the scores are multiplied with in one cell type.

    Returns
    -------
    float32 ``(regions, 1)`` for accessibility and calls, ``(1, tfs)`` for activity and expression; a region that was
    not measured and a TF without a value weigh nothing.
    """
    values = _SLOTS[tf_weight].get(mdata)
    check_cell_type(cell_type, mdata[_keys.ATAC].var_names)
    column = mdata[_keys.ATAC].var_names.get_loc(cell_type)
    if tf_weight in ("activity", "expression"):
        weight = values.reindex(columns=tfs).iloc[[column]].to_numpy(dtype=np.float32)
    else:
        weight = load_dense(values[:, [column]])
    return np.nan_to_num(weight).astype(np.float32)


def context_weight(mdata: Any, cell_type: str | None, *, tf_weight: TFWeight, tfs: list[str]) -> np.ndarray | None:
    """Like `cell_type_weight`; None for ``"none"``, which is all that there is without a cell type."""
    if tf_weight == "none":
        return None
    if cell_type is None:
        msg = f"Expected a `cell_type` with tf_weight={tf_weight!r}; found None. Name one of the cell types."
        raise ValueError(msg)
    return cell_type_weight(mdata, cell_type, tf_weight=tf_weight, tfs=tfs)
