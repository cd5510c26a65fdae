"""gb.get.evaluation and gb.pl.evaluation."""

import pytest

import genebert as gb
from genebert import _keys


@pytest.fixture(scope="module")
def scored():
    mdata = gb.datasets.toy(n_regions=240)
    gb.tl.classify(mdata, labels="promoter", method="probe", baselines=["kmer", "position_1mer"])
    return mdata


def test_table(scored):
    table = gb.get.evaluation(scored)
    assert tuple(table.columns) == _keys.EVALUATION_COLUMNS
    assert set(gb.get.evaluation(scored, split="val", metric="mcc")["split"]) == {"val"}
    with pytest.raises(KeyError, match=r"Run gb\.tl\.classify first"):
        gb.get.evaluation(scored, key="other")
    with pytest.raises(ValueError, match="`metric`"):
        gb.get.evaluation(scored, metric="beauty")
