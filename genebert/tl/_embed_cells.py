"""Bring region embeddings to single cells."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from genebert import _keys
from genebert._logging import warn
from genebert._validate import check_key
from genebert.io import to_anndata

__all__ = ["embed_cells"]

_CELLS_AT_ONCE = 20_000


def embed_cells(
    adata: AnnData,
    mdata: MuData,
    *,
    key: str = _keys.EMBEDDING.key,
    layer: str | None = None,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Embed cells: the mean of the embeddings of their regions, weighted by accessibility.

    Parameters
    ----------
    adata
        Cells x peaks. Peaks are matched to the regions by coordinates; those that are no region do not count.
    mdata
        With region embeddings.
    key
        Which embedding in ``mdata.obsm``.
    layer
        Layer of `adata` that holds the accessibility; default: ``adata.X``.
    key_added
        Name in ``adata.obsm``; default: `key`.
    copy
        Return a changed copy instead of writing into `adata`.

    Returns
    -------
    None, or the copy. Writes ``adata.obsm[key_added]``, float32 ``(cells, n_latent)``; NaN for a cell in which no
    region is accessible. The matrix stays sparse.

    Raises
    ------
    KeyError
        When there is no such embedding or layer.
    ValueError
        When no peak is a region of `mdata`, or an accessibility is negative or infinite.

    Examples
    --------
    >>> import anndata as ad
    >>> mdata = gb.datasets.toy(n_regions=120)
    >>> gb.tl.embed(mdata)
    >>> cells = ad.AnnData(mdata["atac"].layers["counts"].T.tocsr(), var=mdata["seq"].obs[[]])
    >>> gb.tl.embed_cells(cells, mdata)
    >>> cells.obsm["X_genebert"].shape == (6, mdata.obsm["X_genebert"].shape[1])
    True
    """
    if key not in mdata.obsm:
        msg = f'Expected mdata.obsm["{key}"], which is missing. Run gb.tl.embed(mdata, key_added="{key}") first.'
        raise KeyError(msg)
    key_added = key if key_added is None else key_added
    check_key(key_added)
    if layer is not None and layer not in adata.layers:
        msg = f"Expected `layer` among {list(adata.layers)}; found {layer!r}."
        raise KeyError(msg)
    peaks = to_anndata(mdata, AnnData(var=adata.var), keys=[key]).varm[key]
    cells = _weighted_mean(adata.X if layer is None else adata.layers[layer], np.asarray(peaks))
    n_empty = int(np.isnan(cells).any(axis=1).sum())
    if n_empty:
        warn(f"{n_empty} of {adata.n_obs} cells have no accessible region and get NaN. Filter them out first.")
    adata = adata.copy() if copy else adata
    adata.obsm[key_added] = cells
    return adata if copy else None


def _weighted_mean(accessibility: np.ndarray | sparse.spmatrix, regions: np.ndarray) -> np.ndarray:
    """Mean of the rows of `regions` for each cell; rows that are missing do not count."""
    known = np.isfinite(regions).all(axis=1, keepdims=True)
    summands = np.hstack([np.where(known, regions, 0), known]).astype(np.float32)
    sums = []
    for start in range(0, accessibility.shape[0], _CELLS_AT_ONCE):
        weights = accessibility[start : start + _CELLS_AT_ONCE]
        values = weights.data if sparse.issparse(weights) else np.asarray(weights)
        if not np.isfinite(values).all() or (values < 0).any():
            msg = "Expected accessibilities that are finite and not negative; found others. Give raw counts, e.g. `layer='counts'`."
            raise ValueError(msg)
        sums.append(np.asarray(weights @ summands, dtype=np.float32))
    sums = np.concatenate(sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[:, :-1] / sums[:, -1:]
