"""The kernel that joins a task where the strand does not count."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from genebert._dna import reverse_complement
from genebert.model import _kernel
from genebert.model._kernel import KernelModel, fit_kernel
from genebert.model._ridge import JITTER
from genebert.model._targets import Targets
from genebert.model._task_inputs import Contexts, Inputs


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make(rng, n=120, length=60, n_contexts=0):
    codes = rng.integers(0, 4, (n, length)).astype(np.uint8)
    scores = rng.normal(size=(n, 5)).astype(np.float32)
    context = rng.random((n, n_contexts)).astype(np.float32) if n_contexts else None
    return Inputs(codes, scores, context)


def labels(values, kind="binary"):
    values = np.asarray(values, dtype=np.float32)
    return Targets(kind, [f"label{i}" for i in range(values.shape[1])], values)


def fit(inputs, targets, contexts=None, train=None):
    train = np.arange(len(inputs.codes)) if train is None else train
    return fit_kernel(inputs, targets, train=train, contexts=contexts, is_centred=True, seed=0)


def test_is_penalised_regression_on_centred_likenesses(rng):
    inputs, values = make(rng), rng.normal(size=(120, 2))
    values = (values - values.mean(0)) / values.std(0)
    model = fit(inputs, labels(values, "regression"))
    (_, likeness), *_ = model.likeness(inputs)
    likeness = likeness.astype(np.float64)
    centred = likeness - likeness.mean(0)
    among = next(iter(model.likeness(model.landmarks)))[1]
    penalty = _kernel.PENALTY * among + JITTER * len(values) * np.eye(len(among))
    expected = centred @ np.linalg.solve(centred.T @ centred + penalty, centred.T @ values)
    np.testing.assert_allclose(model.logits(inputs), expected, atol=2e-3)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_kinds_missing_labels_and_files(kind, rng):
    inputs = make(rng)
    values = (
        rng.integers(0, 3, (120, 1))
        if kind == "multiclass"
        else rng.integers(0, 2, (120, 1 if kind == "binary" else 3))
    )
    values = values.astype(np.float32)
    if kind != "multiclass":
        values[5] = np.nan
    targets = Targets(kind, ["a", "b", "c"][: 3 if kind == "multiclass" else values.shape[1]], values)
    model = fit(inputs, targets)
    logits = model.logits(inputs)
    assert logits.shape == (120, targets.n_outputs)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(KernelModel.restore(*model.state()).logits(inputs), logits, atol=1e-4)
    np.testing.assert_allclose(fit(inputs, targets).logits(inputs), logits, atol=1e-4)


def test_learns_a_motif_on_either_strand(rng):
    inputs = make(rng, n=600)
    truth = rng.integers(0, 2, 600)
    inputs.codes[truth == 1, 20:27] = [2, 0, 3, 0, 0, 2, 1]
    turned = rng.random(600) < 0.5
    inputs.codes[turned] = reverse_complement(inputs.codes[turned])
    model = fit(inputs, labels(truth[:, None]), train=np.arange(400))
    found = model.logits(inputs)[400:, 0]
    assert found[truth[400:] == 1].mean() > found[truth[400:] == 0].mean() + 1
    np.testing.assert_allclose(
        model.logits(inputs._replace(codes=reverse_complement(inputs.codes))), model.logits(inputs), atol=1e-3
    )


def test_accessibility_of_the_own_cell_type_gates(rng):
    inputs = make(rng, n=400, n_contexts=2)
    inputs = inputs._replace(context=(inputs.context > 0.5).astype(np.float32))
    has_motif = rng.random(400) < 0.5
    inputs.codes[has_motif, 20:27] = [2, 0, 3, 0, 0, 2, 1]
    values = np.stack([has_motif * inputs.context[:, 0], has_motif, has_motif * inputs.context[:, 1]], axis=1)
    model = fit(
        inputs, labels(values, "multilabel"), Contexts(["A", "B"], "open", np.ones(2, dtype=np.float32), (0, -1, 1))
    )
    changed = inputs._replace(context=inputs.context * [0, 1])
    before, after = model.logits(inputs), model.logits(changed.take(slice(None)))
    was_open = inputs.context[:, 0] == 1
    assert (before[was_open & has_motif, 0] > after[was_open & has_motif, 0]).mean() > 0.95
    np.testing.assert_allclose(before[:, 1:], after[:, 1:], atol=1e-4)
    again = KernelModel.restore(*model.state())
    np.testing.assert_allclose(again.logits(changed), after, atol=1e-4)


def test_some_regions_at_a_time_and_twice_the_same_region(rng, monkeypatch):
    inputs = make(rng)
    inputs = inputs.take(np.concatenate([np.arange(100), np.arange(20)]))
    targets = labels(rng.integers(0, 2, (120, 1)))
    whole = fit(inputs, targets).logits(inputs)
    monkeypatch.setattr(_kernel, "ROWS", 50)
    np.testing.assert_allclose(fit(inputs, targets).logits(inputs), whole, atol=1e-3)


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_regions_without_a_label_teach_nothing_of_it(kind, rng):
    inputs = make(rng, n=900)
    truth = (inputs.scores[:, 0] > 0.3).astype(np.float32)
    few = np.where(rng.random(900) < 0.2, truth, np.nan)
    rows, alone = np.arange(600), np.flatnonzero(~np.isnan(few[:600]))
    found = fit(inputs, labels(np.column_stack([truth, few]), kind), train=rows).logits(inputs)[600:]
    whole = fit(inputs, labels(truth[:, None], kind), train=rows).logits(inputs)[600:, 0]
    by_few = fit(inputs, labels(few[:, None], kind), train=alone).logits(inputs)[600:, 0]
    np.testing.assert_allclose(found[:, 0], whole, atol=1e-3)
    assert found[:, 1].std() == pytest.approx(by_few.std(), rel=0.3)
    assert roc_auc_score(truth[600:], found[:, 1]) > roc_auc_score(truth[600:], by_few) - 0.03


def test_a_label_that_no_train_region_has(rng):
    values = rng.integers(0, 2, (120, 2)).astype(np.float32)
    values[:100, 1] = np.nan
    inputs = make(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit(inputs, labels(values, "multilabel"), train=np.arange(100)).logits(inputs)
    assert np.isfinite(found).all()
    assert np.ptp(found[:, 1]) == 0


def test_sequences_shorter_than_a_kmer(rng):
    inputs = make(rng, length=4)
    assert np.isfinite(fit(inputs, labels(rng.integers(0, 2, (120, 1)))).logits(inputs)).all()


def test_fewer_landmarks_where_many_cell_types_are_read(rng, monkeypatch):
    monkeypatch.setattr(_kernel, "N_LANDMARKS", 80)
    inputs, targets = make(rng, n_contexts=8), labels(rng.integers(0, 2, (120, 8)), "multilabel")
    for n_types, expected in ((1, 80), (2, 80), (8, 40)):
        own = tuple(i % n_types for i in range(8))
        model = fit(inputs, targets, Contexts([str(i) for i in range(8)], "open", np.ones(8, dtype=np.float32), own))
        assert len(model.weight) == expected
