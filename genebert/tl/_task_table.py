"""The table of a task: metrics of each method, split and output, with intervals, and what the task gains."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from genebert import _keys
from genebert.model._targets import Targets
from genebert.tl._metrics import ONE_CLASS, class_metrics, draw_weights, label_metrics, value_metrics

__all__ = ["ALL", "TASK", "UNSCORED", "evaluation_table"]

TASK = "genebert"
"""The method that the task itself is."""
ALL = "all"
"""The output that stands for all of them: their mean, or all classes together."""
UNSCORED = ("train", "nan")  # splits: what was learnt from, and regions without one
N_DRAWS, MOST_CELLS = 500, 10_000_000
MANY_OUTPUTS, FEW_DRAWS = 4, 100


def evaluation_table(
    predicted: Mapping[str, np.ndarray],
    targets: Targets,
    split: np.ndarray,
    *,
    seed: int,
    is_open: np.ndarray | None = None,
    is_seen: np.ndarray | None = None,
) -> pd.DataFrame:
    """Score methods on the same regions.

    Parameters
    ----------
    predicted
        Probabilities or values by method, float ``(regions, outputs)``; that of the task is called `TASK`.
    targets
        Labels of the regions; those of a regression unscaled.
    split
        Name of the split of each region; all but ``"train"`` are scored.
    seed
        Of the draws.
    is_open
        Whether a region is accessible in the cell type of an output, bool ``(regions, outputs)``: each split is scored within
        those, too, as ``<split>_open``, where accessibility alone tells nothing.
    is_seen
        Whether a region lies where the pre-trained weights saw more than sequence, bool ``(regions,)``; None: nowhere.

    Returns
    -------
    Columns ``_keys.EVALUATION_COLUMNS``. ``low`` and ``high`` are the 95 % bootstrap interval; ``gain`` is what the task has
    over the method, on the same draws.
    """
    rows: list[dict[str, Any]] = []
    is_seen = np.zeros(len(split), dtype=bool) if is_seen is None else is_seen
    within = [("", targets)]
    if is_open is not None:
        within.append(("_open", replace(targets, values=np.where(is_open, targets.values, np.nan))))
    for name in dict.fromkeys(["val", "test", *np.unique(split)]):
        for suffix, labels in within:
            chosen = np.flatnonzero((split == name) & labels.known)
            if name not in UNSCORED and len(chosen):
                found = {method: values[chosen] for method, values in predicted.items()}
                rows += _rows(found, labels.take(chosen), is_seen[chosen], split=name + suffix, seed=seed)
    return pd.DataFrame(rows, columns=list(_keys.EVALUATION_COLUMNS))


def _rows(
    predicted: Mapping[str, np.ndarray], truth: Targets, is_seen: np.ndarray, *, split: str, seed: int
) -> list[dict[str, Any]]:
    n_regions = len(truth.values)
    n_draws = N_DRAWS if truth.n_outputs <= MANY_OUTPUTS else FEW_DRAWS
    n_draws = max(FEW_DRAWS, min(n_draws, MOST_CELLS // n_regions))
    parts = [
        {method: _scored(truth, found, weights) for method, found in predicted.items()}
        for weights in draw_weights(n_regions, n_draws=n_draws, rng=np.random.default_rng(seed), most=MOST_CELLS)
    ]
    scored = _joined(parts)
    rows = []
    for method, outputs in scored.items():
        for output, metrics in outputs.items():
            single = {name: found for name, found in outputs.items() if name != ALL}
            whole = [name for name in single if len(single[name]) == max(map(len, single.values()))]
            sizes = _sizes(truth, output, is_seen, whole)
            for metric, draws in metrics.items():
                gain = _interval(scored[TASK][output][metric] - draws, names=("gain", "gain_low", "gain_high"))
                row = {"method": method, "split": split, "output": output, "metric": metric, **_interval(draws)}
                rows.append({**row, **gain, **sizes})
    return rows


def _joined(parts: list[dict[str, dict[str, dict[str, np.ndarray]]]]) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """All draws of each method, output and metric."""
    return {
        method: {
            output: {name: np.concatenate([part[method][output][name] for part in parts]) for name in metrics}
            for output, metrics in outputs.items()
        }
        for method, outputs in parts[0].items()
    }


def _interval(draws: np.ndarray, names: tuple[str, str, str] = ("value", "low", "high")) -> dict[str, float]:
    known = draws[1:][np.isfinite(draws[1:])]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return dict(zip(names, (float(draws[0]), float(low), float(high)), strict=True))


def _sizes(truth: Targets, output: str, is_seen: np.ndarray, averaged: Collection[str]) -> dict[str, int]:
    """Numbers of regions; of the mean over labels their mean over the `averaged` ones, so that the share of positives fits it."""
    if truth.kind == "multilabel" and output == ALL:
        parts = pd.DataFrame([_sizes(truth, name, is_seen, ()) for name in averaged])
        return {name: int(np.rint(value)) for name, value in parts.mean().items()}
    known, positive = truth.known, 0
    if truth.kind == "multiclass":
        positive = 0 if output == ALL else int((truth.values == truth.outputs.index(output)).sum())
    elif output != ALL:
        values = truth.values[:, truth.outputs.index(output)]
        known, positive = ~np.isnan(values), 0 if truth.kind == "regression" else int((values == 1).sum())
    return {"n_regions": int(known.sum()), "n_positive": positive, "n_seen": int((known & is_seen).sum())}


def _scored(truth: Targets, found: np.ndarray, weights: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Metrics by output; of regions that are all of one class only those of `ONE_CLASS`."""
    if truth.kind == "multiclass":
        number = truth.values[:, 0]
        if len(np.unique(number)) == 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of means over no class
                return {ALL: _of_one_class(class_metrics(number, found, weights))}
        single = {
            name: label_metrics(number == i, found[:, i], weights) for i, name in enumerate(truth.outputs) if (number == i).any()
        }  # fmt: skip
        return {ALL: class_metrics(number, found, weights), **single}
    score = value_metrics if truth.kind == "regression" else label_metrics
    single = {}
    for i, name in enumerate(truth.outputs):
        known = ~np.isnan(truth.values[:, i])
        if known.sum() >= (2 if truth.kind == "regression" else 1):
            metrics = score(truth.values[known, i], found[known, i], weights[:, known])
            is_whole = truth.kind == "regression" or len(np.unique(truth.values[known, i])) == 2
            single[name] = metrics if is_whole else _of_one_class(metrics)
    if truth.n_outputs == 1 or not single:
        return single
    most = max(map(len, single.values()))
    whole = [metrics for metrics in single.values() if len(metrics) == most]
    return {ALL: {name: _known_mean([metrics[name] for metrics in whole]) for name in whole[0]}, **single}


def _of_one_class(metrics: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: metrics[name] for name in ONE_CLASS}


def _known_mean(values: list[np.ndarray]) -> np.ndarray:
    """Mean over outputs of what is known, draw by draw; NaN where nothing is."""
    table = np.stack(values)
    known = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        return np.where(known, table, 0).sum(axis=0) / known.sum(axis=0)
