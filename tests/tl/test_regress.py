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


def test_specificity_is_that_of_all_cell_types(tiny_model, make_small_toy):
    mdata = make_small_toy(240)
    options = {"target": "accessibility", "cell_types": ["Monocyte"], "method": "probe", "baselines": ["kmer"]}
    table = np.asarray(mdata["atac"].X).copy()
    table[:, 0] = np.nan  # a cell type that was never measured changes nothing
    mdata["atac"].X = table
    gb.tl.regress(mdata, tiny_model, specificity=0.5, **options)
    index = np.array([gini_by_pairs(row[1:]) for row in table])
    split = np.asarray(_keys.REGION_SPLIT.get(mdata))
    chosen = index > index[split == "train"].mean() + 0.5 * index[split == "train"].std()
    found = gb.get.evaluation(mdata, key="regression", split="test")
    assert 0 < chosen[split == "test"].sum() < (split == "test").sum()
    assert (found["n_regions"] == chosen[split == "test"].sum()).all()
    with pytest.raises(ValueError, match="`cell_types`"):
        gb.tl.regress(mdata, tiny_model, target="accessibility", cell_types=["Neuron"])
    with pytest.raises(ValueError, match="Expected two columns or more to compare with `specificity`; found 1"):
        gb.tl.regress(mdata, tiny_model, labels="promoter", specificity=1)


def test_a_constant_label_is_refused_before_the_fit(tiny_model, make_small_toy):
    mdata = make_small_toy(120)
    _keys.LABELS.get(mdata)[:, 0] = 0.5
    with pytest.raises(ValueError, match=r"Expected values that differ in the train split; those of .* are all alike"):
        gb.tl.regress(mdata, tiny_model, labels=mdata[_keys.LABEL].var_names[0], method="probe", baselines=[])
    assert "regress" not in mdata.uns[_keys.UNS]


def gini_by_pairs(values):
    """Half the mean difference of two values, over their mean."""
    return np.abs(values[:, None] - values).mean() / (2 * values.mean()) if values.any() else 0.0


def test_gini():
    assert np.allclose(_gini(np.array([[1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=float)), [0, 0.75, 0])
    missing = np.array([[2, np.nan, 1, np.nan], [np.nan] * 4, [np.nan, np.nan, 3, np.nan]])
    assert np.allclose(_gini(missing), [gini_by_pairs(np.array([2, 1])), np.nan, 0], equal_nan=True)
