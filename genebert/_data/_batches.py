"""Batches of windows for pre-training: whole batches are fetched at once, never one region at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from genebert._data._source import RegionSource, turn
from genebert._data._windows import Windows
from genebert.nn import Batch

__all__ = ["CellTypeBatches", "WindowDataset", "loader"]


class WindowDataset(Dataset):
    """From the numbers of some windows to a `Batch`.

    Parameters
    ----------
    source
        Where codes and scores come from.
    windows
        All windows.
    seed
        Of the strands; None: every region as it lies on the reference strand.
    weights
        What each cell type (by its number in `windows`) puts on the matrix, as `cell_type_weight` reads it.
    """

    def __init__(
        self,
        source: RegionSource,
        windows: Windows,
        *,
        seed: int | None = None,
        weights: Mapping[int, np.ndarray] | None = None,
    ) -> None:
        self.source, self.windows, self.seed, self.weights = source, windows, seed, weights or {}
        self.epoch = 0

    def __getitem__(self, chosen: np.ndarray) -> Batch:
        table = self.windows.rows[chosen]
        real = table >= 0
        rows = table[real]
        codes, lengths = self.source.codes(rows)
        if self.seed is not None:
            rng = np.random.default_rng((self.seed, self.epoch, int(chosen[0])))
            codes = turn(codes, lengths, rng.random(len(rows)) < 0.5)
        scores = np.zeros((*table.shape, self.source.n_tfs), dtype=np.float32)
        scores[real] = self.source.scores(rows)
        weight = self._weight(int(self.windows.cell_type[chosen[0]]), table)
        return Batch(*map(torch.from_numpy, (codes, lengths, scores, real, rows)), weight)

    def _weight(self, cell_type: int, table: np.ndarray) -> torch.Tensor | None:
        if cell_type not in self.weights:
            return None
        weight = self.weights[cell_type]
        weight = weight[table] if len(weight) > 1 else weight[None]  # (windows, window_size, 1) or (1, 1, tfs)
        return torch.from_numpy(weight)


class CellTypeBatches(Sampler):
    """Batches that hold windows of one cell type each, so that no objective can be solved by telling cell types apart."""

    def __init__(self, dataset: WindowDataset, *, windows_per_batch: int) -> None:
        self.dataset = dataset
        cell_type = dataset.windows.cell_type
        members = [np.flatnonzero(cell_type == number) for number in np.unique(cell_type)]
        self._groups = [(member, max(1, round(len(member) / windows_per_batch))) for member in members]

    def __len__(self) -> int:
        return sum(n_batches for _, n_batches in self._groups)

    def __iter__(self) -> Iterator[np.ndarray]:
        dataset = self.dataset
        rng = None if dataset.seed is None else np.random.default_rng((dataset.seed, dataset.epoch))
        batches = []
        for members, n_batches in self._groups:
            batches += np.array_split(members if rng is None else rng.permutation(members), n_batches)
        order = range(len(batches)) if rng is None else rng.permutation(len(batches))
        return (batches[i] for i in order)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning: every epoch has an order and strands of its own."""
        self.dataset.epoch = epoch


def loader(dataset: WindowDataset, *, regions_per_batch: int) -> DataLoader:
    """Read windows in batches of about `regions_per_batch` regions; shuffled and on random strands with a seed."""
    rows = dataset.windows.rows
    regions_per_window = (rows >= 0).sum() / max(len(rows), 1)
    windows_per_batch = max(1, round(regions_per_batch / max(regions_per_window, 1)))
    sampler = CellTypeBatches(dataset, windows_per_batch=windows_per_batch)
    return DataLoader(dataset, batch_size=None, sampler=sampler)
