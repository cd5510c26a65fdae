"""Rows of a MuData as arrays that the network reads, fetched when a batch asks for them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from scipy import sparse

from genebert import _keys
from genebert._chunks import ROWS, load, load_dense, row_chunks
from genebert._dna import N, reverse_complement
from genebert._logging import info
from genebert._validate import listed

__all__ = ["RegionSource", "align_left", "match_tfs", "turn"]

MIN_SHARED_TFS = 0.5
_RUN = 500  # neighbours in a sample that is read from a store


def align_left(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strip N from both ends, so that padding changes nothing.

    Returns
    -------
    Codes ``(regions, longest)``, left-aligned with N behind, and the lengths int64 ``(regions,)``.
    """
    known = codes < N
    lengths = np.where(known.any(1), codes.shape[1] - known[:, ::-1].argmax(1), 0).astype(np.int64)
    first = known.argmax(1)
    if first.any():
        place = np.arange(codes.shape[1]) + first[:, None]
        codes = np.where(place < lengths[:, None], np.take_along_axis(codes, place % codes.shape[1], axis=1), N)
        lengths = np.maximum(lengths - first, 0)
    longest = max(int(lengths.max(initial=0)), 1)
    return np.ascontiguousarray(codes[:, :longest], dtype=np.uint8), lengths


def turn(codes: np.ndarray, lengths: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Reverse complement of the rows named by `which` (bool), each within its own length."""
    turned = codes.copy()
    place = lengths[which, None] - 1 - np.arange(codes.shape[1])
    flipped = np.take_along_axis(reverse_complement(codes[which])[:, ::-1], np.maximum(place, 0), axis=1)
    turned[which] = np.where(place >= 0, flipped, N)
    return turned


def match_tfs(found: list[str], expected: list[str]) -> np.ndarray:
    """Find each TF of the model among the columns of the data; -1 where it is missing.

    Raises
    ------
    ValueError
        When fewer than half of the model's TFs are there.
    """
    place = {name: i for i, name in enumerate(found)}
    columns = np.array([place.get(name, -1) for name in expected], dtype=np.int64)
    missing = [name for name, column in zip(expected, columns, strict=True) if column < 0]
    n_shared = len(expected) - len(missing)
    if n_shared < MIN_SHARED_TFS * len(expected):
        msg = (
            f"Expected at least half of the {len(expected)} TFs that the model was trained with; found {n_shared} "
            f"(missing: {listed(missing)}). Scan with the motifs that it was trained with: gb.pp.scan_motifs(mdata) for the "
            "shipped weights, else gb.pp.scan_motifs(mdata, motifs)."
        )
        raise ValueError(msg)
    if missing:
        info(f"{len(missing)} of {len(expected)} TFs of the model are missing and count as average: {listed(missing)}")
    return columns


def _read(matrix: Any, rows: np.ndarray) -> Any:
    """Read rows, in ascending order, of a matrix that may lie in a store, block by block of neighbours."""
    if isinstance(matrix, np.ndarray) or sparse.issparse(matrix) or not len(rows):
        is_run = len(rows) > 0 and rows[-1] - rows[0] + 1 == len(rows)
        return load(matrix, slice(rows[0], rows[-1] + 1) if is_run else rows)
    parts = []
    for block in np.split(rows, np.flatnonzero(np.diff(rows // ROWS)) + 1):
        first, last = block[0], block[-1]
        part = load(matrix, slice(first, last + 1))
        parts.append(part if len(block) == last - first + 1 else part[block - first])
    if len(parts) == 1:
        return parts[0]
    return sparse.vstack(parts, format="csr") if sparse.issparse(parts[0]) else np.concatenate(parts)


class RegionSource:
    """Codes and motif scores of a MuData, by row, TFs in the order of a model.

    Parameters
    ----------
    mdata
        With codes, a TF matrix or both.
    tfs
        The model's TFs, in its order.
    fill
        What stands in for a TF that the data lack ``(tfs,)``.
    """

    def __init__(self, mdata: Any, *, tfs: list[str], fill: np.ndarray) -> None:
        self.n_regions, self.n_tfs, self.tfs = mdata.n_obs, len(tfs), tfs
        self._codes = _keys.DNA_CODE.get(mdata) if _keys.DNA_CODE.has(mdata) else None
        self._scores = _keys.TF_SCORE.get(mdata) if _keys.TF_SCORE.has(mdata) else None
        if self._codes is None and self._scores is None:
            _keys.DNA_CODE.get(mdata)  # raises, and says what to run
        self._fill = fill.astype(np.float32)
        if self._scores is not None:
            names = list(mdata[_keys.TF].var_names)
            self._columns = match_tfs(names, tfs)
            self._in_order = names == tfs

    @property
    def in_memory(self) -> bool:
        """Whether any row can be had at once; else rows lie in a store, and neighbours are read together."""
        return all(
            matrix is None or isinstance(matrix, np.ndarray) or sparse.issparse(matrix)
            for matrix in (self._codes, self._scores)
        )

    def take(self, rows: np.ndarray) -> RegionSource:
        """Read these regions, in ascending order, into memory: a source of their own, numbered from 0."""
        taken = copy.copy(self)
        taken.n_regions = len(rows)
        taken._codes = None if self._codes is None else _read(self._codes, rows)
        taken._scores = None if self._scores is None else _read(self._scores, rows)
        return taken

    def lengths(self) -> np.ndarray | None:
        """Bases of every region, int64 ``(regions,)``, without the padding; None where all are as long."""
        found = np.concatenate(
            [self.codes(np.arange(*rows.indices(self.n_regions)))[1] for rows in row_chunks(self.n_regions)]
        )
        return None if found.min() == found.max() else found

    def sample(self, allowed: np.ndarray, most: int, *, seed: int) -> np.ndarray:
        """Draw at most `most` of the regions `allowed` (bool): from a store as short runs, since each place costs a read."""
        rows = np.flatnonzero(allowed)
        if len(rows) <= most:
            return rows
        rng = np.random.default_rng(seed)
        if self.in_memory:
            return np.sort(rng.choice(rows, most, replace=False))
        runs = np.array_split(rows, -(-len(rows) // _RUN))
        chosen = np.sort(rng.permutation(len(runs))[: -(-most // _RUN)])
        return np.concatenate([runs[i] for i in chosen])[:most]

    @property
    def has_codes(self) -> bool:
        """Whether there are sequences."""
        return self._codes is not None

    @property
    def has_scores(self) -> bool:
        """Whether there is a TF matrix."""
        return self._scores is not None

    def codes(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bases of these regions, left-aligned, and their lengths."""
        return align_left(np.asarray(load(self._codes, rows)))

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Motif scores of these regions, float32 ``(rows, tfs)``."""
        scores = load_dense(self._scores, rows)
        if self._in_order:
            return scores.astype(np.float32, copy=False)
        return np.where(self._columns >= 0, scores[:, self._columns], self._fill).astype(np.float32, copy=False)
