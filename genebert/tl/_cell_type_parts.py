"""Regions of a split as folds take them: features, what was measured, strata, marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from mudata import MuData

from genebert import _keys
from genebert._chunks import load_dense
from genebert._logging import warn
from genebert._validate import listed
from genebert.model import GeneBERT
from genebert.model._seen import Seen
from genebert.tl._cell_type_data import chromosomes_of, codes_of_rows
from genebert.tl._cell_type_scores import draws_of_regions
from genebert.tl._leak_guard import CHROMOSOME, TYPE, encoder_marks, near_duplicates

__all__ = ["Regions", "scored_regions"]

PROMOTER = "promoter"


class Regions(NamedTuple):
    """What is the same for all folds and targets about the regions of a split."""

    rows: np.ndarray
    strata: Mapping[str, np.ndarray]
    """bool ``(regions,)``."""
    weights: np.ndarray
    """Of `draws_of_regions`."""
    near: np.ndarray
    """Regions that share 32 bases with train, bool ``(regions,)``."""
    marks: Mapping[str, Sequence[str]]
    """By cell type."""
    drawn: str
    """What the bootstrap draws: ``"regions"`` or ``"chromosomes"``."""


def scored_regions(
    mdata: MuData,
    rows: Mapping[str, np.ndarray],
    model: GeneBERT | None,
    *,
    cell_types: Sequence[str],
    marks: Sequence[str],
    promoters: str | None,
    n_draws: int,
    seed: int,
) -> dict[str, Regions]:
    """Describe the train and the test regions, and warn of what flatters."""
    train, test = rows["train"], rows["test"]
    codes = codes_of_rows(mdata, np.concatenate([train, test]))
    near = np.zeros(len(test), dtype=bool) if codes is None else near_duplicates(codes, n_train=len(train))
    found = {}
    for name, chosen in rows.items():
        chromosomes = chromosomes_of(mdata, chosen)
        weights, drawn = draws_of_regions(chromosomes, n_draws=n_draws, seed=seed)
        record = {} if model is None else model.training_record
        seen = encoder_marks(record, chromosomes=chromosomes, cell_types=cell_types)
        seen = {cell_type: [*marks, *known] for cell_type, known in seen.items()}
        is_near = near if name == "test" else np.zeros(len(chosen), dtype=bool)
        strata = {**_by_gc(mdata, train, chosen), **_by_promoter(mdata, chosen, promoters)}
        if is_near.any():
            strata["not_near"] = ~is_near
        found[name] = Regions(chosen, strata, weights, is_near, seen, drawn)
    _warn(found["test"], record={} if model is None else model.training_record)
    return found


def _warn(test: Regions, *, record: Mapping) -> None:
    seen = {name for name, marks in test.marks.items() if TYPE in marks}
    if any(CHROMOSOME in marks for marks in test.marks.values()):
        warn(
            f"The encoder saw chromosomes that are scored (it was trained on {listed(sorted(Seen.of(record).chromosomes))}); rows are marked "
            f"{CHROMOSOME!r}. Train one without them: gb.tl.pretrain, or pass model='none'.",
            stacklevel=5,
        )
    if seen:
        warn(
            f"The encoder saw which regions are open in {listed(sorted(seen))}; rows are marked {TYPE!r}.", stacklevel=5
        )
    if test.near.any():
        warn(
            f"{int(test.near.sum())} of {len(test.near)} test regions share 32 bases with a train region; see the stratum 'not_near'.",
            stacklevel=5,
        )


def _by_gc(mdata: MuData, train: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Thirds by GC; their edges are those of the train regions."""
    if not _keys.GC.has(mdata):
        return {}
    gc = np.asarray(_keys.GC.get(mdata), dtype=np.float64)
    low, high = np.nanquantile(gc[train], [1 / 3, 2 / 3])
    return {"gc_low": gc[rows] <= low, "gc_middle": (gc[rows] > low) & (gc[rows] <= high), "gc_high": gc[rows] > high}


def _by_promoter(mdata: MuData, rows: np.ndarray, promoters: str | None) -> dict[str, np.ndarray]:
    """Promoters and what is distal to them, where that is known: of a column of ``seq.obs`` or of the labels."""
    obs = mdata[_keys.SEQ].obs
    if promoters is not None and promoters in obs:
        values = np.asarray(obs[promoters], dtype=np.float32)[rows]
    else:
        column = _promoter_column(mdata, promoters)
        if column is None:
            return {}
        values = load_dense(_keys.LABELS.get(mdata), rows)[:, column]
    return {"distal": values == 0, PROMOTER: values > 0}


def _promoter_column(mdata: MuData, promoters: str | None) -> int | None:
    names = list(mdata[_keys.LABEL].var_names) if _keys.LABELS.has(mdata) else []
    if promoters is not None:
        if promoters not in names:
            msg = f"Expected `promoters` to be a column of mdata['seq'].obs or of the labels; found {promoters!r}."
            raise ValueError(msg)
        return names.index(promoters)
    tasks = [str(task) for task in _keys.LABEL_TASK.get(mdata)] if names and _keys.LABEL_TASK.has(mdata) else []
    of_task = [number for number, task in enumerate(tasks) if task == PROMOTER] or [
        number for number, name in enumerate(names) if name == PROMOTER
    ]
    return of_task[0] if len(of_task) == 1 else None
