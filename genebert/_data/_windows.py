"""Windows of consecutive open regions, cell type by cell type."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from genebert import _keys
from genebert._chunks import load_dense
from genebert._regions import windows
from genebert._validate import check_cell_type

__all__ = ["Windows", "context_windows", "open_in", "open_windows"]


class Windows(NamedTuple):
    """Rows of regions, grouped in windows."""

    rows: np.ndarray
    """int64 ``(windows, window_size)``; -1 where a window ends early."""
    cell_type: np.ndarray
    """Column of the accessibility matrix, int64 ``(windows,)``; -1 for none."""


def open_in(mdata: Any, cell_type: str) -> np.ndarray:
    """Which regions are open in a cell type: bool ``(regions,)``."""
    called = _keys.OPEN.get(mdata)
    check_cell_type(cell_type, mdata[_keys.ATAC].var_names)
    return load_dense(called[:, [mdata[_keys.ATAC].var_names.get_loc(cell_type)]])[:, 0] > 0


def open_windows(mdata: Any, *, cell_types: list[str] | None, allowed: np.ndarray, window_size: int) -> Windows:
    """Cut the open regions of each cell type into windows of neighbours, as pre-training reads them.

    Parameters
    ----------
    mdata
        With coordinates and calls of open regions. Without cell types or coordinates each region stands alone.
    cell_types
        Whose open regions; None: each region alone, of no cell type.
    allowed
        Regions that may be used, bool ``(regions,)``.
    window_size
        Regions per window.
    """
    if cell_types is None:
        rows = np.flatnonzero(allowed)[:, None]
        return Windows(rows, np.full(len(rows), -1))
    tables, types = [], []
    for cell_type in cell_types:
        table = _cut(mdata, np.flatnonzero(open_in(mdata, cell_type) & allowed), window_size)
        tables.append(table)
        types.append(np.full(len(table), mdata[_keys.ATAC].var_names.get_loc(cell_type)))
    return Windows(np.concatenate(tables), np.concatenate(types))


def context_windows(mdata: Any, *, cell_type: str | None, window_size: int) -> list[np.ndarray]:
    """Put every region into one window: neighbours that are open in `cell_type` together, all others alone.

    The windows follow from the coordinates only, so that the order of the regions changes nothing.

    Returns
    -------
    Tables of rows: windows of neighbours int64 ``(windows, window_size)``, and windows of one ``(windows, 1)``.
    """
    rows = np.arange(mdata.n_obs)
    if cell_type is None:
        return [rows[:, None]]
    is_open = open_in(mdata, cell_type)
    return [_cut(mdata, rows[is_open], window_size), rows[~is_open, None]]


def _cut(mdata: Any, rows: np.ndarray, window_size: int) -> np.ndarray:
    chrom, start, end = (np.asarray(slot.get(mdata))[rows] for slot in (_keys.CHROM, _keys.START, _keys.END))
    table = windows(chrom, start, end, window_size=window_size)
    return np.where(table >= 0, rows[table] if len(rows) else -1, -1)
