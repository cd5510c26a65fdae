from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import genebert as gb
from genebert import _keys


def set_counts(mdata, row, column, value):
    counts = _keys.COUNTS.get(mdata).toarray()
    counts[row, column] = value
    _keys.COUNTS.set(mdata, sparse.csr_matrix(counts))
    return counts


def test_counts_per_million(toy, changed):
    counts = _keys.COUNTS.get(toy).toarray()
    written = {"atac.X", "uns.normalize_accessibility.atac"}
    assert changed(toy, lambda mdata: gb.pp.normalize_accessibility(mdata, target_sum=1e4)) == written
    expected = np.log1p(counts / counts.sum(axis=0) * 1e4)
    found = _keys.ACCESSIBILITY.get(toy)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_agrees_with_the_readers(toy):
    before = np.array(_keys.ACCESSIBILITY.get(toy))
    gb.pp.normalize_accessibility(toy)
    np.testing.assert_allclose(_keys.ACCESSIBILITY.get(toy), before, rtol=1e-6)


def test_not_measured_is_left_out_and_counted(toy):
    counts = set_counts(toy, slice(0, 5), 2, np.nan)
    gb.pp.normalize_accessibility(toy)
    found = _keys.ACCESSIBILITY.get(toy)
    assert np.isnan(found[:5, 2]).all()
    assert np.isnan(found).sum() == 5
    np.testing.assert_allclose(np.expm1(found[5:, 2]), counts[5:, 2] / counts[5:, 2].sum() * 1e6, rtol=1e-4)
    record = _keys.load_record(toy, "normalize_accessibility", _keys.ATAC, filled_by="")
    assert record["params"]["n_unmeasured"] == 5


def test_cell_type_without_counts(toy):
    set_counts(toy, slice(None), 1, 0)
    with pytest.warns(UserWarning, match="no count at all and stay 0: Dendritic cell"):
        gb.pp.normalize_accessibility(toy)
    assert (_keys.ACCESSIBILITY.get(toy)[:, 1] == 0).all()


@pytest.mark.parametrize("value", [-1, np.inf])
def test_impossible_counts(toy, expect_refusal, value):
    set_counts(toy, 3, 0, value)
    with expect_refusal(
        toy, ValueError, r"found 1 negative or infinite ones in cell type\(s\) B cell\. Give raw counts"
    ):
        gb.pp.normalize_accessibility(toy)


def test_missing_counts(toy, expect_refusal):
    del toy[_keys.ATAC].layers[_keys.COUNTS.key]
    with expect_refusal(toy, KeyError, r"gb\.io\.from_anndata"):
        gb.pp.normalize_accessibility(toy)


def test_copy_round_trip_and_subset(toy, changed, round_trip):
    results = []
    assert (
        changed(toy, lambda mdata: results.append(gb.pp.normalize_accessibility(mdata, target_sum=10, copy=True)))
        == set()
    )
    found = _keys.ACCESSIBILITY.get(results[0])
    assert not np.allclose(found, _keys.ACCESSIBILITY.get(toy))
    np.testing.assert_array_equal(_keys.ACCESSIBILITY.get(round_trip(results[0])), found)
    np.testing.assert_array_equal(_keys.ACCESSIBILITY.get(results[0][[7, 3]].copy()), found[[7, 3]])


def test_target_sum_is_checked(toy, expect_refusal):
    with expect_refusal(toy, ValueError, "`target_sum`"):
        gb.pp.normalize_accessibility(toy, target_sum=0)


def test_calls_of_earlier_accessibility_are_told(toy, log):
    told = 'mdata["atac"].layers["open"] is still that of the earlier accessibility. Run gb.pp.binarize again.'
    gb.pp.normalize_accessibility(toy)
    assert told not in log.messages  # the numbers are the same
    gb.pp.normalize_accessibility(toy, target_sum=1e4)
    assert told in log.messages
    log.clear()
    del toy[_keys.ATAC].layers[_keys.OPEN.key]
    gb.pp.normalize_accessibility(toy, target_sum=1e5)
    assert told not in log.messages
