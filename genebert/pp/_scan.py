"""Motif scores of sequences: chunks of regions over threads, groups of motifs through the kernel. Arrays in, arrays out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal

import numpy as np
from scipy import sparse

from genebert._logging import info
from genebert.pp._lanes import N_LANES
from genebert.pp._scan_kernel import BLOCK, count_hits, max_scores, sum_hits
from genebert.pp._scan_tables import INT32, MotifGroup, group_motifs, kmer_numbers

__all__ = ["Score", "scan_sequences"]

Score = Literal["max", "count", "sum"]

CHUNK_BASES = 2**17  # bases per chunk: its 4-mer numbers stay in the L2 cache while all motifs pass over them
MAX_WINDOWS = 2**14  # windows whose scores, at 1/1024 bit, sum up in 32 bits
QUIET_PAIRS = 5_000_000  # (sequence, motif) pairs below which a scan takes a moment and needs no report


def scan_sequences(
    codes: np.ndarray,
    matrices: Sequence[np.ndarray],
    *,
    background: np.ndarray,
    score: Score = "max",
    pvalue: float | None = None,
    both_strands: bool = True,
    as_sparse: bool = False,
    n_threads: int | None = None,
) -> np.ndarray | sparse.csr_matrix:
    """Score each sequence under each motif.

    Parameters
    ----------
    codes
        uint8 ``(regions, seq_length)``; sequences of unequal length end in N.
    matrices
        Log-odds ``(length, 4)`` of each motif.
    background
        Probabilities of A, C, G and T that p-values refer to.
    score
        ``"max"``, ``"count"`` or ``"sum"``; see `genebert.pp.scan_motifs`.
    pvalue
        Of a hit, for ``"count"`` and ``"sum"``.
    both_strands
        Whether to score the reverse complement of each window, too.
    as_sparse
        Whether to return CSR.
    n_threads
        Threads; None for one per available core.

    Returns
    -------
    float32 ``(regions, motifs)``.
    """
    started = time.perf_counter()
    groups = group_motifs(
        matrices, background=background, both_strands=both_strands, pvalue=None if score == "max" else pvalue
    )
    n_rows = max(1, CHUNK_BASES // max(codes.shape[1], 1))
    rows = [slice(start, start + n_rows) for start in range(0, len(codes), n_rows)]
    chunks = [codes[chunk] for chunk in rows]
    with ThreadPoolExecutor(n_threads or _available_cores()) as pool:
        if as_sparse:
            scores = _stacked(pool.map(partial(_scan_sparse, groups=groups, score=score), chunks), len(matrices))
        else:  # each chunk into its place: parts that are joined at the end would hold the matrix twice
            scores = np.empty((len(codes), len(matrices)), dtype=np.float32)
            scan = partial(_scan_into, groups=groups, score=score)
            list(pool.map(scan, [scores[chunk] for chunk in rows], chunks))
    _report(len(codes), len(matrices), time.perf_counter() - started)
    return scores


def _stacked(parts: Iterable[sparse.csr_matrix], n_motifs: int) -> sparse.csr_matrix:
    parts = list(parts)
    return sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((0, n_motifs), dtype=np.float32)


def _scan_sparse(codes: np.ndarray, *, groups: list[MotifGroup], score: Score) -> sparse.csr_matrix:
    scores = np.empty((len(codes), sum(len(group.columns) for group in groups)), dtype=np.float32)
    _scan_into(scores, codes, groups=groups, score=score)
    return sparse.csr_matrix(scores)


def _scan_into(scores: np.ndarray, codes: np.ndarray, *, groups: list[MotifGroup], score: Score) -> None:
    """Fill ``scores`` ``(regions, motifs)``."""
    n_padding = BLOCK * max(group.tables.shape[0] for group in groups)
    kmers = kmer_numbers(codes, n_padding=n_padding)
    for group in groups:
        n_positions = max(codes.shape[1] - group.min_length + 1, 0)
        scan = _max_log_odds if score == "max" else partial(_hits, score=score)
        scores[:, group.columns] = scan(kmers, group, n_positions)


def _max_log_odds(kmers: np.ndarray, group: MotifGroup, n_positions: int) -> np.ndarray:
    best = np.full((len(kmers), N_LANES), INT32.min, dtype=np.int32)
    max_scores(kmers, group.tables, n_positions, best)
    log_odds = _by_strand(best, group).max(axis=1) / group.scales
    # Windows with an N are below every score that a motif can have: no window was free of N.
    return np.maximum(log_odds, group.min_scores)


def _hits(kmers: np.ndarray, group: MotifGroup, n_positions: int, *, score: Score) -> np.ndarray:
    kernel = count_hits if score == "count" else sum_hits
    totals = np.zeros((len(kmers), N_LANES), dtype=np.int64)
    for start in range(0, n_positions, MAX_WINDOWS):
        part = np.zeros((len(kmers), N_LANES), dtype=np.int32)
        kernel(
            np.ascontiguousarray(kmers[:, start:]),
            group.tables,
            min(MAX_WINDOWS, n_positions - start),
            group.thresholds,
            part,
        )
        totals += part
    total = _by_strand(totals, group).sum(axis=1)
    return total if score == "count" else total / group.scales


def _by_strand(lanes: np.ndarray, group: MotifGroup) -> np.ndarray:
    """Split lanes into ``(regions, strands, motifs)``."""
    n_motifs = len(group.columns)
    n_strands = group.n_strands
    return lanes[:, : n_strands * n_motifs].reshape(len(lanes), n_strands, n_motifs)


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _report(n_regions: int, n_motifs: int, seconds: float) -> None:
    if n_regions * n_motifs >= QUIET_PAIRS:
        info(
            f"Scanned {n_regions} regions for {n_motifs} motifs in {seconds:.1f} s ({n_regions / seconds:.0f} regions/s)."
        )
