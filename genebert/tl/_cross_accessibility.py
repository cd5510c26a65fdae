"""`cross_cell_type` with accessibility as target: read, fit fold by fold, predict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from mudata import MuData

from genebert import _keys
from genebert._logging import info, warn
from genebert._validate import check_range, listed
from genebert.model._cell_types import fit_heads
from genebert.tl._cell_type_data import (
    Reader,
    cell_type_weights,
    chromosomes_of,
    n_measured,
    open_calls,
    surroundings,
    target_values,
)
from genebert.tl._cell_type_few_shot import check_cells, few_shot_rows
from genebert.tl._cell_type_fit import CellTypeData, Known, Part, fit_fold, fold_blocks, partial_counts
from genebert.tl._cell_type_folds import Fold
from genebert.tl._cell_type_parts import Regions
from genebert.tl._cell_type_scores import TargetKind
from genebert.tl._cell_type_table import Block
from genebert.tl._leak_guard import TWIN, CrossWeight, twins

__all__ = ["FewShot", "accessibility_blocks", "read_accessibility"]


class FewShot(NamedTuple):
    """Numbers of regions and of cells from which the activity of a new type is computed."""

    n_regions: Sequence[int]
    n_cells: Sequence[int]

    @classmethod
    def of(
        cls,
        mdata: MuData,
        n_regions: int | Sequence[int] | None,
        n_cells: int | Sequence[int] | None,
        *,
        tf_weight: str,
        target: str,
    ) -> FewShot:
        """Check what is asked for."""
        asked = cls(_numbers(n_regions, name="few_shot"), _numbers(n_cells, name="few_shot_cells"))
        if any(asked) and (target != "accessibility" or tf_weight not in ("auto", "activity")):
            msg = (
                "Expected target='accessibility' and tf_weight='activity' with a few-shot curve, since it is the activity that is "
                f"computed; found {target!r} and {tf_weight!r}."
            )
            raise ValueError(msg)
        if len(asked.n_cells):
            check_cells(mdata)
        return asked


def _numbers(numbers: int | Sequence[int] | None, *, name: str) -> list[int]:
    """Sort numbers; one may stand alone."""
    numbers = [] if numbers is None else list(numbers) if isinstance(numbers, Iterable) else [numbers]
    for number in numbers:
        check_range(number, name=name, low=1, integer=True)
    return sorted(map(int, numbers))


def read_accessibility(
    mdata: MuData,
    reader: Reader,
    regions: Mapping[str, Regions],
    names: Sequence[str],
    *,
    folds: Sequence[Fold],
    known: Known,
    tf_weight: CrossWeight,
    kind: TargetKind,
    seed: int,
) -> CellTypeData:
    """Read what all folds share; parameters are those of `genebert.tl.cross_cell_type`."""
    tf_weight = "activity" if tf_weight == "auto" else tf_weight
    columns = mdata[_keys.ATAC].var_names.get_indexer(list(names)).tolist()
    features = {name: reader.read(part.rows) for name, part in regions.items()}
    train, scored = regions["train"].rows, regions["test"].rows
    weights = cell_type_weights(
        mdata, reader, features["train"].motifs, tf_weight=tf_weight, train=train, scored=scored
    )[columns]  # fmt: skip
    silent = [name for name, row in zip(names, weights, strict=True) if np.isnan(row).all()]
    if silent:
        msg = f"Expected accessible train regions in each cell type, to compute its TF activity; {listed(silent)} have none. Leave them out: cell_types=..."
        raise ValueError(msg)
    has_calls, is_known = kind == "binary" or _keys.OPEN.has(mdata), known == "train_cell_types"
    parts = {}
    for name, part in regions.items():
        target = target_values(mdata, part.rows, columns, kind=kind)
        is_open = open_calls(mdata, part.rows, columns) if has_calls else None
        around = _around(mdata, name, part.rows, target, columns, kind=kind) if is_known else None
        parts[name] = Part(features[name], target, is_open, part.strata, part.weights, part.near, part.marks, around)
    _check_measured(parts["train"].target, names, folds)
    if np.isnan(parts["test"].target).all():
        msg = f"Expected accessibility of {listed(names)} in the test regions, to score it; nothing was measured there. See gb.pp.split_regions."
        raise ValueError(msg)
    weights = np.nan_to_num(weights)
    groups = chromosomes_of(mdata, train)
    heads = fit_heads(features["train"], parts["train"].target, seed=seed, groups=groups)
    numbers = partial_counts(
        n_measured(mdata, train, columns) if tf_weight == "activity" else [0] * len(names), len(train)
    )
    return CellTypeData(
        list(names), weights, tf_weight, parts["train"], parts["test"], heads, groups, known, kind, seed, numbers
    )


def _around(
    mdata: MuData, name: str, rows: np.ndarray, target: np.ndarray, columns: list[int], *, kind: TargetKind
) -> np.ndarray | None:
    """What was measured around the regions of a split: at train regions, and at test regions where these are predicted."""
    split = np.asarray(_keys.REGION_SPLIT.get(mdata)).astype(str)
    found = surroundings(mdata, np.flatnonzero(np.isin(split, ("train", name))), columns, kind=kind)
    return None if found is None else found.read(rows, target)


def _check_measured(target: np.ndarray, names: Sequence[str], folds: Sequence[Fold]) -> None:
    """Refuse to learn from cell types of which nothing was measured in the train regions."""
    learnt = {name for fold in folds for name in fold.learnt}
    unknown = [name for name, column in zip(names, target.T, strict=True) if name in learnt and np.isnan(column).all()]
    if unknown:
        msg = (
            f"Expected accessibility of each training type in the train regions; of {listed(unknown)} none was measured there. Hold them "
            "out in all folds, or leave them out: cell_types=..."
        )
        raise ValueError(msg)


def accessibility_blocks(
    mdata: MuData, data: CellTypeData, folds: Sequence[Fold], *, train: np.ndarray, is_full: bool, few: FewShot
) -> tuple[list[Block], list[dict[str, Any]]]:
    """Fit and predict all folds; give the rows of the few-shot curve, too."""
    blocks, curve = [], []
    for number, fold in enumerate(folds):
        marked = _with_twins(data, fold)
        model = fit_fold(marked, fold)
        blocks += fold_blocks(marked, fold, model, is_full=is_full)
        if any(few):
            curve += few_shot_rows(
                mdata, marked, fold, model, train=train, n_regions=few.n_regions, n_cells=few.n_cells
            )
        info(f"held out {fold.name} ({number + 1} of {len(folds)})")
    return blocks, curve


def _with_twins(data: CellTypeData, fold: Fold) -> CellTypeData:
    """Mark held-out types of which a copy is among the training types."""
    copies = twins(data.train.target, data.cell_types, fold.held_out)
    if not copies:
        return data
    pairs = listed([f"{name} ({other})" for name, other in copies.items()])
    warn(
        f"Training types hold a copy of what is held out: {pairs}; rows are marked {TWIN!r}. Hold them out together.",
        stacklevel=5,
    )
    parts = [
        part._replace(marks={name: [*seen, *([TWIN] if name in copies else [])] for name, seen in part.marks.items()})
        for part in (data.train, data.test)
    ]
    return data._replace(train=parts[0], test=parts[1])
