from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import genebert as gb
from genebert import _keys


@pytest.fixture
def trained(toy):
    rows = [
        (step // 20, step, split, objective, "loss", chance - step / 100, chance)
        for objective, chance in (("masked_genome", 8.0), ("matching", 3.0), ("extra", np.nan))
        for split, steps in (("train", range(0, 60, 10)), ("val", (20, 40)))
        for step in steps
    ]
    rows += [(0, 20, "val", "matching", "recall", 0.5, 0.1)]
    table = pd.DataFrame(rows, columns=list(_keys.HISTORY_COLUMNS))
    _keys.record(toy, "pretrain", _keys.UNS, params={}, history=table)
    return toy


def test_one_panel_per_objective(trained):
    axes = gb.pl.history(trained)
    assert [ax.get_title() for ax in axes] == ["masked genome", "matching", "extra"]
    assert [text.get_text() for text in axes[0].figure.legends[0].get_texts()] == ["train", "val", "guessing"]
    chance = axes[0].get_lines()[-1]
    assert list(chance.get_ydata()) == [8.0, 8.0]


def test_no_line_without_chance(trained):
    ax = gb.pl.history(trained, objective="extra")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train", "val"]


def test_a_line_per_split_where_chance_differs(trained):
    table = gb.get.history(trained)
    table.loc[table["split"] == "val", "chance"] *= 0.8
    _keys.record(trained, "pretrain", "other", params={}, history=table)
    ax = gb.pl.history(trained, key="other", objective="matching")
    drawn = {line.get_label(): line.get_ydata()[0] for line in ax.get_lines() if line.get_label().startswith("guess")}
    assert drawn == {"guessing (train)": pytest.approx(3.0), "guessing (val)": pytest.approx(2.4)}


def test_curves_hold_the_values(trained):
    train, val, _ = gb.pl.history(trained, objective="masked_genome").get_lines()
    np.testing.assert_allclose(train.get_ydata(), 8 - np.arange(0, 60, 10) / 100)
    np.testing.assert_allclose(val.get_xdata(), [20, 40])


def test_draws_into_ax(trained):
    _, ax = plt.subplots()
    assert gb.pl.history(trained, objective="matching", ax=ax) is ax
    assert gb.pl.history(trained, metric="recall", ax=ax) is ax


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "none"}, r"Expected `objective` to be one of 'masked_genome'"),
        ({"metric": "none"}, r"Expected `metric` to be one of 'loss', 'recall'"),
    ],
)
def test_unknown_choice(trained, options, message):
    with pytest.raises(ValueError, match=message):
        gb.pl.history(trained, **options)


def test_ax_needs_one_objective(trained):
    with pytest.raises(ValueError, match="Expected `objective` with `ax`"):
        gb.pl.history(trained, ax=plt.subplots()[1])


def test_not_trained(toy):
    with pytest.raises(KeyError, match=r"gb\.tl\.pretrain"):
        gb.pl.history(toy)
