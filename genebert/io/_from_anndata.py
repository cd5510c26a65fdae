"""Peaks of cells, or of cell types, to a MuData of regions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from genebert import _mudata
from genebert._coordinates import check_anndata, peak_mask, regions_are_obs, regions_of
from genebert._keys import ACCESSIBILITY, COUNTS, N_CELLS, N_REPLICATES, REGION_SPLIT, START, record
from genebert._logging import info, warn
from genebert._pool import column_name, group_cells, mean_log_cpm, pool
from genebert._validate import check_layer, listed
from genebert.io._modalities import accessibility_modality, seq_modality, unique_index

__all__ = ["from_anndata"]

SPLITS = ("train", "val", "test")
SPLIT_COLUMNS = (REGION_SPLIT.key, "split")
MANY_CELL_TYPES = 50
MAX_CELL_TYPES = 1000  # more rows than this without `groupby` are cells, and making them dense would fill the memory


def from_anndata(
    adata: AnnData,
    *,
    groupby: str | pd.Series | None = None,
    replicate: str | pd.Series | None = None,
    layer: str | None = None,
) -> MuData:
    """Turn an AnnData of peaks into a MuData of regions.

    Cells x peaks are pooled into cell types with `groupby`. Without it, the AnnData holds cell types x regions or
    regions x cell types. Which axis holds the regions is read from their names (``chr1:100-200``, ``chr1-100-200``,
    ``chr1_100_200``) or from columns with chromosome, start and end (0-based, half-open). Where a 10x object holds genes
    too, its peaks are taken. Regions keep their order and their coordinates: the genome that sequences are read from later
    must be of the same assembly.

    Parameters
    ----------
    adata
        Cells x peaks, cell types x regions or regions x cell types; also in backed mode. It is not changed.
    groupby
        Column with the cell type of each cell, or a Series by the cells' names, such as a column of ``mod["rna"].obs`` in a
        10x multiome. Cells without one are left out and counted.
    replicate
        Column with the replicate (donor) of each cell, or a Series as for `groupby`. Each replicate then weighs the same in the accessibility of a
        cell type, however many cells it has; ``counts`` stay sums.
    layer
        Layer to use; None = ``X``. Pooling expects raw counts.

    Returns
    -------
    MuData with the modalities

    - ``seq``: `.obs` chrom, start, end, and ``region_split`` where the regions have a column ``split`` (CREsted) or
      ``region_split`` that holds train, val and test (missing = in none).
    - ``atac``: `.X` float32 ``(regions, cell types)``, log1p of counts per million (calls 0/1 and values that are not
      whole numbers stay as they are); `.layers` ``counts`` (sums) or ``open`` (calls), CSR; `.var` ``n_cells`` and, with
      `replicate`, ``n_replicates``.

    Raises
    ------
    OSError
        When a file in backed mode is compressed in a way that h5py does not know.
    TypeError
        When `adata` is no AnnData, or `groupby` or `replicate` is neither one column nor a Series.
    ValueError
        When no regions are found, or they are malformed or repeated; when `groupby`, `replicate` or `layer` is
        missing, or `groupby` has one level; when a value is negative or infinite.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, genebert as gb
    >>> cells = pd.DataFrame({"cell_type": ["B", "B", "T"]}, index=["c1", "c2", "c3"])
    >>> peaks = pd.DataFrame(index=["chr1-100-300", "chr2-50-250"])
    >>> atac = ad.AnnData(np.array([[1, 0], [2, 1], [0, 4]], dtype="float32"), obs=cells, var=peaks)
    >>> mdata = gb.io.from_anndata(atac, groupby="cell_type")
    >>> mdata["atac"].to_df(layer="counts")
                    B    T
    chr1:100-300  3.0  0.0
    chr2:50-250   1.0  4.0
    """
    check_anndata(adata)
    columns = {"groupby": groupby, "replicate": replicate}
    params = {name: column_name(column, name=name, optional=True) for name, column in columns.items()}
    if 0 in adata.shape:
        msg = f"Expected at least one cell and one peak; found {adata.n_obs} x {adata.n_vars}. Check the filter before this."
        raise ValueError(msg)
    matrix, rows, features = _oriented(adata, groupby=groupby if isinstance(groupby, str) else None, layer=layer)
    keep = _kept_peaks(features)
    regions = regions_of(features[keep])
    try:
        atac = _accessibility(matrix, rows, keep, names=regions.index, groupby=groupby, replicate=replicate)
    except OSError as error:  # h5py, of a file in backed mode
        msg = f"Expected values that HDF5 can read; found: {error}. For files of SnapATAC2: pip install hdf5plugin, import hdf5plugin."
        raise OSError(msg) from error
    mdata = _mudata.build({START.modality: seq_modality(regions), ACCESSIBILITY.modality: atac})
    if (split := _split(features[keep])) is not None:
        REGION_SPLIT.set(mdata, split)
    record(mdata, "from_anndata", ACCESSIBILITY.modality, params=params | {"layer": layer})
    info(f"{mdata.n_obs} regions x {atac.n_vars} cell types")
    return mdata


def _accessibility(
    matrix: Any,
    rows: pd.DataFrame,
    keep: np.ndarray,
    *,
    names: pd.Index,
    groupby: str | pd.Series | None,
    replicate: str | pd.Series | None,
) -> AnnData:
    if groupby is not None:
        atac = _pooled(matrix, rows, keep, groupby=groupby, replicate=replicate)
        atac.obs_names = names
        return atac
    if replicate is not None:
        msg = "Expected `groupby` beside `replicate`; found None. Name the column with cell types."
        raise ValueError(msg)
    return accessibility_modality(_dense(matrix, keep), names=names, cell_types=rows.index)


def _oriented(adata: AnnData, *, groupby: str | None, layer: str | None) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    """Matrix, table of cells or cell types (its rows) and table of features (its columns)."""
    if groupby is not None and groupby not in adata.obs and groupby not in adata.var:
        columns = [*adata.obs.columns, *adata.var.columns]
        msg = f"Expected `groupby` to name a column of cells; found {groupby!r}. Columns: {listed(columns, most=20)}."
        raise ValueError(msg)
    check_layer(layer, adata.layers)
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        msg = f"Expected values in X; found none. Name a layer: {listed(adata.layers, most=20)}."
        raise ValueError(msg)
    if not regions_are_obs(adata, groupby=groupby):
        return matrix, adata.obs, adata.var
    in_memory = matrix if isinstance(matrix, np.ndarray) or sparse.issparse(matrix) else matrix[:]
    return in_memory.T, adata.var, adata.obs


def _split(features: pd.DataFrame) -> pd.Categorical | None:
    """The split that somebody else's tool has drawn, if it has names that genebert knows."""
    column = next((column for column in SPLIT_COLUMNS if column in features), None)
    if column is None:
        return None
    values = features[column].astype(object)
    known = values.isin(SPLITS)
    if not known.any() or not (known | values.isna()).all():
        info(f"column {column!r} of the regions not read as their split: it holds more than {', '.join(SPLITS)}")
        return None
    sizes = ", ".join(f"{name} {(values == name).sum()}" for name in SPLITS)
    info(f"{REGION_SPLIT.key}: taken from column {column!r}: {sizes}")
    return pd.Categorical(values, categories=SPLITS)


def _kept_peaks(features: pd.DataFrame) -> np.ndarray:
    keep = peak_mask(features)
    if not keep.any():
        msg = "Expected features of type 'Peaks'; found none. Read the peaks too: muon.read_10x_h5, or scanpy.read_10x_h5(gex_only=False)."
        raise ValueError(msg)
    if not keep.all():
        info(f"{keep.sum()} peaks kept, {(~keep).sum()} other features left out")
    return keep


def _dense(matrix: Any, keep: np.ndarray) -> np.ndarray:
    """Regions x cell types, which are few."""
    if matrix.shape[0] > MAX_CELL_TYPES:
        msg = (
            f"Expected up to {MAX_CELL_TYPES} cell types where `groupby` is None; found {matrix.shape[0]} rows, which look "
            "like cells. Name the column with their cell types: groupby=..."
        )
        raise ValueError(msg)
    if matrix.shape[0] > MANY_CELL_TYPES:
        warn(
            f"{matrix.shape[0]} rows are taken as cell types. If they are cells, name the column with their cell types: "
            "groupby=...",
            stacklevel=5,
        )
    values = matrix if isinstance(matrix, np.ndarray) or sparse.issparse(matrix) else matrix[:]
    values = values[:, keep]
    return (values.toarray() if sparse.issparse(values) else np.asarray(values)).T


def _pooled(
    matrix: Any, cells: pd.DataFrame, keep: np.ndarray, *, groupby: str | pd.Series, replicate: str | pd.Series | None
) -> AnnData:
    """Accessibility of the cell types in `groupby`; regions are named by the caller."""
    groups = group_cells(cells, groupby=groupby, replicate=replicate)
    _check_levels(groups.cell_types, column_name(groupby, name="groupby"))
    sums = pool(matrix, groups.of_cell, n_groups=len(groups.cell_type), keep=keep, stacklevel=6)
    values, n_replicates = mean_log_cpm(sums, groups.cell_type, n_cell_types=len(groups.cell_types))
    counts = _summed(sums, groups.cell_type).T.tocsr().astype(np.float32)
    var = pd.DataFrame(index=unique_index(groups.cell_types, what="cell type"))
    var[N_CELLS.key] = groups.n_cells
    if replicate is not None:
        var[N_REPLICATES.key] = n_replicates
    return AnnData(X=values, var=var, layers={COUNTS.key: counts})


def _summed(sums: sparse.csr_matrix, group_types: np.ndarray) -> sparse.csr_matrix:
    ones = np.ones(len(group_types), dtype=np.float32)
    return sparse.csr_matrix((ones, (group_types, np.arange(len(group_types))))) @ sums


def _check_levels(levels: pd.Index, groupby: str) -> None:
    if len(levels) >= 2:
        return
    msg = (
        f"Expected `groupby` to name two or more cell types; column {groupby!r} has {len(levels)} ({listed(levels)}). "
        "Choose another column; for a single cell type give its summed counts as an AnnData with one row, and no `groupby`."
    )
    raise ValueError(msg)
