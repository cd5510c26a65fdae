"""Read what `write` wrote."""

from __future__ import annotations

import os
from pathlib import Path

import mudata
from mudata import MuData

from genebert import _mudata
from genebert._keys import SCHEMA_KEY, SCHEMA_VERSION, START, UNS
from genebert._validate import check_literal, listed
from genebert.io._write import SUFFIXES

__all__ = ["read"]


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
        When the suffix is another one, when a newer genebert wrote it, or when it holds no regions.

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
    if not path.exists():
        msg = f"Expected a {path.suffix} at {path}; found nothing. Check the path."
        raise FileNotFoundError(msg)
    with _mudata.quiet():
        mdata = (mudata.read_h5mu if path.suffix == ".h5mu" else mudata.read_zarr)(path)
    version = int(mdata.uns.get(UNS, {}).get(SCHEMA_KEY, SCHEMA_VERSION))
    if version > SCHEMA_VERSION:
        msg = (
            f"Expected layout version {SCHEMA_VERSION} or older; {path} has {version}, written by a newer genebert. "
            "Run: pip install -U genebert"
        )
        raise ValueError(msg)
    if START.modality not in mdata.mod:
        msg = (
            f"Expected a modality {START.modality!r} with regions; {path} has {listed(mdata.mod)}. Make one with "
            "gb.io.from_anndata from the AnnData with peaks."
        )
        raise ValueError(msg)
    return mdata
