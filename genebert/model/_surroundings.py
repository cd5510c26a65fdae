"""Accessibility around each region, the region itself left out: what is open together along a chromosome."""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["REACHES", "Surroundings"]

REACHES = (10_000, 100_000)
"""Bases over which the weight of another region falls to 1/e."""
N_BINS = 4
"""Bins per reach, by which distances are measured; memory hangs on them, not on how many regions there are."""


class Surroundings:
    """Weighted means over the other regions of a chromosome, in each cell type.

    Regions may be added in any order and in any parts, then `smooth` is called, then `read`.

    Parameters
    ----------
    chrom, centre
        Of all regions that will be added or read.
    n_cell_types
        Columns of what is added.
    """

    def __init__(self, chrom: np.ndarray, centre: np.ndarray, *, n_cell_types: int) -> None:
        self._bins = [_Bins(chrom, centre, reach, n_cell_types) for reach in REACHES]
        self._sum, self._count = np.zeros(n_cell_types), np.zeros(n_cell_types)

    def add(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Add what was measured in regions.

        Parameters
        ----------
        rows
            Their numbers.
        values
            float32 ``(regions, cell types)``; NaN where nothing was measured.
        """
        known = ~np.isnan(values)
        values = np.where(known, values, 0).astype(np.float32)
        self._sum += values.sum(axis=0, dtype=np.float64)
        self._count += known.sum(axis=0)
        for bins in self._bins:
            _add(bins.sums, bins.place[rows], values)
            _add(bins.counts, bins.place[rows], known.astype(np.float32))

    def smooth(self) -> Surroundings:
        """Spread what was added over the bins around it."""
        for bins in self._bins:
            _spread(bins.sums, bins.decay)
            _spread(bins.counts, bins.decay)
        return self

    def read(self, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Give the mean around regions.

        Parameters
        ----------
        rows
            Numbers of regions that were added.
        values
            What was added of them, which is taken out again.

        Returns
        -------
        float32 ``(regions, cell types, reaches)``, shrunk towards the mean of each cell type as if one region had that.
        """
        known = ~np.isnan(values)
        values, mean = np.where(known, values, 0), self._sum / np.maximum(self._count, 1)
        found = np.empty((*values.shape, len(self._bins)), dtype=np.float32)
        for number, bins in enumerate(self._bins):
            total, count = bins.sums[bins.place[rows]] - values, bins.counts[bins.place[rows]] - known
            found[:, :, number] = (total + mean) / (np.maximum(count, 0) + 1)
        return found


class _Bins:
    """Bins that hold regions, in their order along the chromosomes, for one reach."""

    def __init__(self, chrom: np.ndarray, centre: np.ndarray, reach: int, n_cell_types: int) -> None:
        width = reach // N_BINS
        _, chrom = np.unique(chrom, return_inverse=True)
        number = centre.astype(np.int64) // width
        span = number.max(initial=0) + 1
        bins, place = np.unique(chrom * span + number, return_inverse=True)
        self.place = place.astype(np.int32)
        """Bin of each region."""
        is_next = bins[1:] // span == bins[:-1] // span
        self.decay = np.where(is_next, np.exp(-np.diff(bins) * width / reach), 0).astype(np.float32)
        """Weight of each bin in the next one; 0 on another chromosome."""
        self.sums = np.zeros((len(bins), n_cell_types), dtype=np.float32)
        self.counts = np.zeros_like(self.sums)


@numba.njit(cache=True)
def _add(total: np.ndarray, place: np.ndarray, values: np.ndarray) -> None:
    for row in range(len(place)):
        total[place[row]] += values[row]


@numba.njit(cache=True)
def _spread(values: np.ndarray, decay: np.ndarray) -> None:
    """Replace each bin by the sum of all, weighted by distance: one way along the chromosome, then the other."""
    for column in range(values.shape[1]):
        own = values[:, column].copy()
        before = after = np.float32(0)
        for place in range(len(own)):
            values[place, column] += before
            if place < len(decay):
                before = decay[place] * values[place, column]
        for place in range(len(own) - 2, -1, -1):
            after = decay[place] * (own[place + 1] + after)
            values[place, column] += after
