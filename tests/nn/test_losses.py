"""Losses: one closed form each."""

import math

import torch

from genebert.nn import masked_genome_loss, masked_region_loss, matching_loss, next_segment_loss


def test_masked_genome_of_uniform_logits_is_the_log_of_the_classes():
    assert math.isclose(masked_genome_loss(torch.zeros(5, 4096), torch.arange(5)).item(), math.log(4096), rel_tol=1e-6)


def test_next_segment_of_a_coin():
    assert math.isclose(
        next_segment_loss(torch.zeros(4), torch.tensor([0.0, 1, 1, 0])).item(), math.log(2), rel_tol=1e-6
    )


def test_matching_in_closed_form():
    # Two orthogonal pairs: each row scores s for its own and 0 for the other.
    vectors, scale = torch.eye(2), torch.tensor(3.0)
    assert math.isclose(matching_loss(vectors, vectors, scale).item(), math.log(1 + math.exp(-3)), rel_tol=1e-5)
    assert math.isclose(
        matching_loss(vectors, vectors.flip(0), scale).item(), 3 + math.log(1 + math.exp(-3)), rel_tol=1e-5
    )


def test_masked_region_is_the_mean_squared_error():
    assert masked_region_loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])).item() == 2.5


def test_nothing_to_score_costs_nothing_and_has_a_gradient():
    logits = torch.zeros(0, 16, requires_grad=True)
    masked_genome_loss(logits, torch.zeros(0, dtype=torch.long)).backward()
    predicted = torch.zeros(0, requires_grad=True)
    (masked_region_loss(predicted, torch.zeros(0)) + next_segment_loss(predicted, torch.zeros(0))).backward()
    assert logits.grad.shape == (0, 16)
    assert predicted.grad.shape == (0,)
