"""From columns of labels to what a task learns, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from mudata import MuData

from genebert import _keys
from genebert._chunks import load_columns, load_dense, row_chunks
from genebert._logging import warn
from genebert._validate import check_names, listed
from genebert.model._targets import Targets

__all__ = [
    "check_train", "class_targets", "default_labels", "label_values", "standardised", "warn_unscored",
    "where_measured",
]  # fmt: skip

LEAST = 5  # regions of each class in train


def default_labels(mdata: MuData, task: str) -> list[str]:
    """Columns of a task, by ``labels.var["task"]``; the only column, where there is one.

    Raises
    ------
    ValueError
        When it is not clear which columns are meant.
    """
    _keys.LABELS.get(mdata)
    var = mdata[_keys.LABEL].var
    names = [str(name) for name in var.index]
    of_task = [name for name, found in zip(names, _keys.LABEL_TASK.get(mdata), strict=True) if str(found) == task]
    if of_task or len(names) == 1:
        return of_task or names
    msg = f"Expected `labels`, since no column of mdata['labels'] has the task {task!r}; found columns {listed(names, most=10)}. Name them."
    raise ValueError(msg)


def label_values(mdata: MuData, labels: str | Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Names of columns and their values, float32 ``(regions, columns)``.

    Raises
    ------
    ValueError
        When a column is missing, or nothing is labelled.
    """
    check_names(labels, name="labels")
    matrix = _keys.LABELS.get(mdata)
    known = mdata[_keys.LABEL].var_names
    names = list(known) if labels is None else [labels] if isinstance(labels, str) else [str(name) for name in labels]
    names = list(dict.fromkeys(names))
    missing = [name for name in names if name not in known]
    if missing or not names:
        found = listed(missing) if missing else "none"
        msg = f"Expected `labels` among the columns of mdata['labels'] ({listed(known, most=10)}); found {found}. Name one of those."
        raise ValueError(msg)
    values = np.asarray(load_columns(matrix, known.get_indexer(names)), dtype=np.float32)
    if np.isnan(values).all():
        msg = f"Expected labelled regions; all values of {listed(names)} are missing. Check `missing_values` when reading them."
        raise ValueError(msg)
    if not np.isfinite(values[~np.isnan(values)]).all():
        msg = f"Expected finite labels; {listed(names)} hold infinite values. Remove them, or make them NaN."
        raise ValueError(msg)
    return names, values


def class_targets(names: list[str], values: np.ndarray, classes: Sequence[str] | None) -> Targets:
    """Tell binary, multi-class and multi-label apart.

    Raises
    ------
    ValueError
        When values are no classes, or `classes` does not name as many as there are.
    """
    found = np.unique(values[~np.isnan(values)])
    if np.isin(found, (0, 1)).all() and classes is None:
        return Targets("binary" if len(names) == 1 else "multilabel", names, values)
    is_whole = (found == np.round(found)).all() and found.min() >= 0
    if len(names) > 1 or not is_whole:
        msg = (
            f"Expected labels of 0, 1 or NaN, or one column of class numbers 0, 1, 2, ...; found {listed(found)} in "
            f"{listed(names)}. Binarise them, or use gb.tl.regress."
        )
        raise ValueError(msg)
    n_classes = int(found.max()) + 1
    if classes is None and n_classes > len(found):
        msg = (
            f"Expected class numbers 0 to {len(found) - 1}, for the {len(found)} classes in {names[0]!r}; found {listed(found)}. "
            "Number the classes without gaps, make other codes NaN (`missing_values`), or use gb.tl.regress."
        )
        raise ValueError(msg)
    classes = [str(number) for number in range(n_classes)] if classes is None else [str(name) for name in classes]
    if len(classes) < max(n_classes, 2):
        msg = f"Expected a name for each class up to {n_classes - 1}; found `classes` {classes}. Name them all."
        raise ValueError(msg)
    return Targets("multiclass", classes, values)


def where_measured(mdata: MuData, targets: Targets, cell_types: Sequence[str]) -> Targets:
    """Leave out labels of regions in which the accessibility that the task reads was not measured, and say how many.

    Parameters
    ----------
    cell_types
        Of each output; those that are not in ``mdata["atac"]`` are not read.

    Raises
    ------
    ValueError
        When nothing is left of a label.
    """
    names = [str(name) for name in mdata[_keys.ATAC].var_names]
    matrix = (_keys.ACCESSIBILITY if _keys.ACCESSIBILITY.has(mdata) else _keys.OPEN).get(mdata)
    values, gaps = targets.values.copy(), {}
    for rows in row_chunks(len(values)):
        known = ~np.isnan(load_dense(matrix, rows))
        for number, name in enumerate(cell_types):
            if name in names:
                is_lost = ~known[:, names.index(name)] & ~np.isnan(values[rows, number])
                values[rows, number] = np.where(is_lost, np.nan, values[rows, number])
                gaps[name] = gaps.get(name, 0) + int(is_lost.sum())
    lost = np.isnan(values).all(axis=0) & ~np.isnan(targets.values).all(axis=0)
    gaps = {name: n for name, n in gaps.items() if n}
    if lost.any():
        gone = dict.fromkeys(name for name, is_lost in zip(cell_types, lost, strict=True) if is_lost)
        msg = (
            f"Expected accessibility of {listed(gone)} in labelled regions, since the task reads it; none was measured there. Use "
            "tf_weight='none', or leave out its labels."
        )
        raise ValueError(msg)
    if gaps:
        told = listed([f"{name} ({n:,})" for name, n in gaps.items()])
        warn(
            f"Accessibility, which the task reads, was not measured in all labelled regions: labels left out of {told}.",
            stacklevel=5,
        )
    return replace(targets, values=values)


def check_train(targets: Targets, train: np.ndarray) -> Targets:
    """Refuse what cannot be learnt; columns of several that are too rare are left out, with a warning.

    Parameters
    ----------
    targets
        Of all regions.
    train
        Regions of the train split, bool ``(regions,)``.
    """
    values = targets.values[train]
    if targets.kind == "multiclass":
        count = np.bincount(values[~np.isnan(values[:, 0]), 0].astype(int), minlength=targets.n_outputs)
        rare = [f"{name} ({n})" for name, n in zip(targets.outputs, count, strict=True) if n < LEAST]
        _refuse_rare(rare)
        return targets
    if targets.kind == "regression":
        enough = (~np.isnan(values)).sum(axis=0) >= 2 * LEAST
        _refuse_constant(targets.outputs, values, enough)
        rare = [f"{name} ({int((~np.isnan(values[:, i])).sum())})" for i, name in enumerate(targets.outputs)]
    else:
        positive, negative = (values == 1).sum(axis=0), (values == 0).sum(axis=0)
        enough = np.minimum(positive, negative) >= LEAST
        rare = [f"{name} ({p} of 1, {n} of 0)" for name, p, n in zip(targets.outputs, positive, negative, strict=True)]
    rare = [text for text, keep in zip(rare, enough, strict=True) if not keep]
    if not enough.any() or targets.kind == "binary":
        _refuse_rare(rare)
    if rare:
        warn(f"Left out {len(rare)} labels with fewer than {LEAST} regions of a class in train: {listed(rare)}.")
        outputs = [name for name, keep in zip(targets.outputs, enough, strict=True) if keep]
        return replace(targets, outputs=outputs, values=targets.values[:, enough])
    return targets


def warn_unscored(is_scored: np.ndarray) -> None:
    """Warn, before a task is fitted, where no labelled region will be scored; bool ``(regions,)``."""
    if not is_scored.any():
        warn(
            "No labelled region is in the val or test split, so the task is fitted, but nothing tells how good it is: its table is empty. "
            "Split the regions first, gb.pp.split_regions(mdata, val=..., test=...), by='similarity' where all lie on one chromosome.",
            stacklevel=5,
        )


def _refuse_rare(rare: list[str]) -> None:
    if rare:
        msg = f"Expected at least {LEAST} regions of each class in the train split; found {listed(rare)}. Label more, or check gb.pp.split_regions."
        raise ValueError(msg)


def _refuse_constant(names: list[str], values: np.ndarray, used: np.ndarray) -> None:
    known = ~np.isnan(values)
    spread = np.where(known, values, -np.inf).max(axis=0) - np.where(known, values, np.inf).min(axis=0)
    if constant := [name for name, alike in zip(names, used & (spread == 0), strict=True) if alike]:
        msg = f"Expected values that differ in the train split; those of {listed(constant)} are all alike. Leave these labels out."
        raise ValueError(msg)


def standardised(targets: Targets, train: np.ndarray) -> tuple[Targets, np.ndarray, np.ndarray]:
    """Bring values to mean 0 and sd 1 over train; return mean and sd, too, float32 ``(outputs,)``."""
    values = targets.values[train].astype(np.float64)
    mean, sd = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    sd = np.where(sd < 1e-6, 1.0, sd)
    scaled = replace(targets, values=((targets.values - mean) / sd).astype(np.float32))
    return scaled, mean.astype(np.float32), sd.astype(np.float32)
