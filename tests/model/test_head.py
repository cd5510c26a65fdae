"""A head on embeddings, and adapters in the network below it."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from genebert.model._head import HeadOptions, fit_head, masked_bce
from genebert.model._lora import adapt, merge

OPTIONS = HeadOptions(lr=0.05, max_epochs=60, patience=5, batch_size=32, seed=0)


def test_masked_cross_entropy_leaves_out_what_is_not_labelled():
    logits = torch.tensor([[0.0, 5.0], [2.0, -1.0]])
    labels = torch.tensor([[1.0, math.nan], [0.0, math.nan]])
    expected = (math.log(2) + math.log(1 + math.exp(2))) / 2
    assert masked_bce(logits, labels).item() == pytest.approx(expected, rel=1e-6)
    assert masked_bce(logits, torch.full((2, 2), math.nan)) == 0


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 6)).astype(np.float32)
    labels = (features[:, :2] + 0.5 * rng.normal(size=(300, 2)) > 0).astype(np.float32)
    labels[rng.random(labels.shape) < 0.3] = np.nan
    return torch.from_numpy(features), labels


def test_a_head_learns_several_labels_with_gaps(data):
    features, labels = data
    head, rows = fit_head(
        lambda part, training: features[part], labels, train=np.arange(200), val=np.arange(200, 300), options=OPTIONS
    )
    val = [row for row in rows if row["split"] == "val"]
    assert min(row["loss"] for row in val) < 0.4 < val[0]["loss"]
    assert max(row["auroc"] for row in val) > 0.9
    with torch.no_grad():  # the best epoch is kept
        found = masked_bce(head(features[200:]), torch.from_numpy(labels[200:])).item()
    assert found == pytest.approx(min(row["loss"] for row in val), rel=1e-5)


def test_a_head_starts_at_the_frequencies(data):
    features, labels = data
    labels[:, 0] = np.where(np.arange(300) < 60, 1, 0)
    options = HeadOptions(lr=0.0, max_epochs=1, patience=1, batch_size=32, seed=0)
    head, _ = fit_head(
        lambda part, training: features[part], labels, train=np.arange(300), val=np.arange(5), options=options
    )
    assert torch.sigmoid(head.bias)[0].item() == pytest.approx(61 / 302)


def test_it_stops_early_and_repeats(data):
    features, labels = data
    labels = np.random.default_rng(1).permutation(labels)  # nothing to learn
    runs = [
        fit_head(
            lambda part, training: features[part],
            labels,
            train=np.arange(200),
            val=np.arange(200, 300),
            options=OPTIONS,
        )
        for _ in range(2)
    ]
    assert len(runs[0][1]) < 2 * 60
    assert runs[0][1] == runs[1][1]
    assert torch.equal(runs[0][0].weight, runs[1][0].weight)


def test_what_lies_below_learns_with_the_head(data):
    features, labels = data
    below = nn.Linear(6, 3)
    before = below.weight.detach().clone()
    fit_head(
        lambda part, training: below(features[part]), labels, train=np.arange(200), val=np.arange(200, 300),
        options=OPTIONS, parameters=below.parameters(),
    )  # fmt: skip
    assert not torch.equal(below.weight, before)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 4))


def test_adapters_change_nothing_at_first_and_are_all_that_learns(network):
    x, before = torch.randn(5, 8), {name: value.clone() for name, value in network.state_dict().items()}
    expected = network(x)
    adapters = adapt(network, rank=2, seed=0)
    torch.testing.assert_close(network(x), expected)
    assert sum(weight.numel() for weight in adapters) == 2 * (8 + 16) + 2 * (16 + 4)
    assert {id(p) for p in network.parameters() if p.requires_grad} == {id(p) for p in adapters}
    optimizer = torch.optim.SGD(adapters, lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        network(x).square().sum().backward()
        optimizer.step()
    adapted = network(x).detach()
    assert not torch.allclose(adapted, expected)
    merge(network)
    torch.testing.assert_close(network(x), adapted)  # the same network, without adapters
    after = network.state_dict()
    assert set(after) == set(before)
    assert all(p.requires_grad for p in network.parameters())
    for name in ("0.weight", "3.weight"):
        assert torch.linalg.matrix_rank(after[name] - before[name], tol=1e-5) <= 2
    for name in ("0.bias", "2.weight", "3.bias"):
        assert torch.equal(after[name], before[name])
