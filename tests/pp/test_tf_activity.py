from __future__ import annotations

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
from genebert.pp import _shares, _tf_activity
from genebert.pp._deviations import strata

IN_USE = f"seq.obs.{_keys.IN_TF_ACTIVITY.key}"
ACTIVITY = f"atac.varm.{_keys.TF_ACTIVITY.key}"


@pytest.fixture(scope="module")
def small():
    """Regions of `toy` with the motifs that were planted: quick to copy."""
    mdata = gb.datasets.toy()
    tf = mdata[_keys.TF][:, TFS].copy()
    _mudata.put(mdata, **{_keys.TF: tf})
    return mdata


@pytest.fixture
def data(small):
    return small.copy()


def activity(mdata, **options):
    return _keys.TF_ACTIVITY.get(gb.pp.tf_activity(mdata, copy=True, **options))


def params(mdata):
    return _keys.load_record(mdata, "tf_activity", _keys.TF_ACTIVITY.key, filled_by="gb.pp.tf_activity")["params"]


def is_train(mdata):
    return (_keys.REGION_SPLIT.get(mdata) == "train").to_numpy()


def set_accessibility(mdata, rows, columns, values):
    matrix = np.array(_keys.ACCESSIBILITY.get(mdata))
    matrix[rows, columns] = values
    _keys.ACCESSIBILITY.set(mdata, matrix)


def reference(mdata, *, n_bins=10, score="correlation"):
    """The formula of the docstring, for one cell type and stratum after the other."""
    rows = is_train(mdata)
    gc = _keys.GC.get(mdata).to_numpy(dtype=np.float64)[rows]
    counts = np.expm1(np.asarray(_keys.ACCESSIBILITY.get(mdata), dtype=np.float64)[rows])
    shares = counts / np.nansum(counts, axis=0)
    expected = np.nanmean(shares, axis=1)
    groups = strata(gc, expected, n_bins=n_bins)
    strength = np.maximum(np.asarray(_keys.TF_SCORE.get(mdata), dtype=np.float64)[rows], 0)
    found = np.zeros((counts.shape[1], strength.shape[1]))
    for cell_type, share in enumerate(shares.T):
        known = ~np.isnan(share)
        beyond = share - expected
        products = spread = squares = 0.0
        for group in range(groups.max() + 1):
            inside = known & (groups == group)
            terms = np.column_stack([np.ones(inside.sum()), gc[inside], expected[inside] / expected.mean()])
            y, m = (values - terms @ np.linalg.lstsq(terms, values)[0] for values in (beyond[inside], strength[inside]))
            products, spread = products + y @ m, spread + np.r_[y @ y, (m**2).sum(axis=0)]
            squares += (y @ y) * (m**2).sum(axis=0) / (inside.sum() - np.linalg.matrix_rank(terms))
        found[cell_type] = products / np.sqrt(squares if score == "z" else spread[0] * spread[1:])
    return found


def test_writes_what_it_promises(toy, changed):
    assert changed(toy, gb.pp.tf_activity) == {ACTIVITY, IN_USE, "uns.tf_activity.tf_activity"}
    found = _keys.TF_ACTIVITY.get(toy)
    assert list(found.index) == list(toy[_keys.ATAC].var_names)
    assert list(found.columns) == list(toy[_keys.TF].var_names)
    assert set(found.dtypes) == {np.dtype(np.float32)}
    in_use = _keys.IN_TF_ACTIVITY.get(toy)
    assert in_use.dtype == bool
    assert (in_use == is_train(toy)).all()
    expected = {
        "split": "train",
        "layer": None,
        "score": "correlation",
        "n_bins": 10,
        "n_regions": 400,
        "n_unmeasured": 0,
    }
    assert expected.items() <= params(toy).items()
    assert params(toy)["chromosomes"] == ["chr1", "chr2", "chr3", "chr4"]
    assert 4 <= params(toy)["n_strata"] <= 12


@pytest.mark.parametrize("score", ["correlation", "z"])
def test_active_tfs_are_on_top(toy, score):
    found = activity(toy, score=score)
    of_planted = found[TFS]
    for cell_type, tfs in ACTIVE.items():
        assert set(of_planted.loc[cell_type].nlargest(2).index) == set(tfs)
        ranks = found.loc[cell_type].rank(ascending=False)[list(tfs)]
        assert ranks.max() < 0.1 * len(found.columns)  # before them are TFs with much the same motif


@pytest.mark.parametrize("score", ["correlation", "z"])
@pytest.mark.parametrize("n_bins", [1, 3])
def test_is_the_formula(data, score, n_bins):
    found = activity(data, score=score, n_bins=n_bins)
    np.testing.assert_allclose(found, reference(data, score=score, n_bins=n_bins), rtol=1e-4, atol=1e-5)


def test_other_splits_have_no_part(data):
    before, rows = activity(data), ~is_train(data)
    rng = np.random.default_rng(0)
    set_accessibility(data, rows, slice(None), rng.random((rows.sum(), 6)).astype(np.float32))
    scores = np.array(_keys.TF_SCORE.get(data))
    scores[rows] = rng.normal(size=scores[rows].shape)
    _keys.TF_SCORE.set(data, scores)
    _keys.GC.set(data, np.where(rows, rng.random(600), _keys.GC.get(data)).astype(np.float32))
    pd.testing.assert_frame_equal(activity(data), before)
    assert not np.allclose(activity(data, split=None), before)


def test_all_regions_on_request(data):
    gb.pp.tf_activity(data, split=None)
    assert _keys.IN_TF_ACTIVITY.get(data).all()
    assert params(data)["split"] is None
    assert params(data)["n_regions"] == 600
    del data[_keys.SEQ].obs[_keys.REGION_SPLIT.key]
    gb.pp.tf_activity(data, split=None)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), score=st.sampled_from(["correlation", "z"]))
def test_order_of_regions_changes_nothing(small, seed, score):
    order = np.random.default_rng(seed).permutation(600)
    np.testing.assert_allclose(activity(small[order].copy(), score=score), activity(small, score=score), atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(factors=st.lists(st.floats(0.01, 100), min_size=6, max_size=6))
def test_depth_changes_nothing(small, factors):
    mdata = small.copy()
    counts = np.expm1(np.asarray(_keys.ACCESSIBILITY.get(small), dtype=np.float64)) * factors
    _keys.ACCESSIBILITY.set(mdata, np.log1p(counts).astype(np.float32))
    np.testing.assert_allclose(activity(mdata), activity(small), atol=1e-3)


def test_gc_and_accessibility_are_corrected_for():
    """A and B follow GC, C follows how open a region is in all; so do the scores of two motifs that open nothing."""
    rng, n_regions = np.random.default_rng(0), 2400
    gc, level = rng.normal(0.5, 0.07, n_regions).astype(np.float32), rng.lognormal(0, 0.6, n_regions)
    trend = 1 / (1 + np.exp((0.5 - gc) / 0.07))
    means = np.c_[trend, 1 - trend, 0.5 * np.sqrt(level)] * level[:, None] * 300
    names = [f"chr1:{start}-{start + 9}" for start in range(0, 10 * n_regions, 10)]
    counts = pd.DataFrame(rng.poisson(means), index=names, columns=["A", "B", "C"])
    scores = pd.DataFrame(
        {"gc": gc + 0.05 * rng.normal(size=n_regions), "level": level + 0.5 * rng.normal(size=n_regions)}, index=names
    )
    mdata = gb.io.assemble(sequences=pd.Series(["ACGTACGTA"] * n_regions, index=names), accessibility=counts, tf=scores)
    _keys.GC.set(mdata, gc)
    shares = counts / counts.sum()
    raw = np.corrcoef((shares.sub(shares.mean(axis=1), axis=0)).T, scores.T)[:3, 3:]
    assert np.abs(raw).max(axis=0).min() > 0.4
    for n_bins in (1, 10):
        assert activity(mdata, n_bins=n_bins, split=None).abs().max(axis=None) < 0.08


def test_does_not_grow_with_the_number_of_regions(data):
    small_part = data[: data.n_obs // 2].copy()
    planted = [(cell_type, tf) for cell_type in ACTIVE for tf in ACTIVE[cell_type]]
    for score, low, high in (("correlation", 0.9, 1.1), ("z", 1.25, 1.6)):
        whole, half = (activity(mdata, score=score, split=None) for mdata in (data, small_part))
        ratio = np.mean([whole.loc[pair] for pair in planted]) / np.mean([half.loc[pair] for pair in planted])
        assert low < ratio < high


def test_not_measured_is_left_out_and_counted(data, log):
    set_accessibility(data, slice(0, 90), 1, np.nan)
    set_accessibility(data, slice(0, 90), 4, np.nan)
    set_accessibility(data, slice(50, 120), 2, np.nan)
    for score in ("correlation", "z"):
        np.testing.assert_allclose(activity(data, score=score), reference(data, score=score), rtol=1e-4, atol=1e-5)
    gb.pp.tf_activity(data)
    assert params(data)["n_unmeasured"] == 250
    assert "250 values not measured, left out" in log.text


def test_regions_that_no_cell_type_measured_are_not_used(data):
    expected = activity(data[20:].copy())
    set_accessibility(data, slice(0, 10), slice(None), np.nan)
    _keys.GC.set(data, _keys.GC.get(data).where(~data.obs_names.isin(data.obs_names[10:20])))
    gb.pp.tf_activity(data)
    np.testing.assert_allclose(_keys.TF_ACTIVITY.get(data), expected, atol=1e-6)
    assert not _keys.IN_TF_ACTIVITY.get(data)[:20].any()
    assert params(data)["n_regions"] == 380


def test_constant_tfs_are_0(data):
    scores = np.array(_keys.TF_SCORE.get(data))
    scores[:, 3], scores[:, 4] = 7.3, -np.abs(scores[:, 4]) - 1
    _keys.TF_SCORE.set(data, scores)
    found = activity(data)
    assert (found.iloc[:, [3, 4]] == 0).all(axis=None)
    assert np.isfinite(found).all(axis=None)


def test_cell_type_without_accessibility(data):
    others = [0, 1, 3, 4, 5]
    cell_type = data[_keys.ATAC].var_names[2]
    set_accessibility(data, slice(None), 2, 0)
    with pytest.warns(UserWarning, match=f"have no accessible region and get NaN: {cell_type}"):
        found = activity(data)
    assert np.isnan(found.iloc[2]).all()
    assert np.isfinite(found.iloc[others]).all(axis=None)
    set_accessibility(data, slice(None), 2, np.nan)
    with pytest.warns(UserWarning, match="get NaN"):
        pd.testing.assert_frame_equal(activity(data), found)


def test_counts_calls_and_log_counts(data):
    counts = activity(data, layer=_keys.COUNTS.key)
    np.testing.assert_allclose(activity(data), counts, atol=1e-5)
    calls = activity(data, layer=_keys.OPEN.key)
    _keys.ACCESSIBILITY.set(data, _keys.OPEN.get(data).toarray())
    pd.testing.assert_frame_equal(activity(data), calls)
    gb.pp.tf_activity(data)
    assert params(data)["is_log1p"] is False
    assert not np.allclose(calls, counts, atol=0.01)


def test_lazy_and_sparse_matrices(data):
    gb.pp.scan_motifs(data, score="count", pvalue=1e-3)
    expected = activity(data)
    assert sparse.issparse(_keys.TF_SCORE.get(data))
    scores = _keys.TF_SCORE.get(data).toarray()
    for values in (scores, da.from_array(scores, chunks=(100, -1))):
        _keys.TF_SCORE.set(data, values)
        pd.testing.assert_frame_equal(activity(data), expected)
    accessibility = np.asarray(_keys.ACCESSIBILITY.get(data))
    for values in (da.from_array(accessibility, chunks=(100, -1)), sparse.csr_matrix(accessibility)):
        _keys.ACCESSIBILITY.set(data, values)
        pd.testing.assert_frame_equal(activity(data), expected)


def test_in_a_store(data, tmp_path):
    gb.io.write(data, tmp_path / "x.zarr")
    gb.pp.tf_activity(gb.io.open(tmp_path / "x.zarr"))
    back, expected = gb.io.read(tmp_path / "x.zarr"), activity(data)
    pd.testing.assert_frame_equal(_keys.TF_ACTIVITY.get(back), expected, check_names=False)
    assert (_keys.IN_TF_ACTIVITY.get(back) == is_train(back)).all()
    assert params(back)["n_regions"] == 400


def test_chunks_change_nothing(data, monkeypatch):
    set_accessibility(data, slice(0, 90), 1, np.nan)
    expected = activity(data)
    monkeypatch.setattr(_tf_activity, "ROWS", 13)
    for module in (_tf_activity, _shares):
        cut = module.row_chunks
        monkeypatch.setattr(module, "row_chunks", lambda n, *, step=37, cut=cut: cut(n, step=step))
    np.testing.assert_allclose(activity(data), expected, atol=1e-6)


def test_bare_sequences():
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(120)]
    counts = pd.DataFrame(rng.poisson(5, (120, 3)), columns=["a", "b", "c"], index=[f"seq{i}" for i in range(120)])
    mdata = gb.io.assemble(sequences=sequences, accessibility=counts)
    gb.pp.scan_motifs(mdata)
    gb.pp.split_regions(mdata, val=0)
    with pytest.warns(UserWarning, match="from 96 regions is mostly noise"):
        gb.pp.tf_activity(mdata)
    assert params(mdata)["chromosomes"] is None
    assert _keys.TF_ACTIVITY.get(mdata).abs().max(axis=None) < 0.6


def test_copy_view_round_trip_and_subset(data, changed, round_trip):
    assert changed(data, lambda mdata: gb.pp.tf_activity(mdata, copy=True)) == set()
    views = []
    assert changed(data, lambda mdata: gb.pp.tf_activity(views.append(mdata[100:]) or views[0])) == set()
    assert _keys.TF_ACTIVITY.has(views[0])
    gb.pp.tf_activity(data)
    back = round_trip(data)
    pd.testing.assert_frame_equal(_keys.TF_ACTIVITY.get(back), _keys.TF_ACTIVITY.get(data), check_names=False)
    assert list(params(back)["chromosomes"]) == ["chr1", "chr2", "chr3", "chr4"]
    order = np.random.default_rng(0).permutation(600)[:300]
    part = back[order].copy()
    assert (_keys.IN_TF_ACTIVITY.get(part) == is_train(part)).all()
    assert _keys.IN_TF_ACTIVITY.get(part).dtype == bool
    pd.testing.assert_frame_equal(_keys.TF_ACTIVITY.get(part), _keys.TF_ACTIVITY.get(back))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "test"}, "Expected `split` to be one of 'train', None; found 'test'"),
        ({"score": "mean"}, "Expected `score` to be one of 'correlation', 'z'"),
        ({"n_bins": 0}, "Expected `n_bins`"),
        ({"layer": "raw"}, "Expected `layer` to be one of counts, open .None = X.; found 'raw'"),
    ],
)
def test_bad_options(data, expect_refusal, options, message):
    with expect_refusal(data, ValueError, message):
        gb.pp.tf_activity(data, **options)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "finite and not negative.*normalize_accessibility"),
        (np.inf, "such as inf"),
        (900, r"found values up to 900\. Run"),
    ],
)
def test_bad_accessibility(data, expect_refusal, value, message):
    set_accessibility(data, 5, 0, value)
    with expect_refusal(data, ValueError, message):
        gb.pp.tf_activity(data)


def test_counts_in_place_of_their_logarithm(data, expect_refusal):
    _keys.ACCESSIBILITY.set(data, np.minimum(_keys.COUNTS.get(data).toarray(), 20))
    with expect_refusal(data, ValueError, r"found whole numbers up to 20\. Run gb\.pp\.normalize_accessibility"):
        gb.pp.tf_activity(data)


def test_bad_scores(data, expect_refusal):
    scores = np.array(_keys.TF_SCORE.get(data))
    scores[[3, 4], 2] = np.nan, -np.inf
    _keys.TF_SCORE.set(data, scores)
    with expect_refusal(data, ValueError, "motif scores that are numbers; 2 are NaN"):
        gb.pp.tf_activity(data)
    data[_keys.TF].var_names = ["A/B", *TFS[1:]]
    with expect_refusal(data, ValueError, "hold no '/'.*found A/B"):
        gb.pp.tf_activity(data)


def test_nothing_to_compare(data, expect_refusal):
    set_accessibility(data, slice(None), slice(1, None), 0)
    with expect_refusal(
        data, ValueError, "two or more cell types with accessible regions, to compare them; found 1 of 6"
    ):
        gb.pp.tf_activity(data)


@pytest.mark.parametrize(
    ("slot", "message"),
    [
        (_keys.REGION_SPLIT, r"Run gb\.pp\.split_regions first, .*split=None"),
        (_keys.GC, r"gb\.pp\.add_sequence"),
    ],
)
def test_missing_columns(data, expect_refusal, slot, message):
    del data[_keys.SEQ].obs[slot.key]
    with expect_refusal(data, KeyError, message):
        gb.pp.tf_activity(data)


@pytest.mark.parametrize(
    ("modality", "message"), [(_keys.TF, r"gb\.pp\.scan_motifs"), (_keys.ATAC, r"gb\.io\.from_anndata")]
)
def test_missing_modalities(data, modality, message):
    del data.mod[modality]
    with pytest.raises(KeyError, match=message):
        gb.pp.tf_activity(data)


def test_no_region_in_the_split(data, expect_refusal):
    _keys.REGION_SPLIT.set(data, pd.Categorical(["test"] * 600))
    with expect_refusal(data, ValueError, "train regions with known bases; found none"):
        gb.pp.tf_activity(data)
