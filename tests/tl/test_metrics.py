"""Metrics with weights, against scikit-learn."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from genebert.model._targets import Targets
from genebert.tl import _task_table
from genebert.tl._metrics import class_metrics, draw_weights, label_metrics, value_metrics


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_label_metrics_with_ties_and_draws(rng):
    truth = rng.integers(0, 2, 200)
    probability = np.round(np.clip(0.3 * truth + rng.random(200) * 0.7, 0, 1), 2)
    (weights,) = draw_weights(200, n_draws=3, rng=rng)
    found = label_metrics(truth, probability, weights)
    called = probability >= 0.5
    for draw in range(4):
        rows = np.repeat(np.arange(200), weights[draw].astype(int))
        t, p, c = truth[rows], probability[rows], called[rows]
        assert found["auroc"][draw] == pytest.approx(metrics.roc_auc_score(t, p))
        assert found["auprc"][draw] == pytest.approx(metrics.average_precision_score(t, p))
        assert found["mcc"][draw] == pytest.approx(metrics.matthews_corrcoef(t, c))
        assert found["f1"][draw] == pytest.approx(metrics.f1_score(t, c))
        assert found["accuracy"][draw] == pytest.approx(metrics.accuracy_score(t, c))


def test_calibration_error_by_hand():
    found = label_metrics(np.array([1, 0, 1, 1]), np.array([0.9, 0.95, 0.2, 0.25]), np.ones((1, 4)))
    # Two bins of two regions each: |1 - 1.85| and |2 - 0.45| over four.
    assert found["calibration_error"][0] == pytest.approx((0.85 + 1.55) / 4)


def test_one_class_has_no_auroc():
    found = label_metrics(np.ones(4), np.full(4, 0.7), np.ones((1, 4)))
    assert np.isnan(found["auroc"][0])
    assert found["mcc"][0] == 0


def test_class_metrics(rng):
    truth = rng.integers(0, 3, 150)
    probability = rng.dirichlet(np.ones(3), 150) + 0.5 * np.eye(3)[truth]
    probability /= probability.sum(1, keepdims=True)
    found = class_metrics(truth, probability, np.ones((1, 150)))
    called = probability.argmax(1)
    assert found["auroc"][0] == pytest.approx(metrics.roc_auc_score(truth, probability, multi_class="ovr"))
    assert found["mcc"][0] == pytest.approx(metrics.matthews_corrcoef(truth, called))
    assert found["f1"][0] == pytest.approx(metrics.f1_score(truth, called, average="macro"))
    assert found["accuracy"][0] == pytest.approx((truth == called).mean())


def test_value_metrics(rng):
    truth = rng.normal(size=100)
    predicted = truth + rng.normal(size=100)
    found = value_metrics(truth, predicted, np.ones((1, 100)))
    assert found["pearson"][0] == pytest.approx(np.corrcoef(truth, predicted)[0, 1])
    assert found["spearman"][0] == pytest.approx(stats.spearmanr(truth, predicted)[0])
    assert found["r2"][0] == pytest.approx(metrics.r2_score(truth, predicted))
    assert found["rmse"][0] == pytest.approx(metrics.root_mean_squared_error(truth, predicted))


def test_r2_of_values_far_from_zero(rng):
    truth = (1e4 + rng.normal(size=200)).astype(np.float32)
    predicted = (truth + 0.5 * rng.normal(size=200)).astype(np.float32)
    found = value_metrics(truth, predicted, np.ones((1, 200), dtype=np.float32))
    exact = metrics.r2_score(truth.astype(np.float64), predicted.astype(np.float64))
    assert found["r2"][0] == pytest.approx(exact, abs=1e-6)


def test_a_draw_of_one_region_has_no_correlation():
    weights = np.array([[1, 1, 1], [3, 0, 0]], dtype=np.float32)
    found = value_metrics(np.array([1.0, 2, 4]), np.array([1.5, 2, 3]), weights)
    for metric in ("pearson", "spearman", "r2"):
        assert np.isfinite(found[metric][0])
        assert np.isnan(found[metric][1])


def test_draws_do_not_depend_on_the_parts_they_come_in():
    whole, parts = (list(draw_weights(50, n_draws=7, rng=np.random.default_rng(3), most=most)) for most in (None, 150))
    assert [len(part) for part in parts] == [3, 3, 2]
    assert np.array_equal(np.concatenate(parts), whole[0])
    assert (whole[0][0] == 1).all()
    assert (whole[0].sum(axis=1) == 50).all()


def test_many_regions_still_have_a_hundred_draws(rng, monkeypatch):
    truth = rng.integers(0, 2, (300, 1)).astype(np.float32)
    found = np.clip(0.3 * truth + 0.7 * rng.random((300, 1)), 0, 1)
    sizes = []
    score = _task_table.label_metrics
    monkeypatch.setattr(_task_table, "label_metrics", lambda *args: sizes.append(args[2].shape) or score(*args))
    monkeypatch.setattr(_task_table, "MOST_CELLS", 3000)
    targets, split = Targets("binary", ["a"], truth), np.full(300, "test")
    table = _task_table.evaluation_table({_task_table.TASK: found}, targets, split, seed=0)
    assert sum(n_draws for n_draws, _ in sizes) == 101
    assert max(n_draws for n_draws, _ in sizes) == 10  # at once
    row = table.set_index("metric").loc["auroc"]
    assert row["value"] == pytest.approx(metrics.roc_auc_score(truth[:, 0], found[:, 0]))
    assert row["low"] < row["value"] < row["high"]
