"""K-mers of several lengths as sparse features: anywhere in a sequence, or by place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

from genebert._chunks import row_chunks
from genebert._dna import kmer_ids, reverse_complement

__all__ = ["Block", "Vocabulary", "kmers_anywhere", "kmers_by_place"]

LONGEST_PLACED = 6
FLANK = 0.1  # what a k-mer far from the centre counts, where `Block.reach` is set
STEPS = 256  # of which it is a multiple, so that sums are exact and the same in any order
ROWS = 2**11  # regions that are read at once
LEAST_READ = 2
"""Times that a feature must be read in train; what is read once tells nothing of other sequences."""


class Block(NamedTuple):
    """K-mers of one length."""

    k: int
    width: int
    """Positions that count as one place; 0: the whole sequence is one."""
    scale: float = 1.0
    """Value of one k-mer: the larger, the less its weight is penalised."""
    reach: float = 0.0
    """Bases from the centre of the sequence over which a k-mer comes to count less, a standard deviation; 0: all count alike."""


def kmers_anywhere() -> list[Block]:
    """Counts of k-mers of several lengths (the spectrum kernel, Leslie et al. 2002)."""
    return [Block(4, 0, 0.3), Block(5, 0, 0.5), Block(6, 0, 0.7), Block(7, 0, 0.7), Block(8, 0, 0.7)]


def kmers_by_place(seq_length: int) -> list[Block]:
    """K-mers at each position (the weighted degree kernel, Raetsch and Sonnenburg 2004), and counts in halves and quarters.

    Counts tell what kind of sequence lies on either side, such as exon and intron.
    """
    half, quarter = -(-seq_length // 2), -(-seq_length // 4)
    exact = [Block(k, 1) for k in range(1, LONGEST_PLACED + 1)]
    return [*exact, Block(3, quarter, 0.5), *(Block(k, half, 0.5) for k in (4, 5, 6))]


class Vocabulary:
    """Columns of the features of `blocks` that are in use.

    Parameters
    ----------
    blocks
        What is read; k-mers longer than the sequence are left out.
    seq_length
        Bases per sequence.
    both_strands
        Whether the reverse complement is read, too, so that the strand changes nothing.
    columns
        Numbers of the features in use, ascending; None: all.
    """

    def __init__(
        self, blocks: Sequence[Block], *, seq_length: int, both_strands: bool, columns: np.ndarray | None = None
    ) -> None:
        self.blocks = [Block(*block) for block in blocks if block[0] <= seq_length]
        self.seq_length, self.both_strands = seq_length, both_strands
        sizes = [_n_places(block, seq_length) * 4**block.k for block in self.blocks]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.columns = np.arange(self._starts[-1]) if columns is None else np.asarray(columns, dtype=np.int64)
        self._lookup = np.full(self._starts[-1] + 1, -1, dtype=np.int32)  # the last one: a k-mer with an N
        self._lookup[self.columns] = np.arange(len(self.columns), dtype=np.int32)

    def read(self, codes: np.ndarray) -> sparse.csr_matrix:
        """Features of sequences, float32 ``(regions, columns)``; some regions at a time, since ids take more room than they do."""
        parts = [self._read(codes[rows]) for rows in row_chunks(len(codes), step=ROWS)]
        return sparse.vstack(parts, format="csr") if len(parts) > 1 else parts[0] if parts else self._read(codes)

    def _read(self, codes: np.ndarray) -> sparse.csr_matrix:
        sides = [codes, reverse_complement(codes)] if self.both_strands else [codes]
        found = [self._lookup[ids] for side in sides for ids in self._ids(side)]
        scales = [_values(block, ids.shape[1]) for block, ids in zip(self.blocks * len(sides), found, strict=True)]
        shape = (len(codes), len(self.columns))
        if not found:
            return sparse.csr_matrix(shape, dtype=np.float32)
        place = np.hstack(found)
        known = place >= 0
        values = np.broadcast_to(np.concatenate(scales), place.shape)[known]
        ends = np.concatenate([[0], known.sum(axis=1).cumsum()])
        matrix = sparse.csr_matrix((values, place[known], ends), shape=shape)
        matrix.sum_duplicates()
        return matrix

    def seen_in(self, codes: np.ndarray) -> Vocabulary:
        """Those features only that are read `LEAST_READ` times in these sequences."""
        count = np.zeros(len(self._lookup), dtype=np.int64)
        for rows in row_chunks(len(codes), step=ROWS):
            for side in [codes[rows], reverse_complement(codes[rows])] if self.both_strands else [codes[rows]]:
                np.add.at(count, np.concatenate([ids.ravel() for ids in self._ids(side)]), 1)
        columns = self.columns[count[self.columns] >= LEAST_READ]
        return Vocabulary(
            self.blocks, seq_length=self.seq_length, both_strands=self.both_strands, columns=columns
        )  # fmt: skip

    def _ids(self, codes: np.ndarray) -> list[np.ndarray]:
        """Number of the feature at each position, one array ``(regions, positions)`` for each block."""
        found, unknown = [], self._starts[-1]
        for block, start in zip(self.blocks, self._starts, strict=False):
            ids = kmer_ids(codes, block.k)
            place = _places(block, ids.shape[1]) * 4**block.k + start
            found.append(np.where(ids < 4**block.k, ids + place, unknown))
        return found


def _places(block: Block, n_positions: int) -> np.ndarray:
    return np.arange(n_positions, dtype=np.int64) // block.width if block.width else np.zeros(n_positions, np.int64)


def _values(block: Block, n_positions: int) -> np.ndarray:
    """Value of a k-mer at each position, float32."""
    if not block.reach:
        return np.full(n_positions, block.scale, dtype=np.float32)
    away = np.arange(n_positions) - (n_positions - 1) / 2
    counted = FLANK + (1 - FLANK) * np.exp(-((away / block.reach) ** 2) / 2)
    return (block.scale * np.round(counted * STEPS) / STEPS).astype(np.float32)


def _n_places(block: Block, seq_length: int) -> int:
    return int(_places(block, seq_length - block.k + 1)[-1]) + 1
