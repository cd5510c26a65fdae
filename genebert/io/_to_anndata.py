"""Results of regions back onto the peaks of an AnnData."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from genebert import _mudata
from genebert._chunks import load
from genebert._coordinates import check_anndata, region_names, regions_are_obs
from genebert._keys import CHROM, END, START, TF_SCORE
from genebert._logging import info
from genebert._validate import listed

__all__ = ["to_anndata"]


def to_anndata(mdata: MuData, adata: AnnData, *, keys: Sequence[str] | None = None) -> AnnData:
    """Make an AnnData of peaks with what is known about its regions.

    Peaks are matched by their coordinates, however their names are spelt. What genebert left out is NaN or missing.
    Columns and entries that have the same name already are replaced in the result, and the log says which.

    The result shares the memory of its matrices (`.X`, `.layers`, `.raw`, and arrays in `.obsm`, `.varm`, `.obsp` and
    `.varp`) with `adata`, since cells x peaks may fill half of what there is; its tables are its own. Before you change
    numbers of a matrix in place, take ``result.copy()``.

    Parameters
    ----------
    mdata
        The MuData with results.
    adata
        Cells x peaks (or regions x cell types): the object that was given to :func:`genebert.io.from_anndata`. It is
        not changed. A view is copied, and one in backed mode is read into memory.
    keys
        What to take: keys of ``mdata.obsm``, columns of ``mdata["seq"].obs`` or of ``mdata.obs``. None = all of them.
        ``"tf"`` takes the motif scores, which are large, as a dense table of peaks x TFs; only where it is named.

    Returns
    -------
    An AnnData like `adata` with

    - `.varm`: embeddings and probabilities, float32 ``(peaks, dim)``; ``["tf"]`` a DataFrame float32 ``(peaks, TFs)``.
    - `.var`: columns such as ``gc``, ``width``, ``region_split``, ``leiden``.

    Where the regions are observations, `.obsm` and `.obs` instead.

    Raises
    ------
    KeyError
        When one of `keys` is not there; when there are no motif scores and `keys` names them.
    TypeError
        When `adata` is no AnnData.
    ValueError
        When no peak is a region of `mdata`.

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, genebert as gb
    >>> cells = pd.DataFrame({"cell_type": ["B", "T"]}, index=["c1", "c2"])
    >>> atac = ad.AnnData(np.eye(2, dtype="float32"), obs=cells, var=pd.DataFrame(index=["chr1-0-9", "chr1-9-20"]))
    >>> mdata = gb.io.from_anndata(atac, groupby="cell_type")
    >>> mdata.obs["leiden"] = ["0", "1"]
    >>> gb.io.to_anndata(mdata, atac).var
              leiden
    chr1-0-9       0
    chr1-9-20      1
    """
    check_anndata(adata)
    matrices, columns = _chosen(_matrices(mdata, keys), _columns(mdata), keys)
    in_obs = regions_are_obs(adata)
    names = region_names(adata.obs if in_obs else adata.var)
    rows = mdata.obs_names.get_indexer(names)
    _report(rows, names, n_regions=mdata.n_obs)
    result = _shared(adata)
    axis_table, axis_matrices = (result.obs, result.obsm) if in_obs else (result.var, result.varm)
    if replaced := [key for key in columns if key in axis_table] + [key for key in matrices if key in axis_matrices]:
        info(f"replaced in the result, since `adata` has the same name already: {listed(replaced, most=20)}")
    for key, values in columns.items():
        axis_table[key] = _mudata.taken(values, rows, axis_table.index)
    for key, values in matrices.items():
        found = _mudata.taken(_in_memory(values), rows, axis_table.index)
        is_scores = key == TF_SCORE.modality
        axis_matrices[key] = pd.DataFrame(found, axis_table.index, mdata[key].var_names) if is_scores else found
    return result


def _shared(adata: AnnData) -> AnnData:
    """Another AnnData with the same matrices, and tables of its own."""
    if adata.isbacked:
        return adata.to_memory()
    if adata.is_view:
        return adata.copy()
    stores = {
        name: {key: values.copy() if isinstance(values, pd.DataFrame) else values for key, values in store.items()}
        for name in ("layers", "obsm", "varm", "obsp", "varp")
        for store in [getattr(adata, name)]
    }
    tables = {"obs": adata.obs.copy(), "var": adata.var.copy(), "uns": deepcopy(dict(adata.uns))}
    return AnnData(adata.X, **tables, **stores, raw=adata.raw)


def _matrices(mdata: MuData, keys: Sequence[str] | None) -> dict[str, Any]:
    """Entries of `obsm`, less the masks that mudata keeps there for each modality; motif scores where `keys` names them."""
    found = {key: values for key, values in mdata.obsm.items() if key not in mdata.mod}
    if keys is not None and (keys == TF_SCORE.modality or TF_SCORE.modality in list(keys)):
        found[TF_SCORE.modality] = TF_SCORE.get(mdata)
    return found


def _in_memory(values: Any) -> np.ndarray | pd.DataFrame:
    values = load(values)
    return values.toarray() if sparse.issparse(values) else values


def _columns(mdata: MuData) -> dict[str, pd.Series]:
    """Columns of the regions themselves, less their coordinates and the copies that mudata makes with a prefix."""
    coordinates = {CHROM.key, START.key, END.key}
    seq = mdata[START.modality].obs
    prefixes = tuple(f"{name}:" for name in mdata.mod)
    own = {key: mdata.obs[key] for key in mdata.obs if not str(key).startswith(prefixes) and key not in coordinates}
    return {key: seq[key] for key in seq if key not in coordinates} | own


def _chosen(matrices: dict, columns: dict, keys: Sequence[str] | None) -> Iterator[dict]:
    if keys is None:
        return matrices, columns
    keys = [keys] if isinstance(keys, str) else list(keys)
    absent = [key for key in keys if key not in matrices and key not in columns]
    if absent:
        there = listed([*matrices, *columns], most=20) or "nothing"
        msg = f"Expected `keys` among {there}; {listed(map(repr, absent))} missing. Run gb.tl.embed first, or choose another."
        raise KeyError(msg)
    return tuple({key: found[key] for key in keys if key in found} for found in (matrices, columns))


def _report(rows: np.ndarray, names: pd.Index, *, n_regions: int) -> None:
    n_matched = int((rows >= 0).sum())
    if n_matched == 0:
        msg = (
            f"Expected peaks that are regions of `mdata`; none of {len(names)} is: {listed(names, most=3)}. Give the "
            "AnnData that `mdata` was made from."
        )
        raise ValueError(msg)
    if n_matched < len(names):
        info(f"{n_matched} of {len(names)} peaks are among the {n_regions} regions; the others are missing (NaN)")
