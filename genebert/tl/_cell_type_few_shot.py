"""How much of a new cell type must be measured: the curve over regions, or cells, from which its activity comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys
from genebert._chunks import load_dense
from genebert._logging import warn
from genebert.model._cell_types import CellTypeModel
from genebert.tl._cell_type_data import activity_on, is_comparable
from genebert.tl._cell_type_fit import CellTypeData, methods_of, partial_counts
from genebert.tl._cell_type_folds import Fold
from genebert.tl._cell_type_scores import column_draws
from genebert.tl._cell_type_table import ALL, CONTROLS, GENEBERT, interval

__all__ = ["check_cells", "few_shot_rows", "few_shot_table"]

N_REPEATS = 3
BY_ACTIVITY = (GENEBERT, "motif_activity", "weighted_mean")  # what they say hangs on the new type's activity
CPM = 1e6


def check_cells(mdata: MuData) -> None:
    """Raise where counts or numbers of cells are missing, of which cells are drawn."""
    _keys.COUNTS.get(mdata)
    _keys.N_CELLS.get(mdata)


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

    Returns
    -------
    A row per number, method and metric, with all draws: NaN where no activity can be computed from so few.
    """
    rows = []
    for name in fold.held_out:
        place = data.columns([name])[0]
        truth = data.test.target[:, place]
        scored = np.flatnonzero(~np.isnan(truth))
        for unit, asked, n, activities in _measured(mdata, data, name, train, n_regions=n_regions, n_cells=n_cells):
            n_used = partial_counts([n], len(train))[0] if unit == "regions" else data.n_regions[place]
            _tell(len(activities), f"{name} can be computed from n = {n} {unit}")
            nothing_of = () if activities else BY_ACTIVITY
            activities = activities or [np.full_like(data.activity[[place]], np.nan)]
            found = [
                methods_of(data, fold, model, data.test, [name], activity, n_regions=n_used) for activity in activities
            ]
            for method in [method for method in found[0] if method not in CONTROLS]:
                score = [np.full(len(truth), np.nan) if method in nothing_of else each[method][:, 0] for each in found]
                drawn = [_draws(data, truth, scored, each) for each in score]
                about = {
                    "holdout": fold.name,
                    "cell_type": name,
                    "unit": unit,
                    "n": n,
                    "asked": asked,
                    "method": method,
                }
                for metric in drawn[0]:
                    rows.append(
                        {**about, "metric": metric, "draws": np.mean([draws[metric] for draws in drawn], axis=0)}
                    )
    return rows


def _tell(n_found: int, what: str) -> None:
    """Warn, at the line that called the public verb, where some draws give no activity."""
    if not n_found:
        warn(f"No activity of {what}: too little is accessible; its rows are NaN.", stacklevel=6)
    elif n_found < N_REPEATS:
        warn(
            f"An activity of {what} in {n_found} of {N_REPEATS} draws only, too little is accessible in the others; "
            "its rows are means over those.", stacklevel=6,
        )  # fmt: skip


def _draws(data: CellTypeData, truth: np.ndarray, scored: np.ndarray, score: np.ndarray) -> dict[str, np.ndarray]:
    is_known = not np.isnan(score[scored]).any()
    found = column_draws(truth[scored], np.nan_to_num(score[scored]), data.test.weights[:, scored], kind=data.kind)
    return {metric: draws if is_known else np.full_like(draws, np.nan) for metric, draws in found.items()}


def _measured(
    mdata: MuData, data: CellTypeData, name: str, train: np.ndarray, *, n_regions: Sequence[int], n_cells: Sequence[int]
) -> Iterator[tuple[str, int, int, list[np.ndarray]]]:
    """Activities of one cell type from few regions or cells, each ``(1, TFs)``, of several draws; none where nothing was open.

    With them come the unit, how many were asked for, and how many there were to draw.
    """
    column = mdata[_keys.ATAC].var_names.get_loc(name)
    accessibility = load_dense(_keys.ACCESSIBILITY.get(mdata), train)
    measured = np.flatnonzero(~np.isnan(accessibility[:, column]))
    motifs = data.train.features.motifs
    for n in n_regions:
        found = []
        for number in range(N_REPEATS):
            chosen = np.sort(np.random.default_rng([data.seed, n, number]).permutation(measured)[:n])
            if is_comparable(mdata, train[chosen], accessibility[chosen], column):
                found.append(activity_on(mdata, train[chosen], motifs[chosen], accessibility[chosen])[[column]])
        yield "regions", n, min(n, len(measured)), found
    if not len(n_cells):
        return
    counts, there = load_dense(_keys.COUNTS.get(mdata), train)[:, column], int(_keys.N_CELLS.get(mdata)[name])
    is_measured = ~np.isnan(accessibility[:, column])
    counts = np.maximum(np.where(is_measured, counts, 0), 0).astype(np.int64)
    for n in n_cells:
        found = []
        for number in range(N_REPEATS):
            rng = np.random.default_rng([data.seed, n, number])
            drawn = rng.binomial(counts, min(n / there, 1))
            few = accessibility.copy()
            few[:, column] = np.where(is_measured, np.log1p(drawn / max(drawn.sum(), 1) * CPM), np.nan)
            if is_comparable(mdata, train, few, column):
                found.append(activity_on(mdata, train, motifs, few)[[column]])
        yield "cells", n, min(n, there), found


def few_shot_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Give the curve its intervals, and add means over cell types; columns ``_keys.FEW_SHOT_COLUMNS``.

    A mean is over all types, and names the most that any of them had where some have fewer than was asked for.
    """
    draws: dict[tuple, np.ndarray] = {}
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        draws[tuple(row[name] for name in _keys.FEW_SHOT_COLUMNS[:6])] = row["draws"]
        groups.setdefault(tuple(row[name] for name in ("unit", "asked", "method", "metric")), []).append(row)
    for (unit, _, method, metric), parts in groups.items():
        most = max(row["n"] for row in parts)
        draws[ALL, ALL, unit, most, method, metric] = np.mean([row["draws"] for row in parts], axis=0)
    found = [(*place, *interval(values)) for place, values in draws.items()]
    return pd.DataFrame(found, columns=list(_keys.FEW_SHOT_COLUMNS))
