"""Exact p-values of motif scores: how often a random sequence scores at least as high.

Scores are whole numbers and are counted down from the best one: the *loss* of a sequence is what it lacks to the best.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

__all__ = ["NO_HIT", "largest_loss", "loss_distribution"]

NO_HIT = -1
"""Largest loss of a hit of a motif that cannot reach the p-value asked for."""

ROUNDING = 1e-9  # relative; a tail that equals the p-value but for rounding counts as equal
COARSE = 64  # steps of the score that are taken together to find out where a threshold lies


def loss_distribution(losses: np.ndarray, *, background: np.ndarray, max_loss: int) -> np.ndarray:
    """Compute how probable it is that a random sequence falls short of the best one by 0, 1, ... `max_loss`.

    Columns are independent, so the distribution is the convolution of the distributions of the columns (Staden 1989). With
    whole numbers this is exact; and since no column makes up for another's loss, leaving out larger losses is, too.

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
    losses = np.ascontiguousarray(losses, dtype=np.int64)
    return _compiled(_convolve)(losses, np.asarray(background, dtype=np.float64), max_loss)


def largest_loss(losses: np.ndarray, *, pvalue: float, background: np.ndarray) -> int:
    """Find the largest loss that a random sequence stays within with a probability of at most `pvalue`.

    Parameters
    ----------
    losses
        int64 ``(length, 4)``: score of each base at each position below that of the best base there.
    pvalue
        The probability.
    background
        Probabilities of A, C, G and T.

    Returns
    -------
    The loss, or `NO_HIT` where even the best sequence is more probable than that.
    """
    pvalue *= 1 + ROUNDING
    # Losses rounded up are less probable to stay within a limit: the limit that they give is too high, never too low.
    rounded = -(-losses // COARSE)
    coarse = loss_distribution(rounded, background=background, max_loss=int(rounded.max(axis=1).sum()))
    enough = COARSE * int(np.searchsorted(np.cumsum(coarse), pvalue, side="right"))
    distribution = loss_distribution(losses, background=background, max_loss=enough)
    return _compiled(_last_within)(distribution, pvalue)


@cache
def _compiled(function: Callable) -> Callable:
    import numba  # takes its time, and this layer is imported always

    return numba.njit(cache=True, nogil=True)(function)


def _convolve(losses: np.ndarray, background: np.ndarray, max_loss: int) -> np.ndarray:
    distribution = np.zeros(max_loss + 1)
    distribution[0] = 1.0
    reached = 0  # largest loss of the columns so far
    for column in losses:
        longer = np.zeros(max_loss + 1)
        for base in range(len(column)):
            n = min(reached, max_loss - column[base]) + 1
            if n > 0:
                moved = longer[column[base] : column[base] + n]
                for loss in range(n):
                    moved[loss] += background[base] * distribution[loss]
        distribution = longer
        reached = min(reached + column.max(), max_loss)
    return distribution


def _last_within(distribution: np.ndarray, pvalue: float) -> int:
    """Return the last loss that occurs before the sum of the distribution exceeds `pvalue`."""
    last, total = NO_HIT, 0.0
    for loss in range(len(distribution)):
        total += distribution[loss]
        if total > pvalue:
            break
        if distribution[loss] > 0:
            last = loss
    return last
