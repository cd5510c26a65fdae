"""Heat map of TFs × consecutive regions: what the region encoder reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from genebert import _keys
from genebert._chunks import load_dense
from genebert._regions import genomic_order, windows
from genebert._validate import check_cell_type, check_literal, check_range, listed
from genebert.pl import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from mudata import MuData

__all__ = ["tf_matrix"]

Scale = Literal["z", "none"]

CELL = (0.27, 0.19)  # inches per region and per TF
MARGIN = (4.8, 2.4)
LONGEST_NAME = 48
MAX_REGION_LABELS = 60


def tf_matrix(
    mdata: MuData,
    *,
    regions: str | Sequence[str] | None = None,
    cell_type: str | None = None,
    window_size: int = 16,
    n_tfs: int = 30,
    scale: Scale = "z",
    ax: Axes | None = None,
) -> Axes:
    """Draw the motif scores of a window of consecutive regions, the TFs grouped by family.

    Parameters
    ----------
    mdata
        Regions with motif scores.
    regions
        One name: the window that holds this region. Several: these regions. By default the first full window.
    cell_type
        Cut windows from the regions that are open in this cell type. By default from all regions.
    window_size
        Regions in a window.
    n_tfs
        How many TFs to draw: those that vary most over the regions drawn.
    scale
        ``"z"``: standard deviations from the TF's mean over all regions. ``"none"``: scores as they are stored.
    ax
        Where to draw.

    Returns
    -------
    The `Axes`, regions from left to right along the chromosome.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> ax = gb.pl.tf_matrix(mdata, n_tfs=10)
    """
    check_literal(scale, Scale, name="scale")
    check_range(window_size, name="window_size", low=1, integer=True)
    check_range(n_tfs, name="n_tfs", low=1, integer=True)
    scores = _keys.TF_SCORE.get(mdata)
    rows = _choose_regions(mdata, regions=regions, cell_type=cell_type, window_size=window_size)
    tfs, family = _choose_tfs(mdata, load_dense(scores, rows), n_tfs=n_tfs)
    columns = load_dense(scores[:, tfs])
    shown = columns[rows]
    if scale == "z":
        spread = np.nanstd(columns, axis=0)
        shown = (shown - np.nanmean(columns, axis=0)) / np.where(spread > 0, spread, 1)
    if ax is None:
        size = [cell * n + margin for cell, n, margin in zip(CELL, (len(rows), len(tfs)), MARGIN, strict=True)]
        _, ax = plt.subplots(figsize=size, layout="constrained")
    image = _draw(ax, shown.T, scale=scale)
    _label_regions(ax, mdata, rows)
    _label_tfs(ax, mdata[_keys.TF].var_names[tfs], family)
    label = "motif score (standard deviations from the TF's mean)" if scale == "z" else "motif score"
    ax.figure.colorbar(image, ax=ax, location="top", label=label, shrink=0.7, aspect=35, pad=0.02)
    return ax


def _choose_regions(
    mdata: MuData, *, regions: str | Sequence[str] | None, cell_type: str | None, window_size: int
) -> np.ndarray:
    """Positions of the regions to draw, in genomic order."""
    wanted = [] if regions is None else [regions] if isinstance(regions, str) else list(regions)
    unknown = [name for name in wanted if name not in mdata.obs_names]
    if unknown:
        msg = f"Expected `regions` to be names in mdata.obs_names, such as {mdata.obs_names[0]!r}; not found: {listed(unknown)}."
        raise KeyError(msg)
    rows = mdata.obs_names.get_indexer(wanted)
    if len(rows) > 1:
        return rows[_order(mdata, rows)]
    candidates = np.flatnonzero(_is_open(mdata, cell_type))
    table = _cut(mdata, candidates, window_size)
    if len(rows):
        holds = (table == rows[0]).any(axis=1)
        if not holds.any():
            msg = (
                f"Expected `regions` to be open in {cell_type!r}; {wanted[0]!r} is closed there. Leave out `cell_type`."
            )
            raise ValueError(msg)
        table = table[holds]
    sizes = (table >= 0).sum(axis=1)
    best = table[sizes.argmax()] if len(table) else table.ravel()
    if not len(best):
        msg = f"Expected regions that are open in {cell_type!r}; found none."
        raise ValueError(msg)
    return best[best >= 0]


def _is_open(mdata: MuData, cell_type: str | None) -> np.ndarray:
    if cell_type is None:
        return np.ones(mdata.n_obs, dtype=bool)
    calls = _keys.OPEN.get(mdata)
    names = mdata[_keys.ATAC].var_names
    check_cell_type(cell_type, names)
    return load_dense(calls[:, [names.get_loc(cell_type)]])[:, 0] > 0


def _coordinates(mdata: MuData, rows: np.ndarray) -> list[np.ndarray] | None:
    """Chromosome, start and end; None for bare sequences."""
    if not _keys.CHROM.has(mdata):
        return None
    return [np.asarray(slot.get(mdata))[rows] for slot in (_keys.CHROM, _keys.START, _keys.END)]


def _order(mdata: MuData, rows: np.ndarray) -> np.ndarray:
    coordinates = _coordinates(mdata, rows)
    return np.arange(len(rows)) if coordinates is None else genomic_order(*coordinates)


def _cut(mdata: MuData, rows: np.ndarray, window_size: int) -> np.ndarray:
    coordinates = _coordinates(mdata, rows)
    if coordinates is None:  # bare sequences follow each other as they are stored
        place = np.arange(len(rows))
        coordinates = [np.full(len(rows), ""), place, place]
    table = windows(*coordinates, window_size=window_size)
    return np.where(table >= 0, rows[table], -1) if len(rows) else table


def _choose_tfs(mdata: MuData, scores: np.ndarray, *, n_tfs: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the TFs that vary most, families together, and the family of each."""
    variance = np.nan_to_num(np.nanvar(scores, axis=0))
    tfs = np.argsort(-variance, kind="stable")[:n_tfs]
    if not _keys.FAMILY.has(mdata):
        return tfs, np.full(len(tfs), "")
    family = _keys.FAMILY.get(mdata).astype("string").fillna("").to_numpy(dtype=object)[tfs]
    folded = np.array([name.casefold() for name in family])
    order = np.lexsort((-variance[tfs], folded, folded == ""))  # TFs without a family come last
    return tfs[order], family[order]


def _draw(ax: Axes, shown: np.ndarray, *, scale: Scale) -> AxesImage:
    if scale == "none":
        return ax.imshow(shown, aspect="auto", cmap=_style.CONTINUOUS, interpolation="none")
    limit = max(np.nanpercentile(np.abs(shown), 99), 1.0) if np.isfinite(shown).any() else 1.0
    return ax.imshow(shown, aspect="auto", cmap=_style.DIVERGING, vmin=-limit, vmax=limit, interpolation="none")


def _label_regions(ax: Axes, mdata: MuData, rows: np.ndarray) -> None:
    coordinates = _coordinates(mdata, rows)
    if coordinates is None or pd.isna(coordinates[0]).any():
        names, title = mdata.obs_names[rows], "sequence"
    elif len(set(coordinates[0])) > 1:
        names, title = mdata.obs_names[rows], "region"
    else:
        names, title = (
            [f"{start:,}" for start in coordinates[1]],
            f"consecutive regions on {coordinates[0][0]} (start, bp)",
        )
    step = -(-len(rows) // MAX_REGION_LABELS)
    ax.set_xticks(range(0, len(rows), step), names[::step], rotation=90, fontsize=7)
    ax.set_xlabel(title)


def _label_tfs(ax: Axes, names: pd.Index, family: np.ndarray) -> None:
    """TFs on the left; on the right, each family at the middle of its rows."""
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    first = np.flatnonzero(np.r_[True, family[1:] != family[:-1]])
    last = np.r_[first[1:], len(family)] - 1
    for edge in first[1:]:
        ax.axhline(edge - 0.5, color="white", lw=2)
    if not any(family):
        return
    right = ax.secondary_yaxis("right")
    right.set_yticks((first + last) / 2, [_short(name) for name in family[first]], fontsize=7)
    right.tick_params(length=0)
    right.spines[:].set_visible(False)


def _short(name: str) -> str:
    name = name or "no family"
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
