"""Write a MuData to a file, whole or not at all."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from pathlib import Path

from mudata import MuData

from genebert import _mudata
from genebert._keys import SCHEMA_KEY, SCHEMA_VERSION, UNS
from genebert._validate import check_literal

__all__ = ["SUFFIXES", "write"]

SUFFIXES = (".h5mu", ".zarr")


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
    path = Path(path)
    check_literal(path.suffix, SUFFIXES, name="path (its suffix)")
    stamped = _stamped(mdata)
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        written = staging / path.name
        with _mudata.quiet():
            (stamped.write_h5mu if path.suffix == ".h5mu" else stamped.write_zarr)(written)
        _swap(written, path, staging)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _stamped(mdata: MuData) -> MuData:
    """Return the same data with the version of the layout in an `uns` of its own."""
    with _mudata.quiet():
        stamped = mdata.copy() if mdata.is_view else copy.copy(mdata)
    stamped.uns = {**mdata.uns, UNS: {**mdata.uns.get(UNS, {}), SCHEMA_KEY: SCHEMA_VERSION}}
    return stamped


def _swap(written: Path, path: Path, staging: Path) -> None:
    """Put `written` in the place of `path`. A folder cannot be replaced in one step, so the old one steps aside."""
    if not path.is_dir():
        os.replace(written, path)
        return
    aside = staging / "old"
    os.replace(path, aside)
    try:
        os.replace(written, path)
    except OSError:
        os.replace(aside, path)
        raise
