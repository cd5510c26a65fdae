"""What MuData does not do by itself: put a modality into an existing object without losing what is there."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, MutableMapping
from copy import deepcopy
from operator import methodcaller
from typing import Any, NamedTuple

import mudata
import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from genebert._store import HANDLE, store_of

__all__ = ["build", "check_in_memory", "check_mudata", "keep", "put", "quiet", "taken", "writable"]

REGION_AXIS = 0  # regions are observations in every modality


def build(modalities: Mapping[str, AnnData]) -> MuData:
    """Make a MuData whose modalities share their observations, the regions."""
    with quiet():
        return MuData(dict(modalities), axis=REGION_AXIS)


def check_mudata(mdata: MuData) -> None:
    """Raise unless it is a MuData."""
    if not isinstance(mdata, MuData):
        remedy = "Make one with a function of gb.io, such as gb.io.from_anndata."
        if isinstance(mdata, AnnData):
            remedy = "Write it with adata.write_h5ad(path), or make a MuData of it with gb.io.from_anndata."
        msg = f"Expected `mdata` to be a MuData; found {type(mdata).__name__}. {remedy}"
        raise TypeError(msg)


def put(mdata: MuData, **modalities: AnnData) -> None:
    """Add or replace modalities in place; `obs`, `obsm`, `obsp` and `uns` of `mdata` stay.

    So do columns of `mdata.var` and entries of `mdata.varm`: a variable that a modality had before, under the same name,
    keeps its values, and a new one has missing values. Entries of `mdata.varp` stay unless there are new variables, whose
    pairs nobody knows. All of it is lost for modalities in which a name occurs twice. In a MuData that lives in a store
    this waits for `_keys.record`.

    mudata refuses to update an object in which variables were removed and added at once, as when a TF matrix is
    computed anew with other motifs, or when a TF and a label share a name. So the object is initialised anew; when that
    fails, `mdata` is as it was.
    """
    merged = {**mdata.mod, **modalities}
    names = mdata.obs_names
    for name, modality in modalities.items():
        if not modality.obs_names.equals(names):
            msg = f"Expected modality {name!r} with the regions of `mdata` in their order."
            raise ValueError(msg)
    store = store_of(mdata)
    if store is not None:
        later = MuData.__new__(MuData)
        _become(later, merged, like=mdata)
        store.replace(later, changed=tuple(modalities))
        return
    _become(mdata, merged, like=mdata)


def keep(mdata: MuData, mask: np.ndarray) -> None:
    """Remove regions in place, from all modalities: those where `mask`, bool ``(regions,)``, is false.

    Modalities are replaced by subsets; an AnnData that was taken out of `mdata` before keeps all regions.

    Raises
    ------
    ValueError
        When `mdata` lives in a store.
    """
    check_in_memory(mdata, n_removed=int(np.sum(~mask)))
    _become(mdata, {name: modality[mask].copy() for name, modality in mdata.mod.items()}, like=mdata, mask=mask)


def check_in_memory(mdata: MuData, *, n_removed: int) -> None:
    """Raise where regions would have to be removed from a store."""
    if store_of(mdata) is not None:
        msg = (
            f"Expected a MuData in memory, since regions of one in a store cannot be removed; {n_removed} would be. Keep "
            "them, or write a store without them first: gb.io.write(mdata[keep], path)."
        )
        raise ValueError(msg)


def writable(mdata: MuData, *, copy: bool) -> MuData:
    """Return what a verb writes to: a copy where asked for, else `mdata` itself.

    A view is made an object of its own first, since `uns` and `obs` of a view are those of the whole. ``mdata.copy()``
    would lose what is known of the variables of a view in which two modalities share a name. A copy of one that lives in a
    store does not: what is written to it stays in memory.
    """
    if not (copy or mdata.is_view):
        if (store := store_of(mdata)) is not None:
            store.forget()
            store.check(mdata)
        return mdata
    target = MuData.__new__(MuData) if copy else mdata
    modalities = {name: modality.copy() for name, modality in mdata.mod.items()}
    _become(target, modalities, like=mdata, mask=np.ones(mdata.n_obs, dtype=bool), uns=deepcopy(dict(mdata.uns)))
    return target


def _become(
    mdata: MuData,
    modalities: Mapping[str, AnnData],
    *,
    like: MuData,
    mask: np.ndarray | slice = slice(None),
    uns: MutableMapping | None = None,
) -> None:
    """Initialise `mdata` anew with these modalities, and all else from `like` (which may be itself), where `mask`."""
    modalities = dict(modalities)
    obs, uns = like.obs[mask].copy(), like.uns if uns is None else uns
    own = methodcaller("copy") if like.is_view else lambda value: value  # parts of a view are tied to the whole
    obsm = {key: own(value[mask]) for key, value in like.obsm.items() if key not in modalities}
    obsp = {key: own(value[mask][:, mask]) for key, value in like.obsp.items() if key not in modalities}
    variables = _variables(like)
    before = dict(vars(mdata))
    try:
        with quiet():
            vars(mdata).clear()
            mdata.__init__(modalities, axis=REGION_AXIS)
            mdata.obs = obs.loc[mdata.obs_names]
        mdata.obsm.update(obsm)
        mdata.obsp.update(obsp)
        _restore_variables(mdata, variables)
        mdata.uns = uns
    except BaseException:
        vars(mdata).clear()
        vars(mdata).update(before)
        raise
    if HANDLE in before:
        vars(mdata)[HANDLE] = before[HANDLE]


class _Variables(NamedTuple):
    """What a MuData knows of its variables beside its modalities."""

    table: pd.DataFrame
    matrices: dict[str, Any]
    pairs: dict[str, Any]
    rows: dict[str, np.ndarray]
    """Rows of the table that belong to each modality."""


def _variables(mdata: MuData) -> _Variables:
    own = methodcaller("copy") if mdata.is_view else lambda value: value
    matrices = {key: own(value) for key, value in mdata.varm.items() if key not in mdata.mod}
    pairs = {key: own(value) for key, value in mdata.varp.items()}
    return _Variables(own(mdata.var), matrices, pairs, _rows(mdata))


def _rows(mdata: MuData) -> dict[str, np.ndarray]:
    return {name: np.flatnonzero(np.ravel(places) > 0) for name, places in mdata.varmap.items()}


def _restore_variables(mdata: MuData, known: _Variables) -> None:
    """Give variables what was `known` of those with the same name in the same modality."""
    if known.table.shape[1] + len(known.matrices) + len(known.pairs) == 0:
        return
    source = np.full(mdata.n_vars, -1)
    for name, rows in _rows(mdata).items():
        earlier = known.rows.get(name, np.zeros(0, dtype=np.int64))
        names = known.table.index[earlier]
        if len(names) and names.is_unique:
            place = names.get_indexer(mdata.var_names[rows])
            source[rows] = np.where(place >= 0, earlier[place], -1)
    columns = {key: taken(known.table[key], source, mdata.var_names) for key in known.table}
    mdata.var = pd.DataFrame(columns, index=mdata.var_names)
    for key, values in known.matrices.items():
        mdata.varm[key] = taken(values, source, mdata.var_names)
    if (source >= 0).all():
        mdata.varp.update({key: values[source][:, source] for key, values in known.pairs.items()})


def taken(values: Any, rows: np.ndarray, index: pd.Index) -> Any:
    """Return `rows` of a column, table or array, missing where -1; `index` names the rows of a column or table."""
    is_missing = rows < 0
    if isinstance(values, (pd.Series, pd.DataFrame)):
        values = _with_missing(values) if is_missing.any() else values
        return values.set_axis(np.arange(len(values))).reindex(rows).set_axis(index)
    found = values[rows]
    if is_missing.any():
        found = found.astype(np.result_type(found.dtype, np.float32))
        found[is_missing] = np.nan
    return found


def _with_missing(values: pd.Series | pd.DataFrame) -> pd.Series | pd.DataFrame:
    """Turn flags and whole numbers into types that can be missing; flags would become objects, which no file holds."""
    if isinstance(values, pd.DataFrame):
        return values.apply(_with_missing)
    if pd.api.types.is_float_dtype(values.dtype):  # convert_dtypes takes floats that happen to be whole for integers
        return values
    return values.convert_dtypes(convert_string=False, convert_floating=False)


class quiet:
    """The behaviour that mudata 0.4 makes its default, without the warnings of 0.3 about it."""

    def __enter__(self) -> None:
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.filterwarnings("ignore", message="var_names are not unique")
        self._options = mudata.set_options(pull_on_update=False)
        self._options.__enter__()

    def __exit__(self, *exc: object) -> None:
        self._options.__exit__(*exc)
        self._warnings.__exit__(*exc)
