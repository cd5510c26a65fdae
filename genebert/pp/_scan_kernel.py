"""The inner loops of the motif scan, compiled by numba.

Bound, then check. A sequence is a row of 4-mer numbers, one per position; a motif is cut into blocks of 4 columns, each
with a table of the loss of every 4-mer: what its score lacks to the best. Losses are rounded down to 8 bits, so that 32
motifs and strands stand side by side in one vector and the sum over blocks is a lower bound of the loss of a window. Most
windows are out of the question by that bound; the few others are scored base by base, in whole numbers. So the results
are exact, and the same to the last bit for both strands, in any order and subset of sequences.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from genebert._dna import N
from genebert.pp._lanes import MOST, N_LANES, add, first_lane, item, lanes_up_to, load, minimum, store

__all__ = [
    "BLOCK",
    "N_CODES",
    "N_KMERS",
    "Sequences",
    "Tables",
    "fill_bounds",
    "find_hits",
    "lowest_losses",
    "number_kmers",
]

BLOCK = 4
"""Columns per table."""
N_CODES = N + 1


def _distinct_kmers() -> tuple[np.ndarray, np.ndarray]:
    """4-mers that tables tell apart, uint8 ``(rows, BLOCK)``, and the row of each that there is, uint16 ``(N_CODES**BLOCK,)``.

    What follows an N makes no difference: a motif either ends before the N or does not score. Those without an N come
    first, so that what is mostly needed of a table lies together: 8 KiB, which fit into the L1 cache twice.
    """
    kmers = np.indices((N_CODES,) * BLOCK, dtype=np.uint8).reshape(BLOCK, -1).T
    kmers = np.where(np.maximum.accumulate(kmers == N, axis=1), N, kmers).astype(np.uint8)
    distinct, place = np.unique(kmers, axis=0, return_inverse=True)
    order = np.argsort((distinct == N).any(axis=1), kind="stable")
    return distinct[order], np.argsort(order)[place.ravel()].astype(np.uint16)


KMERS, ROWS = _distinct_kmers()
N_KMERS = len(KMERS)
"""Rows of a table."""

TABLE = N_KMERS * N_LANES  # numbers per table
TILE = 256  # windows whose bounds are held at once, another 8 KiB


class Sequences(NamedTuple):
    """Sequences, padded with N so that each window that is asked for has all its columns."""

    codes: np.ndarray
    """uint8 ``(regions, width)``."""
    kmers: np.ndarray
    """uint16, alike: what `number_kmers` makes of them."""


class Tables(NamedTuple):
    """Up to `N_LANES` motifs and strands of about one length, side by side."""

    bounds: np.ndarray
    """uint8 ``(blocks, N_KMERS, N_LANES)``, an even number of blocks: losses rounded down, in a unit for each lane."""
    limits: np.ndarray
    """uint8 ``(N_LANES,)``: largest bound of a hit."""
    losses: np.ndarray
    """int64 ``(lanes, columns, N_CODES)``: loss of each base at each column; that of N is above all others."""
    max_losses: np.ndarray
    """int64 ``(lanes,)``: largest loss of a hit."""


@numba.njit(cache=True, nogil=True)
def fill_bounds(losses: np.ndarray, units: np.ndarray, bounds: np.ndarray) -> None:
    """Round the losses of 4-mers down.

    Parameters
    ----------
    losses
        float64 ``(columns, N_CODES, lanes)``: loss of each base, a whole number.
    units
        float64 ``(lanes,)``: what counts as 1, a whole number below 2 ** 40.
    bounds
        uint8 ``(blocks, N_KMERS, N_LANES)``: filled, as far as there are columns and lanes.
    """
    for block in range(len(losses) // BLOCK):
        a, b, c, d = losses[BLOCK * block : BLOCK * (block + 1)]
        for kmer in range(N_KMERS):
            first, second, third, fourth = KMERS[kmer]
            for lane in range(losses.shape[2]):
                loss = a[first, lane] + b[second, lane] + c[third, lane] + d[fourth, lane]
                # Exact: a quotient up to 255 that is not whole is further from the next number than floats round.
                bounds[block, kmer, lane] = int(min(loss / units[lane], MOST))


@numba.njit(cache=True, nogil=True)
def number_kmers(codes: np.ndarray, kmers: np.ndarray) -> None:
    """Write into `kmers` where the row of the 4-mer at each position begins in a table; at the last 3 that of row 0."""
    for region in range(codes.shape[0]):
        row = codes[region]
        for position in range(len(row) - BLOCK + 1):
            number = 0
            for offset in range(BLOCK):
                number = number * N_CODES + int(row[position + offset])
            kmers[region, position] = ROWS[number] * N_LANES
        kmers[region, len(row) - BLOCK + 1 :] = 0


@numba.njit(cache=True, nogil=True)
def _bound_losses(kmers: np.ndarray, first: int, bounds: np.ndarray, n_windows: int, sums: np.ndarray) -> None:
    """Add up the tables for `n_windows` windows from place `first` on, two tables at a time, into `sums`."""
    for block in range(0, len(bounds) // TABLE, 2):
        table = block * TABLE
        start = first + BLOCK * block
        for window in range(n_windows):
            here = load(bounds, table + item(kmers, start + window))
            total = add(here, load(bounds, table + TABLE + item(kmers, start + window + BLOCK)))
            if block > 0:
                total = add(total, load(sums, N_LANES * window))
            store(sums, N_LANES * window, total)


@numba.njit(cache=True, nogil=True)
def _list_candidates(sums: np.ndarray, limits: np.ndarray, used: int, n_windows: int, windows: np.ndarray) -> int:
    """Write the windows of which a bound is within its limit, in one of the lanes `used`, into `windows`; count them."""
    n_candidates = 0
    for window in range(n_windows):
        windows[n_candidates] = window
        n_candidates += (lanes_up_to(load(sums, N_LANES * window), limits) & used) != 0
    return n_candidates


@numba.njit(cache=True, nogil=True)
def _loss(codes: np.ndarray, start: int, losses: np.ndarray, first: int, n_columns: int) -> int:
    """Loss of the window that starts at place `start` under the lane whose losses start at place `first`."""
    total = 0
    for column in range(n_columns):
        total += item(losses, first + N_CODES * column + item(codes, start + column))
    return total


@numba.njit(cache=True, nogil=True)
def lowest_losses(sequences: Sequences, tables: Tables, n_windows: int, lowest: np.ndarray) -> None:
    """Lower `lowest`, int64 ``(regions, lanes)``, to the lowest loss over the first `n_windows` windows."""
    n_regions, width = sequences.codes.shape
    n_lanes, n_columns, _ = tables.losses.shape
    codes, kmers = sequences.codes.reshape(-1), sequences.kmers.reshape(-1)
    bounds, losses = tables.bounds.reshape(-1), tables.losses.reshape(-1)
    used = (1 << n_lanes) - 1
    highest = np.full(N_LANES, MOST, dtype=np.uint8)
    # Each block rounds down by less than 1, so the window of the lowest loss is no further from the lowest bound.
    slack = np.full(N_LANES, n_columns // BLOCK - 1, dtype=np.uint8)
    sums, windows = np.empty(TILE * N_LANES, dtype=np.uint8), np.empty(TILE, dtype=np.int64)
    for region in range(n_regions):
        for tile in range(0, n_windows, TILE):
            start = region * width + tile
            n_tile = min(TILE, n_windows - tile)
            _bound_losses(kmers, start, bounds, n_tile, sums)
            lowest_bound = load(highest, 0)
            for window in range(n_tile):
                lowest_bound = minimum(lowest_bound, load(sums, N_LANES * window))
            limits = add(lowest_bound, load(slack, 0))  # at `MOST`, where bounds end, all windows are checked
            for candidate in range(_list_candidates(sums, limits, used, n_tile, windows)):
                window = windows[candidate]
                lanes = lanes_up_to(load(sums, N_LANES * window), limits) & used
                if item(codes, start + window) == N:
                    lanes = 0
                while lanes != 0:
                    lane = first_lane(lanes)
                    lanes &= lanes - 1
                    loss = _loss(codes, start + window, losses, lane * n_columns * N_CODES, n_columns)
                    lowest[region, lane] = min(lowest[region, lane], loss)


@numba.njit(cache=True, nogil=True)
def find_hits(
    sequences: Sequences, tables: Tables, n_windows: int, counts: np.ndarray, lost: np.ndarray, hits: np.ndarray
) -> int:
    """Find the hits among the first `n_windows` windows.

    Parameters
    ----------
    sequences, tables, n_windows
        What to scan.
    counts, lost
        int64 ``(regions, lanes)``: hits and the sums of their losses are added.
    hits
        int64 ``(capacity, 4)``: filled with region, window, lane and loss of each hit, as far as it reaches.

    Returns
    -------
    Number of hits.
    """
    n_regions, width = sequences.codes.shape
    n_lanes, n_columns, _ = tables.losses.shape
    codes, kmers = sequences.codes.reshape(-1), sequences.kmers.reshape(-1)
    bounds, losses, max_losses = tables.bounds.reshape(-1), tables.losses.reshape(-1), tables.max_losses
    used = (1 << n_lanes) - 1
    limits = load(tables.limits, 0)
    sums, windows = np.empty(TILE * N_LANES, dtype=np.uint8), np.empty(TILE, dtype=np.int64)
    n_hits = 0
    for region in range(n_regions):
        for tile in range(0, n_windows, TILE):
            start = region * width + tile
            n_tile = min(TILE, n_windows - tile)
            _bound_losses(kmers, start, bounds, n_tile, sums)
            for candidate in range(_list_candidates(sums, limits, used, n_tile, windows)):
                window = windows[candidate]
                lanes = lanes_up_to(load(sums, N_LANES * window), limits) & used
                while lanes != 0:
                    lane = first_lane(lanes)
                    lanes &= lanes - 1
                    loss = _loss(codes, start + window, losses, lane * n_columns * N_CODES, n_columns)
                    if loss <= max_losses[lane]:
                        counts[region, lane] += 1
                        lost[region, lane] += loss
                        if n_hits < len(hits):
                            hits[n_hits] = (region, tile + window, lane, loss)
                        n_hits += 1
    return n_hits
