"""genebert.pl.cross_cell_type."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import genebert as gb


@pytest.fixture(scope="module")
def done(make_small_toy):
    mdata = make_small_toy(240)
    options = {"n_draws": 50, "quarters": "headline"}
    groups = [["Monocyte", "Progenitor"], ["B cell"]]
    gb.tl.cross_cell_type(mdata, "none", holdout=groups, few_shot=[20, 100], few_shot_cells=[20, 60], **options)
    gb.tl.cross_cell_type(mdata, "none", known="train_cell_types", holdout=groups, key_added="known", **options)
    gb.tl.cross_cell_type(mdata, target="labels", holdout=groups, key_added="binding", **options)
    gb.tl.cross_cell_type(mdata, "none", kind="value", holdout=groups, key_added="values", **options)
    return mdata


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def labels(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def test_three_panels(done):
    axes = gb.pl.cross_cell_type(done)
    assert isinstance(axes, np.ndarray)
    assert [ax.get_title() for ax in axes] == [
        "held-out cell types, test regions", "genebert minus the best baseline", "few-shot",
    ]  # fmt: skip
    table = gb.get.cross_cell_type(done, metric="auroc")
    ours = table[(table["method"] == "genebert") & (table["cell_type"] != "all")].sort_values("value")
    assert labels(axes[0]) == [*ours["cell_type"].astype(str), "mean of 3"]  # sorted, the mean on top
    legend = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert legend[0] == "genebert"
    assert "mean (measured there)" in legend
    axes[0].figure.canvas.draw()


def test_values_are_where_the_table_says(done):
    ax = gb.pl.cross_cell_type(done, panel="difference", metric="auprc")
    assert isinstance(ax, Axes)
    table = gb.get.cross_cell_type(done, metric="auprc")
    best = table[table["is_best"] & ((table["cell_type"] != "all") | (table["holdout"] == "all"))]
    drawn = sorted(line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(drawn, sorted(best["gain"]))


def test_curve(done):
    ax = gb.pl.cross_cell_type(done, panel="few_shot")
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["20", "60", "100"]
    assert {line.get_linestyle() for line in ax.lines} == {"-", "--"}


def test_methods_that_were_given_more_are_hollow_in_both_panels(done):
    hollow = {}
    for ax, panel in zip(gb.pl.cross_cell_type(done), ("methods", "difference", "few_shot"), strict=True):
        named = [line for line in ax.lines if not line.get_label().startswith("_")]
        hollow[panel] = {line.get_label() for line in named if line.get_mfc() == "white"}
        assert hollow[panel] == {line.get_label() for line in named if "(measured there)" in line.get_label()}
    assert hollow["few_shot"] == {"mean (measured there)", "nearest (measured there)"}
    assert hollow["few_shot"] == hollow["methods"]


def test_within_region_lines_are_folds(done):
    axes = gb.pl.cross_cell_type(done, metric="within_region_auroc", key="known")
    assert labels(axes[0]) == ["Monocyte+Progenitor", "mean"]


def test_binding_and_numbers(done):
    assert labels(gb.pl.cross_cell_type(done, key="binding", panel="methods", metric="auprc"))[-1] == "mean of 3"
    assert "Pearson" in gb.pl.cross_cell_type(done, key="values", panel="methods").get_xlabel()


def test_ax_and_mistakes(done):
    _, ax = plt.subplots()
    assert gb.pl.cross_cell_type(done, panel="methods", ax=ax) is ax
    with pytest.raises(ValueError, match="Expected `panel` with `ax`"):
        gb.pl.cross_cell_type(done, ax=ax)
    with pytest.raises(ValueError, match="`panel`"):
        gb.pl.cross_cell_type(done, panel="roc")
    with pytest.raises(ValueError, match="`metric`"):
        gb.pl.cross_cell_type(done, metric="mcc")
    with pytest.raises(ValueError, match="few-shot curve in 'known'"):
        gb.pl.cross_cell_type(done, key="known", panel="few_shot")
    with pytest.raises(KeyError, match=r"gb\.tl\.cross_cell_type"):
        gb.pl.cross_cell_type(done, key="none")
