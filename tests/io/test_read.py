"""read: what it refuses; round trips are in test_write.py."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import genebert as gb
from genebert import _mudata
from genebert._keys import SCHEMA_KEY, SCHEMA_VERSION, UNS


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
def test_a_newer_layout_is_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    mdata = gb.io.assemble(sequences=["ACGT"])
    mdata.uns[UNS] = {SCHEMA_KEY: SCHEMA_VERSION + 1}
    (mdata.write_h5mu if suffix == ".h5mu" else mdata.write_zarr)(path)
    with pytest.raises(ValueError, match=f"has {SCHEMA_VERSION + 1}, written by a newer genebert. Run: pip install -U"):
        gb.io.read(path)


def test_files_of_others(tmp_path):
    _mudata.build({"rna": ad.AnnData(np.ones((2, 2), dtype=np.float32))}).write_h5mu(tmp_path / "a.h5mu")
    with pytest.raises(ValueError, match=r"has rna\. Make one with gb\.io\.from_anndata"):
        gb.io.read(tmp_path / "a.h5mu")
    with pytest.raises(ValueError, match=r"one of '\.h5mu', '\.zarr'; found '\.h5ad'"):
        gb.io.read(tmp_path / "a.h5ad")
    with pytest.raises(FileNotFoundError, match="found nothing"):
        gb.io.read(tmp_path / "none.zarr")


@pytest.mark.parametrize(("suffix", "verb"), [(".h5mu", gb.io.read), (".zarr", gb.io.read), (".zarr", gb.io.open)])
def test_an_anndata_under_another_name(tmp_path, suffix, verb):
    adata = ad.AnnData(np.ones((2, 2), dtype=np.float32))
    path = tmp_path / f"a{suffix}"
    (adata.write_h5ad if suffix == ".h5mu" else adata.write_zarr)(path)
    with pytest.raises(ValueError, match=r"Expected a MuData in .*; found an AnnData\. Read it with anndata\.read"):
        verb(path)


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "a.h5mu").write_text("text")
    with pytest.raises(ValueError, match="Expected an HDF5 file at"):
        gb.io.read(tmp_path / "a.h5mu")
