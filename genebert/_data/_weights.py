"""How a cell type weighs the matrix."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy import sparse

from genebert import _keys

__all__ = ["TFWeight", "cell_type_weight"]

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
    column = mdata[_keys.ATAC].var_names.get_loc(cell_type)
    values = _SLOTS[tf_weight].get(mdata)
    if tf_weight in ("activity", "expression"):
        weight = values.reindex(columns=tfs).iloc[[column]].to_numpy(dtype=np.float32)
    else:
        weight = values[:, [column]]
        weight = weight.toarray() if sparse.issparse(weight) else np.asarray(weight, dtype=np.float32)
    return np.nan_to_num(weight).astype(np.float32)
