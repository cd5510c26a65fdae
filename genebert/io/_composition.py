"""GC and unknown bases of many windows of one chromosome."""

from __future__ import annotations

import numba
import numpy as np

from genebert._genome import Genome

__all__ = ["composition", "read_chromosome"]

BLOCK = 2**24  # bases decoded at once


def read_chromosome(genome: Genome, chrom: str) -> tuple[np.ndarray, int]:
    """All bases that the file covers, uint8, one byte each, and the position of the first; gaps between slices are N."""
    first, last = genome.chromosomes[chrom]
    codes = np.empty(last - first, dtype=np.uint8)
    for start in range(first, last, BLOCK):
        end = min(start + BLOCK, last)
        codes[start - first : end - first] = genome.fetch(chrom, start, end)
    return codes, first


def composition(codes: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """GC and share of unknown bases of windows.

    Parameters
    ----------
    codes
        uint8 ``(bases,)``.
    start, end
        Windows as positions in `codes`; what lies outside is unknown. int64 ``(windows,)``

    Returns
    -------
    float64 ``(windows,)`` each: GC among known bases (NaN where there are none), unknown bases by width.
    """
    n_gc, n_known = _count(codes, np.asarray(start, dtype=np.int64), np.asarray(end, dtype=np.int64))
    with np.errstate(invalid="ignore"):
        return n_gc / n_known, (end - start - n_known) / (end - start)


@numba.njit(cache=True, nogil=True)
def _count(codes: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n_gc = np.zeros(len(start), dtype=np.int64)
    n_known = np.zeros(len(start), dtype=np.int64)
    for window in range(len(start)):
        gc = known = 0
        for place in range(max(0, start[window]), min(len(codes), end[window])):
            code = codes[place]
            gc += (code == 1) | (code == 2)
            known += code < 4
        n_gc[window] = gc
        n_known[window] = known
    return n_gc, n_known
