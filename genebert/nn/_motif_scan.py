"""Motif scan as a convolution, for devices of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from genebert._dna import N

__all__ = ["MotifConvolution"]

LANES = 256  # motifs times strands per convolution
SIZE = 2**24  # losses held at once, 128 MiB


class MotifConvolution:
    """Losses of all windows of sequences, by convolution: what their scores lack to the best score of a motif.

    Losses are whole numbers below 2 ** 53, which 64-bit floats add up exactly in any order. So the results are those of the
    scan by tables, to the last bit, on any device.

    Parameters
    ----------
    losses
        For each group of motifs int64 ``(lanes, columns, 5)``: loss of each base at each column. That of N is above what
        other bases can add up to, and 0 behind the motif.
    max_losses
        For each group int64 ``(lanes,)``: largest loss of a hit.
    device
        Device of torch, such as ``"cuda"``.

    Raises
    ------
    ValueError
        When there is no such device, or it has no 64-bit floats.
    """

    chunk_bases = 2**20
    """Bases to scan at once."""
    is_threaded = True
    """Whether one call uses all cores; else several threads may call."""

    def __init__(
        self, losses: Sequence[np.ndarray], max_losses: Sequence[np.ndarray], *, device: str | torch.device
    ) -> None:
        self.device = _check_device(device)
        self._ends = np.cumsum([len(group) for group in losses])[:-1]
        self._batches = list(_batches(losses, max_losses, self.device))

    def lowest_losses(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """Lowest loss over the windows of each sequence, for each group; int64 ``(regions, lanes)``."""
        (lowest,) = self._reduce(codes, lambda losses, _: (losses.amin(dim=2),))
        return iter(self._by_group(lowest))

    def count_hits(self, codes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Hits and the sum of their losses in each sequence, for each group; int64 ``(regions, lanes)``."""
        counts, lost = self._reduce(codes, _count)
        return zip(self._by_group(counts), self._by_group(lost), strict=True)

    def _by_group(self, lanes: np.ndarray) -> list[np.ndarray]:
        return np.split(lanes, self._ends, axis=1)

    @torch.inference_mode()
    def _reduce(self, codes: np.ndarray, reduce: Callable[[Tensor, Tensor], tuple[Tensor, ...]]) -> list[np.ndarray]:
        """Convolve, and reduce the losses of all windows to one number or several for each sequence and lane."""
        seq_length = codes.shape[1]
        n_columns = max(weights.shape[2] for weights, _ in self._batches)
        padded = F.pad(torch.tensor(codes, device=self.device), (0, n_columns), value=N)
        bases = F.one_hot(padded.long(), N + 1).double().transpose(1, 2)  # (regions, 5, bases)
        results = []
        for weights, max_losses in self._batches:
            n_lanes, _, n_columns = weights.shape
            step = max(1, SIZE // (n_lanes * (seq_length + 1)))
            parts = []
            for part in bases[:, :, : seq_length + n_columns].split(step):
                # Some algorithms for convolutions round; what they add up are whole numbers.
                losses = F.conv1d(part, weights).round_()  # (regions, lanes, windows)
                parts.append([result.to("cpu", torch.int64).numpy() for result in reduce(losses, max_losses)])
            results.append([np.concatenate(column) for column in zip(*parts, strict=True)])
        return [np.concatenate(column, axis=1) for column in zip(*results, strict=True)]


def _count(losses: Tensor, max_losses: Tensor) -> tuple[Tensor, Tensor]:
    is_hit = losses <= max_losses[:, None]
    return is_hit.sum(dim=2), (losses * is_hit).sum(dim=2)


def _batches(
    losses: Sequence[np.ndarray], max_losses: Sequence[np.ndarray], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Join groups to weights float64 ``(lanes, 5, columns)`` of up to `LANES` lanes and the largest losses of their hits."""
    start = 0
    while start < len(losses):
        n_lanes = np.cumsum([len(group) for group in losses[start:]])
        end = start + max(1, int(np.searchsorted(n_lanes, LANES, side="right")))
        n_columns = max(group.shape[1] for group in losses[start:end])
        joined = [np.pad(group, ((0, 0), (0, n_columns - group.shape[1]), (0, 0))) for group in losses[start:end]]
        weights = torch.from_numpy(np.concatenate(joined)).to(device, torch.float64).transpose(1, 2).contiguous()
        yield weights, torch.from_numpy(np.concatenate(max_losses[start:end])).to(device)
        start = end


def _check_device(device: str | torch.device) -> torch.device:
    try:
        return torch.zeros(1, dtype=torch.float64, device=device).device
    except (AssertionError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        msg = f"Expected `device` to be a device of torch with 64-bit floats; found {device!r} ({reason}). Use device='cpu'."
        raise ValueError(msg) from error
