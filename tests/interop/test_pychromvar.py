"""pychromVAR (0.0.4): cells x peaks with its sequences, background peaks and motif matches; its input made by genebert."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import genebert as gb
from genebert._dna import decode
from genebert._keys import COUNTS, DNA_CODE, EMBEDDING, GC, TF

N_CELLS = 24


@pytest.fixture
def cells(toy):
    """Cells x peaks over the regions of the toy data, in another order and another style of names."""
    rng = np.random.default_rng(0)
    regions = rng.permutation(toy.n_obs)
    cell_types = rng.permutation(np.repeat(toy["atac"].var_names[:6], N_CELLS // 6))
    means = COUNTS.get(toy).toarray()[regions][:, toy["atac"].var_names.get_indexer(cell_types)].T / 40
    names = [name.replace(":", "-") for name in toy.obs_names[regions]]
    obs = pd.DataFrame({"cell_type": cell_types}, index=[f"cell{i}" for i in range(N_CELLS)])
    return ad.AnnData(sparse.csr_matrix(rng.poisson(means).astype(np.float32)), obs=obs, var=pd.DataFrame(index=names))


def processed(cells, toy) -> ad.AnnData:
    """What `add_peak_seq`, `add_gc_bias`, `get_bg_peaks` and `match_motif` leave in the AnnData."""
    rng = np.random.default_rng(0)
    cells = cells.copy()
    rows = toy.obs_names.get_indexer([name.replace("-", ":", 1) for name in cells.var_names])
    cells.uns["peak_seq"] = [decode(codes) for codes in DNA_CODE.get(toy)[rows]]
    cells.var["gc_bias"] = GC.get(toy).to_numpy()[rows].astype(float)
    cells.varm["bg_peaks"] = rng.integers(0, cells.n_vars, (cells.n_vars, 5)).astype(np.int32)
    cells.varm["motif_match"] = rng.integers(0, 2, (cells.n_vars, 2)).astype(np.uint8)
    cells.uns["motif_name"] = ["MA0080.1.SPI1", "MA0035.1.GATA1"]
    return cells


def motif_match(mdata, cells) -> ad.AnnData:
    """The motif matches of genebert in the place of those of `pychromvar.match_motif` and `add_gc_bias`."""
    result = gb.io.to_anndata(mdata, cells, keys=[TF, GC.key])
    matches = result.varm.pop(TF)
    result.varm["motif_match"] = (matches > 0).to_numpy().astype(np.uint8)
    result.uns["motif_name"] = matches.columns.tolist()
    result.var["gc_bias"] = result.var.pop(GC.key).astype(float)
    return result


def test_reads_what_it_writes(cells, toy):
    mdata = gb.io.from_anndata(processed(cells, toy), groupby="cell_type")
    assert set(mdata.obs_names) == set(toy.obs_names)
    assert COUNTS.get(mdata).sum() == cells.X.sum()


def test_results_go_back_beside_its_own(cells, toy, tmp_path):
    mdata = gb.io.from_anndata(processed(cells, toy), groupby="cell_type")
    EMBEDDING.set(mdata, np.ones((mdata.n_obs, 2), dtype=np.float32))
    result = gb.io.to_anndata(mdata, processed(cells, toy))
    assert set(result.varm) == {"bg_peaks", "motif_match", EMBEDDING.key}
    assert len(result.uns["peak_seq"]) == result.n_vars
    result.write_h5ad(tmp_path / "cells.h5ad")


def test_motif_matches_are_handed_over(cells, toy):
    gb.pp.scan_motifs(toy, gb.io.read_motifs(_motifs()), score="count")
    result = motif_match(toy, cells)
    assert result.varm["motif_match"].shape == (cells.n_vars, toy["tf"].n_vars)
    scores = toy["tf"].to_df()
    for place in (0, 17, 599):
        name = cells.var_names[place].replace("-", ":", 1)
        assert result.varm["motif_match"][place].tolist() == (scores.loc[name] > 0).astype(int).tolist()
    assert result.uns["motif_name"] == list(toy["tf"].var_names)
    np.testing.assert_allclose(
        result.var["gc_bias"], [GC.get(toy)[name.replace("-", ":", 1)] for name in cells.var_names]
    )


def _motifs():
    """The file of the shipped motifs."""
    from importlib.resources import files

    return files("genebert") / "weights" / "mini" / "motifs.meme"


def test_the_tool_itself(cells, toy, tmp_path):
    """Ran with pychromVAR 0.0.4 beside anndata 0.12 (with a FutureWarning of its own use of `dtype`)."""
    pychromvar = pytest.importorskip("pychromvar", reason="pychromVAR is not installed: MOODS must be compiled for it")
    gb.pp.scan_motifs(toy, gb.io.read_motifs(_motifs())[:20], score="count")
    data = motif_match(toy, cells)
    data.varm["bg_peaks"] = processed(cells, toy).varm["bg_peaks"]  # get_bg_peaks would compile for minutes
    deviations = pychromvar.compute_deviations(data, n_jobs=1)
    assert list(deviations.obs_names) == list(cells.obs_names)
    assert list(deviations.var_names) == list(toy["tf"].var_names)
    assert np.isfinite(deviations.X).all()
    cells.obsm["deviations"] = deviations.to_df()
    mdata = gb.io.from_anndata(cells, groupby="cell_type")
    assert mdata.n_obs == toy.n_obs
