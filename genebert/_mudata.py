"""What MuData does not do by itself: put a modality into an existing object without losing what is there."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import mudata
import numpy as np
from anndata import AnnData
from mudata import MuData

__all__ = ["build", "keep", "put", "quiet", "writable"]

REGION_AXIS = 0  # regions are observations in every modality


def build(modalities: Mapping[str, AnnData]) -> MuData:
    """Make a MuData whose modalities share their observations, the regions."""
    with quiet():
        return MuData(dict(modalities), axis=REGION_AXIS)


def put(mdata: MuData, **modalities: AnnData) -> None:
    """Add or replace modalities in place; `obs`, `obsm`, `obsp` and `uns` of `mdata` stay.

    mudata refuses to update an object in which variables were removed and added at once, as when a TF matrix is
    computed anew with other motifs, or when a TF and a label share a name. So the object is initialised anew.
    """
    merged = {**mdata.mod, **modalities}
    names = mdata.obs_names
    for name, modality in modalities.items():
        if not modality.obs_names.equals(names):
            msg = f"Expected modality {name!r} with the regions of `mdata` in their order."
            raise ValueError(msg)
    _become(mdata, merged, like=mdata)


def keep(mdata: MuData, mask: np.ndarray) -> None:
    """Remove regions in place, from all modalities: those where `mask`, bool ``(regions,)``, is false.

    Modalities are replaced by subsets; an AnnData that was taken out of `mdata` before keeps all regions.
    """
    _become(mdata, {name: modality[mask].copy() for name, modality in mdata.mod.items()}, like=mdata, mask=mask)


def writable(mdata: MuData, *, copy: bool) -> MuData:
    """Return what a verb writes to: a copy where asked for, else `mdata` itself.

    A view is made an object of its own first, since `uns` and `obs` of a view are those of the whole.
    """
    if not (copy or mdata.is_view):
        return mdata
    with quiet():
        duplicate = mdata.copy()
    if copy:
        return duplicate
    _become(mdata, duplicate.mod, like=duplicate)
    return mdata


def _become(
    mdata: MuData, modalities: Mapping[str, AnnData], *, like: MuData, mask: np.ndarray | slice = slice(None)
) -> None:
    """Initialise `mdata` anew with these modalities, and all else from `like` (which may be itself), where `mask`."""
    modalities = dict(modalities)
    obs, uns = like.obs[mask].copy(), like.uns
    obsm = {key: value[mask] for key, value in like.obsm.items() if key not in modalities}
    obsp = {key: value[mask][:, mask] for key, value in like.obsp.items() if key not in modalities}
    with quiet():
        vars(mdata).clear()
        mdata.__init__(modalities, axis=REGION_AXIS)
        mdata.obs = obs.loc[mdata.obs_names]
    mdata.obsm.update(obsm)
    mdata.obsp.update(obsp)
    mdata.uns = uns


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
