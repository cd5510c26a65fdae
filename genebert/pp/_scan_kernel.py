"""The inner loops of the motif scan, compiled by numba.

A sequence is a row of 4-mer numbers, one per position; a motif is cut into blocks of 4 columns, each with a table of
the score of every 4-mer. The score of a window is then one look-up per block instead of one per base. Motifs (and both
strands of each) stand side by side in the tables, as lanes of a vector, so that one index serves 32 of them. Scores are
whole numbers (fixed point): sums are exact in any order, so both strands, threads and subsets agree to the last bit.
"""

from __future__ import annotations

import numba
import numpy as np

from genebert.pp._lanes import add, add_if_reached, count_if_reached, load, maximum, store

__all__ = ["BLOCK", "count_hits", "max_scores", "sum_hits"]

BLOCK = 4
"""Columns per table."""


@numba.njit(cache=True, nogil=True)
def _score_window(kmers: np.ndarray, tables: np.ndarray, position: int) -> np.ndarray:
    """Add up the blocks of the window that starts at `position`, for all lanes."""
    scores = load(tables[0, kmers[position]])
    for block in range(1, tables.shape[0]):
        scores = add(scores, load(tables[block, kmers[position + BLOCK * block]]))
    return scores


@numba.njit(cache=True, nogil=True)
def max_scores(kmers: np.ndarray, tables: np.ndarray, n_positions: int, best: np.ndarray) -> None:
    """Raise `best` to the highest score over positions.

    Parameters
    ----------
    kmers
        uint16 ``(regions, n_positions + BLOCK * blocks)``: number of the 4-mer at each position.
    tables
        int32 ``(blocks, 4-mers, lanes)``.
    n_positions
        Windows to score per region.
    best
        int32 ``(regions, lanes)``, changed in place.
    """
    for region in range(kmers.shape[0]):
        top = load(best[region])
        for position in range(n_positions):
            top = maximum(top, _score_window(kmers[region], tables, position))
        store(best[region], top)


@numba.njit(cache=True, nogil=True)
def count_hits(
    kmers: np.ndarray, tables: np.ndarray, n_positions: int, thresholds: np.ndarray, hits: np.ndarray
) -> None:
    """Count the windows that score at least `thresholds` int32 ``(lanes,)`` into `hits` int32 ``(regions, lanes)``."""
    limits = load(thresholds)
    for region in range(kmers.shape[0]):
        total = load(hits[region])
        for position in range(n_positions):
            total = count_if_reached(total, _score_window(kmers[region], tables, position), limits)
        store(hits[region], total)


@numba.njit(cache=True, nogil=True)
def sum_hits(kmers: np.ndarray, tables: np.ndarray, n_positions: int, thresholds: np.ndarray, sums: np.ndarray) -> None:
    """Add up the scores of the windows that score at least `thresholds` into `sums` int32 ``(regions, lanes)``."""
    limits = load(thresholds)
    for region in range(kmers.shape[0]):
        total = load(sums[region])
        for position in range(n_positions):
            total = add_if_reached(total, _score_window(kmers[region], tables, position), limits)
        store(sums[region], total)
