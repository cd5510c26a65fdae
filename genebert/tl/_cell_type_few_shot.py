"""How much of a new cell type must be measured: the curve over regions, or cells, from which its activity comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys
from genebert._chunks import load_dense
from genebert.model._cell_types import CellTypeModel
from genebert.tl._cell_type_data import activity_on
from genebert.tl._cell_type_fit import CellTypeData, methods_of
from genebert.tl._cell_type_folds import Fold
from genebert.tl._cell_type_scores import column_draws
from genebert.tl._cell_type_table import ALL, CONTROLS

__all__ = ["check_cells", "few_shot_rows", "few_shot_table"]

N_REPEATS = 3
CPM = 1e6


def check_cells(mdata: MuData, cell_types: Sequence[str], n_cells: Sequence[int]) -> None:
    """Refuse to draw more cells than were pooled for any of the cell types.

    Raises
    ------
    KeyError
        When counts or numbers of cells are missing.
    ValueError
        When there are fewer cells.
    """
    _keys.COUNTS.get(mdata)
    there = _keys.N_CELLS.get(mdata).loc[list(cell_types)]
    if len(n_cells) and max(n_cells) > there.max():
        msg = f"Expected `few_shot_cells` up to the {there.max()} cells of {there.idxmax()!r}; found {max(n_cells)}. Ask for fewer."
        raise ValueError(msg)


def few_shot_rows(
    mdata: MuData,
    data: CellTypeData,
    fold: Fold,
    model: CellTypeModel,
    *,
    train: np.ndarray,
    n_regions: Sequence[int],
    n_cells: Sequence[int],
) -> list[dict[str, Any]]:
    """Score each held-out type with the activity that few train regions, or few cells, give.

    Parameters
    ----------
    train
        Rows of the train regions.
    n_regions, n_cells
        How many; more than there are: all of them.
    """
    rows = []
    for name in fold.held_out:
        place = data.columns([name])[0]
        truth = data.test.target[:, place]
        scored = np.flatnonzero(~np.isnan(truth))
        for unit, n, activities in _measured(mdata, data, name, train, n_regions=n_regions, n_cells=n_cells):
            n_used = n if unit == "regions" else None
            found = [
                methods_of(data, fold, model, data.test, [name], activity, n_regions=n_used) for activity in activities
            ]
            for method in [method for method in (found[0] if found else ()) if method not in CONTROLS]:
                drawn = [_draws(data, truth, scored, predicted[method][:, 0]) for predicted in found]
                about = {"holdout": fold.name, "cell_type": name, "unit": unit, "n": n, "method": method}
                for metric in drawn[0]:
                    rows.append(
                        {**about, "metric": metric, "draws": np.mean([draws[metric] for draws in drawn], axis=0)}
                    )
    return rows


def _draws(data: CellTypeData, truth: np.ndarray, scored: np.ndarray, score: np.ndarray) -> dict[str, np.ndarray]:
    return column_draws(truth[scored], score[scored], data.test.weights[:, scored], kind=data.kind)


def _measured(
    mdata: MuData, data: CellTypeData, name: str, train: np.ndarray, *, n_regions: Sequence[int], n_cells: Sequence[int]
) -> Iterator[tuple[str, int, list[np.ndarray]]]:
    """Activities of one cell type from few regions or cells, each ``(1, TFs)``; several draws."""
    column = mdata[_keys.ATAC].var_names.get_loc(name)
    accessibility = load_dense(_keys.ACCESSIBILITY.get(mdata), train)
    measured = np.flatnonzero(~np.isnan(accessibility[:, column]))
    motifs = data.train.features.motifs
    for n in n_regions:
        found = []
        for number in range(N_REPEATS):
            chosen = np.sort(np.random.default_rng([data.seed, n, number]).permutation(measured)[:n])
            if (accessibility[chosen, column] > 0).any():
                found.append(activity_on(mdata, train[chosen], motifs[chosen], accessibility[chosen])[[column]])
        yield "regions", min(n, len(measured)), found
    if not len(n_cells):
        return
    counts, there = load_dense(_keys.COUNTS.get(mdata), train)[:, column], int(_keys.N_CELLS.get(mdata)[name])
    for n in n_cells:
        found = []
        for number in range(N_REPEATS):
            rng = np.random.default_rng([data.seed, n, number])
            drawn = rng.binomial(np.maximum(counts, 0).astype(np.int64), min(n / there, 1))
            if drawn.any():
                few = accessibility.copy()
                few[:, column] = np.log1p(drawn / drawn.sum() * CPM)
                found.append(activity_on(mdata, train, motifs, few)[[column]])
        yield "cells", n, found


def few_shot_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Give the curve its intervals, and add means over cell types; columns ``_keys.FEW_SHOT_COLUMNS``."""
    groups: dict[tuple, list[np.ndarray]] = {}
    for row in rows:
        rest = (row["unit"], row["n"], row["method"], row["metric"])
        groups.setdefault((row["holdout"], row["cell_type"], *rest), []).append(row["draws"])
        groups.setdefault((ALL, ALL, *rest), []).append(row["draws"])
    found = []
    for place, draws in groups.items():
        mean = np.mean(draws, axis=0)
        low, high = np.nanpercentile(mean[1:], [2.5, 97.5])
        found.append((*place, float(mean[0]), float(low), float(high)))
    return pd.DataFrame(found, columns=list(_keys.FEW_SHOT_COLUMNS))
