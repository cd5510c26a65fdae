"""Write a MuData to a file, whole or not at all."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from anndata.io import write_elem
from mudata import MuData

from genebert import _mudata
from genebert._keys import SCHEMA_KEY, SCHEMA_VERSION, UNS
from genebert._store import store_of
from genebert._transaction import MOVES, WHOLE, chunks_of, decide, folder_beside, recover
from genebert._validate import check_literal

__all__ = ["SUFFIXES", "write"]

SUFFIXES = (".h5mu", ".zarr")
OLD = "old"


def write(mdata: MuData, path: str | os.PathLike[str]) -> None:
    """Write to ``.h5mu`` or ``.zarr``, as the suffix says.

    The file is written under another name in the same folder and then renamed, so that a run that is killed or a full
    disk leaves the old file as it was. The version of the layout is stored in ``uns`` of the file.

    Parameters
    ----------
    mdata
        The MuData.
    path
        Where to write; a file that is there is replaced.

    Raises
    ------
    TypeError
        When `mdata` is no MuData.
    ValueError
        When the suffix is another one.

    Examples
    --------
    >>> import tempfile, pandas as pd, genebert as gb
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "regions.h5mu"
    >>> mdata = gb.io.assemble(sequences=["ACGT", "GGCC"])
    >>> gb.io.write(mdata, path)
    >>> gb.io.read(path).n_obs
    2
    """
    _mudata.check_mudata(mdata)
    path = Path(path)
    check_literal(path.suffix, SUFFIXES, name="path (its suffix)")
    stamped = _stamped(mdata)
    path.parent.mkdir(parents=True, exist_ok=True)
    recover(path.resolve())  # what an earlier run left would later be put over what is written now
    staging = folder_beside(path)
    try:
        written = staging / path.name
        with _mudata.quiet():
            stamped.write_h5mu(written) if path.suffix == ".h5mu" else _write_zarr(stamped, written)
        _swap(written, path, staging)
    finally:
        if path.exists() or not (staging / OLD).exists():  # else the old folder could not go back, and is all there is
            shutil.rmtree(staging, ignore_errors=True)
    store = store_of(mdata)
    if store is not None and store.path == path.resolve():
        store.reread(mdata)


def _stamped(mdata: MuData) -> MuData:
    """Return the same data with the version of the layout in an `uns` of its own."""
    with _mudata.quiet():
        stamped = mdata.copy() if mdata.is_view else copy.copy(mdata)
    stamped.uns = {**mdata.uns, UNS: {**mdata.uns.get(UNS, {}), SCHEMA_KEY: SCHEMA_VERSION}}
    return stamped


def _write_zarr(mdata: MuData, path: Path) -> None:
    """Write matrices in chunks of whole rows, as they are read; zarr by itself cuts columns, too."""
    mdata.write_zarr(path)
    root = zarr.open_group(path, mode="r+")
    for place, matrix in _matrices(mdata):
        group, key = place.rsplit("/", 1)
        if getattr(root[place], "chunks", (0,))[-1] < matrix.shape[-1]:
            write_elem(root[group], key, matrix, dataset_kwargs={"chunks": chunks_of(matrix.shape, matrix.dtype)})


def _matrices(mdata: MuData) -> Iterator[tuple[str, Any]]:
    """Dense matrices of regions with their places."""
    places = {f"obsm/{key}": value for key, value in mdata.obsm.items()}
    for name, modality in mdata.mod.items():
        places[f"mod/{name}/X"] = modality.X
        for attr in ("obsm", "layers"):
            places |= {f"mod/{name}/{attr}/{key}": value for key, value in getattr(modality, attr).items()}
    for place, matrix in places.items():
        is_dense = isinstance(matrix, np.ndarray) or isinstance(getattr(matrix, "_meta", None), np.ndarray)
        if is_dense and matrix.ndim == 2:
            yield place, matrix


def _swap(written: Path, path: Path, staging: Path) -> None:
    """Put `written` in the place of `path`. A folder cannot be replaced in one step, so the old one steps aside.

    A run that is killed between the two steps is finished by `recover`.
    """
    if not path.is_dir():
        os.replace(written, path)
        return
    aside = staging / OLD
    decide(staging, {WHOLE: written.name})
    try:
        os.replace(path, aside)
        os.replace(written, path)
    except OSError:
        (staging / MOVES).unlink(missing_ok=True)
        if aside.exists():
            os.replace(aside, path)
        raise
