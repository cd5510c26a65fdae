"""The network of a task."""

import pytest
import torch

from genebert.nn import GeneBERTConfig, TaskConfig, TaskNetwork


def config(**changes):
    encoder = GeneBERTConfig.preset("tiny", n_tfs=6)
    return TaskConfig(**{"encoder": encoder, "n_outputs": 3, "seq_length": 41, "n_tfs": 6, **changes})


def batch(device, n=4, length=41):
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 5, (n, length), generator=generator, dtype=torch.uint8)
    return (
        codes.to(device),
        torch.randn(n, 6, generator=generator).to(device),
        torch.rand(n, 2, generator=generator).to(device),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_tfs": 0},
        {"has_sequence": False},
        {"contexts": (0, 1, -1), "n_contexts": 2},
        {"seq_length": 3},
        {"seq_length": 1},
    ],
)
def test_shapes_and_gradients(device, changes):
    made = config(**changes)
    network = TaskNetwork(made).to(device)
    codes, scores, context = batch(device, length=made.seq_length)
    logits = network(codes, scores, context)
    assert logits.shape == (4, 3)
    logits.sum().backward()
    assert network.out.weight.grad is not None
    assert TaskConfig.from_dict(made.to_dict()) == made


def test_accessibility_gates_its_own_outputs_only(device):
    network = TaskNetwork(config(contexts=(0, 0, -1), n_contexts=2)).to(device).eval()
    codes, scores, context = batch(device)
    with torch.no_grad():
        closed = network(codes, scores, torch.zeros_like(context))
        opened = network(codes, scores, torch.ones_like(context))
    assert (closed[:, :2] != opened[:, :2]).all()
    assert torch.equal(closed[:, 2], opened[:, 2])


def test_the_wide_branch_knows_places(device):
    network = TaskNetwork(config()).to(device).eval()
    codes, scores, _ = batch(device)
    codes[:] = 0
    with torch.no_grad():
        before = network(codes, scores, None)
        network.wide[17 * 5 + 0] += 1.0  # AA at position 5
        assert torch.allclose(network(codes, scores, None), before + 1, atol=1e-5)
        codes[:, 5] = 1
        shifted = network(codes, scores, None)
        network.wide[17 * 5 + 0] -= 1.0
        assert torch.allclose(network(codes, scores, None), shifted, atol=1e-5)


def test_start_is_guessing(device):
    network = TaskNetwork(config()).to(device).eval()
    network.start_at(torch.tensor([1.0, 2.0, 3.0]))
    assert torch.equal(network.out.bias.detach().cpu(), torch.tensor([1.0, 2.0, 3.0]))
