"""Read what `write` wrote."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import mudata
import zarr
from mudata import MuData

from genebert import _mudata
from genebert._keys import SCHEMA_KEY, SCHEMA_VERSION, START, UNS
from genebert._transaction import recover
from genebert._validate import check_literal, listed
from genebert.io._write import SUFFIXES

__all__ = ["check_content", "check_exists", "check_kind", "read"]


def read(path: str | os.PathLike[str]) -> MuData:
    """Read a ``.h5mu`` file or a ``.zarr`` folder into memory.

    Parameters
    ----------
    path
        Where it is.

    Raises
    ------
    FileNotFoundError
        When nothing is there.
    ValueError
        When the suffix is another one, when an AnnData or no HDF5 is in the file, when a newer genebert wrote it, or when it holds no regions.

    Examples
    --------
    >>> import tempfile, genebert as gb
    >>> path = tempfile.mkdtemp() + "/regions.zarr"
    >>> gb.io.write(gb.io.assemble(sequences=["ACGT", "GGCC"]), path)
    >>> list(gb.io.read(path).mod)
    ['seq']
    """
    path = Path(path)
    check_literal(path.suffix, SUFFIXES, name="path (its suffix)")
    if path.suffix == ".zarr":
        recover(path.resolve())
    check_exists(path)
    check_kind(_attributes(path), path=path)
    with _mudata.quiet():
        mdata = (mudata.read_h5mu if path.suffix == ".h5mu" else mudata.read_zarr)(path)
    check_content(mdata.mod, mdata.uns, path=path)
    return mdata


def check_exists(path: Path) -> None:
    """Raise unless something is there."""
    if not path.exists():
        msg = f"Expected a {path.suffix} at {path}; found nothing. Check the path."
        raise FileNotFoundError(msg)


def check_kind(attributes: Mapping[str, Any], *, path: Path) -> None:
    """Raise where an AnnData was written under this name."""
    if str(attributes.get("encoding-type", "")).lower() == "anndata":
        reader = "anndata.read_zarr" if path.suffix == ".zarr" else "anndata.read_h5ad"
        msg = (
            f"Expected a MuData in {path}; found an AnnData. Read it with {reader}, and make a MuData of it with "
            "gb.io.from_anndata."
        )
        raise ValueError(msg)


def _attributes(path: Path) -> dict[str, Any]:
    if path.suffix == ".zarr":
        return dict(zarr.open_group(path, mode="r").attrs)
    if not h5py.is_hdf5(path):
        msg = f"Expected an HDF5 file at {path}; found another kind, or one that is cut short. Write it anew."
        raise ValueError(msg)
    with h5py.File(path) as file:
        return dict(file.attrs)


def check_content(modalities: Iterable[str], uns: Mapping[str, Any], *, path: Path) -> None:
    """Raise unless it holds regions, in a layout that this version knows."""
    version = int(uns.get(UNS, {}).get(SCHEMA_KEY, SCHEMA_VERSION))
    if version > SCHEMA_VERSION:
        msg = (
            f"Expected layout version {SCHEMA_VERSION} or older; {path} has {version}, written by a newer genebert. "
            "Run: pip install -U genebert"
        )
        raise ValueError(msg)
    if START.modality not in modalities:
        msg = (
            f"Expected a modality {START.modality!r} with regions; {path} has {listed(modalities)}. Make one with "
            "gb.io.from_anndata from the AnnData with peaks."
        )
        raise ValueError(msg)
