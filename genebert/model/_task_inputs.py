"""What a task reads of regions: bases, motif scores of those bases, and accessibility."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from genebert import _keys
from genebert._chunks import load, load_columns, load_dense, row_chunks
from genebert._dna import N
from genebert._motifs import default_motifs, log_odds, tf_names
from genebert._validate import check_cell_type
from genebert.pp._scan import Scanner

__all__ = ["Contexts", "Inputs", "MotifSet", "check_assumed", "pad_codes", "read_codes"]

LEAST_OTHERS = 3  # cell types besides the own ones, from which on the share of all is read
LEAST_OPEN = 20  # regions from which the scale of a cell type is measured
_UNIFORM = np.full(4, 0.25)


class Inputs(NamedTuple):
    """Arrays of the same regions."""

    codes: np.ndarray
    """uint8 ``(regions, seq_length)``."""
    scores: np.ndarray | None
    """float32 ``(regions, TFs)``."""
    context: np.ndarray | None
    """Accessibility that a task reads, float32 ``(regions, Contexts.width)``."""

    def take(self, rows: np.ndarray | slice) -> Inputs:
        """Read some of the regions."""
        return Inputs(*(None if part is None else part[rows] for part in self))


class MotifSet:
    """Motifs that a task scans for, whatever lies in the matrix of the data.

    Parameters
    ----------
    tfs
        Names, one for each motif.
    matrices
        Log-odds, float32 ``(motifs, longest, 4)``, 0 behind the end of each.
    """

    def __init__(self, tfs: Sequence[str], matrices: np.ndarray) -> None:
        self.tfs, self.matrices = [str(tf) for tf in tfs], np.asarray(matrices, dtype=np.float32)
        self._scanner: Scanner | None = None

    @classmethod
    def of(cls, mdata: Any) -> MotifSet:
        """Take the motifs that `mdata` was scanned for, else those that the shipped weights were trained with."""
        if _keys.MOTIF.has(mdata):
            return cls(mdata[_keys.TF].var_names, np.asarray(_keys.MOTIF.get(mdata)))
        motifs = default_motifs()
        found = [log_odds(motif, background=_UNIFORM) for motif in motifs]
        padded = np.zeros((len(found), max(map(len, found)), 4), dtype=np.float32)
        for row, matrix in zip(padded, found, strict=True):
            row[: len(matrix)] = matrix
        return cls(tf_names(motifs), padded)

    def scan(self, codes: np.ndarray) -> np.ndarray:
        """Give the highest log-odds of each motif on either strand, float32 ``(regions, TFs)``."""
        if self._scanner is None:
            ends = [np.flatnonzero(matrix.any(axis=1)) for matrix in self.matrices]
            trimmed = [
                matrix[: end[-1] + 1 if len(end) else 1] for matrix, end in zip(self.matrices, ends, strict=True)
            ]
            self._scanner = Scanner(trimmed, background=_UNIFORM)
        return self._scanner(np.ascontiguousarray(codes, dtype=np.uint8))


class Contexts(NamedTuple):
    """The accessibility that a task reads."""

    cell_types: list[str]
    layer: str
    """``"accessibility"`` or ``"open"``."""
    scale: np.ndarray
    """float32 ``(cell types,)``: mean over the accessible regions that were trained on, which counts as 1."""
    own: tuple[int, ...]
    """The cell type of each output, -1 where it has none."""
    atlas: tuple[str, ...] = ()
    """Cell types in whose share a region is open, which is read, too: whether it is open everywhere or in few. Empty: not read."""
    usual: float = 0.0
    """That share, of regions that are open in one of the own cell types; taken where the atlas was not measured."""

    @classmethod
    def of(
        cls, mdata: Any, cell_types: Sequence[str], *, layer: str, own: Sequence[int], train: np.ndarray
    ) -> Contexts:
        """Measure the scale on rows `train`. The atlas are all cell types of `mdata`, if these are more than the own ones.

        It needs calls: where any signal is taken for open, nearly all regions are open everywhere.
        """
        contexts = cls(list(cell_types), layer, np.ones(len(cell_types), dtype=np.float32), tuple(own))
        values, is_open = contexts.read(mdata, train), contexts.is_open(mdata, train)
        total, count = np.where(is_open, values, 0).sum(axis=0), is_open.sum(axis=0)
        contexts = contexts._replace(scale=np.where(total > 0, total / np.maximum(count, 1), 1).astype(np.float32))
        names = tuple(str(name) for name in mdata[_keys.ATAC].var_names)
        if len(names) < len(cell_types) + LEAST_OTHERS or not _keys.OPEN.has(mdata):
            return contexts
        contexts = contexts._replace(atlas=names)
        share = contexts._share(mdata, train[is_open.any(axis=1)])
        return contexts._replace(usual=float(np.nanmean(share)) if np.isfinite(share).any() else 0.0)

    @property
    def width(self) -> int:
        """Columns that are read: the own cell types, then the share of the atlas."""
        return len(self.cell_types) + bool(self.atlas)

    def read(self, mdata: Any, rows: np.ndarray | slice) -> np.ndarray:
        """Read accessibility, then the share of the atlas, float32 ``(regions, width)``; what was not measured counts as closed."""
        own = self._own(mdata, rows)
        if not self.atlas:
            return own
        share = self._share(mdata, rows)
        return np.column_stack([own, np.where(np.isfinite(share), share, self.usual)]).astype(np.float32)

    def _share(self, mdata: Any, rows: np.ndarray | slice) -> np.ndarray:
        """Share of the atlas in which regions are open ``(regions,)``; NaN where less than half of it was measured and called."""
        rows = np.arange(*rows.indices(mdata.n_obs)) if isinstance(rows, slice) else rows
        if not _keys.OPEN.has(mdata):
            return np.full(len(rows), np.nan)
        calls = _keys.OPEN.get(mdata)
        matrix = _keys.ACCESSIBILITY.get(mdata) if _keys.ACCESSIBILITY.has(mdata) else calls
        names = list(mdata[_keys.ATAC].var_names)
        columns = [names.index(name) for name in self.atlas if name in names]
        found = np.empty(len(rows))
        for part in row_chunks(len(rows)):
            known = ~np.isnan(load_dense(matrix, rows[part])[:, columns])
            is_open = (load_dense(calls, rows[part])[:, columns] > 0) & known
            n_known = known.sum(axis=1)
            share = is_open.sum(axis=1) / np.maximum(n_known, 1)
            found[part] = np.where(2 * n_known >= len(self.atlas), share, np.nan)
        return found

    def _own(self, mdata: Any, rows: np.ndarray | slice) -> np.ndarray:
        matrix = (_keys.OPEN if self.layer == "open" else _keys.ACCESSIBILITY).get(mdata)
        names = list(mdata[_keys.ATAC].var_names)
        missing = [name for name in self.cell_types if name not in names]
        if missing:
            msg = (
                f"Expected the cell types that the task was fitted with, whose accessibility it reads; {missing} are missing "
                "from mdata['atac']. Add them, or fit with tf_weight='none'."
            )
            raise ValueError(msg)
        columns = [names.index(name) for name in self.cell_types]
        return np.nan_to_num(load_columns(matrix, columns, rows)).astype(np.float32) / self.scale

    def is_open(self, mdata: Any, rows: np.ndarray | slice) -> np.ndarray:
        """Tell where regions are called open, bool ``(regions, cell types)``; without calls, where there is any signal."""
        layer = "open" if _keys.OPEN.has(mdata) else self.layer
        return self._replace(layer=layer, scale=np.ones_like(self.scale))._own(mdata, rows) > 0

    def is_measured(self, mdata: Any, rows: np.ndarray | slice) -> np.ndarray:
        """Tell where the cell type of each output was measured, bool ``(regions, outputs)``; an output without one needs none."""
        slot = _keys.ACCESSIBILITY if _keys.ACCESSIBILITY.has(mdata) else _keys.OPEN
        names = list(mdata[_keys.ATAC].var_names)
        known = ~np.isnan(load_columns(slot.get(mdata), [names.index(name) for name in self.cell_types], rows))
        own = np.array(self.own, dtype=np.int64)
        return known[:, own] | (own < 0)

    def elsewhere(self, mdata: Any, cell_type: str) -> Contexts:
        """Read one cell type in place of each of those that were trained on, as if it were the own one of every output.

        The scale of one that was not among them is measured on all regions of `mdata`: the mean over those that are
        open in it, as it was in training. Calls need none.

        Raises
        ------
        ValueError
            When `mdata` lacks it, or hardly a region is open in it.
        """
        (_keys.OPEN if self.layer == "open" else _keys.ACCESSIBILITY).get(mdata)
        check_cell_type(cell_type, mdata[_keys.ATAC].var_names)
        alone = Contexts([cell_type], self.layer, np.ones(1, dtype=np.float32), ())
        if cell_type in self.cell_types:
            scale = self.scale[self.cell_types.index(cell_type)]
        else:
            scale = 1.0 if self.layer == "open" else alone._mean(mdata)
        n_read = len(self.cell_types)
        return self._replace(cell_types=[cell_type] * n_read, scale=np.full(n_read, scale, dtype=np.float32))

    def _mean(self, mdata: Any) -> float:
        """Mean accessibility of the regions that are open in the only cell type."""
        total, count = 0.0, 0
        for rows in row_chunks(mdata.n_obs):
            is_open = self.is_open(mdata, rows)
            total += float(self.read(mdata, rows)[is_open].sum(dtype=np.float64))
            count += int(is_open.sum())
        if count < LEAST_OPEN or total <= 0:
            msg = (
                f"Expected {LEAST_OPEN} regions or more that are open in {self.cell_types[0]!r}, whose mean accessibility is the unit "
                f"of what the task reads; found {count}. Give more regions at once, or fit a task with tf_weight='open'."
            )
            raise ValueError(msg)
        return total / count

    def assumed(self, n_regions: int, cell_type: str | None) -> np.ndarray:
        """What is taken where nothing was measured: open in all cell types, or in the named one only."""
        own = [float(cell_type is None or name == cell_type) for name in self.cell_types]
        return np.tile(np.array([*own, self.usual][: self.width], dtype=np.float32), (n_regions, 1))

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Settings and tensors, for `restore`."""
        settings = {"cell_types": self.cell_types, "layer": self.layer, "own": list(self.own)}
        settings |= {"atlas": list(self.atlas), "usual": self.usual}
        return settings, {"scale": torch.from_numpy(self.scale)}

    @classmethod
    def restore(cls, settings: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Contexts:
        """Rebuild from what `state` returned."""
        atlas, usual = tuple(settings.get("atlas", ())), settings.get("usual", 0.0)
        return cls(
            settings["cell_types"], settings["layer"], tensors["scale"].numpy(), tuple(settings["own"]), atlas, usual
        )


def gate(context: np.ndarray, own: Sequence[int]) -> np.ndarray:
    """Accessibility in the own cell type of each output, 0 where it has none ``(regions, outputs)``."""
    columns = np.asarray(own)
    return context[:, columns] * (columns >= 0)


def read_codes(mdata: Any, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Read bases into memory."""
    return np.ascontiguousarray(load(_keys.DNA_CODE.get(mdata), rows), dtype=np.uint8)


def check_assumed(contexts: Contexts | None, cell_type: str | None) -> None:
    """Raise unless a task that reads `contexts` can take sequences as open in `cell_type` only.

    Raises
    ------
    ValueError
        When it does not read that cell type, or none at all.
    """
    if cell_type is None:
        return
    if contexts is None:
        msg = f"Expected no `cell_type`, since this task reads no accessibility; found {cell_type!r}. Leave it out."
        raise ValueError(msg)
    check_cell_type(cell_type, contexts.cell_types)


def pad_codes(codes: np.ndarray, length: int, *, is_centred: bool) -> np.ndarray:
    """Add N to sequences that are shorter than `length`, as they were padded that a task was fitted with."""
    missing = max(length - codes.shape[1], 0)
    left = missing // 2 if is_centred else 0
    return np.pad(codes, ((0, 0), (left, missing - left)), constant_values=N) if missing else np.asarray(codes)
