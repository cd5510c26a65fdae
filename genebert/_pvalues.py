"""Exact p-values of motif scores: how often a random sequence scores at least as high."""

from __future__ import annotations

import numpy as np

__all__ = ["NO_HIT", "loss_distribution", "score_threshold"]

NO_HIT = np.iinfo(np.int32).max
"""Threshold of a motif that cannot reach the p-value asked for."""

ROUNDING = 1e-9  # relative; a tail that equals the p-value but for rounding counts as equal
COARSE = 16  # steps of the score that are taken together to find out where a threshold lies


def loss_distribution(losses: np.ndarray, *, background: np.ndarray, max_loss: int) -> np.ndarray:
    """Compute how probable it is that a random sequence falls short of the best one by 0, 1, ... `max_loss`.

    Columns are independent, so the distribution is the convolution of the distributions of the columns. With whole
    numbers this is exact; and since no column makes up for another's loss, leaving out larger losses is, too.

    Parameters
    ----------
    losses
        int64 ``(length, 4)``: score of each base at each position below that of the best base there.
    background
        Probabilities of A, C, G and T.
    max_loss
        Largest loss of interest.

    Returns
    -------
    float64 ``(max_loss + 1,)``.
    """
    distribution = np.zeros(max_loss + 1)
    distribution[0] = 1.0
    for column in losses:
        longer = np.zeros_like(distribution)
        for loss, probability in zip(column, background, strict=True):
            if loss <= max_loss:
                longer[loss:] += probability * distribution[: max_loss + 1 - loss]
        distribution = longer
    return distribution


def score_threshold(matrix: np.ndarray, *, pvalue: float, background: np.ndarray) -> int:
    """Find the lowest score that a random sequence reaches with a probability of at most `pvalue`.

    Parameters
    ----------
    matrix
        int64 ``(length, 4)``: score of each base at each position.
    pvalue
        The probability.
    background
        Probabilities of A, C, G and T.

    Returns
    -------
    The score, or `NO_HIT` where even the best sequence is more probable than that.
    """
    pvalue *= 1 + ROUNDING
    best = matrix.max(axis=1, keepdims=True)
    losses = best - matrix
    distribution = loss_distribution(losses, background=background, max_loss=_enough(losses, pvalue, background))
    allowed = np.cumsum(distribution) <= pvalue
    reached = np.flatnonzero(distribution[allowed])  # losses that occur
    return int(best.sum()) - int(reached[-1]) if len(reached) else NO_HIT


def _enough(losses: np.ndarray, pvalue: float, background: np.ndarray) -> int:
    """Find a loss that is exceeded with less than 1 - `pvalue`, so that the threshold lies below: losses rounded up."""
    rounded = -(-losses // COARSE)
    distribution = loss_distribution(rounded, background=background, max_loss=int(rounded.max(axis=1).sum()))
    return COARSE * int(np.searchsorted(np.cumsum(distribution), pvalue, side="right"))
