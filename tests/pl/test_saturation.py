"""The heat map shows the numbers, the logo their sum."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import genebert as gb


@pytest.fixture
def effects():
    values = np.array([[0, -3, -3, -3], [1, 0, 2, 3], [0, 0, 0, 0], [np.nan] * 4], dtype=np.float32)
    index = pd.MultiIndex.from_arrays([[11, 12, 13, 14], list("ACGN")], names=["position", "base"])
    return pd.DataFrame(values, index=index, columns=list("ACGT"))


def test_numbers(effects):
    ax = gb.pl.saturation(effects, label="log-odds")
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert np.array_equal(shown, effects.to_numpy().T, equal_nan=True)
    assert [label.get_text() for label in ax.get_yticklabels()] == list("ACGT")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["11", "12", "13", "14"]


def test_letters_are_as_high_as_minus_the_mean(effects):
    logo = gb.pl.saturation(effects).child_axes[0]
    boxes = [patch.get_path().get_extents() for patch in logo.patches]
    assert len(boxes) == 2  # nothing where there is no effect, or no base
    assert np.isclose([boxes[0].y0, boxes[0].y1], [0, 3]).all()
    assert np.isclose([boxes[1].y0, boxes[1].y1], [-2, 0]).all()
    assert np.isclose([(box.x0 + box.x1) / 2 for box in boxes], [0, 1]).all()


def test_distances_stand_up(effects):
    logo = gb.pl.saturation(effects.abs()).child_axes[0]
    assert all(patch.get_path().get_extents().y1 > 0 for patch in logo.patches)


def test_given_axes_and_one_position(effects):
    _, ax = plt.subplots()
    assert gb.pl.saturation(effects.head(1), ax=ax) is ax
    ax.figure.canvas.draw()


@pytest.mark.parametrize("wrong", [pd.DataFrame({"A": [1]}), [1], pd.DataFrame(np.zeros((2, 4)), columns=list("ACGT"))])
def test_wrong_tables(wrong):
    with pytest.raises(ValueError, match=r"Expected a table of gb\.tl\.saturation_mutagenesis"):
        gb.pl.saturation(wrong)
