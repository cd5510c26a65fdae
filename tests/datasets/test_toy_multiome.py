"""The files of the made multiome experiment are what the tools expect, and agree with each other."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import genebert as gb
from genebert import _keys
from genebert.datasets._toy import ACTIVE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return gb.datasets.toy_multiome(tmp_path_factory.mktemp("multiome"))


def test_scanpy_reads_the_matrix(folder):
    adata = sc.read_10x_h5(folder / "filtered_feature_bc_matrix.h5", gex_only=False)
    cells = pd.read_csv(folder / "cells.tsv", sep="\t")
    assert adata.n_obs == 360
    assert list(adata.obs_names) == list(cells["barcode"])
    assert (adata.var["feature_types"] == "Peaks").sum() == 600
    assert set(ACTIVE["Monocyte"]) <= set(adata.var_names[adata.var["feature_types"] == "Gene Expression"])


def test_genome_holds_the_sequences_of_the_peaks(folder, toy):
    peaks = toy["seq"].obs[[]]
    mdata = gb.io.read_regions(gb.io.assemble(regions=peaks)["seq"].obs)
    gb.pp.add_sequence(mdata, folder / "genome.fa")
    with h5py.File(folder / "filtered_feature_bc_matrix.h5") as file:
        names = file["matrix/features/name"][:].astype(str)[-600:]
    assert list(names) == list(toy.obs_names)
    np.testing.assert_array_equal(_keys.GC.get(mdata) > 0, True)
    repeated = gb.datasets.toy(rng=np.random.default_rng(0))
    np.testing.assert_array_equal(_keys.DNA_CODE.get(mdata), _keys.DNA_CODE.get(repeated))


def test_active_tfs_are_expressed(folder):
    adata = sc.read_10x_h5(folder / "filtered_feature_bc_matrix.h5", gex_only=False)
    cells = pd.read_csv(folder / "cells.tsv", sep="\t", index_col="barcode")
    tfs = sorted({tf for pair in ACTIVE.values() for tf in pair})
    mean = adata[:, tfs].to_df().groupby(cells["cell_type"]).mean()
    for cell_type, active in ACTIVE.items():
        assert set(mean.loc[cell_type].nlargest(2).index) == set(active)


def test_too_few_cells(tmp_path):
    with pytest.raises(ValueError, match="n_cells"):
        gb.datasets.toy_multiome(tmp_path, n_cells=3)
