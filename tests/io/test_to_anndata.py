"""to_anndata: results back on the peaks."""

from __future__ import annotations

import anndata as ad
import dask.array
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import genebert as gb
from genebert import _mudata
from genebert._keys import CHROM, EMBEDDING, GC, SEQ, TF

PEAKS = ["chr2-50-250", "chr1-100-300", "chr1-400-600"]


@pytest.fixture
def atac():
    cells = pd.DataFrame({"cell_type": ["B", "T"]}, index=["c1", "c2"])
    return ad.AnnData(
        sparse.csr_matrix([[1, 2, 3], [4, 5, 6]], dtype=np.float32), obs=cells, var=pd.DataFrame(index=PEAKS)
    )


@pytest.fixture
def mdata(atac):
    mdata = gb.io.from_anndata(atac, groupby="cell_type")
    mdata = mdata[[2, 0]].copy()  # one region left out, the others in another order
    EMBEDDING.set(mdata, np.array([[2, 2], [0, 0]], dtype=np.float32))
    mdata.obsm["kind_proba"] = pd.DataFrame({"a": [0.2, 0.0], "b": [0.8, 1.0]}, index=mdata.obs_names)
    mdata.obs["leiden"] = pd.Categorical(["x", "y"])
    mdata[SEQ].obs[GC.key] = np.array([0.25, 0.75], dtype=np.float32)
    return mdata


def test_rows_find_their_peaks(mdata, atac, log):
    before = atac.copy()
    result = gb.io.to_anndata(mdata, atac)
    np.testing.assert_array_equal(result.varm[EMBEDDING.key], [[0, 0], [np.nan, np.nan], [2, 2]])
    assert result.varm[EMBEDDING.key].dtype == np.float32
    np.testing.assert_array_equal(result.varm["kind_proba"]["b"], [1.0, np.nan, 0.8])
    np.testing.assert_array_equal(result.var[GC.key], np.array([0.75, np.nan, 0.25], dtype=np.float32))
    assert result.var["leiden"].isna().tolist() == [False, True, False]
    assert list(result.var_names) == PEAKS
    assert CHROM.key not in result.var
    assert "2 of 3 peaks are among the 2 regions" in log.text
    assert list(before.var.columns) == list(atac.var.columns)
    assert not atac.varm
    assert set(result.varm) == {EMBEDDING.key, "kind_proba"}  # no masks of modalities


def test_the_result_can_be_written(mdata, atac, tmp_path):
    gb.io.to_anndata(mdata, atac).write_h5ad(tmp_path / "a.h5ad")
    assert ad.read_h5ad(tmp_path / "a.h5ad").varm[EMBEDDING.key].shape == (3, 2)


def test_keys_choose(mdata, atac):
    result = gb.io.to_anndata(mdata, atac, keys=[EMBEDDING.key, "leiden"])
    assert list(result.varm) == [EMBEDDING.key]
    assert list(result.var.columns) == ["leiden"]
    assert list(gb.io.to_anndata(mdata, atac, keys="leiden").var.columns) == ["leiden"]
    with pytest.raises(KeyError, match=rf"Expected `keys` among {EMBEDDING.key}.*'umap' missing"):
        gb.io.to_anndata(mdata, atac, keys=["umap"])


def test_regions_in_obs(mdata, atac):
    result = gb.io.to_anndata(mdata, atac.T.copy())
    np.testing.assert_array_equal(result.obsm[EMBEDDING.key][2], [2, 2])
    assert result.obs["leiden"].iloc[0] == "y"


def test_everything_matched_keeps_the_types(atac):
    mdata = gb.io.from_anndata(atac, groupby="cell_type")
    mdata.obs["rank"] = np.arange(3, dtype=np.int64)
    result = gb.io.to_anndata(mdata, atac)
    assert result.var["rank"].dtype == np.int64


def test_genes_of_a_10x_multiome_are_missing(mdata, atac):
    genes = ad.AnnData(np.ones((2, 1), dtype=np.float32), obs=atac.obs, var=pd.DataFrame(index=["SPI1"]))
    both = ad.concat([genes, atac], axis=1, merge="same")
    both.var["feature_types"] = ["Gene Expression", "Peaks", "Peaks", "Peaks"]
    result = gb.io.to_anndata(mdata, both)
    assert np.isnan(result.varm[EMBEDDING.key][0]).all()
    np.testing.assert_array_equal(result.varm[EMBEDDING.key][3], [2, 2])


def test_backed(mdata, atac, tmp_path):
    atac.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert not gb.io.to_anndata(mdata, backed).isbacked
    backed.file.close()


def test_matrices_are_shared_and_tables_are_not(mdata, atac):
    atac.layers["dense"] = atac.X.toarray()
    atac.obsm["table"] = pd.DataFrame({"x": [1, 2]}, index=atac.obs_names)
    atac.raw = atac.copy()
    atac.uns["note"] = {"kept": [1]}
    result = gb.io.to_anndata(mdata, atac)
    assert np.shares_memory(result.X.data, atac.X.data)
    assert np.shares_memory(result.layers["dense"], atac.layers["dense"])
    assert np.shares_memory(result.raw.X.data, atac.raw.X.data)
    result.obs["new"] = 1
    result.layers["more"] = result.layers["dense"] + 1
    result.obsm["table"]["new"] = 1
    result.uns["note"]["kept"].append(2)
    result.obs_names = ["d1", "d2"]
    assert list(atac.obs.columns) == ["cell_type"]
    assert list(atac.layers) == ["dense"]
    assert list(atac.obsm["table"].columns) == ["x"]
    assert list(atac.obsm["table"].index) == list(atac.obs_names) == ["c1", "c2"]
    assert atac.uns["note"] == {"kept": [1]}
    assert not atac.varm
    assert list(atac.var.columns) == []


def test_a_view_gives_an_object_of_its_own(mdata, atac):
    result = gb.io.to_anndata(mdata, atac[:1])
    assert not result.is_view
    assert result.X.toarray().tolist() == [[1, 2, 3]]


def test_replaced_columns_are_told(mdata, atac, log):
    atac.var["leiden"] = "mine"
    atac.varm[EMBEDDING.key] = np.zeros((3, 1))
    result = gb.io.to_anndata(mdata, atac)
    assert f"replaced in the result, since `adata` has the same name already: leiden, {EMBEDDING.key}" in log.text
    assert result.var["leiden"].tolist()[0] == "y"
    assert (atac.var["leiden"] == "mine").all()
    assert atac.varm[EMBEDDING.key].shape == (3, 1)


def test_flags_and_ranks_that_are_missing_can_be_written(mdata, atac, tmp_path):
    mdata.obs["flag"], mdata.obs["rank"] = [True, False], [1, 2]
    gb.io.to_anndata(mdata, atac).write_h5ad(tmp_path / "a.h5ad")
    var = ad.read_h5ad(tmp_path / "a.h5ad").var
    assert var["flag"].isna().tolist() == var["rank"].isna().tolist() == [False, True, False]
    assert var["rank"].iloc[0] == 2


def test_a_mudata_is_refused(mdata):
    with pytest.raises(TypeError, match="`adata` to be an AnnData; found a MuData"):
        gb.io.to_anndata(mdata, mdata)


def test_other_peaks_are_refused(mdata, atac):
    atac.var_names = ["chr9-1-2", "chr9-2-3", "chr9-3-4"]
    with pytest.raises(ValueError, match=r"none of 3 is: chr9:1-2.* Give the AnnData"):
        gb.io.to_anndata(mdata, atac)


@pytest.mark.parametrize(
    "kind", [np.asarray, sparse.csr_matrix, lambda values: dask.array.from_array(values, chunks=(1, -1))]
)
def test_motif_scores_where_they_are_named(mdata, atac, kind, tmp_path):
    scores = np.array([[3, 0], [1, 2]], dtype=np.float32)
    tfs = pd.DataFrame(index=["SPI1", "GATA1"])
    _mudata.put(mdata, **{TF: ad.AnnData(kind(scores), obs=pd.DataFrame(index=mdata.obs_names), var=tfs)})
    assert TF not in gb.io.to_anndata(mdata, atac).varm
    result = gb.io.to_anndata(mdata, atac, keys=[TF, "leiden"])
    assert list(result.varm) == [TF]
    np.testing.assert_array_equal(result.varm[TF]["SPI1"], [1, np.nan, 3])
    assert result.varm[TF].dtypes.tolist() == [np.float32, np.float32]
    result.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(KeyError, match=r"gb\.pp\.scan_motifs"):
        gb.io.to_anndata(gb.io.from_anndata(atac, groupby="cell_type"), atac, keys=TF)


def test_a_lazy_embedding(mdata, atac):
    mdata.obsm[EMBEDDING.key] = dask.array.from_array(mdata.obsm[EMBEDDING.key], chunks=(1, -1))
    np.testing.assert_array_equal(gb.io.to_anndata(mdata, atac).varm[EMBEDDING.key][2], [2, 2])


def test_an_anndata_of_another_package(mdata):
    class AnnData:
        def to_memory(self): ...

    with pytest.raises(TypeError, match=r"SnapATAC2 has its own class: give adata\.to_memory\(\)"):
        gb.io.to_anndata(mdata, AnnData())
