"""Pass over the rows of a matrix that may lie in a store on disk and be larger than memory."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from genebert._logging import info

__all__ = ["ROWS", "Progress", "load", "load_columns", "load_dense", "row_chunks"]

ROWS = 2**14
"""Regions read at once, and per chunk of what is written."""

_TELL_AFTER = 30.0  # seconds


def row_chunks(n_rows: int, *, step: int = ROWS) -> Iterator[slice]:
    """Cut `n_rows` into slices of `step`; the last may be shorter."""
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def load(matrix: Any, rows: slice | np.ndarray = slice(None)) -> np.ndarray | sparse.csr_matrix:
    """Read rows of an array, a sparse matrix, or one of either that lies in a store (dask) or a file (h5py)."""
    part = matrix if isinstance(rows, slice) and rows == slice(None) and not _is_in_file(matrix) else matrix[rows]
    return part.compute() if hasattr(part, "compute") else part


def load_dense(matrix: Any, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
    """Like `load`, as an array."""
    part = load(matrix, rows)
    return part.toarray() if sparse.issparse(part) else np.asarray(part)


def load_columns(matrix: Any, columns: Sequence[int], rows: slice | np.ndarray = slice(None)) -> np.ndarray:
    """Read some columns, by number, as an array: of a matrix that is larger than memory chunk by chunk.

    `rows` are a slice without a step, or numbers.
    """
    columns = np.asarray(columns, dtype=np.int64)
    if isinstance(matrix, np.ndarray) or sparse.issparse(matrix):
        by_column = sparse.issparse(matrix) and matrix.format == "csc"
        part = matrix[:, columns][rows] if by_column else matrix[rows][:, columns]
        return part.toarray() if sparse.issparse(part) else part
    if isinstance(rows, slice):
        first, last, _ = rows.indices(matrix.shape[0])
        parts = [slice(first + part.start, first + part.stop) for part in row_chunks(last - first)]
    else:
        parts = [rows[part] for part in row_chunks(len(rows))]
    return np.concatenate([load_dense(matrix, part)[:, columns] for part in parts or [slice(0, 0)]])


def _is_in_file(matrix: Any) -> bool:
    return not (isinstance(matrix, np.ndarray) or sparse.issparse(matrix) or hasattr(matrix, "compute"))


class Progress:
    """Tell, every half minute, how far a loop has come, how fast, and how long it will take.

    Parameters
    ----------
    what
        What is done, such as ``"scanning"``.
    n_total
        Regions in all.
    device
        Where, if not on the CPU.
    unit
        What is counted, if not regions.
    """

    def __init__(self, what: str, n_total: int, *, device: Any = "cpu", unit: str = "regions") -> None:
        self.what, self.n_total, self.device, self.unit = what, n_total, device, unit
        self.n_done = 0
        self._start = self._told = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return max(time.monotonic() - self._start, 1e-9)

    @property
    def speed(self) -> float:
        """Regions, or what else is counted, per second."""
        return self.n_done / self.seconds

    def update(self, n_more: int) -> None:
        """Count what is done."""
        self.n_done += n_more
        if time.monotonic() - self._told > _TELL_AFTER and self.n_done < self.n_total:
            self._told = time.monotonic()
            left = (self.n_total - self.n_done) / self.speed
            info(
                f"{self.what}: {self.n_done:,} of {self.n_total:,} {self.unit} on {self.device} | "
                f"{self.speed:,.{0 if self.speed >= 10 else 2}f} {self.unit}/s | {left:.0f} s left"
            )
