"""What MuData does not do by itself: put a modality into an existing object without losing what is there."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import mudata
import numpy as np
from anndata import AnnData
from mudata import MuData

__all__ = ["build", "duplicate", "keep", "put", "quiet"]

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
    obs, uns = mdata.obs.copy(), mdata.uns
    obsm = {key: value for key, value in mdata.obsm.items() if key not in merged}
    obsp = {key: value for key, value in mdata.obsp.items() if key not in merged}
    with quiet():
        vars(mdata).clear()
        mdata.__init__(merged, axis=REGION_AXIS)
        mdata.obs = obs.loc[mdata.obs_names]
    mdata.obsm.update(obsm)
    mdata.obsp.update(obsp)
    mdata.uns = uns


def keep(mdata: MuData, mask: np.ndarray) -> None:
    """Remove regions in place, from all modalities: those where `mask`, bool ``(regions,)``, is false.

    Modalities are replaced by subsets; an AnnData that was taken out of `mdata` before keeps all regions.
    """
    with quiet():
        subset = mdata[mask].copy()
        vars(mdata).clear()
        vars(mdata).update(vars(subset))


def duplicate(mdata: MuData) -> MuData:
    """Copy everything, for verbs that are called with ``copy=True``."""
    with quiet():
        return mdata.copy()


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
