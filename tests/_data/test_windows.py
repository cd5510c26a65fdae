"""Windows of open regions."""

import numpy as np
import pandas as pd
import pytest

from genebert import _keys
from genebert._data import cell_type_weight, context_weight, context_windows, open_in, open_windows


def names(mdata, tables):
    return {tuple(mdata.obs_names[row[row >= 0]]) for table in tables for row in table}


def test_windows_follow_from_coordinates_only(toy):
    shuffled = toy[np.random.default_rng(0).permutation(toy.n_obs)].copy()
    for mdata in (toy, shuffled):
        tables = context_windows(mdata, cell_type="Monocyte", window_size=4)
        assert sorted(row for table in tables for row in table[table >= 0]) == list(range(mdata.n_obs))
    first, second = (names(m, context_windows(m, cell_type="Monocyte", window_size=4)) for m in (toy, shuffled))
    assert first == second


def test_closed_regions_stand_alone(toy):
    together, alone = context_windows(toy, cell_type="Monocyte", window_size=4)
    is_open = open_in(toy, "Monocyte")
    assert alone.shape == ((~is_open).sum(), 1)
    assert not is_open[alone].any()
    assert is_open[together[together >= 0]].all()


def test_windows_stay_on_a_chromosome_and_in_order(toy):
    allowed = np.asarray(_keys.REGION_SPLIT.get(toy) == "train")
    windows = open_windows(toy, cell_types=["Monocyte", "B cell"], allowed=allowed, window_size=5)
    chrom, start = np.asarray(_keys.CHROM.get(toy)), np.asarray(_keys.START.get(toy))
    for row, cell_type in zip(windows.rows, windows.cell_type, strict=True):
        members = row[row >= 0]
        assert allowed[members].all()
        assert len(set(chrom[members])) == 1
        assert (np.diff(start[members]) > 0).all()
        assert open_in(toy, toy[_keys.ATAC].var_names[cell_type])[members].all()


def test_without_cell_types_each_region_stands_alone(toy):
    allowed = np.zeros(toy.n_obs, dtype=bool)
    allowed[3:6] = True
    windows = open_windows(toy, cell_types=None, allowed=allowed, window_size=5)
    assert windows.rows.tolist() == [[3], [4], [5]]
    assert windows.cell_type.tolist() == [-1] * 3


def test_unknown_cell_type(toy):
    with pytest.raises(ValueError, match=r"one of B cell.*found 'Neuron'"):
        context_windows(toy, cell_type="Neuron", window_size=4)


def test_weights(toy):
    tfs = list(toy[_keys.TF].var_names)
    opened = cell_type_weight(toy, "Monocyte", tf_weight="open", tfs=tfs)
    np.testing.assert_array_equal(opened[:, 0] > 0, open_in(toy, "Monocyte"))
    _keys.ACCESSIBILITY.get(toy)[0, toy[_keys.ATAC].var_names.get_loc("Monocyte")] = np.nan
    assert cell_type_weight(toy, "Monocyte", tf_weight="accessibility", tfs=tfs)[0] == 0
    with pytest.raises(KeyError, match="tf_activity"):
        cell_type_weight(toy, "Monocyte", tf_weight="activity", tfs=tfs)
    activity = pd.DataFrame(
        [[float(i), -1.0] for i in range(6)], columns=[tfs[1], tfs[0]], index=toy[_keys.ATAC].var_names
    )
    _keys.TF_ACTIVITY.set(toy, activity)
    weight = cell_type_weight(toy, "Monocyte", tf_weight="activity", tfs=tfs[:3])
    assert weight.tolist() == [[-1.0, 2.0, 0.0]]


def test_a_weight_needs_a_cell_type(toy):
    assert context_weight(toy, "Monocyte", tf_weight="none", tfs=[]) is None
    with pytest.raises(ValueError, match="Expected a `cell_type` with tf_weight='open'"):
        context_weight(toy, None, tf_weight="open", tfs=[])
