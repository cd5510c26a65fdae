"""A MuData whose matrices stay in a zarr store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from anndata import AnnData
from anndata.io import read_elem
from mudata import MuData

from genebert import _mudata
from genebert._chunks import row_chunks
from genebert._keys import START
from genebert._logging import warn
from genebert._store import HANDLE, Store
from genebert._transaction import recover
from genebert._validate import check_literal
from genebert.io._read import check_content, check_exists, check_kind

__all__ = ["open"]

SUFFIX = ".zarr"


def open(path: str | os.PathLike[str]) -> MuData:
    """Open a ``.zarr`` folder without reading its matrices.

    Bases, motif scores, accessibility and embeddings are dask arrays over the store; tables of regions and variables
    are in memory. The verbs of `gb.pp` and `gb.tl` read them chunk by chunk and write their results into the store, chunk
    by chunk and whole or not at all: a run that is killed leaves the store as it was before the verb. What you write to
    the MuData yourself, or scanpy does, stays in memory until :func:`genebert.io.write`.

    Work with one MuData per store. Where the store was written anew, moved, or changed through another MuData or by another
    process, verbs and matrices of this one say so and ask to open it again. A subset or a copy is an ordinary MuData, whose
    results stay in memory, but it goes on reading the store, so it cannot read a matrix that a verb has replaced there
    since; :func:`genebert.io.to_memory` makes one that depends on no store.

    Parameters
    ----------
    path
        A folder that :func:`genebert.io.write` or ``mudata`` wrote.

    Raises
    ------
    FileNotFoundError
        When nothing is there.
    ValueError
        When it is no ``.zarr``, when a newer genebert wrote it, or when it holds no regions.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/toy.zarr"
    >>> gb.io.write(gb.datasets.toy(), path)
    >>> mdata = gb.io.open(path)
    >>> gb.pp.scan_motifs(mdata, score="count")
    >>> type(mdata["seq"].obsm["dna_code"]).__module__
    'dask.array.core'
    """
    path = Path(path)
    check_literal(path.suffix, (SUFFIX,), name="path (its suffix)")
    recover(path.resolve())
    check_exists(path)
    store = Store(path)
    check_kind(store.root.attrs, path=path)
    groups = store.root.get("mod", {})
    names = groups.attrs.get("mod-order", list(groups)) if groups else []
    check_content(names, store.lazy("uns") if "uns" in store.root else {}, path=path)
    index = _index(store.root[f"mod/{START.modality}/obs"])
    mdata = _mudata.build({name: _modality(store, f"mod/{name}", index) for name in names})
    mdata.obs = _table(store.root["obs"], index)
    mdata.obsm.update({key: value for key, value in _mapping(store, "obsm").items() if key not in names})
    mdata.obsp.update(_mapping(store, "obsp"))
    _add_variables(mdata, store)
    mdata.uns = store.lazy("uns") if "uns" in store.root else {}
    vars(mdata)[HANDLE] = store
    return mdata


def _modality(store: Store, place: str, index: pd.Index) -> AnnData:
    group = store.root[place]
    obs = _table(group["obs"], index)
    matrices = {attr: _mapping(store, f"{place}/{attr}") for attr in ("obsm", "layers", "obsp")}
    tables = {attr: store.lazy(f"{place}/{attr}") for attr in ("var", "varm", "varp", "uns") if attr in group}
    X = store.lazy(f"{place}/X") if "X" in group else None
    return AnnData(X=X, obs=obs, **matrices, **tables)


def _add_variables(mdata: MuData, store: Store) -> None:
    """Columns of `mdata.var`, and what else is known of variables beside their modalities."""
    table = store.lazy("var") if "var" in store.root else mdata.var
    if not table.index.equals(mdata.var_names):
        warn(
            "What the store holds of variables beside the modalities belongs to other variables; left out. Write it anew."
        )
        return
    mdata.var = table
    mdata.varm.update({key: values for key, values in _mapping(store, "varm").items() if key not in mdata.mod})
    mdata.varp.update(_mapping(store, "varp"))


def _mapping(store: Store, place: str) -> dict[str, Any]:
    return {key: store.lazy(f"{place}/{key}") for key in store.root[place]} if place in store.root else {}


def _index(table: zarr.Group) -> pd.Index:
    return pd.Index(read_elem(table[table.attrs["_index"]]).astype(object))


def _table(group: zarr.Group, index: pd.Index) -> pd.DataFrame:
    """Read a table of regions. All share one index: names are the largest part of what is in memory."""
    names = group[group.attrs["_index"]]
    is_same = names.shape == (len(index),) and all(
        np.array_equal(np.asarray(names[rows], dtype=object), index[rows]) for rows in row_chunks(len(index))
    )
    if not is_same:
        msg = "Expected the same regions in the same order in all modalities of the store; found others. Write it anew with gb.io.write."
        raise ValueError(msg)
    return pd.DataFrame({name: read_elem(group[name]) for name in group.attrs["column-order"]}, index=index)
