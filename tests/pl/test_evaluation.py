"""gb.pl.evaluation."""

import pytest
from matplotlib import pyplot as plt

import genebert as gb


@pytest.fixture(scope="module")
def scored():
    mdata = gb.datasets.toy(n_regions=240)
    gb.tl.classify(mdata, labels="promoter", method="probe", baselines=["kmer", "position_1mer"])
    return mdata


def test_four_panels(scored):
    axes = gb.pl.evaluation(scored)
    assert [ax.get_title() for ax in axes] == ["ROC", "precision and recall", "calibration", "methods"]
    roc = axes[0].get_lines()[0].get_xydata()
    assert roc[0].tolist() == [0, 0]
    assert roc[-1].tolist() == [1, 1]
    assert len(axes[3].get_yticks()) == 3


def test_area_under_the_drawn_curve_is_that_of_the_table(scored):
    import numpy as np

    ax = gb.pl.evaluation(scored, panel="roc", split="test")
    x, y = ax.get_lines()[0].get_xydata().T
    value = gb.get.evaluation(scored, split="test", metric="auroc").set_index("method").loc["genebert", "value"]
    assert np.trapezoid(y, x) == pytest.approx(value)


def test_one_panel_into_ax(scored):
    _, ax = plt.subplots()
    assert gb.pl.evaluation(scored, panel="forest", metric="mcc", ax=ax) is ax
    assert "MCC" in ax.get_xlabel()
    with pytest.raises(ValueError, match="Expected `panel` with `ax`"):
        gb.pl.evaluation(scored, ax=ax)
    with pytest.raises(ValueError, match="`panel`"):
        gb.pl.evaluation(scored, panel="pie")
    with pytest.raises(ValueError, match="`split`"):
        gb.pl.evaluation(scored, split="train")
