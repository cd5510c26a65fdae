"""Motifs made ready for scanning: losses in whole numbers, grouped by length, and the engine that looks them up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from genebert._dna import N_BASES, N
from genebert._pvalues import largest_loss
from genebert.pp._lanes import MOST, N_LANES
from genebert.pp._scan_kernel import (
    BLOCK,
    N_CODES,
    N_KMERS,
    Sequences,
    Tables,
    fill_bounds,
    find_hits,
    lowest_losses,
    number_kmers,
)

__all__ = ["STEPS_PER_BIT", "UNKNOWN", "MotifGroup", "TableEngine", "group_motifs"]

STEPS_PER_BIT = 1024
"""Resolution of the scores that p-values are computed for."""
FINEST_STEPS = 2**24  # resolution of the highest score
CACHE_LINE = 64  # bytes
UNKNOWN = 2**45
"""Loss of an N, above that of any window without one; the sum over a motif is exact as a 64-bit float."""


@dataclass(frozen=True)
class MotifGroup:
    """Motifs of about one length.

    Lanes: the forward strands, then (if asked for) the reverse strands.
    """

    columns: np.ndarray
    """Place of each motif in the caller's list."""
    n_strands: int
    lengths: np.ndarray
    """int64 ``(motifs,)``, bp."""
    steps_per_bit: int
    """Scores are counted in these steps."""
    best: np.ndarray
    """int64 ``(motifs,)``: highest score of each motif, in steps."""
    worst: np.ndarray
    """int64 ``(motifs,)``: lowest score of each motif, in steps."""
    losses: np.ndarray
    """int64 ``(lanes, columns, 5)``: what each base at each column lacks to the best; `UNKNOWN` for N, 0 behind the motif."""
    max_losses: np.ndarray
    """int64 ``(lanes,)``: largest loss of a hit, -1 where there is none."""

    @property
    def n_motifs(self) -> int:
        """Motifs in the group."""
        return len(self.columns)


def group_motifs(
    matrices: Sequence[np.ndarray],
    *,
    background: np.ndarray,
    both_strands: bool,
    pvalue: float | None,
    n_threads: int = 1,
) -> list[MotifGroup]:
    """Sort motifs by length and cut them into groups.

    Parameters
    ----------
    matrices
        Log-odds ``(length, 4)`` of each motif.
    background
        Probabilities of A, C, G and T, the same on both strands.
    both_strands
        Whether to score the reverse complement of each window, too.
    pvalue
        Of a hit; None for the highest score, which needs none and is counted in finer steps.
    n_threads
        Threads.
    """
    order = np.argsort([len(matrix) for matrix in matrices], kind="stable")
    group_size = N_LANES // (1 + both_strands)
    chunks = np.split(order, np.arange(group_size, len(order), group_size))

    def group(chunk: np.ndarray) -> MotifGroup:
        motifs = [matrices[i] for i in chunk]
        return _group(motifs, chunk, background=background, both_strands=both_strands, pvalue=pvalue)

    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(group, chunks))


def _group(
    matrices: list[np.ndarray], columns: np.ndarray, *, background: np.ndarray, both_strands: bool, pvalue: float | None
) -> MotifGroup:
    steps_per_bit = FINEST_STEPS if pvalue is None else STEPS_PER_BIT
    # Rounded base by base, so that both strands add up the same numbers.
    steps = [np.rint(np.asarray(matrix, dtype=np.float64) * steps_per_bit).astype(np.int64) for matrix in matrices]
    losses = [step.max(axis=1, keepdims=True) - step for step in steps]
    # The score of the reverse complement of a window is that of the window under the reversed, complemented motif.
    strands = losses + [loss[::-1, ::-1] for loss in losses] * both_strands
    lengths = np.array([len(step) for step in steps])
    padded = np.zeros((len(strands), -(-lengths.max() // BLOCK) * BLOCK, N_CODES), dtype=np.int64)
    for lane, loss in zip(padded, strands, strict=True):
        lane[: len(loss), :N_BASES] = loss
        lane[: len(loss), N] = UNKNOWN
    max_losses = [0 if pvalue is None else largest_loss(loss, pvalue=pvalue, background=background) for loss in losses]
    return MotifGroup(
        columns=columns,
        n_strands=1 + both_strands,
        lengths=lengths,
        steps_per_bit=steps_per_bit,
        best=np.array([step.max(axis=1).sum() for step in steps]),
        worst=np.array([step.min(axis=1).sum() for step in steps]),
        losses=padded,
        max_losses=np.tile(np.array(max_losses, dtype=np.int64), 1 + both_strands),
    )


class TableEngine:
    """Scans on the CPU, by tables.

    Parameters
    ----------
    groups
        Motifs.
    is_for_hits
        Whether hits will be asked for, or the lowest losses.
    """

    chunk_bases = 2**17
    """Bases to scan at once: their 4-mer numbers stay in the L2 cache while all motifs pass over them."""
    is_threaded = False
    """Whether one call uses all cores; else several threads may call."""

    def __init__(self, groups: Sequence[MotifGroup], *, is_for_hits: bool) -> None:
        self.tables = [_tables(group, is_for_hits=is_for_hits) for group in groups]
        self._min_lengths = [int(group.lengths.min()) for group in groups]
        self._n_padding = max(BLOCK * len(table.bounds) for table in self.tables) + BLOCK

    def lowest_losses(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """Lowest loss over the windows of each sequence, for each group; int64 ``(regions, lanes)``, `UNKNOWN` without any."""
        sequences = self._sequences(codes)
        for tables, n_windows in zip(self.tables, self._n_windows(codes), strict=True):
            lowest = np.full((len(codes), len(tables.losses)), UNKNOWN, dtype=np.int64)
            lowest_losses(sequences, tables, n_windows, lowest)
            yield lowest

    def count_hits(self, codes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Hits and the sum of their losses in each sequence, for each group; int64 ``(regions, lanes)``."""
        sequences = self._sequences(codes)
        nowhere = np.empty((0, 4), dtype=np.int64)
        for tables, n_windows in zip(self.tables, self._n_windows(codes), strict=True):
            counts, lost = np.zeros((2, len(codes), len(tables.losses)), dtype=np.int64)
            find_hits(sequences, tables, n_windows, counts, lost, nowhere)
            yield counts, lost

    def list_hits(self, codes: np.ndarray, *, n_expected: int) -> Iterator[np.ndarray]:
        """Region, window, lane and loss of each hit, for each group; int64 ``(hits, 4)``."""
        sequences = self._sequences(codes)
        hits = np.empty((n_expected, 4), dtype=np.int64)
        for tables, n_windows in zip(self.tables, self._n_windows(codes), strict=True):
            counts, lost = np.zeros((2, len(codes), len(tables.losses)), dtype=np.int64)
            n_hits = find_hits(sequences, tables, n_windows, counts, lost, hits)
            if n_hits > len(hits):  # more than the buffer holds: once more, into one that holds them
                hits = np.empty((n_hits, 4), dtype=np.int64)
                find_hits(sequences, tables, n_windows, counts, lost, hits)
            yield hits[:n_hits].copy()

    def _n_windows(self, codes: np.ndarray) -> list[int]:
        return [max(codes.shape[1] - length + 1, 0) for length in self._min_lengths]

    def _sequences(self, codes: np.ndarray) -> Sequences:
        padded = np.full((len(codes), codes.shape[1] + self._n_padding), N, dtype=np.uint8)
        padded[:, : codes.shape[1]] = codes
        kmers = np.empty(padded.shape, dtype=np.uint16)
        number_kmers(padded, kmers)
        return Sequences(padded, kmers)


def _tables(group: MotifGroup, *, is_for_hits: bool) -> Tables:
    """Round the losses of 4-mers down to 8 bits, in units that fit what is looked for."""
    n_lanes, n_columns, _ = group.losses.shape
    n_blocks = n_columns // BLOCK
    # Losses of hits fit into the numbers; for the lowest loss those up to that of an average window, which is far above.
    reach = group.max_losses if is_for_hits else group.losses[:, :, :N_BASES].mean(axis=2).sum(axis=1).astype(np.int64)
    unit = np.maximum(1, -(-reach // (MOST - 1)))
    bounds = _aligned_zeros((n_blocks + n_blocks % 2, N_KMERS, N_LANES))
    fill_bounds(group.losses.transpose(1, 2, 0).astype(np.float64, order="C"), unit.astype(np.float64), bounds)
    limits = np.zeros(N_LANES, dtype=np.uint8)
    limits[:n_lanes] = np.maximum(reach, 0) // unit
    return Tables(bounds, limits, group.losses, group.max_losses)


def _aligned_zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Zeros, uint8, whose rows of `N_LANES` do not lie across the border of two cache lines, which would cost a tenth."""
    size = int(np.prod(shape))
    numbers = np.zeros(size + CACHE_LINE, dtype=np.uint8)
    start = -numbers.ctypes.data % CACHE_LINE
    return numbers[start : start + size].reshape(shape)
