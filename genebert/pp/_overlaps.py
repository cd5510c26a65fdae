"""Sequences that two splits share: the same, the reverse complement, or a stretch of 32 bases."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from genebert._chunks import row_chunks
from genebert.pp._kmer_kernel import hash_sequences
from genebert.pp._shared_kmers import MAX_SIDES, SharedKmers, codes_of, shared_kmers

__all__ = ["Overlap", "overlaps", "sequence_numbers"]

N_EXAMPLES = 3
UNKNOWN = -1


class Overlap(NamedTuple):
    """Regions of one split whose sequence an earlier split holds."""

    first: str
    second: str
    what: str
    regions: np.ndarray
    """Positions of the regions of the second split."""
    examples: list[tuple[int, int]]
    """Some of them, each with one of the first split that it shares the sequence with."""


def overlaps(codes: Any, split: np.ndarray | pd.Series) -> Iterator[Overlap]:
    """Compare each two splits, in the order train, val, test.

    Parameters
    ----------
    codes
        uint8 ``(regions, seq_length)``, an array or one in a store.
    split
        Name of the split of each region; missing for those in none.

    Raises
    ------
    ValueError
        When there are more than 13 splits.
    """
    found = sorted(pd.unique(pd.Series(split).dropna()))
    names = [name for name in dict.fromkeys(("train", "val", "test", *found)) if name in found]
    if len(names) > MAX_SIDES:
        msg = (
            f"Expected at most {MAX_SIDES} splits; found {len(names)}. Compare fewer at a time: set others to missing."
        )
        raise ValueError(msg)
    if len(names) < 2:
        return
    sides = (pd.Categorical(split, categories=names).codes + 1).astype(np.uint8)
    forward, reverse = sequence_numbers(codes)
    shared, examples = _shared_by_kmer(codes, sides)
    for a, b in combinations(range(1, len(names) + 1), 2):
        pair = names[a - 1], names[b - 1]
        yield Overlap(*pair, "sequence", *_same(forward, forward, sides, (a, b)))
        yield Overlap(*pair, "reverse complement", *_same(forward, reverse, sides, (a, b)))
        regions = np.flatnonzero((sides == b) & (shared >> a & 1).astype(bool))
        yield Overlap(*pair, "32-mer", regions, list(examples[a, b].items()))


def sequence_numbers(codes: Any) -> tuple[np.ndarray, np.ndarray]:
    """Number the different sequences, without the N at their ends.

    Returns
    -------
    Number of each sequence, and of its reverse complement, int64 ``(regions,)``; -1 where no base is known.
    """
    hashes = np.empty((codes.shape[0], 2, 2), dtype=np.uint64)
    for rows in row_chunks(codes.shape[0]):
        with np.errstate(over="ignore"):  # hashes run over, on purpose
            hash_sequences(codes_of(codes, rows), hashes[rows])
    hashes = hashes.reshape(-1, 2)
    order = np.lexsort(hashes.T)
    is_new = np.zeros(len(order), dtype=bool)
    for half in hashes.T:
        is_new[1:] |= half[order[1:]] != half[order[:-1]]
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = np.cumsum(is_new)
    numbers[~hashes.any(axis=1)] = UNKNOWN
    forward, reverse = numbers.reshape(-1, 2).T
    return forward, reverse


def _same(
    known: np.ndarray, asked: np.ndarray, sides: np.ndarray, pair: tuple[int, int]
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Regions of the second side whose number is known on the first."""
    first, second = (np.flatnonzero((sides == side) & (known != UNKNOWN)) for side in pair)
    shared = second[np.isin(asked[second], known[first])]
    examples = [(int(region), int(first[np.argmax(known[first] == asked[region])])) for region in shared[:N_EXAMPLES]]
    return shared, examples


def _shared_by_kmer(codes: Any, sides: np.ndarray) -> tuple[np.ndarray, dict[tuple[int, int], dict[int, int]]]:
    """Other sides with which each region shares a 32-mer, as bits of a uint16; and for pairs of sides some examples."""
    shared = np.zeros(len(sides), dtype=np.uint16)
    examples = {pair: {} for pair in combinations(range(1, sides.max(initial=0) + 1), 2)}
    for found in shared_kmers(codes, sides):
        if len(found.region) == 0:
            continue
        own = np.left_shift(1, sides[found.region], dtype=np.uint16)
        together = np.bitwise_or.reduceat(own, found.start)
        others = np.repeat(together, found.count) & ~own
        np.bitwise_or.at(shared, found.region[others > 0], others[others > 0])
        for pair, known in examples.items():
            _add_examples(known, found, sides, others, pair=pair)
    return shared, examples


def _add_examples(
    known: dict[int, int], found: SharedKmers, sides: np.ndarray, others: np.ndarray, *, pair: tuple[int, int]
) -> None:
    """Keep the first regions of the second side, each with the first of the other side that holds one of its 32-mers."""
    first, second = pair
    side = sides[found.region]
    places = np.flatnonzero((side == second) & (others >> first & 1).astype(bool))
    if len(known) >= N_EXAMPLES or len(places) == 0:
        return
    regions, at = np.unique(found.region[places], return_index=True)
    ends = np.append(found.start[1:], len(found.region))
    for region, place in zip(regions[:N_EXAMPLES], places[at[:N_EXAMPLES]], strict=True):
        kmer = np.searchsorted(found.start, place, side="right") - 1
        holders = slice(found.start[kmer], ends[kmer])
        if len(known) < N_EXAMPLES:
            known.setdefault(int(region), int(found.region[holders][side[holders] == first].min()))
