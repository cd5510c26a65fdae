"""Sequences that two splits share: the same, the reverse complement, or a stretch of 32 bases."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from genebert._dna import N, reverse_complement

__all__ = ["Overlap", "canonical_32mers", "overlaps"]

K = 32  # bases whose 2 bits each just fill a 64-bit number

HASH_BITS = 26  # a table of 64 MB


class Overlap(NamedTuple):
    """Regions of one split whose sequence another split holds."""

    first: str
    second: str
    what: str
    is_shared: np.ndarray
    """bool, per region of the second split."""


def overlaps(codes: np.ndarray, split: np.ndarray) -> Iterator[Overlap]:
    """Compare each two splits.

    Parameters
    ----------
    codes
        uint8 ``(regions, seq_length)``.
    split
        Name of the split of each region.
    """
    names = [name for name in dict.fromkeys(("train", "val", "test", *split)) if (split == name).any()]
    forward = np.array([_known(row) for row in codes], dtype=object)
    reverse = np.array([_known(row) for row in reverse_complement(codes)], dtype=object)
    kmers, is_known = canonical_32mers(codes)
    for first, second in combinations(names, 2):
        a, b = split == first, split == second
        sequences = set(forward[a])
        yield Overlap(first, second, "sequence", np.array([row in sequences for row in forward[b]]))
        yield Overlap(first, second, "reverse complement", np.array([row in sequences for row in reverse[b]]))
        is_seen = _isin(kmers[b], kmers[a][is_known[a]]) & is_known[b]
        yield Overlap(first, second, "32-mer", is_seen.any(axis=1))


def canonical_32mers(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the 32-mer at each position, the same on both strands.

    Returns
    -------
    uint64 ``(regions, seq_length - 31)``, the smaller of the numbers of both strands; and bool of the same shape,
    whether all of its bases are known.
    """
    if codes.shape[1] < K:
        empty = np.zeros((len(codes), 0))
        return empty.astype(np.uint64), empty.astype(bool)
    reverse = _numbers(reverse_complement(codes))[:, ::-1]
    n_unknown = np.cumsum(np.pad(codes >= N, ((0, 0), (1, 0))), axis=1)
    is_known = n_unknown[:, K:] == n_unknown[:, :-K]
    return np.minimum(_numbers(codes), reverse), is_known


def _numbers(codes: np.ndarray) -> np.ndarray:
    """Read each 32-mer as a number in base 4, joining neighbours of 1, 2, 4, 8 and 16 bases; N counts as A."""
    numbers = np.where(codes < N, codes, 0).astype(np.uint64)
    length = 1
    while length < K:
        numbers = (numbers[:, :-length] << np.uint64(2 * length)) | numbers[:, length:]
        length *= 2
    return numbers


def _isin(numbers: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether each number is among `others`: `numpy.isin`, after hashes have weeded out nearly all of both."""
    numbers_at, others_at = _hash(numbers), _hash(others)
    is_candidate = _occupied(others_at)[numbers_at]
    others = others[_occupied(numbers_at[is_candidate])[others_at]]
    found = np.zeros(numbers.shape, dtype=bool)
    found[is_candidate] = np.isin(numbers[is_candidate], others)
    return found


def _hash(numbers: np.ndarray) -> np.ndarray:
    """Spread 64-bit numbers over `HASH_BITS` bits: the upper bits of the product with the golden ratio (Knuth)."""
    return (numbers * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - HASH_BITS)


def _occupied(places: np.ndarray) -> np.ndarray:
    table = np.zeros(2**HASH_BITS, dtype=bool)
    table[places] = True
    return table


def _known(row: np.ndarray) -> bytes:
    """Known bases of a sequence; padding with N does not make two sequences differ."""
    return row[row < N].tobytes()
