"""Which windows are read at which step: a function of seed and epoch, the same for any number of processes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from genebert._data._windows import Windows

__all__ = ["Schedule"]

BLOCKS = 4
"""Blocks of neighbouring regions among which windows are shuffled, where regions lie in a store."""
_POOL = 16  # batches' worth of windows that are sorted by length


class Schedule:
    """Batches of windows, every window once per epoch.

    A batch holds windows of one cell type, so that no objective can be solved by telling cell types apart. With `block`,
    windows are read in groups of a few blocks of neighbouring regions: blocks are shuffled, and windows within a group.

    Parameters
    ----------
    windows
        All windows.
    regions_per_batch
        About how many regions a batch holds, over all processes.
    seed
        Of the order; None: as the windows come.
    block
        Regions per block; None: all are at hand, and windows are shuffled among all.
    lengths
        Of the sequences ``(regions,)``: windows of similar length go together, so that little is padded.
    """

    def __init__(
        self,
        windows: Windows,
        *,
        regions_per_batch: int,
        seed: int | None = None,
        block: int | None = None,
        lengths: np.ndarray | None = None,
    ) -> None:
        rows = windows.rows
        self._seed = seed
        self._first = rows[:, 0]
        self._per_batch = max(1, round(regions_per_batch / max((rows >= 0).sum() / max(len(rows), 1), 1)))
        self._lengths = None if lengths is None else np.where(rows >= 0, lengths[rows], 0).max(1)
        cell_types, cell_type = np.unique(windows.cell_type, return_inverse=True)
        blocks, number = np.unique(self._first // (block or rows.max(initial=0) + 1), return_inverse=True)
        key = number * len(cell_types) + cell_type
        self._members = np.argsort(key, kind="stable")  # by block, then by cell type
        self._count = np.bincount(key, minlength=len(blocks) * len(cell_types)).reshape(len(blocks), -1)
        self._end = self._count.cumsum().reshape(self._count.shape)

    def n_steps(self, epoch: int) -> int:
        """Batches of an epoch; with several blocks it may differ a little between epochs."""
        return sum(int(self._n_batches(blocks).sum()) for blocks in self._groups(epoch))

    def batches(self, epoch: int, *, skip: int = 0) -> Iterator[list[np.ndarray]]:
        """Numbers of the windows of each batch, group by group, without the first `skip` batches."""
        for number, blocks in enumerate(self._groups(epoch)):
            n_batches = int(self._n_batches(blocks).sum())
            if skip >= n_batches:
                skip -= n_batches
                continue
            rng = None if self._seed is None else np.random.default_rng((self._seed, epoch, number))
            yield self._cut(blocks, rng)[skip:]
            skip = 0

    def _groups(self, epoch: int) -> Iterator[np.ndarray]:
        blocks = np.arange(len(self._count))
        if self._seed is not None:
            blocks = np.random.default_rng((self._seed, epoch)).permutation(blocks)
        for start in range(0, len(blocks), BLOCKS):
            yield blocks[start : start + BLOCKS]

    def _n_batches(self, blocks: np.ndarray) -> np.ndarray:
        """Per cell type."""
        count = self._count[blocks].sum(0)
        return np.where(count, np.maximum(1, np.rint(count / self._per_batch)), 0).astype(int)

    def _cut(self, blocks: np.ndarray, rng: np.random.Generator | None) -> list[np.ndarray]:
        batches = []
        for cell_type, n_batches in enumerate(self._n_batches(blocks)):
            if not n_batches:
                continue
            ends, counts = self._end[blocks, cell_type], self._count[blocks, cell_type]
            members = np.concatenate(
                [self._members[end - count : end] for end, count in zip(ends, counts, strict=True)]
            )
            members = members if rng is None else rng.permutation(members)
            batches += np.array_split(self._by_length(members), n_batches)
        # Neighbours side by side: a process takes a run of each batch, and so reads few of the blocks.
        batches = [batch[np.argsort(self._first[batch], kind="stable")] for batch in batches]
        return batches if rng is None else [batches[i] for i in rng.permutation(len(batches))]

    def _by_length(self, members: np.ndarray) -> np.ndarray:
        if self._lengths is None:
            return members
        pools = np.array_split(members, -(-len(members) // (_POOL * self._per_batch)))
        return np.concatenate([pool[np.argsort(self._lengths[pool], kind="stable")] for pool in pools])
