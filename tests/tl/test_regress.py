"""gb.tl.regress."""

import numpy as np
import pytest

import genebert as gb
from genebert import _keys
from genebert.tl._regress import _gini


def test_accessibility_is_predicted_in_its_own_units(tiny_model, make_small_toy):
    mdata = make_small_toy(240)
    task = gb.tl.regress(mdata, tiny_model, target="accessibility", max_epochs=2, baselines=["kmer", "motif_boosting"])
    assert task.kind == "regression"
    assert task.outputs == list(mdata["atac"].var_names)
    truth = np.asarray(mdata["atac"].X)
    found = mdata.obsm["regression_proba"].to_numpy()
    train = np.asarray(_keys.REGION_SPLIT.get(mdata)) == "train"
    assert found.mean() == pytest.approx(truth[train].mean(), rel=0.2)
    table = gb.get.evaluation(mdata, key="regression", metric="pearson")
    assert set(table["output"]) == {"all", *task.outputs}
    axis = gb.pl.evaluation(mdata, key="regression")
    assert len(axis.get_yticks()) == 3


def test_specificity_filters(tiny_model, make_small_toy):
    mdata = make_small_toy(240)
    gb.tl.regress(
        mdata,
        tiny_model,
        target="accessibility",
        cell_types=["Monocyte"],
        method="probe",
        baselines=["kmer"],
        specificity=-1,
    )
    table = gb.get.evaluation(mdata, key="regression", split="test")
    assert (table["n_regions"] <= 40).all()
    with pytest.raises(ValueError, match="`cell_types`"):
        gb.tl.regress(mdata, tiny_model, target="accessibility", cell_types=["Neuron"])


def test_gini():
    assert np.allclose(_gini(np.array([[1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=float)), [0, 0.75, 0])
