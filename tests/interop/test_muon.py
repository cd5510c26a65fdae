"""muon: a 10x multiome file (RNA and ATAC of the same cells), as Cell Ranger ARC writes it and `read_10x_h5` reads it."""

from __future__ import annotations

import h5py
import muon
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

import genebert as gb
from genebert._keys import COUNTS, EMBEDDING, GC, N_CELLS, N_REPLICATES

PEAKS = ["chr1:100-300", "chr1:400-600", "chr2:50-250"]
GENES = {"SPI1": "chr1:40-41", "GATA1": "chr2:90-91"}
BARCODES = ["AAAC-1", "AAAG-1", "CCCC-1", "GGGG-1"]
PEAK_COUNTS = np.array([[1, 0, 2], [0, 0, 1], [0, 3, 0], [2, 1, 0]], dtype=np.int32)
GENE_COUNTS = np.array([[5, 0], [4, 1], [0, 7], [1, 6]], dtype=np.int32)


@pytest.fixture
def path(tmp_path):
    """``filtered_feature_bc_matrix.h5``: features x cells as CSC, genes before peaks."""
    matrix = sparse.csr_matrix(np.hstack([GENE_COUNTS, PEAK_COUNTS]))
    features = {
        "id": [f"ENSG{gene}" for gene in GENES] + PEAKS,
        "name": [*GENES, *PEAKS],
        "feature_type": ["Gene Expression"] * 2 + ["Peaks"] * 3,
        "genome": ["GRCh38"] * 5,
        "interval": [*GENES.values(), *PEAKS],
    }
    with h5py.File(tmp_path / "filtered_feature_bc_matrix.h5", "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(BARCODES, dtype="S")
        group["data"], group["indices"], group["indptr"] = matrix.data, matrix.indices.astype(np.int64), matrix.indptr
        group["shape"] = np.array([5, 4], dtype=np.int32)
        for key, values in features.items():
            group[f"features/{key}"] = np.array(values, dtype="S")
        group["features/_all_tag_keys"] = np.array(["genome", "interval"], dtype="S")
    return tmp_path / "filtered_feature_bc_matrix.h5"


@pytest.fixture
def multiome(path):
    """Cell types are known from the RNA, one cell failed there."""
    mdata = muon.read_10x_h5(path)
    rna = mdata.mod["rna"]
    rna.obs["celltype"] = pd.Categorical(["myeloid", "myeloid", "erythroid", "erythroid"])
    rna.obs["donor"] = ["d1", "d2", "d1", "d1"]
    muon.pp.filter_obs(rna, "celltype", lambda values: ~rna.obs_names.isin(["GGGG-1"]))
    mdata.update()
    return mdata


def test_cell_types_from_the_rna(multiome, log):
    atac = multiome.mod["atac"]
    assert atac.var["feature_types"].unique().tolist() == ["Peaks"]
    mdata = gb.io.from_anndata(atac, groupby=multiome.mod["rna"].obs["celltype"])
    assert list(mdata.obs_names) == PEAKS
    assert list(mdata["atac"].var_names) == ["erythroid", "myeloid"]
    assert COUNTS.get(mdata).toarray().tolist() == [[0, 1], [3, 0], [0, 3]]
    assert N_CELLS.get(mdata).tolist() == [1, 2]
    assert "1 of 4 cells have no 'celltype'" in log.text


def test_columns_of_the_multiome(multiome):
    """As `mdata.pull_obs` puts them into ``mdata.obs``; and copied into the ATAC, which knows donors then, too."""
    multiome.pull_obs()
    of_all = gb.io.from_anndata(multiome.mod["atac"], groupby=multiome.obs["rna:celltype"])
    atac = multiome.mod["atac"].copy()
    atac.obs[["celltype", "donor"]] = multiome.mod["rna"].obs[["celltype", "donor"]]
    mdata = gb.io.from_anndata(atac, groupby="celltype", replicate="donor")
    assert (COUNTS.get(of_all) != COUNTS.get(mdata)).nnz == 0
    assert N_REPLICATES.get(mdata).tolist() == [1, 2]


def test_results_go_back_into_the_multiome(multiome, tmp_path):
    mdata = gb.io.from_anndata(multiome.mod["atac"], groupby=multiome.mod["rna"].obs["celltype"])
    EMBEDDING.set(mdata, np.arange(6, dtype=np.float32).reshape(3, 2))
    mdata["seq"].obs[GC.key] = np.float32([0.4, 0.5, 0.6])
    multiome.mod["atac"] = gb.io.to_anndata(mdata, multiome.mod["atac"])
    multiome.write(tmp_path / "multiome.h5mu")
    again = muon.read(str(tmp_path / "multiome.h5mu")).mod["atac"]
    assert np.array_equal(again.varm[EMBEDDING.key], mdata.obsm[EMBEDDING.key])
    assert again.var[GC.key].tolist() == pytest.approx([0.4, 0.5, 0.6])
    assert again.var["interval"].tolist() == PEAKS


def test_genes_and_peaks_in_one_anndata(path, log):
    both = sc.read_10x_h5(path, gex_only=False)
    both.obs["celltype"] = ["a", "a", "b", "b"]
    mdata = gb.io.from_anndata(both, groupby="celltype")
    assert list(mdata.obs_names) == PEAKS
    assert COUNTS.get(mdata).toarray().T.tolist() == [[1, 0, 3], [2, 4, 0]]
    assert "3 peaks kept, 2 other features left out" in log.text


def test_a_multiome_is_no_anndata(multiome):
    with pytest.raises(TypeError, match=r"found a MuData\. Give one of its modalities: mdata\['atac'\]"):
        gb.io.from_anndata(multiome, groupby="celltype")
