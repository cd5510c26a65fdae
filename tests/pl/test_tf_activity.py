from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import genebert as gb
from genebert import _keys

CELL_TYPES = ["a1", "b1", "a2", "b2"]
TFS = ["X1", "flat", "Y1", "X2", "Y2"]
VALUES = np.array([[3, 0.1, -2, 3.1, -2.2], [-3, 0.1, 2, -3.2, 2.1], [2.9, 0.1, -2, 3, -2.1], [-3.1, 0.1, 2.2, -3, 2]])


@pytest.fixture
def mdata():
    names = ["chr1:0-9", "chr1:10-19"]
    mdata = gb.io.assemble(
        accessibility=pd.DataFrame(np.ones((2, 4)), index=names, columns=CELL_TYPES),
        tf=pd.DataFrame(np.ones((2, 5)), index=names, columns=TFS),
    )
    _keys.TF_ACTIVITY.set(mdata, pd.DataFrame(VALUES, index=CELL_TYPES, columns=TFS, dtype=np.float32))
    return mdata


def shown(ax):
    values = np.ma.filled(ax.images[0].get_array(), np.nan)
    tfs, cell_types = (
        [label.get_text() for label in labels] for labels in (ax.get_xticklabels(), ax.get_yticklabels())
    )
    return pd.DataFrame(values, index=cell_types, columns=tfs)


def label(ax):
    return ax.images[0].colorbar.ax.get_xlabel()


def test_values_stay_with_their_names(mdata):
    found = shown(gb.pl.tf_activity(mdata))
    assert sorted(found.index) == sorted(CELL_TYPES)
    assert sorted(found.columns) == sorted(TFS)
    pd.testing.assert_frame_equal(found.loc[CELL_TYPES, TFS], _keys.TF_ACTIVITY.get(mdata), check_dtype=False)


def test_alike_ones_are_side_by_side(mdata):
    found = shown(gb.pl.tf_activity(mdata))
    assert "".join(name[0] for name in found.index) in {"aabb", "bbaa"}
    assert "".join(name[0] for name in found.columns) in {"XXfYY", "YYfXX"}


def test_colours_are_centred_on_0(mdata):
    ax = gb.pl.tf_activity(mdata)
    low, high = ax.images[0].get_clim()
    assert high == -low == pytest.approx(3.2)


def test_those_that_vary_most(mdata):
    assert set(shown(gb.pl.tf_activity(mdata, n_tfs=2)).columns) == {"X1", "X2"}
    assert "flat" not in shown(gb.pl.tf_activity(mdata, n_tfs=4)).columns


@pytest.mark.parametrize("tfs", [["Y1"], ["Y1", "flat"], ["flat", "Y1", "X1"], "Y1"])
def test_chosen_tfs(mdata, tfs):
    found = shown(gb.pl.tf_activity(mdata, tfs=tfs, n_tfs=1))
    assert set(found.columns) == {tfs} if isinstance(tfs, str) else set(tfs)


def test_missing_activity_is_grey(mdata):
    activity = _keys.TF_ACTIVITY.get(mdata).copy()
    activity.loc["a2"] = np.nan
    _keys.TF_ACTIVITY.set(mdata, activity)
    ax = gb.pl.tf_activity(mdata)
    assert np.isnan(shown(ax).loc["a2"]).all()
    assert ax.images[0].get_clim()[1] == pytest.approx(3.2)
    red, green, blue, _ = ax.get_facecolor()
    assert red == green == blue < 1


def test_constant_activity(mdata):
    _keys.TF_ACTIVITY.set(mdata, _keys.TF_ACTIVITY.get(mdata) * 0)
    assert gb.pl.tf_activity(mdata).images[0].get_clim()[1] > 0


@pytest.mark.parametrize(("score", "expected"), [("correlation", "correlation"), ("z", "standard deviations")])
def test_label_says_what_is_drawn(toy, score, expected):
    gb.pp.tf_activity(toy, score=score)
    assert expected in label(gb.pl.tf_activity(toy, n_tfs=5))


def test_label_of_somebody_elses_activity(mdata):
    assert label(gb.pl.tf_activity(mdata)) == "TF activity"


def inside(ax):
    """Whether all that is drawn is on the figure."""
    ax.figure.canvas.draw()
    box, figure = ax.figure.get_tightbbox(), ax.figure.bbox_inches
    return box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= figure.width + 0.01 and box.y1 <= figure.height + 0.01


@pytest.mark.parametrize("n_tfs", [1, 3, 60])
def test_nothing_is_cut_off(toy, n_tfs):
    gb.pp.tf_activity(toy, score="z")
    assert inside(gb.pl.tf_activity(toy, n_tfs=n_tfs))


def test_long_names_are_cut(mdata):
    activity = _keys.TF_ACTIVITY.get(mdata)
    _keys.TF_ACTIVITY.set(mdata, activity.set_axis([*TFS[:4], "x" * 90], axis=1))
    ax = gb.pl.tf_activity(mdata)
    assert max(map(len, shown(ax).columns)) < 40
    assert inside(ax)


def test_draws_into_ax(mdata):
    _, ax = plt.subplots()
    assert gb.pl.tf_activity(mdata, ax=ax) is ax


def test_changes_nothing(mdata):
    before = _keys.TF_ACTIVITY.get(mdata).copy()
    gb.pl.tf_activity(mdata)
    pd.testing.assert_frame_equal(_keys.TF_ACTIVITY.get(mdata), before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tfs": ["X1", "Z"]}, KeyError, "Expected `tfs` to be names .*, such as 'X1'; not found: Z"),
        ({"tfs": []}, KeyError, "found none"),
        ({"n_tfs": 0}, ValueError, "Expected `n_tfs`"),
    ],
)
def test_bad_input(mdata, options, error, message):
    with pytest.raises(error, match=message):
        gb.pl.tf_activity(mdata, **options)


def test_missing_activity(toy):
    with pytest.raises(KeyError, match=r"gb\.pp\.tf_activity"):
        gb.pl.tf_activity(toy)
