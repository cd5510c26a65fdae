"""Motif scores and hits of sequences: arrays in, arrays out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from genebert._chunks import row_chunks
from genebert._dna import N_BASES
from genebert._pvalues import loss_distribution
from genebert.pp._lanes import N_LANES
from genebert.pp._scan_tables import UNKNOWN, MotifGroup, TableEngine, group_motifs

__all__ = ["Hits", "Scanner", "Score"]

Score = Literal["max", "count", "sum"]
T = TypeVar("T")

MIN_BUFFER, MAX_BUFFER = (
    2**10,
    2**20,
)  # hits of a chunk and a group of motifs that there is room for; more are found, too


class Hits(NamedTuple):
    """Where motifs match; arrays ``(hits,)``, sorted by region, position, motif and strand."""

    region: np.ndarray
    """int64: row of the sequence."""
    position: np.ndarray
    """int64: first base of the window in the sequence."""
    motif: np.ndarray
    """int64: place of the motif in the list."""
    is_reverse: np.ndarray
    """bool: whether it is the reverse strand that matches."""
    loss: np.ndarray
    """int64: what the score lacks to the best score of the motif, in steps."""


class Scanner:
    """Scores sequences under motifs: built once, called for any number of chunks of sequences.

    Parameters
    ----------
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
    n_threads
        Threads; None for one per available core.
    engine
        What looks at the windows: `TableEngine`, or another class with its methods.
    """

    def __init__(
        self,
        matrices: Sequence[np.ndarray],
        *,
        background: np.ndarray,
        score: Score = "max",
        pvalue: float | None = None,
        both_strands: bool = True,
        n_threads: int | None = None,
        engine: Callable[..., Any] = TableEngine,
    ) -> None:
        self.score = score
        self.background = background
        self.n_motifs = len(matrices)
        self.n_threads = n_threads or _available_cores()
        self._pvalue = 0.0 if pvalue is None or score == "max" else pvalue
        self.groups = group_motifs(
            matrices, background=background, both_strands=both_strands, pvalue=None if score == "max" else pvalue,
            n_threads=self.n_threads,
        )  # fmt: skip
        self.engine = engine(self.groups, is_for_hits=score != "max")

    def __call__(self, codes: np.ndarray) -> np.ndarray:
        """Score each sequence under each motif.

        Parameters
        ----------
        codes
            uint8 ``(regions, seq_length)``; sequences of unequal length end in N.

        Returns
        -------
        float32 ``(regions, motifs)``.
        """
        scores = np.empty((len(codes), self.n_motifs), dtype=np.float32)

        def scan(rows: slice) -> None:
            fill = self._fill_highest if self.score == "max" else self._fill_hits
            fill(codes[rows], scores[rows])

        self._for_chunks(scan, codes)
        return scores

    def hits(self, codes: np.ndarray) -> Hits:
        """Find the hits in each sequence; not with ``score="max"``, which has none."""
        parts = self._for_chunks(lambda rows: self._list(codes[rows], rows.start), codes)
        hits = Hits(*map(np.concatenate, zip(*parts, strict=True))) if parts else self._list(codes, 0)
        order = np.lexsort((hits.is_reverse, hits.motif, hits.position, hits.region))
        return Hits(*(column[order] for column in hits))

    def describe(self, hits: Hits) -> tuple[np.ndarray, np.ndarray]:
        """Score, float32 in bits, and exact p-value, float64, of each hit."""
        score, pvalue = np.empty(len(hits.loss), dtype=np.float32), np.empty(len(hits.loss))
        order = np.argsort(hits.motif, kind="stable")
        ends = np.searchsorted(hits.motif[order], np.arange(self.n_motifs + 1))
        for group in self.groups:
            for row, motif in enumerate(group.columns):
                of_motif = order[ends[motif] : ends[motif + 1]]
                if len(of_motif) == 0:
                    continue
                loss = hits.loss[of_motif]
                losses = group.losses[row, : group.lengths[row], :N_BASES]
                distribution = loss_distribution(losses, background=self.background, max_loss=int(loss.max()))
                score[of_motif] = (group.best[row] - loss) / group.steps_per_bit
                pvalue[of_motif] = np.cumsum(distribution)[loss]
        return score, pvalue

    def _for_chunks(self, scan: Callable[[slice], T], codes: np.ndarray) -> list[T]:
        """Call `scan` for chunks of sequences, in threads."""
        chunks = row_chunks(len(codes), step=max(1, self.engine.chunk_bases // max(codes.shape[1], 1)))
        with ThreadPoolExecutor(1 if self.engine.is_threaded else self.n_threads) as pool:
            return list(pool.map(scan, chunks))

    def _fill_highest(self, codes: np.ndarray, scores: np.ndarray) -> None:
        for group, lowest in zip(self.groups, self.engine.lowest_losses(codes), strict=True):
            loss = _by_strand(lowest, group).min(axis=1)
            # A window with an N never scores; where there is no other, the sequence gets the lowest score.
            steps = np.where(loss < UNKNOWN, group.best - loss, group.worst)
            scores[:, group.columns] = steps / group.steps_per_bit

    def _fill_hits(self, codes: np.ndarray, scores: np.ndarray) -> None:
        for group, (counts, lost) in zip(self.groups, self.engine.count_hits(codes), strict=True):
            count = _by_strand(counts, group).sum(axis=1)
            if self.score == "sum":
                count = (count * group.best - _by_strand(lost, group).sum(axis=1)) / group.steps_per_bit
            scores[:, group.columns] = count

    def _list(self, codes: np.ndarray, first: int) -> Hits:
        n_expected = int(min(2 * self._pvalue * codes.size * N_LANES, MAX_BUFFER)) + MIN_BUFFER
        parts = []
        for group, hits in zip(self.groups, self.engine.list_hits(codes, n_expected=n_expected), strict=True):
            region, position, lane, loss = hits.T
            motif = group.columns[lane % group.n_motifs]
            parts.append(Hits(region + first, position, motif, lane >= group.n_motifs, loss))
        return Hits(*map(np.concatenate, zip(*parts, strict=True)))


def _by_strand(lanes: np.ndarray, group: MotifGroup) -> np.ndarray:
    """Split lanes into ``(regions, strands, motifs)``."""
    return lanes.reshape(len(lanes), group.n_strands, group.n_motifs)


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
