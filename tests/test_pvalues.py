"""Exact p-values, against all sequences of the length of a motif."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genebert._motifs import Motif, log_odds
from genebert._pvalues import NO_HIT, largest_loss, loss_distribution

LENGTH = 6
WORDS = np.stack(np.meshgrid(*[np.arange(4)] * LENGTH, indexing="ij"), axis=-1).reshape(-1, LENGTH)
UNIFORM = np.full(4, 0.25)
BACKGROUNDS = [UNIFORM, np.array([0.3, 0.2, 0.2, 0.3]), np.array([0.1, 0.2, 0.3, 0.4])]


def random_losses(seed, length=LENGTH, *, most=70):
    losses = np.random.default_rng(seed).integers(0, most, size=(length, 4))
    return losses - losses.min(axis=1, keepdims=True)


def enumerated(losses, background):
    """Loss and probability of each of the 4,096 sequences of 6 bp."""
    return losses[np.arange(LENGTH), WORDS].sum(axis=1), background[WORDS].prod(axis=1)


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("pvalue", [0.0, 1e-6, 1e-3, 1e-2, 1e-1, 0.5, 1.0])
def test_largest_loss_is_exact(background, pvalue):
    losses = random_losses(0)
    all_losses, probabilities = enumerated(losses, background)
    tails = {loss: probabilities[all_losses <= loss].sum() for loss in np.unique(all_losses)}
    within = [loss for loss, tail in tails.items() if tail <= pvalue * (1 + 1e-9)]
    assert largest_loss(losses, pvalue=pvalue, background=background) == max(within, default=NO_HIT)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_distribution_is_exact(background):
    losses = random_losses(1)
    all_losses, probabilities = enumerated(losses, background)
    expected = np.bincount(all_losses, weights=probabilities)
    found = loss_distribution(losses, background=background, max_loss=len(expected) - 1)
    np.testing.assert_allclose(found, expected, atol=1e-15)
    part = loss_distribution(losses, background=background, max_loss=100)
    np.testing.assert_array_equal(part, found[:101])  # larger losses make no difference


@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 40), pvalue=st.floats(1e-12, 1))
@settings(max_examples=50, deadline=None)
def test_tail_at_the_threshold(seed, length, pvalue):
    """Up to the loss found the probability is within the p-value, with the next loss that occurs it is not."""
    losses = random_losses(seed, length, most=3000)
    background = np.random.default_rng(seed).dirichlet([9] * 4)
    found = largest_loss(losses, pvalue=pvalue, background=background)
    most = int(losses.max(axis=1).sum())
    tail = np.cumsum(loss_distribution(losses, background=background, max_loss=most))
    if found != NO_HIT:
        assert tail[found] <= pvalue * (1 + 1e-8)
    above = np.flatnonzero(np.diff(tail, prepend=0) > 0)
    above = above[above > found]
    assert len(above) == 0 or tail[above[0]] > pvalue * (1 - 1e-8)


def test_a_tail_that_is_the_pvalue_but_for_rounding_counts():
    losses = np.ones((4, 4), dtype=np.int64) - np.eye(4, dtype=np.int64)
    assert largest_loss(losses, pvalue=0.25**4, background=UNIFORM) == 0
    assert largest_loss(losses, pvalue=0.25**4 * 0.999, background=UNIFORM) == NO_HIT
    thirds = np.array([0.1, 0.2, 0.3, 0.4])
    assert largest_loss(losses, pvalue=0.1 * 0.2 * 0.3 * 0.4, background=thirds) == 0


def test_a_motif_that_is_too_short():
    """4 bp occur by chance once in 256 windows: nothing about them is as rare as 1e-4."""
    matrix = log_odds(Motif("X", "X1", np.eye(4) * 100), background=UNIFORM)
    steps = np.rint(matrix * 1024).astype(np.int64)
    assert largest_loss(steps.max(axis=1, keepdims=True) - steps, pvalue=1e-4, background=UNIFORM) == NO_HIT
