"""CREsted (1.11): classes x regions as `import_beds` and `import_bigwigs` make them, splits, and what it trains on."""

from __future__ import annotations

import os

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import genebert as gb
from genebert._keys import ACCESSIBILITY, ATAC, EMBEDDING, OPEN, REGION_SPLIT

REGIONS = ["chr1:100-300", "chr2:50-250", "chr3:400-600"]
CALLS = np.array([[1, 1, 0], [1, 0, 1]])


def frame_of_regions(names) -> pd.DataFrame:
    parts = [name.replace("-", ":").split(":") for name in names]
    var = pd.DataFrame(
        {"chr": [p[0] for p in parts], "start": [int(p[1]) for p in parts], "end": [int(p[2]) for p in parts]},
        index=pd.Index(names, name="region"),
    )
    return var


@pytest.fixture
def topics():
    """As ``crested.import_beds`` followed by ``crested.pp.train_val_test_split``."""
    obs = pd.DataFrame({"file_path": ["a.bed", "b.bed"], "n_open_regions": [2, 2]}, index=["Topic_1", "Topic_2"])
    var = frame_of_regions(REGIONS)
    var.insert(0, "n_classes", CALLS.sum(axis=0))
    var["split"] = ["train", "val", "test"]
    return ad.AnnData(CALLS, obs=obs, var=var)


@pytest.fixture
def peak_heights():
    """As ``crested.import_bigwigs(target_region_width=1000)``: real numbers, NaN where a track lacks the chromosome."""
    var = frame_of_regions(REGIONS)
    var["target_start"], var["target_end"] = [0, 0, 0], [1000, 1000, 1000]
    values = np.array([[0.5, 1.25, 0], [3.5, np.nan, 0.25]], dtype=np.float32)
    return ad.AnnData(values, obs=pd.DataFrame({"file_path": ["a.bw", "b.bw"]}, index=["B", "T"]), var=var)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_topics(topics, is_compressed, log):
    if is_compressed:  # import_beds(compress=True)
        topics.X = sparse.csr_matrix(topics.X)
    mdata = gb.io.from_anndata(topics)
    assert list(mdata.obs_names) == REGIONS
    assert list(mdata[ATAC].var_names) == ["Topic_1", "Topic_2"]
    assert np.array_equal(ACCESSIBILITY.get(mdata), CALLS.T)
    assert np.array_equal(OPEN.get(mdata).toarray(), CALLS.T)
    assert REGION_SPLIT.get(mdata).tolist() == ["train", "val", "test"]
    assert "taken from column 'split': train 1, val 1, test 1" in log.text


def test_peak_heights(peak_heights, log):
    mdata = gb.io.from_anndata(peak_heights)
    assert list(mdata.obs_names) == REGIONS  # not the wider target
    np.testing.assert_array_equal(ACCESSIBILITY.get(mdata), peak_heights.X.T)
    assert not REGION_SPLIT.has(mdata)
    assert "1 of 6 values are NaN (not measured)" in log.text


def test_resized_regions(topics):
    """``crested.pp.change_regions_width`` renames regions and keeps the old names beside them."""
    topics.var["unresized_index"] = topics.var_names
    topics.var_names = ["chr1:50-350", "chr2:0-300", "chr3:350-650"]
    topics.var["start"], topics.var["end"] = [50, 0, 350], [350, 300, 650]
    assert list(gb.io.from_anndata(topics).obs_names) == ["chr1:50-350", "chr2:0-300", "chr3:350-650"]


def test_results_go_back(topics, tmp_path):
    mdata = gb.io.from_anndata(topics)
    EMBEDDING.set(mdata, np.arange(6, dtype=np.float32).reshape(3, 2))
    result = gb.io.to_anndata(mdata, topics)
    assert np.array_equal(result.varm[EMBEDDING.key], mdata.obsm[EMBEDDING.key])
    assert result.var["split"].tolist() == result.var[REGION_SPLIT.key].tolist() == ["train", "val", "test"]
    result.write_h5ad(tmp_path / "topics.h5ad")


def for_crested(mdata) -> ad.AnnData:
    """What CREsted trains on: cell types x regions, names ``chr:start-end``, a column with the split."""
    atac = mdata[ATAC].copy().T
    atac.var["split"] = REGION_SPLIT.get(mdata).astype(str)
    return atac


def test_handing_over(toy):
    atac = for_crested(toy)
    assert atac.shape == (6, 600)
    assert list(atac.var_names) == list(toy.obs_names)
    assert atac.var["split"].value_counts().to_dict() == {"train": 400, "val": 100, "test": 100}
    assert atac.X.dtype == np.float32


def test_the_tool_itself(tmp_path, monkeypatch):
    """Ran with CREsted 1.11.0 beside anndata 0.12 and torch; Keras needs a backend chosen before it is imported."""
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "torch")
    crested = pytest.importorskip("crested", reason="CREsted is not installed: academic licence, large dependencies")
    (tmp_path / "beds").mkdir()
    (tmp_path / "beds" / "Topic_1.bed").write_text("chr1\t100\t300\nchr2\t50\t250\n")
    (tmp_path / "beds" / "Topic_2.bed").write_text("chr1\t100\t300\nchr3\t400\t600\n")
    (tmp_path / "regions.bed").write_text("".join("\t".join(n.replace("-", ":").split(":")) + "\n" for n in REGIONS))
    (tmp_path / "sizes").write_text("chr1\t1000\nchr2\t1000\nchr3\t1000\n")
    (tmp_path / "genome.fa").write_text("".join(f">chr{n}\n{'ACGT' * 250}\n" for n in (1, 2, 3)))
    topics = crested.import_beds(tmp_path / "beds", tmp_path / "regions.bed", chromsizes_file=tmp_path / "sizes")
    crested.pp.train_val_test_split(topics, strategy="chr", val_chroms=["chr2"], test_chroms=["chr3"])
    mdata = gb.io.from_anndata(topics)
    assert list(mdata.obs_names) == REGIONS
    assert np.array_equal(ACCESSIBILITY.get(mdata), CALLS.T)
    assert REGION_SPLIT.get(mdata).tolist() == ["train", "val", "test"]

    genome = crested.Genome(tmp_path / "genome.fa", tmp_path / "sizes")
    data = crested.tl.data.AnnDataWrapper(for_crested(mdata), genome=genome, batch_size=1)
    assert data._get_indices() == REGIONS
    assert np.array_equal(data._get_target(REGIONS[1]), CALLS[:, 1])
    result = gb.io.to_anndata(mdata, topics)
    data = crested.tl.data.AnnDataWrapper(result, genome=genome, batch_size=1, split_column=REGION_SPLIT.key)
    assert data._get_splits() == ["train", "val", "test"]
