"""`cross_cell_type` with TF binding as target: labels of each TF x cell type, gated by the accessibility of the cell type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from mudata import MuData

from genebert import _keys
from genebert._chunks import load_dense
from genebert._logging import info, warn
from genebert._validate import check_literal, check_names, listed
from genebert.model._binding import Sites, own_motifs
from genebert.tl._cell_type_data import Reader, cell_type_weights, open_calls
from genebert.tl._cell_type_fit import Known
from genebert.tl._cell_type_parts import Regions
from genebert.tl._leak_guard import CrossWeight

__all__ = ["BindingData", "BindingPart", "experiment_types", "read_binding"]

_WEIGHTS = ("auto", "accessibility", "open", "none")


class BindingPart(NamedTuple):
    """Regions of a split."""

    sites: Sites
    raw: np.ndarray
    """Accessibility, also where a region is called closed, float32 ``(regions, cell types)``."""
    labels: np.ndarray
    """float32 ``(regions, cell types, TFs)``; NaN where there is no label."""
    regions: Regions


class BindingData(NamedTuple):
    """What all folds share."""

    cell_types: list[str]
    tfs: list[str]
    own: list[list[int]]
    """Motifs of each TF."""
    has_accessibility: np.ndarray
    """bool ``(cell types,)``."""
    activity: np.ndarray | None
    """float32 ``(cell types, motifs)``."""
    train: BindingPart
    test: BindingPart
    known: Known
    seed: int

    def columns(self, names: Sequence[str]) -> list[int]:
        """Places of cell types."""
        return [self.cell_types.index(name) for name in names]


def experiment_types(
    mdata: MuData, labels: Sequence[str] | None, cell_types: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Find the label columns that name a TF and a cell type, and those cell types.

    Raises
    ------
    ValueError
        When a column is missing or names neither, or there is none.
    """
    _keys.LABELS.get(mdata)
    there = [str(name) for name in mdata[_keys.LABEL].var_names]
    about = {
        name: (str(tf), str(cell_type))
        for name, tf, cell_type in zip(there, _keys.LABEL_TF.get(mdata), _keys.LABEL_CELL_TYPE.get(mdata), strict=True)
    }
    empty = {"", "nan", "None"}
    if labels is None:
        names = [name for name in there if not empty & set(about[name])]
    else:
        check_names(labels, name="labels")
        names = [labels] if isinstance(labels, str) else [str(name) for name in labels]
        bad = [name for name in names if name not in about or empty & set(about[name])]
        if bad:
            msg = f"Expected `labels` that name a TF and a cell type in labels.var; found {listed(bad)}. Columns: {listed(there)}."
            raise ValueError(msg)
    if cell_types is not None:
        names = [name for name in names if about[name][1] in set(map(str, cell_types))]
    found = list(dict.fromkeys(about[name][1] for name in names))
    if len(found) < 2:
        msg = f"Expected labels of TFs in two or more cell types, in labels.var['tf'] and ['cell_type']; found {listed(found) or 'none'}."
        raise ValueError(msg)
    return names, found


def read_binding(
    mdata: MuData,
    reader: Reader,
    regions: Mapping[str, Regions],
    experiments: Sequence[str],
    *,
    cell_types: Sequence[str],
    known: Known,
    tf_weight: CrossWeight,
    seed: int,
) -> BindingData:
    """Read what all folds share; parameters are those of `genebert.tl.cross_cell_type`."""
    check_literal(tf_weight, _WEIGHTS, name="tf_weight")
    there = [str(name) for name in mdata[_keys.ATAC].var_names] if _keys.ACCESSIBILITY.has(mdata) else []
    has = np.array([name in there for name in cell_types]) & (tf_weight != "none")
    if tf_weight != "none" and not has.all():
        missing = [name for name, known_ in zip(cell_types, has, strict=True) if not known_]
        warn(f"No accessibility of {listed(missing)}: their binding is predicted from sequence alone.")
    names = mdata[_keys.LABEL].var_names
    columns = names.get_indexer(list(experiments))
    of_tf, of_type = (
        [str(slot.get(mdata).iloc[c]) for c in columns] for slot in (_keys.LABEL_TF, _keys.LABEL_CELL_TYPE)
    )
    tfs = list(dict.fromkeys(of_tf))
    places = [(list(cell_types).index(c), tfs.index(tf)) for c, tf in zip(of_type, of_tf, strict=True)]
    motifs = {name: reader.read(part.rows).motifs for name, part in regions.items()}
    activity = None
    if has.any() and len(there) > 1 and _keys.GC.has(mdata):
        train, scored = regions["train"].rows, regions["test"].rows
        found = cell_type_weights(mdata, reader, motifs["train"], tf_weight="activity", train=train, scored=scored)
        activity = np.zeros((len(cell_types), found.shape[1]), dtype=np.float32)
        activity[has] = np.nan_to_num(
            found[[there.index(name) for name, known_ in zip(cell_types, has, strict=True) if known_]]
        )
    scale = None
    parts = {}
    for name in ("train", "test"):
        part = regions[name]
        openness, is_open = _openness(mdata, part.rows, cell_types, has, layer=tf_weight)
        if scale is None:
            scale = _mean_of_open(openness, is_open)
        gate = np.where(has, np.where(is_open, openness / scale, 0), 1).astype(np.float32)
        sites = Sites(motifs[name], gate, np.where(has, is_open, True))
        parts[name] = BindingPart(
            sites, openness, _labels(mdata, part.rows, columns, places, (len(cell_types), len(tfs))), part
        )
    own = [own_motifs(tf, reader.tfs) for tf in tfs]
    without = [tf for tf, found_ in zip(tfs, own, strict=True) if not found_]
    info(
        f"{len(experiments)} experiments: {len(tfs)} TFs in {len(cell_types)} cell types"
        + (f"; no own motif of {listed(without)}" if without else "")
    )
    return BindingData(list(cell_types), tfs, own, has, activity, parts["train"], parts["test"], known, seed)


def _openness(
    mdata: MuData, rows: np.ndarray, cell_types: Sequence[str], has: np.ndarray, *, layer: str
) -> tuple[np.ndarray, np.ndarray]:
    """Accessibility and calls, ``(regions, cell types)``; what was not measured counts as closed."""
    values = np.zeros((len(rows), len(cell_types)), dtype=np.float32)
    calls = np.zeros(values.shape, dtype=bool)
    if has.any():
        names = list(mdata[_keys.ATAC].var_names)
        columns = [names.index(name) for name, known in zip(cell_types, has, strict=True) if known]
        calls[:, has] = open_calls(mdata, rows, columns)
        slot = _keys.OPEN if layer == "open" else _keys.ACCESSIBILITY
        values[:, has] = np.nan_to_num(load_dense(slot.get(mdata), rows)[:, columns])
    return values, calls


def _mean_of_open(openness: np.ndarray, is_open: np.ndarray) -> np.ndarray:
    total, count = np.where(is_open, openness, 0).sum(axis=0), is_open.sum(axis=0)
    return np.where(total > 0, total / np.maximum(count, 1), 1).astype(np.float32)


def _labels(
    mdata: MuData, rows: np.ndarray, columns: np.ndarray, places: Sequence[tuple[int, int]], shape: tuple[int, int]
) -> np.ndarray:
    values = load_dense(_keys.LABELS.get(mdata), rows)[:, columns]
    found = values[~np.isnan(values)]
    if not np.isin(found, (0, 1)).all():
        msg = f"Expected labels of 0, 1 or NaN; found {listed(np.unique(found)[:5])}. Make ambiguous and withheld ones NaN."
        raise ValueError(msg)
    table = np.full((len(rows), *shape), np.nan, dtype=np.float32)
    for number, (cell_type, tf) in enumerate(places):
        table[:, cell_type, tf] = values[:, number]
    return table
