from __future__ import annotations

import numpy as np
import pytest

import genebert as gb
from genebert import _keys

WRITTEN = {f"atac.layers.{_keys.OPEN.key}", f"uns.binarize.{_keys.OPEN.key}"}


def set_accessibility(mdata, row, column, value):
    values = np.array(_keys.ACCESSIBILITY.get(mdata))
    values[row, column] = value
    _keys.ACCESSIBILITY.set(mdata, values)


def test_even_share_by_default(toy):
    gb.pp.binarize(toy)
    cpm = np.expm1(_keys.ACCESSIBILITY.get(toy).astype(np.float64))
    is_open = _keys.OPEN.get(toy)
    assert (is_open.format, is_open.dtype) == ("csr", np.float32)
    np.testing.assert_array_equal(is_open.toarray(), cpm >= cpm.mean(axis=0))


def test_threshold(toy, changed, log):
    assert changed(toy, lambda mdata: gb.pp.binarize(mdata, threshold=3.0)) == WRITTEN
    np.testing.assert_array_equal(_keys.OPEN.get(toy).toarray(), _keys.ACCESSIBILITY.get(toy) >= 3)
    assert "of 600 regions x 6 cell types" in log.text


def test_calls_stay(toy):
    calls = _keys.OPEN.get(toy).toarray()
    calls[0, 0] = np.nan
    _keys.ACCESSIBILITY.set(toy, calls)
    gb.pp.binarize(toy)
    np.testing.assert_array_equal(_keys.OPEN.get(toy).toarray(), np.nan_to_num(calls))


def test_not_measured_is_closed_and_counted(toy, log):
    set_accessibility(toy, slice(0, 4), 1, np.nan)
    gb.pp.binarize(toy)
    assert _keys.OPEN.get(toy).toarray()[:4, 1].tolist() == [0] * 4
    assert "4 not measured" in log.text
    assert _keys.load_record(toy, "binarize", _keys.OPEN.key, filled_by="")["params"]["n_unmeasured"] == 4


def test_nothing_is_open_where_nothing_was_counted(toy):
    set_accessibility(toy, slice(None), 1, 0)
    gb.pp.binarize(toy)
    assert _keys.OPEN.get(toy).toarray()[:, 1].sum() == 0


@pytest.mark.parametrize("value", [-0.5, np.inf])
def test_impossible_accessibility(toy, expect_refusal, value):
    set_accessibility(toy, 0, 5, value)
    with expect_refusal(toy, ValueError, r"found 1 negative or infinite values in cell type\(s\) Progenitor"):
        gb.pp.binarize(toy)


def test_values_that_are_no_log1p_need_a_threshold(toy, expect_refusal):
    cpm = np.expm1(_keys.ACCESSIBILITY.get(toy))
    assert cpm.max() > 709  # whose exponential is infinite
    _keys.ACCESSIBILITY.set(toy, cpm)
    with expect_refusal(toy, ValueError, r"X does not look like log1p\. .* give `threshold=`"):
        gb.pp.binarize(toy)
    gb.pp.binarize(toy, threshold=1000.0)
    np.testing.assert_array_equal(_keys.OPEN.get(toy).toarray(), cpm >= 1000)


def test_wrong_arguments(toy, expect_refusal):
    with expect_refusal(toy, ValueError, "`threshold` to be a number"):
        gb.pp.binarize(toy, threshold="high")
    with expect_refusal(toy, ValueError, "`threshold` to be a number; found nan"):
        gb.pp.binarize(toy, threshold=float("nan"))


def test_without_accessibility(bare):
    with pytest.raises(KeyError, match=r"gb\.pp\.normalize_accessibility"):
        gb.pp.binarize(bare)


@pytest.fixture
def bare():
    return gb.io.assemble(sequences=["ACGT"])


def test_copy_round_trip_and_subset(toy, changed, round_trip):
    results = []
    assert changed(toy, lambda mdata: results.append(gb.pp.binarize(mdata, threshold=5, copy=True))) == set()
    found = _keys.OPEN.get(results[0]).toarray()
    np.testing.assert_array_equal(_keys.OPEN.get(round_trip(results[0])).toarray(), found)
    np.testing.assert_array_equal(_keys.OPEN.get(results[0][[7, 3]].copy()).toarray(), found[[7, 3]])
