"""Batches of windows for pre-training: whole batches are fetched at once, never one region at a time."""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from genebert._data._schedule import Schedule
from genebert._data._source import RegionSource, turn
from genebert._data._windows import Windows
from genebert.nn import Batch

__all__ = ["Place", "Step", "StepLoader", "WindowDataset", "ahead", "share"]

T = TypeVar("T")


@dataclass
class Place:
    """How far training has come."""

    epoch: int = 0
    done: int = 0
    """Steps of this epoch."""
    step: int = 0
    """Steps in all."""


class Step(NamedTuple):
    """What one process reads of the batch of a step."""

    batch: Batch
    """Its own windows."""
    region_mask: torch.Tensor
    """Of the windows of all processes ``(windows, window_size)``."""
    rows: torch.Tensor
    """Where the regions of all processes stand in the data ``(regions,)``."""
    n_regions: np.ndarray
    """Regions of each window, those of all processes ``(windows,)``."""
    first: int
    """Where its own windows begin; for a process that the batch has no window for, 0: it reads the first one."""

    def to(self, device: torch.device | str) -> Step:
        """Move to a device."""
        mask, rows = (value.to(device, non_blocking=True) for value in (self.region_mask, self.rows))
        return self._replace(batch=self.batch.to(device), region_mask=mask, rows=rows)


def share(n_windows: int, rank: int, n_processes: int) -> tuple[int, int]:
    """Begin and end of what process `rank` takes of a batch."""
    return n_windows * rank // n_processes, n_windows * (rank + 1) // n_processes


class WindowDataset:
    """From the numbers of some windows to a `Batch`.

    Parameters
    ----------
    source
        Where codes and scores come from.
    windows
        All windows.
    weights
        What each cell type (by its number in `windows`) puts on the matrix, as `cell_type_weight` reads it.
    """

    def __init__(
        self, source: RegionSource, windows: Windows, *, weights: Mapping[int, np.ndarray] | None = None
    ) -> None:
        self.source, self.windows, self.weights = source, windows, weights or {}
        self._known: np.ndarray | None = None

    def fetch(self, chosen: np.ndarray, *, turned: np.ndarray | None = None) -> Batch:
        """Read windows; `turned` tells which of their regions are read on the other strand."""
        table = self.windows.rows[chosen]
        real = table >= 0
        rows = table[real]
        places = rows if self._known is None else np.searchsorted(self._known, rows)
        codes, lengths = self.source.codes(places)
        if turned is not None:
            codes = turn(codes, lengths, turned)
        scores = np.zeros((*table.shape, self.source.n_tfs), dtype=np.float32)
        scores[real] = self.source.scores(places)
        weight = self._weight(int(self.windows.cell_type[chosen[0]]), table)
        return Batch(*map(torch.from_numpy, (codes, lengths, scores, real, rows)), weight)

    def read(self, chosen: np.ndarray) -> WindowDataset:
        """Read the regions of these windows into memory: a dataset that holds no others."""
        table = self.windows.rows[chosen]
        known = np.unique(table[table >= 0])
        taken = copy.copy(self)
        taken.source, taken._known = self.source.take(known), known
        return taken

    def _weight(self, cell_type: int, table: np.ndarray) -> torch.Tensor | None:
        if cell_type not in self.weights:
            return None
        weight = self.weights[cell_type]
        weight = weight[table] if len(weight) > 1 else weight[None]  # (windows, window_size, 1) or (1, 1, tfs)
        return torch.from_numpy(weight)


class StepLoader:
    """The steps of an epoch, from `place` on; threads read ahead.

    It has no length: where training is resumed within an epoch, that epoch is shorter.

    Parameters
    ----------
    dataset, schedule
        What is read, and when.
    place
        Epoch, and how many of its steps are done, when the loop over this loader starts.
    seed
        Of the strands; None: every region as it lies on the reference strand.
    rank, n_processes
        Which share of each batch is read.
    """

    def __init__(
        self,
        dataset: WindowDataset,
        schedule: Schedule,
        *,
        place: Place | None = None,
        seed: int | None = None,
        rank: int = 0,
        n_processes: int = 1,
    ) -> None:
        self.dataset, self.schedule = dataset, schedule
        self.place, self.seed = place or Place(), seed
        self.rank, self.n_processes = rank, n_processes
        self.seconds_waited = 0.0
        """Time for which whoever loops had to wait."""

    def __iter__(self) -> Iterator[Step]:
        epoch, done = self.place.epoch, self.place.done
        groups = self.schedule.batches(epoch, skip=done)
        readers = ahead((partial(self._read, group) for group in groups), depth=1)
        jobs = (partial(self._step, dataset, chosen, epoch) for dataset, group in readers for chosen in group)
        steps = ahead(jobs, depth=2)
        while True:
            start = time.perf_counter()
            step = next(steps, None)
            self.seconds_waited += time.perf_counter() - start
            if step is None:
                return
            yield step

    def _own(self, chosen: np.ndarray) -> tuple[int, int]:
        return share(len(chosen), self.rank, self.n_processes)

    def _read(self, group: list[np.ndarray]) -> tuple[WindowDataset, list[np.ndarray]]:
        """Bring what this process needs of a group of batches into memory, where it lies in a store."""
        if self.dataset.source.in_memory:
            return self.dataset, group
        own = [chosen[slice(*self._own(chosen))] if len(chosen) >= self.n_processes else chosen for chosen in group]
        return self.dataset.read(np.concatenate(own)), group

    def _step(self, dataset: WindowDataset, chosen: np.ndarray, epoch: int) -> Step:
        table = self.dataset.windows.rows[chosen]
        mask = table >= 0
        begin, end = self._own(chosen)
        begin, end = (begin, end) if end > begin else (0, 1)
        turned = None
        if self.seed is not None:  # drawn for all processes, so that their number changes nothing
            draw = np.random.default_rng((self.seed, epoch, int(chosen[0]))).random(mask.sum()) < 0.5
            turned = draw[mask[:begin].sum() : mask[:end].sum()]
        batch = dataset.fetch(chosen[begin:end], turned=turned)
        return Step(batch, torch.from_numpy(mask), torch.from_numpy(table[mask]), mask.sum(1), begin)


def ahead(jobs: Iterable[Callable[[], T]], *, depth: int) -> Iterator[T]:
    """Results of jobs in their order; a thread works up to `depth` jobs ahead."""
    pending: deque = deque()
    pool = ThreadPoolExecutor(1)
    try:
        for job in jobs:
            pending.append(pool.submit(job))
            if len(pending) > depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
