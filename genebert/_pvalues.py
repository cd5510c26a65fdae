"""Exact p-values of motif scores: how often a random sequence scores at least as high."""

from __future__ import annotations

import numpy as np

__all__ = ["NO_HIT", "loss_distribution", "score_threshold"]

NO_HIT = np.iinfo(np.int32).max
"""Threshold of a motif that cannot reach the p-value asked for."""

ROUNDING = 1e-9  # relative; a tail that equals the p-value but for rounding counts as equal
FIRST_SHARE = 8  # the first search for a threshold covers an eighth of a motif's range of scores


def loss_distribution(matrix: np.ndarray, *, background: np.ndarray, max_loss: int) -> np.ndarray:
    """Compute how probable it is that a random sequence falls short of the best one by 0, 1, ... `max_loss`.

    Columns are independent, so the distribution is the convolution of the distributions of the columns. With whole
    numbers as scores this is exact; and since no column can make up for another's loss, cutting it off is, too.

    Parameters
    ----------
    matrix
        int64 ``(length, 4)``: score of each base at each position.
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
    for losses in matrix.max(axis=1, keepdims=True) - matrix:
        longer = np.zeros_like(distribution)
        for loss, probability in zip(losses, background, strict=True):
            if loss <= max_loss:
                longer[loss:] += probability * distribution[: max_loss + 1 - loss]
        distribution = longer
    return distribution


def score_threshold(matrix: np.ndarray, *, pvalue: float, background: np.ndarray) -> int:
    """Find the lowest score that a random sequence reaches with a probability of at most `pvalue`.

    Returns
    -------
    The score, or `NO_HIT` where even the best sequence is more probable than that.
    """
    span = int((matrix.max(axis=1) - matrix.min(axis=1)).sum())
    max_loss = span // FIRST_SHARE
    while True:
        distribution = loss_distribution(matrix, background=background, max_loss=max_loss)
        tail = np.cumsum(distribution)
        if tail[-1] > pvalue * (1 + ROUNDING) or max_loss == span:
            break
        max_loss = min(2 * max_loss + 1, span)
    allowed = tail <= pvalue * (1 + ROUNDING)
    losses = np.flatnonzero(distribution[allowed])  # losses that occur
    return int(matrix.max(axis=1).sum()) - int(losses[-1]) if len(losses) else NO_HIT
