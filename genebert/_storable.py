"""What h5mu and zarr files hold of parameters and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["storable"]


def storable(value: Any) -> Any:
    """Turn tuples into lists, numbers of numpy into plain ones, and text of tables into categories."""
    if isinstance(value, Mapping):
        return {str(key): storable(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [storable(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, pd.DataFrame):
        text = {name: _categories(value[name]) for name in value.columns if _is_text(value[name].dtype)}
        return value.assign(**text).reset_index(drop=True)
    return value


def _is_text(dtype: Any) -> bool:
    return pd.api.types.is_object_dtype(dtype) or isinstance(dtype, pd.StringDtype)


def _categories(column: pd.Series) -> pd.Categorical:
    """Text as categories of plain `object` text; empty where missing."""
    text = ["" if missing else str(item) for item, missing in zip(column, column.isna(), strict=True)]
    return pd.Categorical(np.array(text, dtype=object))
