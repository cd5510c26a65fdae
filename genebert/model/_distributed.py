"""One step over several processes: which share is whose, and what they tell each other.

Every process knows which windows make up the batch of a step. It reads its own run of them, gathers the bases of all, and
draws what is hidden and paired for all, from the seed and the step; so the number of processes changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from genebert._data import Step, share
from genebert._dna import N
from genebert.nn import Batch
from genebert.nn._objectives import Part

__all__ = ["Processes"]


class Processes:
    """The processes that train one network together; by default there is one.

    Parameters
    ----------
    rank, n_processes
        Which of how many this is.
    length
        Bases per region in the data, with padding.
    """

    def __init__(self, *, rank: int = 0, n_processes: int = 1, length: int) -> None:
        self.rank, self.n_processes, self.length = rank, n_processes, length

    def regions(self, step: Step) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, lengths and rows of the regions of the whole batch, gathered from all processes."""
        if self.n_processes == 1:
            return step.batch.codes, step.batch.lengths, step.rows
        own = step.batch.codes
        sizes = self._sizes(step.n_regions, 0, 1)
        padded = own.new_full((max(sizes), self.length), N)
        padded[: sizes[self.rank], : own.shape[1]] = own[: sizes[self.rank]]
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        codes = torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
        place = torch.arange(1, self.length + 1, device=codes.device)
        lengths = ((codes < N) * place).amax(1)
        return codes[:, : max(1, int(lengths.max()))], lengths, step.rows

    def part(self, step: Step, number: int, *, n_parts: int) -> tuple[Batch, Part]:
        """One of the parts into which each process cuts its own windows, so that less is in memory at once."""
        if self.n_processes == 1 and n_parts == 1:
            return step.batch, Part()
        n_regions = step.n_regions
        windows = self._windows(len(n_regions), self.rank, number, n_parts)
        is_real = len(windows) > 0
        windows = windows if is_real else np.array([step.first])
        end = n_regions.cumsum()
        regions = np.concatenate([np.arange(end[i] - n_regions[i], end[i]) for i in windows])
        sizes = self._sizes(n_regions, number, n_parts)
        first = sum(sizes[: self.rank])

        def gather(sequence: Tensor, region: Tensor) -> tuple[Tensor, Tensor, int]:
            together = _GatherRows.apply(torch.cat([sequence, region], dim=1), sizes, self.rank)
            return (*together.split([sequence.shape[1], region.shape[1]], dim=1), first)

        device = step.region_mask.device
        windows = torch.from_numpy(windows).to(device)
        part = Part(windows, torch.from_numpy(regions).to(device), is_real, gather if self.n_processes > 1 else None)
        return _take(step.batch, windows - step.first), part

    def sum(self, values: Tensor) -> Tensor:
        """Sum over the processes, on the CPU."""
        if self.n_processes > 1:
            dist.all_reduce(values)
        return values.cpu()

    def all(self, item: Any) -> list[Any]:
        """What each process has, in their order."""
        if self.n_processes == 1:
            return [item]
        items = [None] * self.n_processes
        dist.all_gather_object(items, item)
        return items

    def _windows(self, n_windows: int, rank: int, number: int, n_parts: int) -> np.ndarray:
        return np.arange(*share(n_windows, rank, self.n_processes))[number::n_parts]

    def _sizes(self, n_regions: np.ndarray, number: int, n_parts: int) -> list[int]:
        """Regions in this part of each process."""
        ranks = range(self.n_processes)
        return [int(n_regions[self._windows(len(n_regions), rank, number, n_parts)].sum()) for rank in ranks]


def _take(batch: Batch, windows: Tensor) -> Batch:
    """What the region encoder reads of some windows."""
    weight = batch.weight
    return batch._replace(
        scores=batch.scores[windows],
        region_mask=batch.region_mask[windows],
        weight=weight[windows] if weight is not None and len(weight) > 1 else weight,
    )


class _GatherRows(torch.autograd.Function):
    """Rows of all processes; the gradient of each row is the sum of what all processes make of it."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, sizes: list[int], rank: int) -> Tensor:
        ctx.sizes, ctx.rank = sizes, rank
        padded = own.new_zeros((max(sizes), own.shape[1]))
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        first = sum(ctx.sizes[: ctx.rank])
        return gradient[first : first + ctx.sizes[ctx.rank]], None, None
