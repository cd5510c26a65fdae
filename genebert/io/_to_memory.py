"""From a store into memory."""

from __future__ import annotations

from mudata import MuData

from genebert import _mudata

__all__ = ["to_memory"]


def to_memory(mdata: MuData) -> MuData:
    """Read a MuData that lives in a store, or a subset of one, into memory.

    Parameters
    ----------
    mdata
        What :func:`genebert.io.open` returned, or ``mdata[regions]`` of it.

    Returns
    -------
    A MuData of its own, with numpy arrays and scipy matrices.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/toy.zarr"
    >>> gb.io.write(gb.datasets.toy(), path)
    >>> mdata = gb.io.to_memory(gb.io.open(path)[:100])
    >>> mdata["seq"].obsm["dna_code"].shape
    (100, 200)
    """
    mdata = _mudata.writable(mdata, copy=True)
    for name, modality in mdata.mod.items():
        mdata.mod[name] = modality.to_memory()
    for matrices in (mdata.obsm, mdata.obsp, mdata.varm, mdata.varp):
        for key, value in matrices.items():
            if hasattr(value, "compute"):
                matrices[key] = value.compute()
    return mdata
