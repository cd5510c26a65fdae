"""Predict continuous values of regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mudata import MuData

from genebert import _keys
from genebert._chunks import load_columns, load_dense, row_chunks
from genebert._logging import info
from genebert._validate import check_literal, check_range
from genebert.model import GeneBERT, Task
from genebert.model._targets import Targets
from genebert.model._task_network import FitOptions, TaskStrands
from genebert.tl._task_fit import Method, check_task_options, fit_task
from genebert.tl._task_labels import label_values

__all__ = ["regress"]

Target = Literal["labels", "accessibility"]


def regress(
    mdata: MuData,
    model: GeneBERT | str | Path | None = None,
    *,
    target: Target = "labels",
    labels: str | Sequence[str] | None = None,
    cell_types: Sequence[str] | None = None,
    specificity: float | None = None,
    method: Method = "finetune",
    strands: TaskStrands = "both",
    n_models: int = 1,
    max_epochs: int | None = None,
    batch_size: int = 64,
    baselines: Sequence[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    key_added: str = "regression",
) -> Task:
    """Learn continuous values of regions from their sequence: labels, or the height of accessibility in each cell type.

    Works as :func:`genebert.tl.classify`, with squared error instead of cross-entropy.

    Parameters
    ----------
    mdata
        With sequences, a split, and labels or accessibility.
    model
        A model, the folder of one, or None for the weights that ship with genebert.
    target
        ``"labels"``, or ``"accessibility"``: ``mdata["atac"].X``. No accessibility is ever an input here.
    labels
        Columns of ``mdata["labels"]``; default: all.
    cell_types
        Which ones, with ``target="accessibility"``; default: all.
    specificity
        Learn from, and score, only regions that tell cell types apart: those whose Gini index is more than so many standard
        deviations above the mean, as CREsted filters them (Kempynck et al. 2025). The index is that of ``mdata["atac"].X``
        over all cell types that were measured in the region, whichever `cell_types` are learnt (with ``target="labels"``: over
        the columns in `labels`), negative values taken for 0. Unlike there, mean and deviation are those of the train
        regions.
    method, strands, n_models, max_epochs, batch_size, baselines, seed, device
        See :func:`genebert.tl.classify`.
    key_added
        Name of the results.

    Returns
    -------
    The fitted task. Besides, this writes

    ``mdata.obsm[key_added + "_proba"]``
        float32 DataFrame ``(regions, outputs)``: predicted values.
    ``mdata.uns["genebert"]["regress"][key_added]``
        ``params``, ``table``, ``history`` and ``model``.

    Raises
    ------
    ValueError
        When a column or cell type is missing, too few regions have a value, or `specificity` finds no two columns to compare.

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=240)
    >>> task = gb.tl.regress(mdata, target="accessibility", method="probe", baselines=["kmer"])
    >>> len(task.outputs)
    6
    """
    check_task_options(
        mdata, method=method, strands=strands, n_models=n_models, class_weight=None, max_epochs=max_epochs,
        batch_size=batch_size, baselines=baselines, seed=seed, device=device, key_added=key_added,
    )  # fmt: skip
    check_literal(target, Target, name="target")
    names, values = label_values(mdata, labels) if target == "labels" else _accessibility(mdata, cell_types)
    if specificity is not None:
        check_range(specificity, name="specificity")
        table = values if target == "labels" else _keys.ACCESSIBILITY.get(mdata)
        values = np.where(_is_specific(mdata, table, specificity)[:, None], values, np.float32(np.nan))
    params = {
        "target": target, "labels": names, "specificity": specificity, "method": method, "strands": strands,
        "n_models": n_models, "max_epochs": max_epochs, "batch_size": batch_size, "seed": seed,
    }  # fmt: skip
    options = FitOptions(strands=strands, max_epochs=max_epochs, batch_size=batch_size, seed=seed)
    return fit_task(
        mdata, model, Targets("regression", names, values), verb="regress", method=method, options=options,
        n_models=n_models, class_weight=None, baselines=baselines, tf_weight="none", own_cell_types=None, device=device,
        key_added=key_added, params=params,
    )  # fmt: skip


def _accessibility(mdata: MuData, cell_types: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    matrix = _keys.ACCESSIBILITY.get(mdata)
    known = [str(name) for name in mdata[_keys.ATAC].var_names]
    names = known if cell_types is None else [cell_types] if isinstance(cell_types, str) else list(cell_types)
    for name in names:
        check_literal(name, known, name="cell_types")
    return names, load_columns(matrix, [known.index(name) for name in names]).astype(np.float32, copy=False)


def _is_specific(mdata: MuData, matrix: Any, specificity: float) -> np.ndarray:
    """Whether regions tell the columns of `matrix` apart, bool ``(regions,)``."""
    if matrix.shape[1] < 2:
        msg = (
            f"Expected two columns or more to compare with `specificity`; found {matrix.shape[1]}. Leave `specificity` out, or "
            "read more cell types."
        )
        raise ValueError(msg)
    gini = np.concatenate([_gini(load_dense(matrix, rows)) for rows in row_chunks(mdata.n_obs)])
    train = np.asarray(_keys.REGION_SPLIT.get(mdata)) == "train"
    limit = np.nanmean(gini[train]) + specificity * np.nanstd(gini[train])
    found = gini > limit  # not where nothing was measured
    info(f"{int(found.sum()):,} of {len(gini):,} regions have a Gini index above {limit:.3f}")
    return found


def _gini(values: np.ndarray) -> np.ndarray:
    """Gini index of what is known in each row: 0 where all are alike, near 1 where one has it all; NaN where nothing is."""
    ranked = np.sort(values.clip(min=0).astype(np.float64), axis=1)  # NaN come last
    n = (~np.isnan(ranked)).sum(axis=1)
    ranked = np.nan_to_num(ranked)
    total = ranked.sum(axis=1)
    weighted = (ranked * (2 * np.arange(1, values.shape[1] + 1) - n[:, None] - 1)).sum(axis=1)
    index = np.divide(weighted, n * total, out=np.zeros(len(values)), where=total > 0)
    return np.where(n > 0, index, np.nan)
