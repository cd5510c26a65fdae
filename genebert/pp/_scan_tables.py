"""Look-up tables of the motif scan: log-odds in fixed point, cut into blocks of 4 columns, 32 lanes at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genebert._dna import N_BASES, N
from genebert._pvalues import score_threshold
from genebert.pp._lanes import N_LANES
from genebert.pp._scan_kernel import BLOCK

__all__ = ["MotifGroup", "group_motifs", "kmer_numbers"]

N_CODES = N + 1
N_KMERS = N_CODES**BLOCK  # 4-mers over A C G T N
STEPS_PER_BIT = 1024.0  # resolution of the scores that p-values are computed for
INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class MotifGroup:
    """Motifs of about one length, ready for the kernel.

    Lanes: the forward strands, then (if asked for) the reverse strands; the rest of the last group is empty.
    """

    columns: np.ndarray
    """Place of each motif in the caller's list."""
    n_strands: int
    min_length: int
    """Length of the shortest motif in bp."""
    tables: np.ndarray
    """int32 ``(blocks, 4-mers, lanes)``."""
    scales: np.ndarray
    """float64 ``(motifs,)``: steps per bit of log-odds."""
    min_scores: np.ndarray
    """float64 ``(motifs,)``: lowest possible log-odds."""
    thresholds: np.ndarray | None
    """int32 ``(lanes,)``: lowest score of a hit, in steps. None where all windows count."""


def kmer_numbers(codes: np.ndarray, *, n_padding: int) -> np.ndarray:
    """Number the 4-mer at each position of each sequence; positions past the end read N.

    Parameters
    ----------
    codes
        uint8 ``(regions, seq_length)``.
    n_padding
        Positions to add behind the end, in bp.

    Returns
    -------
    uint16 ``(regions, seq_length + n_padding)``.
    """
    padding = np.full((len(codes), n_padding + BLOCK - 1), N, dtype=np.uint16)
    padded = np.concatenate([codes.astype(np.uint16), padding], axis=1)
    n_kmers = codes.shape[1] + n_padding
    numbers = np.zeros((len(codes), n_kmers), dtype=np.uint16)
    for offset in range(BLOCK):
        numbers *= N_CODES
        numbers += padded[:, offset : offset + n_kmers]
    return numbers


def group_motifs(
    matrices: Sequence[np.ndarray], *, background: np.ndarray, both_strands: bool, pvalue: float | None
) -> list[MotifGroup]:
    """Sort motifs by length and build the tables of each group.

    Parameters
    ----------
    matrices
        Log-odds ``(length, 4)`` of each motif.
    background
        Probabilities of A, C, G and T, the same on both strands.
    both_strands
        Whether to score the reverse complement of each window, too.
    pvalue
        Of a hit; None to score all windows, at the finest resolution that 32 bits hold.
    """
    order = np.argsort([len(matrix) for matrix in matrices], kind="stable")
    group_size = N_LANES // (1 + both_strands)
    chunks = np.split(order, np.arange(group_size, len(order), group_size))
    return [
        _group([matrices[i] for i in chunk], chunk, background=background, both_strands=both_strands, pvalue=pvalue)
        for chunk in chunks
    ]


def _group(
    matrices: list[np.ndarray], columns: np.ndarray, *, background: np.ndarray, both_strands: bool, pvalue: float | None
) -> MotifGroup:
    n_blocks = -(-max(map(len, matrices)) // BLOCK)
    exact = pvalue is None
    scales = np.array([_finest_scale(matrix, n_blocks) if exact else STEPS_PER_BIT for matrix in matrices])
    # Rounded base by base, not block by block, so that both strands add up the same numbers.
    steps = [np.rint(matrix * scale).astype(np.int64) for matrix, scale in zip(matrices, scales, strict=True)]
    thresholds = None
    if not exact:
        lowest = [score_threshold(step, pvalue=pvalue, background=background) for step in steps]
        thresholds = np.resize(np.array(lowest, dtype=np.int32), N_LANES)
    # The score of the reverse complement of a window is that of the window under the reversed, complemented motif.
    lanes = steps + [step[::-1, ::-1] for step in steps] * both_strands
    return MotifGroup(
        columns=columns,
        n_strands=1 + both_strands,
        min_length=min(map(len, matrices)),
        tables=_tables(lanes, n_blocks),
        scales=scales,
        min_scores=np.array([step.min(axis=1).sum() for step in steps]) / scales,
        thresholds=thresholds,
    )


def _finest_scale(matrix: np.ndarray, n_blocks: int) -> float:
    """Largest power of two at which windows with an N, too, fit into 32 bits.

    A block with an N costs more than the whole range of the motif, so that its window is below every other. At most
    all blocks hold one.
    """
    span = float((matrix.max(axis=1) - matrix.min(axis=1)).sum())
    return 2.0 ** np.floor(np.log2(INT32.max / (n_blocks * (span + 1.0))))


def _tables(lanes: list[np.ndarray], n_blocks: int) -> np.ndarray:
    """Score of each 4-mer in each block of each lane, int32 ``(blocks, 4-mers, lanes)``.

    A window with an N in a column of the motif ends below the motif's lowest score; columns behind the motif count 0.
    """
    penalty = -(INT32.max // n_blocks)
    columns = np.zeros((N_LANES, n_blocks * BLOCK, N_CODES), dtype=np.int64)
    for lane, step in enumerate(lanes):
        columns[lane, : len(step), :N_BASES] = step
        columns[lane, : len(step), N] = penalty
    tables = np.empty((n_blocks, N_KMERS, N_LANES), dtype=np.int32)
    for block in range(n_blocks):
        a, b, c, d = np.moveaxis(columns[:, block * BLOCK : (block + 1) * BLOCK], 1, 0)
        scores = (
            a[:, :, None, None, None] + b[:, None, :, None, None] + c[:, None, None, :, None] + d[:, None, None, None]
        )
        scores = scores.reshape(N_LANES, N_KMERS)
        tables[block] = np.maximum(scores, penalty).T
    return tables
