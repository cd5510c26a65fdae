"""The inner loops of the search for shared sequence, compiled by numba.

A 32-mer is a number of 64 bits, the smaller of those of its two strands. A table of all 32-mers of a million regions takes
gigabytes, so a filter comes first, which only has to know which of them *may* occur in several regions. It knows them by
their minimizer (Roberts et al. 2004): the one of the 14 19-mers of a 32-mer that comes first in a random order. It is the
same wherever, and on whichever strand, the 32-mer occurs; neighbours mostly have the same, so there are seven times fewer.
Each minimizer has two places in the filter, and a place tells whether it was reached from one side or from several (the
idea of Bloom 1970, with sides instead of bits).
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["ANY", "MIXED", "NO_SIDE", "K", "collect", "hash_sequences", "note"]

K = 32
"""Bases whose 2 bits each just fill a number."""

NO_SIDE, ANY, MIXED = 0, 14, 15
"""Sides that regions are on: none, so that they are left out, or each its own; what a place holds that several reached."""

EMPTY = np.uint64(2**64 - 1)  # 32 times T, which is never the smaller strand
M = 19
N_CODE, LAST_BASE = np.uint64(4), np.uint64(3)
ZERO, ONE, TWO, HALF, TOP_BASE = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(32), np.uint64(62)
SHORT_MASK, SHORT_SHIFT = np.uint64(2 ** (2 * M) - 1), np.uint64(2 * (K - M))
PART_BITS, PART_MASK = np.uint64(16), np.uint64(2**16 - 1)
THREE, WORD = np.uint64(3), 16  # bits of a base or N, and how many of them make a word
MIX_SHIFT, MIX_1, MIX_2 = np.uint64(33), np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@numba.njit(cache=True, nogil=True)
def _mix(number: np.uint64) -> np.uint64:
    """Spread a number over 64 bits, one to one (the last step of MurmurHash3, Appleby)."""
    number = (number ^ (number >> MIX_SHIFT)) * MIX_1
    number = (number ^ (number >> MIX_SHIFT)) * MIX_2
    return number ^ (number >> MIX_SHIFT)


@numba.njit(cache=True, nogil=True)
def _is_in(mixed: np.uint64, part: np.ndarray) -> bool:
    """Whether a mixed number belongs to part ``part[0]`` of ``part[1]``; its bits 32 to 47 decide."""
    return (((mixed >> HALF) & PART_MASK) * part[1]) >> PART_BITS == part[0]


@numba.njit(cache=True, nogil=True)
def _places(minimizer: np.uint64, n_places: int) -> tuple[np.uint64, np.uint64]:
    """Where a minimizer is noted: by its lower bits, which are as good as random although the upper are small."""
    mask = np.uint64(n_places - 1)
    return minimizer & mask, ((minimizer * GOLDEN) >> HALF) & mask


@numba.njit(cache=True, nogil=True)
def _side_at(seen: np.ndarray, place: np.uint64) -> int:
    """What a place holds; two places, of 4 bits, share a byte."""
    return (seen[place >> ONE] >> np.uint8((place & ONE) << TWO)) & MIXED


@numba.njit(cache=True, nogil=True)
def _reach(seen: np.ndarray, place: np.uint64, side: int) -> None:
    """Note at a place that a side reached it."""
    there = _side_at(seen, place)
    if there == NO_SIDE or (there != MIXED and (there != side or side == ANY)):
        value = side if there == NO_SIDE else MIXED
        seen[place >> ONE] |= np.uint8(value << ((place & ONE) << TWO))


@numba.njit(cache=True, nogil=True)
def _least(numbers: np.ndarray, shifted: np.ndarray, smaller: np.ndarray) -> None:
    for i in range(smaller.shape[0]):
        smaller[i] = min(numbers[i], shifted[i])


@numba.njit(cache=True, nogil=True)
def _read(bases: np.ndarray, kmers: np.ndarray, minimizers: np.ndarray, scratch: np.ndarray) -> None:
    """Find the 32-mer that ends at each base, `EMPTY` where it holds an N or begins too early, and its minimizer."""
    forward = reverse = ZERO
    n_known = 0
    for i in range(bases.shape[0]):
        base = np.uint64(bases[i])
        n_known = n_known + 1 if base < N_CODE else 0
        base &= LAST_BASE
        forward = (forward << TWO) | base
        reverse = (reverse >> TWO) | ((LAST_BASE - base) << TOP_BASE)
        kmers[i] = min(forward, reverse) if n_known >= K else EMPTY
        minimizers[i] = _mix(min(forward & SHORT_MASK, reverse >> SHORT_SHIFT)) >> ONE
    # The least of 2, 4, 8 and then 14 neighbours, as signed numbers, which vector instructions can compare.
    a, b = minimizers.view(np.int64), scratch.view(np.int64)
    _least(a[:-1], a[1:], b[1:])
    _least(b[:-2], b[2:], a[2:])
    _least(a[:-4], a[4:], b[4:])
    _least(b[:-6], b[6:], a[6:])


@numba.njit(cache=True, nogil=True)
def _runs(kmers: np.ndarray, minimizers: np.ndarray, starts: np.ndarray) -> int:
    """Find where runs of 32-mers with the same minimizer start, and where the last ends; without a branch to mispredict."""
    n_runs, last = 0, EMPTY
    for i in range(K - 1, kmers.shape[0]):
        minimizer = minimizers[i] if kmers[i] != EMPTY else EMPTY
        starts[n_runs] = i
        n_runs += minimizer != last
        last = minimizer
    starts[n_runs] = kmers.shape[0]
    return n_runs


@numba.njit(cache=True, nogil=True)
def note(codes: np.ndarray, sides: np.ndarray, part: np.ndarray, seen: np.ndarray) -> None:
    """Note in a filter from which sides each minimizer is reached.

    Parameters
    ----------
    codes
        uint8 ``(regions, seq_length)``.
    sides
        uint8 ``(regions,)``: 1 to 13, `ANY` or `NO_SIDE`.
    part
        uint64 ``(2,)``: number of the part of the minimizers to note, and of how many.
    seen
        uint8, a power of 2 of them, 0 at first; changed in place.
    """
    kmers, minimizers, scratch = np.empty((3, codes.shape[1]), dtype=np.uint64)
    starts = np.empty(codes.shape[1] + 1, dtype=np.int64)
    for region in range(codes.shape[0]):
        if sides[region] == NO_SIDE:
            continue
        _read(codes[region], kmers, minimizers, scratch)
        for run in range(_runs(kmers, minimizers, starts)):
            minimizer = minimizers[starts[run]]
            if kmers[starts[run]] != EMPTY and _is_in(minimizer, part):
                for place in _places(minimizer, 2 * seen.shape[0]):
                    _reach(seen, place, sides[region])


@numba.njit(cache=True, nogil=True)
def collect(
    codes: np.ndarray,
    sides: np.ndarray,
    parts: np.ndarray,
    seen: np.ndarray,
    kmers_out: np.ndarray,
    regions_out: np.ndarray,
) -> int:
    """Collect the 32-mers that may be reached from several sides: all that are, and a few that are not.

    Parameters
    ----------
    codes, sides, seen
        As `note` was given.
    parts
        uint64 ``(2, 2)``: `part` of `note`; and number of the part of its 32-mers to collect, and of how many.
    kmers_out, regions_out
        uint64 and int32, as long as there are bases, filled from the start: a 32-mer, and the row of its region.

    Returns
    -------
    How many were found.
    """
    kmers, minimizers, scratch = np.empty((3, codes.shape[1]), dtype=np.uint64)
    starts = np.empty(codes.shape[1] + 1, dtype=np.int64)
    part, share = parts[0], parts[1]
    n_found = 0
    for region in range(codes.shape[0]):
        if sides[region] == NO_SIDE:
            continue
        _read(codes[region], kmers, minimizers, scratch)
        for run in range(_runs(kmers, minimizers, starts)):
            minimizer = minimizers[starts[run]]
            a, b = _places(minimizer, 2 * seen.shape[0])
            if not (_side_at(seen, a) == MIXED and _side_at(seen, b) == MIXED and _is_in(minimizer, part)):
                continue
            for i in range(starts[run], starts[run + 1]):
                if kmers[i] != EMPTY and _is_in(_mix(kmers[i]), share):
                    kmers_out[n_found], regions_out[n_found] = kmers[i], region
                    n_found += 1
    return n_found


@numba.njit(cache=True, nogil=True)
def hash_sequences(codes: np.ndarray, hashes: np.ndarray) -> None:
    """Hash each sequence, without the N at its ends, and its reverse complement to 128 bits; 0 where no base is known.

    Parameters
    ----------
    codes
        uint8 ``(regions, seq_length)``.
    hashes
        uint64 ``(regions, 2, 2)``, filled: region, strand, half of the hash.
    """
    for region in range(codes.shape[0]):
        start, end = 0, codes.shape[1]
        while start < end and codes[region, start] >= N_CODE:
            start += 1
        while end > start and codes[region, end - 1] >= N_CODE:
            end -= 1
        a = b = c = d = ZERO
        for i in range(start, end, WORD):
            word = other = ZERO
            for j in range(i, min(i + WORD, end)):
                word = (word << THREE) | (np.uint64(codes[region, j]) + ONE)
                base = np.uint64(codes[region, start + end - 1 - j])
                other = (other << THREE) | ((LAST_BASE - base if base < N_CODE else base) + ONE)
            a, b = _step(a, word, MIX_1), _step(b, word, MIX_2)
            c, d = _step(c, other, MIX_1), _step(d, other, MIX_2)
        hashes[region, 0, 0], hashes[region, 0, 1] = a, b
        hashes[region, 1, 0], hashes[region, 1, 1] = c, d


@numba.njit(cache=True, nogil=True)
def _step(number: np.uint64, word: np.uint64, factor: np.uint64) -> np.uint64:
    """Take one more word into a hash."""
    number = (number ^ word) * factor
    return number ^ (number >> HALF)
