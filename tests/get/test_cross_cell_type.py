"""genebert.get.cross_cell_type."""

import pytest

import genebert as gb
from genebert import _keys


@pytest.fixture(scope="module")
def done(make_small_toy):
    mdata = make_small_toy(240)
    gb.tl.cross_cell_type(mdata, "none", holdout=["Monocyte", "Progenitor"], n_draws=50)
    return mdata


def test_rows_and_columns(done):
    headline, everything = gb.get.cross_cell_type(done), gb.get.cross_cell_type(done, rows="all", stratum=None)
    assert list(headline.columns) == list(_keys.CROSS_COLUMNS)
    assert set(headline["types"]) == {"holdout"}
    assert set(headline["regions"]) == {"test"}
    assert set(headline["stratum"]) == {"all"}
    assert len(everything) > len(headline)
    assert set(everything["types"]) == {"holdout", "train"}
    one = gb.get.cross_cell_type(done, metric="auprc", stratum="gc_low")
    assert set(one["metric"]) == {"auprc"}
    assert list(one.index) == list(range(len(one)))


def test_what_is_not_there_is_named(done):
    with pytest.raises(KeyError, match=r"Found: 'cross_cell_type'\. Run gb\.tl\.cross_cell_type first"):
        gb.get.cross_cell_type(done, key="other")
    with pytest.raises(ValueError, match=r"few_shot=\[50, 500\]"):
        gb.get.cross_cell_type(done, rows="few_shot")
    with pytest.raises(ValueError, match=r"`metric`.*auroc"):
        gb.get.cross_cell_type(done, metric="mcc")
    with pytest.raises(ValueError, match="`rows`"):
        gb.get.cross_cell_type(done, rows="some")
