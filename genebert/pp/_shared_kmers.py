"""Which regions share a stretch of 32 bases, on either strand: exact, and in memory that does not grow with their number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from genebert._chunks import Progress, load, row_chunks
from genebert.pp._kmer_kernel import ANY, NO_SIDE, K, collect, note

__all__ = ["MAX_SIDES", "SharedKmers", "codes_of", "shared_kmers"]

MAX_SIDES = ANY - 1

MAX_FILTER = 2**27  # bytes, of two places each
MAX_NOTED = 40_000_000  # minimizers noted at once; with two places each they take less than a quarter of all places
MAX_COLLECTED = 6_000_000  # 32-mers sorted at once, in about 200 MB
BASES_PER_MINIMIZER = 7
BLOCK_BASES = 2**20  # per call of the kernel
N_THREADS = 2


class SharedKmers(NamedTuple):
    """Where some 32-mers occur, each in several places."""

    start: np.ndarray
    """int64 ``(32-mers,)``: where in `region` its occurrences begin."""
    region: np.ndarray
    """int32 ``(occurrences,)``."""

    @property
    def count(self) -> np.ndarray:
        """Occurrences of each 32-mer."""
        return np.diff(np.append(self.start, len(self.region)))


class _Search(NamedTuple):
    codes: Any
    sides: np.ndarray
    part: np.ndarray
    """uint64 ``(2,)``: number of the part of the minimizers that is searched, and of how many."""
    seen: np.ndarray
    """The filter."""


def shared_kmers(codes: Any, sides: np.ndarray | None = None) -> Iterator[SharedKmers]:
    """Find all 32-mers that occur on several sides, a few million occurrences at a time.

    Parameters
    ----------
    codes
        uint8 ``(regions, seq_length)``, an array or one in a store.
    sides
        uint8 ``(regions,)``: the side of each region, from 1; 0 leaves it out. None: each region is a side of its own.

    Yields
    ------
    Occurrences, all of the same 32-mer at once. Some 32-mers are among them that occur several times on one side only.
    """
    sides = np.full(codes.shape[0], ANY, dtype=np.uint8) if sides is None else sides
    if codes.shape[1] < K:
        return
    n_minimizers = int(np.count_nonzero(sides != NO_SIDE)) * codes.shape[1] // BASES_PER_MINIMIZER
    n_parts = n_minimizers // MAX_NOTED + 1
    seen = np.zeros(min(MAX_FILTER, 2 ** (4 * n_minimizers // n_parts).bit_length()), dtype=np.uint8)
    for number in range(n_parts):
        part = np.array([number, n_parts], dtype=np.uint64)
        seen[:] = 0
        for start, chunk in _ahead(partial(_load, codes), row_chunks(codes.shape[0])):
            with np.errstate(over="ignore"):  # hashes run over, on purpose
                note(chunk, sides[start : start + len(chunk)], part, seen)
        yield from _collected(_Search(codes, sides, part, seen))


def codes_of(codes: Any, rows: slice) -> np.ndarray:
    """Read bases of regions, as the kernels take them."""
    return np.ascontiguousarray(load(codes, rows), dtype=np.uint8)


def _load(codes: Any, rows: slice) -> tuple[int, np.ndarray]:
    return rows.start, codes_of(codes, rows)


def _ahead(function: Callable, items: Iterable) -> Iterator:
    """`map`, with a few results computed ahead by threads: no more, since all would not fit into memory."""
    with ThreadPoolExecutor(N_THREADS) as pool:
        pending = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > N_THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _collected(search: _Search) -> Iterator[SharedKmers]:
    """Collect what the filter lets through, by as many passes as are needed to keep each within memory."""
    n_passes = _expected(search) // MAX_COLLECTED + 1
    for number in range(n_passes):
        parts = np.array([search.part, [number, n_passes]], dtype=np.uint64)
        progress = Progress(f"comparing 32-mers, pass {number + 1} of {n_passes}", search.codes.shape[0])
        found = []
        for n_rows, kmers, regions in _ahead(partial(_collect, search, parts), row_chunks(search.codes.shape[0])):
            found.append((kmers, regions))
            progress.update(n_rows)
        yield _grouped(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _expected(search: _Search) -> int:
    """Guess how many 32-mers the filter lets through, from a sixteenth of each chunk; at most, where that is few."""
    n_regions, n_bases = search.codes.shape
    if n_regions * n_bases <= MAX_COLLECTED:
        return 0
    parts = np.array([search.part, [0, 1]], dtype=np.uint64)
    rows = [slice(part.start, part.start + max(1, (part.stop - part.start) // 16)) for part in row_chunks(n_regions)]
    found = sum(len(kmers) for _, kmers, _ in _ahead(partial(_collect, search, parts), rows))
    return found * n_regions // sum(part.stop - part.start for part in rows)


def _collect(search: _Search, parts: np.ndarray, rows: slice) -> tuple[int, np.ndarray, np.ndarray]:
    """Collect 32-mers of some regions: how many regions, the 32-mers, and the region of each."""
    start, chunk = _load(search.codes, rows)
    found = []
    for block in row_chunks(len(chunk), step=max(1, BLOCK_BASES // chunk.shape[1])):
        kmers = np.empty(chunk[block].size, dtype=np.uint64)
        regions = np.empty(len(kmers), dtype=np.int32)
        with np.errstate(over="ignore"):  # hashes run over, on purpose
            n_found = collect(chunk[block], search.sides[rows][block], parts, search.seen, kmers, regions)
        found.append((kmers[:n_found].copy(), regions[:n_found] + np.int32(start + block.start)))
    kmers, regions = (np.concatenate(part) for part in zip(*found, strict=True))
    return len(chunk), kmers, regions


def _grouped(kmers: np.ndarray, regions: np.ndarray) -> SharedKmers:
    """Bring together the occurrences of each 32-mer; leave out those that occur once."""
    order = np.argsort(kmers)
    kmers = kmers[order]
    is_new = np.ones(len(kmers) + 1, dtype=bool)
    is_new[1:-1] = kmers[1:] != kmers[:-1]
    is_repeated = ~(is_new[:-1] & is_new[1:])
    return SharedKmers(np.flatnonzero(is_new[:-1][is_repeated]), regions[order[is_repeated]])
