from __future__ import annotations

import tracemalloc

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import genebert as gb
from genebert import _keys, _mudata
from genebert.datasets._toy import ACTIVE, TFS
from genebert.pp import _cell_tf_activity
from genebert.pp._deviations import Sums, match_background, strata

KEY = _keys.CELL_TF_ACTIVITY
N_CELLS = 18


@pytest.fixture(scope="module")
def mdata():
    """Regions of `toy` with the motifs that were planted."""
    mdata = gb.datasets.toy()
    _mudata.put(mdata, **{_keys.TF: mdata[_keys.TF][:, TFS].copy()})
    return mdata


@pytest.fixture(scope="module")
def all_cells(mdata):
    """Three cells of each cell type, with about 250 fragments each; peaks in another order and spelling."""
    counts = _keys.COUNTS.get(mdata).toarray()[:, np.arange(N_CELLS) % 6]
    sampled = np.random.default_rng(0).poisson(250 * counts / counts.sum(axis=0)).astype(np.float32).T
    names = pd.DataFrame(index=mdata.obs_names.str.replace(":", "-")[::-1])
    cell_types = mdata[_keys.ATAC].var_names[np.arange(N_CELLS) % 6]
    obs = pd.DataFrame({"cell_type": cell_types}, index=[f"cell{i}" for i in range(N_CELLS)])
    return ad.AnnData(sparse.csr_matrix(sampled[:, ::-1]), obs=obs, var=names)


@pytest.fixture
def cells(all_cells):
    return all_cells.copy()


def activity(cells, mdata, **options):
    return gb.pp.cell_tf_activity(cells, mdata, copy=True, **options).obsm[KEY]


def by_region(cells):
    """Cells x regions, dense, in the order of the regions."""
    return cells.X.toarray()[:, ::-1].astype(np.float64)


def groups_of(cells, mdata):
    accessibility = by_region(cells).sum(axis=0)
    known = accessibility > 0
    gc = _keys.GC.get(mdata).to_numpy(dtype=np.float64)
    return known, strata(gc[known], accessibility[known] / accessibility.sum(), n_bins=10)


def sampled(counts, strength, groups, *, n_draws):
    """Deviation scores as chromVAR has them, from random background regions of the same stratum."""
    rng = np.random.default_rng(0)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0) / counts.sum())

    def raw(rows):
        return counts[:, rows] @ strength / (expected[:, rows] @ strength) - 1

    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    draws = []
    for _ in range(n_draws):
        rows = np.empty(len(groups), dtype=int)
        for inside in members:
            rows[inside] = rng.choice(inside, len(inside))
        draws.append(raw(rows))
    return (raw(np.arange(len(groups))) - np.mean(draws, axis=0)) / np.std(draws, axis=0)


def test_writes_what_it_promises(cells, mdata, log):
    gb.pp.cell_tf_activity(cells, mdata)
    found = cells.obsm[KEY]
    assert list(found.index) == list(cells.obs_names)
    assert list(found.columns) == TFS
    assert set(found.dtypes) == {np.dtype(np.float32)}
    params = _keys.load_record(cells, "cell_tf_activity", KEY, filled_by="")["params"]
    assert {"split": None, "layer": None, "score": "z", "n_bins": 10, "n_empty": 0}.items() <= params.items()
    assert params["n_regions"] == groups_of(cells, mdata)[0].sum()
    assert f"18 cells x 12 TFs from {params['n_regions']} regions" in log.text


def test_active_tfs_are_on_top(cells, mdata):
    by_type = activity(cells, mdata).groupby(cells.obs["cell_type"].to_numpy()).mean()
    for cell_type, tfs in ACTIVE.items():
        assert set(by_type.loc[cell_type].nlargest(2).index) == set(tfs)


def test_is_what_random_background_regions_converge_to(cells, mdata):
    known, groups = groups_of(cells, mdata)
    counts = by_region(cells)[:, known]
    gc, share = _keys.GC.get(mdata).to_numpy(dtype=np.float64)[known], counts.sum(axis=0) / counts.sum()
    motifs = np.maximum(np.asarray(_keys.TF_SCORE.get(mdata), dtype=np.float64)[known], 0)
    beyond = (counts / counts.sum(axis=1, keepdims=True) - share).T
    for group in range(groups.max() + 1):
        rows = np.flatnonzero(groups == group)
        terms = np.column_stack([np.ones(len(rows)), gc[rows], share[rows] / share.mean()])
        for values in (motifs, beyond):
            values[rows] -= terms @ np.linalg.lstsq(terms, values[rows])[0]
    found, rng, draws = activity(cells, mdata), np.random.default_rng(0), []
    for n_draws, tolerance in ((20, 1), (2000, 0.1)):
        while len(draws) < n_draws:
            order = np.lexsort((rng.random(len(groups)), groups))
            permuted = np.empty_like(beyond)
            permuted[np.argsort(groups, kind="stable")] = beyond[order]
            draws.append(permuted.T @ motifs)
        expected = (beyond.T @ motifs - np.mean(draws, axis=0)) / np.std(draws, axis=0)
        assert (np.abs(found - expected) < tolerance * (1 + np.abs(expected))).all(axis=None)
    assert (np.abs(found - expected) > 1e-3).any(axis=None)


def test_agrees_with_chromvar(cells, mdata):
    """Regions drawn with replacement, matches instead of scores, the regression within strata left in place."""
    known, groups = groups_of(cells, mdata)
    scores = np.asarray(_keys.TF_SCORE.get(mdata))
    matches = mdata.copy()
    _keys.TF_SCORE.set(matches, (scores > np.quantile(scores, 0.85, axis=0)).astype(np.float32))
    strength = _keys.TF_SCORE.get(matches)[known]
    expected = sampled(by_region(cells)[:, known], strength, groups, n_draws=500).ravel()
    found = activity(cells, matches).to_numpy().ravel()
    assert np.corrcoef(found, expected)[0, 1] > 0.98
    assert np.polyfit(expected, found, 1)[0] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("score", ["correlation", "z"])
def test_agrees_with_cell_types(mdata, score):
    """Cells of one depth are cell types of one depth."""
    counts = np.expm1(np.asarray(_keys.ACCESSIBILITY.get(mdata), dtype=np.float64)).T
    cells = ad.AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(index=mdata.obs_names))
    expected = _keys.TF_ACTIVITY.get(gb.pp.tf_activity(mdata, split=None, score=score, copy=True))
    np.testing.assert_allclose(activity(cells, mdata, score=score), expected, atol=2e-3)


@pytest.mark.parametrize(
    "kind", [sparse.csc_matrix, sparse.csr_array, np.asarray, lambda dense: da.from_array(dense, chunks=(5, -1))]
)
def test_any_matrix(cells, mdata, kind):
    expected = activity(cells, mdata)
    cells.layers["other"] = kind(cells.X.toarray())
    cells.X = cells.X * 0
    np.testing.assert_allclose(activity(cells, mdata, layer="other"), expected, atol=1e-5)


def test_backed(cells, mdata, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    gb.pp.cell_tf_activity(backed, mdata)
    np.testing.assert_allclose(backed.obsm[KEY], activity(cells, mdata), atol=1e-6)
    backed.file.close()


def test_chunks_and_lazy_scores_change_nothing(cells, mdata, monkeypatch):
    expected = activity(cells, mdata)
    lazy = mdata.copy()
    _keys.TF_SCORE.set(lazy, da.from_array(np.asarray(_keys.TF_SCORE.get(mdata)), chunks=(100, -1)))
    monkeypatch.setattr(_cell_tf_activity, "CELLS", 5)
    monkeypatch.setattr(_cell_tf_activity, "ROWS", 13)
    cut = _cell_tf_activity.row_chunks
    monkeypatch.setattr(_cell_tf_activity, "row_chunks", lambda n, *, step=37: cut(n, step=step))
    np.testing.assert_allclose(activity(cells, lazy), expected, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), score=st.sampled_from(["correlation", "z"]))
def test_order_of_cells_and_peaks_changes_nothing(all_cells, mdata, seed, score):
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(N_CELLS), rng.permutation(mdata.n_obs)
    expected = activity(all_cells, mdata, score=score)
    found = activity(all_cells[rows][:, columns].copy(), mdata, score=score)
    np.testing.assert_allclose(found, expected.iloc[rows], atol=1e-4)


def test_only_regions_of_the_split_count(cells, mdata):
    train = (_keys.REGION_SPLIT.get(mdata) == "train").to_numpy()
    found = activity(cells, mdata, split="train")
    np.testing.assert_allclose(found, activity(cells, mdata[train].copy()), atol=1e-5)
    assert not np.allclose(found, activity(cells, mdata), atol=0.1)


def test_genes_and_unknown_peaks_do_not_count(cells, mdata, log):
    expected = activity(cells, mdata)
    others = ad.AnnData(
        sparse.csr_matrix(np.full((N_CELLS, 3), 9, dtype=np.float32)),
        obs=cells.obs,
        var=pd.DataFrame(index=["SPI1", "GATA1", "chr9:1-100"]),
    )
    both = ad.concat([others, cells], axis="var", merge="first")
    both.var["feature_types"] = ["Gene Expression"] * 2 + ["Peaks"] * 601
    np.testing.assert_allclose(activity(both, mdata), expected, atol=1e-5)
    assert "600 of 603 peaks are among the 600 regions" in log.text


def test_empty_cells_are_nan_and_told(cells, mdata):
    cells.X = sparse.vstack([cells.X[:17], cells.X[17:] * 0]).tocsr()
    with pytest.warns(UserWarning, match="1 of 18 cells have no accessible region and get NaN"):
        found = activity(cells, mdata)
    assert np.isnan(found.iloc[17]).all()
    np.testing.assert_allclose(found.iloc[:17], activity(cells[:17].copy(), mdata), atol=1e-5)


def test_constant_tfs_are_0(cells, mdata):
    flat = mdata.copy()
    scores = np.array(_keys.TF_SCORE.get(mdata))
    scores[:, 3] = 7.3
    _keys.TF_SCORE.set(flat, scores)
    found = activity(cells, flat)
    assert (found.iloc[:, 3] == 0).all()
    assert np.isfinite(found).all(axis=None)


def test_cells_x_peaks_is_not_made_dense():
    n_cells, n_peaks, rng = 600, 30_000, np.random.default_rng(0)
    names = [f"chr1:{start}-{start + 1}" for start in range(n_peaks)]
    tf = pd.DataFrame(rng.normal(size=(n_peaks, 3)), index=names, columns=["A", "B", "C"])
    mdata = gb.io.assemble(tf=tf)
    _keys.GC.set(mdata, rng.random(n_peaks))
    cells = ad.AnnData(
        sparse.random(n_cells, n_peaks, density=0.01, format="csr", dtype=np.float32, rng=rng),
        var=pd.DataFrame(index=names),
    )
    gb.pp.cell_tf_activity(cells[:2].copy(), mdata)  # what is compiled or cached
    tracemalloc.start()
    gb.pp.cell_tf_activity(cells, mdata)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n_cells * n_peaks * 4 / 2


def test_many_fragments_lose_no_digits():
    """With as many as all cells of a type have, what a TF explains is a hundred-thousandth of the sums that it is left of."""
    rng, n_regions, n_cells = np.random.default_rng(0), 50_000, 3
    gc, level = rng.normal(0.45, 0.08, n_regions), rng.lognormal(size=n_regions)
    strength = np.abs(rng.normal(8, 4, (n_regions, 3)))
    chance = level * rng.lognormal(sigma=0.02, size=(n_cells, n_regions))
    counts = rng.poisson(5e7 * chance / chance.sum(axis=1, keepdims=True)).astype(np.float32)
    totals, accessibility = counts.sum(axis=1, dtype=np.float64), counts.sum(axis=0, dtype=np.float64)
    background = match_background(gc, accessibility / accessibility.sum(), n_bins=10)
    used = _cell_tf_activity._Used(*[np.arange(n_regions)] * 2)
    found = _cell_tf_activity._activity(strength, sparse.csr_matrix(counts), used, (totals, background), score="z")
    sums = Sums(background, n_tfs=3, n_cell_types=n_cells)
    sums.add(strength, (counts / totals[:, None]).T, np.arange(n_regions))
    np.testing.assert_allclose(found, sums.deviations("z"), atol=1e-3)


def test_copy_and_other_key(cells, mdata):
    changed = gb.pp.cell_tf_activity(cells, mdata, key_added="chromvar", copy=True)
    assert "chromvar" in changed.obsm
    assert not len(cells.obsm)
    assert _keys.UNS not in cells.uns


def test_survives_a_file(cells, mdata, tmp_path):
    gb.pp.cell_tf_activity(cells, mdata)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    back = ad.read_h5ad(tmp_path / "cells.h5ad")
    pd.testing.assert_frame_equal(back.obsm[KEY], cells.obsm[KEY], check_names=False)
    assert _keys.load_record(back, "cell_tf_activity", KEY, filled_by="")["params"]["score"] == "z"


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda cells: cells, {"score": "mean"}, ValueError, "Expected `score`"),
        (lambda cells: cells, {"n_bins": 0}, ValueError, "Expected `n_bins`"),
        (lambda cells: cells, {"key_added": "a/b"}, ValueError, "Expected `key_added` without '/'"),
        (lambda cells: cells, {"layer": "raw"}, ValueError, "Expected `layer` .*found 'raw'"),
        (lambda cells: cells, {"split": "test"}, ValueError, "Expected `split`"),
        (lambda cells: cells.T.copy(), {}, ValueError, "found regions as observations"),
        (lambda cells: cells[:, :0].copy(), {}, ValueError, "found 18 x 0"),
        (lambda cells: ad.AnnData(-cells.X, var=cells.var), {}, ValueError, "not negative"),
        (lambda cells: ad.AnnData(cells.X * np.nan, var=cells.var), {}, ValueError, "finite"),
        (lambda cells: ad.AnnData(cells.X * 0, var=cells.var), {}, ValueError, "accessible regions; found none"),
        (lambda cells: ad.AnnData(cells.X[:, :1], var=pd.DataFrame(index=["chr1:1-2"])), {}, ValueError, "none of 1 is: chr1:1-2"),
        (lambda cells: cells.var, {}, TypeError, "Expected `adata` to be an AnnData; found a DataFrame"),
    ],
)  # fmt: skip
def test_bad_input(cells, mdata, change, options, error, message):
    bad = change(cells)
    with pytest.raises(error, match=message):
        gb.pp.cell_tf_activity(bad, mdata, **options)
    assert not isinstance(bad, ad.AnnData) or not len(bad.obsm)


def test_no_peak_in_the_split(cells, mdata):
    test = (_keys.REGION_SPLIT.get(mdata) == "test").to_numpy()[::-1]
    with pytest.raises(ValueError, match="regions of the split; none of 100 is"):
        gb.pp.cell_tf_activity(cells[:, test].copy(), mdata, split="train")


def test_missing_scores(cells, mdata):
    bare = mdata.copy()
    del bare.mod[_keys.TF]
    with pytest.raises(KeyError, match=r"gb\.pp\.scan_motifs"):
        gb.pp.cell_tf_activity(cells, bare)
