"""Heat map of the activity of TFs in cell types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from scipy.cluster.hierarchy import leaves_list, linkage

from genebert import _keys
from genebert._validate import check_range, listed
from genebert.pl import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

__all__ = ["tf_activity"]

CELL = (0.19, 0.24)  # inches per TF and per cell type
MARGIN = (2.6, 1.9)
NARROWEST = 4.5  # inches, for the label of the colour bar
LONGEST_NAME = 30
LABELS = {
    "correlation": "TF activity\n(correlation with accessibility)",
    "z": "TF activity\n(standard deviations from matched regions)",
}


def tf_activity(mdata: MuData, *, tfs: Sequence[str] | None = None, n_tfs: int = 40, ax: Axes | None = None) -> Axes:
    """Draw the activity of TFs in cell types, alike ones side by side.

    Rows and columns are ordered by hierarchical clustering (average linkage of Euclidean distances).

    Parameters
    ----------
    mdata
        With TF activity.
    tfs
        Which TFs to draw. By default those whose activity varies most over the cell types.
    n_tfs
        How many TFs to draw where `tfs` is None.
    ax
        Where to draw.

    Returns
    -------
    The `Axes`: cell types from top to bottom, TFs from left to right. A cell type without activity is grey.

    Raises
    ------
    KeyError
        When there is no TF activity, or one of `tfs` is not among its columns.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.pp.tf_activity(mdata)
    >>> ax = gb.pl.tf_activity(mdata, n_tfs=20)
    """
    check_range(n_tfs, name="n_tfs", low=1, integer=True)
    activity = _keys.TF_ACTIVITY.get(mdata)
    shown = activity[_chosen(activity, tfs, n_tfs=n_tfs)]
    values = shown.to_numpy(dtype=np.float64)
    rows, columns = _alike(values), _alike(values.T)
    values = values[np.ix_(rows, columns)]
    if ax is None:
        width, height = (cell * n + margin for cell, n, margin in zip(CELL, values.shape[::-1], MARGIN, strict=True))
        _, ax = plt.subplots(figsize=(max(width, NARROWEST), height), layout="constrained")
    limit = max(np.abs(values[np.isfinite(values)]).max(initial=0), np.finfo(np.float32).tiny)
    ax.set_facecolor(_style.MISSING)
    image = ax.imshow(values, aspect="auto", cmap=_style.DIVERGING, vmin=-limit, vmax=limit, interpolation="none")
    ax.set_xticks(range(values.shape[1]), [_short(name) for name in shown.columns[columns]], rotation=90, fontsize=7)
    ax.set_yticks(range(values.shape[0]), [_short(name) for name in shown.index[rows]], fontsize=7)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(image, ax=ax, location="top", shrink=0.7, aspect=35, pad=0.02)
    bar.set_label(_label(mdata), fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return ax


def _chosen(activity: pd.DataFrame, tfs: Sequence[str] | None, *, n_tfs: int) -> list[str]:
    if tfs is None:
        return list(activity.var().sort_values(ascending=False, kind="stable").index[:n_tfs])
    tfs = list(dict.fromkeys([tfs] if isinstance(tfs, str) else tfs))
    unknown = [tf for tf in tfs if tf not in activity.columns]
    if unknown or not tfs:
        found = f"not found: {listed(unknown)}" if unknown else "found none"
        msg = f"Expected `tfs` to be names in mdata[{_keys.TF!r}].var_names, such as {activity.columns[0]!r}; {found}."
        raise KeyError(msg)
    return tfs


def _alike(values: np.ndarray) -> np.ndarray:
    """Order of rows that puts alike ones side by side."""
    if len(values) < 3:
        return np.arange(len(values))
    return leaves_list(linkage(np.nan_to_num(values), method="average", optimal_ordering=True))


def _label(mdata: MuData) -> str:
    """Name what is drawn; activity of somebody else's making has no more than its name."""
    try:
        record = _keys.load_record(mdata, "tf_activity", _keys.TF_ACTIVITY.key, filled_by="gb.pp.tf_activity")
    except KeyError:
        return "TF activity"
    return LABELS.get(record["params"]["score"], "TF activity")


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
