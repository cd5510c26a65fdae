"""Metrics over regions and cell types."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from genebert.tl import _cell_type_scores
from genebert.tl._cell_type_scores import column_draws, draws_of_regions, within_draws, within_region_auroc
from genebert.tl._cell_type_table import Block, Column, cross_table


def test_within_region_by_hand():
    truth = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [np.nan, 1, 0]], dtype=float)
    score = np.array([[0.5, 0.4, 0.5], [0.1, 0.9, 0.3], [0.1, 0.2, 0.3], [9.0, 0.2, 0.1]])
    np.testing.assert_array_equal(within_region_auroc(truth, score), [0.75, 0.5, np.nan, 1.0])


def test_a_score_that_is_constant_over_types_gets_exactly_one_half():
    rng = np.random.default_rng(0)
    truth = (rng.random((300, 5)) < 0.4).astype(float)
    score = np.repeat(rng.normal(size=(300, 1)), 5, axis=1)
    found = within_region_auroc(truth, score)
    assert set(found[np.isfinite(found)]) == {0.5}
    draws, n_regions = within_draws(truth, score, draws_of_regions(np.full(300, "chr1"), n_draws=50, seed=0)[0])
    assert set(draws) == {0.5}
    assert n_regions == np.isfinite(found).sum()


def test_leave_one_out_arithmetic_gives_the_answer_away_and_is_not_scored():
    """The mean over the other types is lower where a type itself is open: within a region that is a perfect (wrong) score."""
    truth = (np.random.default_rng(1).random((200, 4)) < 0.5).astype(float)
    others = (truth.sum(axis=1, keepdims=True) - truth) / 3
    assert np.nanmax(within_region_auroc(truth, others)) == 0  # so only types held out together may be compared
    assert np.nanmin(within_region_auroc(truth, -others)) == 1


@pytest.mark.parametrize(("n_chromosomes", "unit"), [(4, "regions"), (5, "chromosomes")])
def test_what_is_drawn(n_chromosomes, unit):
    chromosomes = np.repeat([f"chr{i}" for i in range(n_chromosomes)], 30)
    weights, drawn = draws_of_regions(chromosomes, n_draws=60, seed=0)
    assert drawn == unit
    assert weights.shape == (61, len(chromosomes))
    assert (weights[0] == 1).all()
    varies = [np.ptp(weights[:, chromosomes == name], axis=1).max() for name in np.unique(chromosomes)]
    assert (max(varies) == 0) == (unit == "chromosomes")  # a chromosome is drawn as a whole


@pytest.mark.parametrize(("n_draws", "expected"), [(300, 200), (120, 120)])
def test_two_hundred_draws_at_least_where_there_are_many_regions(n_draws, expected, monkeypatch):
    monkeypatch.setattr(_cell_type_scores, "MOST_CELLS", 10_000)
    weights, _ = draws_of_regions(np.full(500, "chr1"), n_draws=n_draws, seed=0)
    assert weights.shape == (1 + expected, 500)
    assert (weights.sum(axis=1) == 500).all()
    assert draws_of_regions(np.full(40, "chr1"), n_draws=n_draws, seed=0)[0].shape == (1 + min(n_draws, 250), 40)


def test_draws_in_parts_are_the_same_draws(monkeypatch):
    rng = np.random.default_rng(0)
    truth, score = rng.random((200, 3)), rng.random((200, 3))
    found = []
    for most in (10**7, 1_000):
        monkeypatch.setattr(_cell_type_scores, "MOST_CELLS", most)
        weights, _ = draws_of_regions(np.full(200, "chr1"), n_draws=60, seed=0)
        column = column_draws(truth[:, 0], score[:, 0], weights, kind="value")
        found.append(np.vstack([*column.values(), within_draws(truth, score, weights)[0]]))
    np.testing.assert_allclose(found[1], found[0])


def test_column_metrics_are_those_of_sklearn():
    rng = np.random.default_rng(0)
    truth, score = (rng.random(200) < 0.3).astype(float), rng.normal(size=200).round(1)
    found = column_draws(truth, score, np.ones((1, 200)), kind="binary")
    assert found["auroc"][0] == pytest.approx(roc_auc_score(truth, score))
    assert found["auprc"][0] == pytest.approx(average_precision_score(truth, score))
    assert column_draws(np.ones(5), score[:5], np.ones((1, 5)), kind="binary") == {}
    assert column_draws(np.ones(5), score[:5], np.ones((1, 5)), kind="value") == {}


def _block(holdout, names, truth, predicted):
    n = len(truth)
    weights, _ = draws_of_regions(np.full(n, "chr1"), n_draws=50, seed=0)
    return Block(
        holdout=holdout, types="holdout", regions="test", columns=[Column(name) for name in names], truth=truth,
        predicted=predicted, strata={"all": np.ones(n, dtype=bool)}, weights=weights, near=np.arange(n) < 3,
        marks={names[0]: ["encoder_saw_cell_type"]},
    )  # fmt: skip


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    blocks = []
    for holdout, names in (("a+b", ["a", "b"]), ("c", ["c"])):
        truth = (rng.random((80, len(names))) < 0.4).astype(float)
        good, bad = truth + rng.normal(size=truth.shape), truth + 3 * rng.normal(size=truth.shape)
        predicted = {"genebert": good, "sequence_only": bad, "mean": good + truth, "shuffled_activity": bad}
        blocks.append(_block(holdout, names, truth, predicted))
    settings = {
        "genebert": "nothing",
        "sequence_only": "nothing",
        "mean": "train_cell_types",
        "shuffled_activity": "nothing",
    }
    return cross_table(blocks, kind="binary", settings=settings, target="accessibility", known="nothing")


def test_means_are_those_of_the_cell_types(table):
    rows = table[(table["method"] == "genebert") & (table["metric"] == "auroc")].set_index(["holdout", "cell_type"])[
        "value"
    ]
    assert rows["a+b", "all"] == pytest.approx((rows["a+b", "a"] + rows["a+b", "b"]) / 2)
    assert rows["all", "all"] == pytest.approx((rows["a+b", "a"] + rows["a+b", "b"] + rows["c", "c"]) / 3)


def test_gains_are_paired_and_the_best_is_among_those_that_were_given_no_more(table):
    rows = table[(table["holdout"] == "all") & (table["metric"] == "auroc")].set_index("method")
    assert rows.loc["genebert", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    assert rows.loc["sequence_only", "gain"] == pytest.approx(
        rows.loc["genebert", "value"] - rows.loc["sequence_only", "value"]
    )
    assert rows.loc["sequence_only", "control"] == 0  # here the control is the same
    assert rows.loc["mean", "value"] > rows.loc["genebert", "value"]
    assert rows.index[rows["is_best"]].tolist() == ["sequence_only"]


def test_a_method_that_some_types_lack_has_no_mean():
    rng = np.random.default_rng(0)
    blocks = []
    for number, name in enumerate("ab"):
        truth = (rng.random((80, 1)) < 0.4).astype(float)
        predicted = {"genebert": truth + rng.normal(size=truth.shape), **({"accessibility": truth} if number else {})}
        blocks.append(_block(name, [name], truth, predicted))
    settings = dict.fromkeys(["genebert", "accessibility"], "nothing")
    table = cross_table(blocks, kind="binary", settings=settings, target="labels", known="nothing")
    rows = table[table["method"] == "accessibility"]
    assert set(rows["holdout"]) == {"b"}  # a mean over it alone would be compared with one over both
    assert "all" in set(table[table["method"] == "genebert"]["holdout"])


def test_marks_and_counts(table):
    rows = table[(table["method"] == "genebert") & (table["metric"] == "auroc")].set_index(["holdout", "cell_type"])
    assert rows.loc[("a+b", "a"), "marks"] == "encoder_saw_cell_type,near_duplicates"
    assert rows.loc[("a+b", "b"), "marks"] == "near_duplicates"
    assert rows.loc[("all", "all"), "n_near"] == 9
    assert rows.loc[("all", "all"), "n_regions"] == 240


def test_an_empty_table_has_its_columns():
    found = cross_table([], kind="binary", settings={}, target="accessibility", known="nothing")
    assert isinstance(found, pd.DataFrame)
    assert len(found) == 0
