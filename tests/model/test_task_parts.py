"""What a task is made of: targets, linear models, trees, the stack, training."""

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad

from genebert._dna import reverse_complement
from genebert.model import _trees
from genebert.model._kmers import FLANK, Block, Vocabulary, kmers_anywhere, kmers_by_place
from genebert.model._linear import LinearModel, fit_linear, solve
from genebert.model._stack import fit_stack
from genebert.model._targets import Targets, loss_and_gradient, probabilities, task_loss
from genebert.model._task_inputs import Contexts, Inputs
from genebert.model._task_network import FitOptions, NetworkModel, fit_network
from genebert.model._task_probe import ProbeModel, fit_probe
from genebert.nn import PlainCNN


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make(kind, rng, n=40):
    if kind == "multiclass":
        return Targets(kind, ["a", "b", "c"], rng.integers(0, 3, (n, 1)).astype(np.float32))
    values = rng.integers(0, 2, (n, 1 if kind == "binary" else 3)).astype(np.float32)
    if kind == "regression":
        values = rng.normal(size=(n, 3)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    return Targets(kind, ["a", "b", "c"][: values.shape[1]], values)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
@pytest.mark.parametrize("is_balanced", [False, True])
def test_gradient_and_torch_agree(kind, is_balanced, rng):
    targets = make(kind, rng)
    targets = targets.balanced() if is_balanced else targets
    weight, shape = targets.sample_weights(), (40, targets.n_outputs)
    first = rng.normal(size=shape).ravel()
    error = check_grad(
        lambda flat: loss_and_gradient(flat.reshape(shape), targets, weight)[0],
        lambda flat: loss_and_gradient(flat.reshape(shape), targets, weight)[1].ravel(),
        first,
    )
    assert error < 1e-5
    values = torch.from_numpy(np.nan_to_num(targets.values))
    loss = task_loss(torch.from_numpy(first.reshape(shape)), values, torch.from_numpy(weight).float(), kind=kind)
    assert float(loss) == pytest.approx(loss_and_gradient(first.reshape(shape), targets, weight)[0], rel=1e-5)


def test_start_is_the_frequency():
    targets = Targets("binary", ["a"], np.array([[1], [0], [0], [0], [np.nan]], dtype=np.float32))
    assert probabilities(targets.start()[None], "binary")[0, 0] == pytest.approx(2 / 6)


def read(codes, blocks, *, both_strands=False):
    return Vocabulary(blocks, seq_length=codes.shape[1], both_strands=both_strands).read(codes).toarray()


def test_features_by_hand():
    codes = np.array([[0, 1, 4, 2, 2]], dtype=np.uint8)  # AC N GG
    counts = read(codes, [Block(2, 0, 0.5)])[0]
    assert np.flatnonzero(counts).tolist() == [1, 10]
    assert counts.sum() == 1
    both = read(codes, [Block(2, 0)], both_strands=True)
    assert np.array_equal(both, read(reverse_complement(codes), [Block(2, 0)], both_strands=True))
    near = read(np.zeros((1, 201), dtype=np.uint8), [Block(1, 0, 2.0, reach=20.0)])[0, 0]
    assert near == pytest.approx(
        2 * (201 * FLANK + (1 - FLANK) * 20 * np.sqrt(2 * np.pi)), rel=2e-3
    )  # a bell above the flanks
    assert np.flatnonzero(read(codes, [Block(1, 1)])).tolist() == [0, 5, 14, 18]
    assert np.flatnonzero(read(codes, [Block(1, 3)])).tolist() == [0, 1, 6]  # A and C in front, two G behind
    assert np.array_equal(
        read(codes, [Block(1, 1), Block(2, 0, 0.5)]), np.hstack([read(codes, [Block(1, 1)]), [counts]])
    )


def test_features_read_once_are_left_out(rng):
    codes = rng.integers(0, 4, (30, 20)).astype(np.uint8)
    blocks = [Block(3, 0), Block(2, 1), Block(25, 0)]  # the last one is longer than the sequences
    everything = Vocabulary(blocks, seq_length=20, both_strands=True)
    seen = everything.seen_in(codes)
    full = everything.read(codes).toarray()
    often = full.sum(0) >= 2
    assert 0 < often.sum() < len(often)
    assert np.array_equal(seen.columns, np.flatnonzero(often))
    assert np.array_equal(seen.read(codes).toarray(), full[:, often])
    for recipe in (kmers_anywhere(), kmers_by_place(3)):
        assert Vocabulary(recipe, seq_length=3, both_strands=False).read(codes[:, :3]).shape[0] == 30


def test_linear_model_finds_a_base_at_a_place(rng):
    codes = rng.integers(0, 4, (400, 12)).astype(np.uint8)
    targets = Targets("binary", ["a"], (codes[:, [5]] == 2).astype(np.float32))
    rows, inputs = {"train": np.arange(300), "inner": np.arange(300, 400)}, Inputs(codes, None, None)
    model = fit_linear(inputs, targets, blocks=[Block(1, 1)], both_strands=False, **rows)
    assert ((model.logits(inputs)[:, 0] > 0) == targets.values[:, 0]).mean() > 0.99
    again = LinearModel.restore(*model.state())
    assert np.array_equal(again.logits(inputs), model.logits(inputs))
    symmetric = fit_linear(inputs, targets, blocks=[Block(2, 1)], both_strands=True, **rows)
    turned = Inputs(reverse_complement(codes), None, None)
    assert np.allclose(symmetric.logits(inputs), symmetric.logits(turned))


def test_linear_model_multiplies_by_accessibility(rng):
    """A base counts only where the region is open; what is added to it would not do."""
    codes = rng.integers(0, 4, (800, 6)).astype(np.uint8)
    context = rng.integers(0, 2, (800, 2)).astype(np.float32)
    truth = np.column_stack([(codes[:, 2] == 0) & (context[:, 1] == 1), codes[:, 3] == 1]).astype(np.float32)
    targets = Targets("multilabel", ["a", "b"], truth)
    contexts = Contexts(["x", "y"], "open", np.ones(2, dtype=np.float32), (1, -1))
    rows, inputs = {"train": np.arange(600), "inner": np.arange(600, 800)}, Inputs(codes, None, context)
    model = fit_linear(inputs, targets, blocks=[Block(1, 1)], both_strands=False, contexts=contexts, **rows)
    assert ((model.logits(inputs) > 0) == truth).mean() > 0.99
    again = LinearModel.restore(*model.state())
    assert np.array_equal(again.logits(inputs), model.logits(inputs))
    plain = fit_linear(inputs, targets, blocks=[Block(1, 1)], both_strands=False, **rows)
    assert ((plain.logits(inputs)[:, 0] > 0) == truth[:, 0]).mean() < 0.95


def test_probe_multiplies_by_accessibility(rng, tiny_model):
    """What speaks for a region that is open speaks against one that is closed; what is added to it would not do."""
    tfs = tiny_model.tfs
    codes, scores = rng.integers(0, 4, (400, 50)).astype(np.uint8), rng.normal(size=(400, len(tfs))).astype(np.float32)
    context = rng.integers(0, 2, (400, 2)).astype(np.float32)
    inputs = Inputs(codes, scores, context)
    options = {"both_strands": True, "half": "region"}
    embedded = ProbeModel(tiny_model.module, np.arange(len(tfs)), **options).embed(inputs)
    is_high = embedded[:, 0] > np.median(embedded[:, 0])
    targets = Targets(
        "multilabel", ["a", "b"], np.column_stack([is_high == (context[:, 1] == 1), is_high]).astype(np.float32)
    )
    contexts = Contexts(["x", "y"], "open", np.ones(2, dtype=np.float32), (1, -1))
    options |= {"tfs": (tfs, tfs), "train": np.arange(300), "inner": np.arange(300, 400)}
    model = fit_probe(tiny_model.module, inputs, targets, contexts=contexts, **options)
    assert ((model.logits(inputs) > 0) == targets.values).mean() > 0.9
    again = ProbeModel.restore(*model.state())
    assert np.allclose(again.logits(inputs), model.logits(inputs))
    plain = fit_probe(tiny_model.module, inputs, targets, **options)
    assert ((plain.logits(inputs)[:, 0] > 0) == targets.values[:, 0]).mean() < 0.7


def test_probes_of_before_accessibility_multiplied(rng, tiny_model):
    """They load where they read none; where it was one more feature they are refused."""
    codes = rng.integers(0, 4, (60, 50)).astype(np.uint8)
    inputs = Inputs(codes, rng.normal(size=(60, len(tiny_model.tfs))).astype(np.float32), None)
    targets = Targets("binary", ["a"], rng.integers(0, 2, (60, 1)).astype(np.float32))
    options = {"tfs": (tiny_model.tfs, tiny_model.tfs), "train": np.arange(40), "inner": np.arange(40, 60)}
    model = fit_probe(tiny_model.module, inputs, targets, both_strands=True, **options)
    settings, tensors = model.state()
    settings.pop("own")
    assert np.allclose(ProbeModel.restore(settings, tensors).logits(inputs), model.logits(inputs))
    tensors["probe.mean"] = torch.cat([tensors["probe.mean"], torch.zeros(1)])
    with pytest.raises(ValueError, match=r"an early version of genebert, which added it\. Fit the task again"):
        ProbeModel.restore(settings, tensors)


def test_solve_agrees_with_ridge(rng):
    matrix, values = rng.normal(size=(50, 3)), rng.normal(size=(50, 1)).astype(np.float32)
    weight, bias = solve(matrix, Targets("regression", ["a"], values), penalty=0.1)
    centred, target = matrix - matrix.mean(0), values - values.mean()
    exact = np.linalg.solve(centred.T @ centred / 50 + 0.1 * np.eye(3), centred.T @ target / 50)
    assert np.allclose(weight, exact, atol=1e-3)
    assert bias[0] == pytest.approx(float(values.mean() - matrix.mean(0) @ exact[:, 0]), abs=1e-3)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_trees_are_those_of_scikit_learn(kind, rng, monkeypatch):
    """All steps are kept, and the sums are what the estimator itself gives."""
    targets = make(kind, rng, n=300)
    scores = rng.normal(size=(300, 10)).astype(np.float32)
    inputs = Inputs(np.zeros((300, 1), dtype=np.uint8), scores, None)
    expected = []
    exported = _trees._exported

    def watched(booster, n_outputs, edges):
        bins = _trees.to_bins(scores, edges)
        raw = booster.predict(bins) if kind == "regression" else booster.decision_function(bins)
        if expected and expected[-1][0] is booster:  # it was fitted on
            expected.pop()
        expected.append((booster, np.asarray(raw).reshape(300, -1)))
        return exported(booster, n_outputs, edges)

    monkeypatch.setattr(_trees, "_exported", watched)
    monkeypatch.setattr(_trees, "_shortened", lambda trees, matrix, truth: trees)
    model = _trees.fit_trees(inputs, targets, train=np.arange(250), inner=np.arange(250, 300), seed=0)
    assert np.allclose(model.logits(inputs), np.hstack([raw for _, raw in expected]), atol=1e-4)
    assert len(model.root) == _trees.STEPS[False] * targets.n_outputs
    again = _trees.BoostedTrees.restore(*model.state())
    assert np.array_equal(again.logits(inputs), model.logits(inputs))


def test_trees_of_two_named_classes_are_those_of_one_label(rng):
    values = rng.integers(0, 2, (200, 1)).astype(np.float32)
    scores = (rng.normal(size=(200, 6)) + values).astype(np.float32)
    inputs, rows = Inputs(np.zeros((200, 1), dtype=np.uint8), scores, None), (np.arange(150), np.arange(150, 200))
    one, two = (
        _trees.fit_trees(inputs, Targets(kind, names, values), train=rows[0], inner=rows[1], seed=0).logits(inputs)
        for kind, names in (("binary", ["b"]), ("multiclass", ["a", "b"]))
    )
    assert two.shape == (200, 2)
    assert np.ptp(one) > 1
    assert np.allclose(two[:, 1] - two[:, 0], one[:, 0])


def test_bins(rng):
    values = np.hstack([rng.normal(size=(500, 1)), rng.integers(0, 3, (500, 1)), np.ones((500, 1))]).astype(np.float32)
    edges = _trees.find_edges(values)
    bins = _trees.to_bins(values, edges)
    assert edges.shape == (3, _trees.MAX_BINS - 1)
    assert [len(np.unique(column)) for column in bins.T] == [_trees.MAX_BINS, 3, 1]
    for number in range(3):
        for edge in (0, 30, 61):
            assert ((bins[:, number] <= edge) == (values[:, number] <= edges[number, edge])).all()


def test_trees_are_cut_where_the_inner_part_says(rng):
    targets = Targets("binary", ["a"], rng.integers(0, 2, (300, 1)).astype(np.float32))  # noise
    inputs = Inputs(np.zeros((300, 1), dtype=np.uint8), rng.normal(size=(300, 5)).astype(np.float32), None)
    model = _trees.fit_trees(inputs, targets, train=np.arange(200), inner=np.arange(200, 300), seed=0)
    assert len(model.root) < 50


def test_stack_calibrates_and_drops_what_is_noise(rng):
    logit = rng.normal(size=(2_000, 1))
    truth = (rng.random((2_000, 1)) < probabilities(logit, "binary")).astype(np.float32)
    targets = Targets("binary", ["a"], truth)
    single = fit_stack([3 * logit + 1], targets)
    assert single.weight[0] == pytest.approx(1 / 3, abs=0.05)
    assert single.bias[0] == pytest.approx(-1 / 3, abs=0.15)
    both = fit_stack([logit, rng.normal(size=(2_000, 1))], targets)
    assert both.weight[0] > 0.8
    assert 0 <= both.weight[1] < 0.1


def test_network_training_overfits_a_motif_and_keeps_the_best(rng, device):
    codes = rng.integers(0, 4, (200, 30)).astype(np.uint8)
    codes[:100, 10:18] = [0, 2, 1, 3, 3, 1, 2, 0]
    targets = Targets("binary", ["a"], np.repeat([[1], [0]], 100, axis=0).astype(np.float32))
    rows = rng.permutation(200)
    torch.manual_seed(0)
    options = FitOptions(strands="forward", max_epochs=15, lr=5e-3, batch_size=16)
    inputs = Inputs(codes, None, None)
    model, history = fit_network(
        PlainCNN(1).to(device), inputs, targets, train=rows[:150], inner=rows[150:], options=options
    )
    assert isinstance(model, NetworkModel)
    assert ((model.logits(inputs)[:, 0] > 0) == targets.values[:, 0]).mean() > 0.95
    losses = [row["loss"] for row in history if row["split"] == "inner"]
    kept = loss_and_gradient(model.logits(inputs.take(rows[150:])), targets.take(rows[150:]), np.ones((50, 1)))[0]
    assert kept == pytest.approx(min(losses), rel=1e-3)


def test_epochs_follow_the_amount_to_read():
    options = FitOptions()
    assert options.n_epochs(30_000, 101) == 2
    assert options.n_epochs(4_000, 70) == 12
    assert FitOptions(max_epochs=2).n_epochs(10, 10) == 2
