"""How good a task is: curves, calibration, and all methods side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib import pyplot as plt

from genebert import _keys, get
from genebert._chunks import load_columns
from genebert._validate import check_literal
from genebert.pl import _style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from mudata import MuData

__all__ = ["evaluation"]

Panel = Literal["roc", "pr", "calibration", "forest"]
SIZE = (3.3, 3.0)  # inches
MOST_CURVES = 8
MAIN = ("pearson", "auroc", "accuracy")
"""What is drawn if nothing is asked for; the last one where there is one class only."""
N_BINS = 10
OPEN = "_open"  # behind the name of a split: within accessible regions
NAMES = {
    "auroc": "AUROC", "auprc": "AUPRC", "mcc": "MCC", "f1": "F1", "calibration_error": "calibration error",
    "pearson": "Pearson correlation", "spearman": "Spearman correlation", "r2": "R²", "rmse": "RMSE",
}  # fmt: skip


def evaluation(
    mdata: MuData,
    *,
    key: str = "task",
    split: str | None = None,
    panel: Panel | None = None,
    metric: str | None = None,
    ax: Axes | None = None,
) -> Axes | np.ndarray:
    """Draw how good a task is: ROC, precision and recall, calibration, and a forest of all methods with intervals.

    Parameters
    ----------
    mdata
        Regions that a task was fitted on.
    key
        The `key_added` of the task.
    split
        ``"val"``, ``"test"``, or one of them within accessible regions, ``"test_open"``; default: test where it was scored.
    panel
        ``"roc"``, ``"pr"``, ``"calibration"`` or ``"forest"``; default: all four, of a regression, and of regions that are all of one class,
        the forest alone.
    metric
        Of the forest; default: AUROC, of a regression Pearson's correlation, of regions of one class accuracy.
    ax
        Where to draw; needs `panel`.

    Returns
    -------
    The `Axes`, or an array of them.

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=240)
    >>> task = gb.tl.classify(mdata, labels="promoter", method="probe", baselines=["kmer"])
    >>> axes = gb.pl.evaluation(mdata)
    """
    if panel is not None:
        check_literal(panel, Panel, name="panel")
    elif ax is not None:
        msg = "Expected `panel` with `ax`, one of 'roc', 'pr', 'calibration', 'forest'; found None."
        raise ValueError(msg)
    table = get.evaluation(mdata, key=key)
    splits = sorted(table["split"].astype(str).unique())  # test before val
    if not splits:
        msg = (
            f"Expected a task {key!r} that was scored; no labelled region was in val or test. See gb.pp.split_regions."
        )
        raise ValueError(msg)
    split = splits[0] if split is None else split
    check_literal(split, splits, name="split")
    is_regression = "pearson" in set(table["metric"])
    found = sorted(table.loc[table["split"] == split, "metric"].astype(str).unique())
    metric = next(name for name in MAIN if name in found) if metric is None else metric
    check_literal(metric, found, name="metric")
    has_curves = "auroc" in found
    panels = [panel] if panel else ["roc", "pr", "calibration", "forest"] if has_curves else ["forest"]
    if not has_curves and panels != ["forest"]:
        what = "a regression" if is_regression else "regions that are all of one class"
        msg = f"Expected panel='forest' of {what}; found {panel!r}."
        raise ValueError(msg)
    if ax is None:
        size = (SIZE[0] * len(panels), SIZE[1])
        axes = plt.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False)[1][0]
    else:
        axes = np.array([ax])
    curves = _labelled(mdata, key=key, split=split) if has_curves else {}
    for axis, name in zip(axes, panels, strict=True):
        if name == "forest":
            _draw_forest(axis, table[(table["split"] == split) & (table["metric"] == metric)], metric=metric)
        else:
            _draw_curves(axis, curves, panel=name)
        _style.tidy(axis)
    return axes[0] if len(axes) == 1 else axes


def _labelled(mdata: MuData, *, key: str, split: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Truth and probability of each output on the labelled regions of a split; the first few outputs."""
    params = _keys.load_record(mdata, "classify", key, filled_by="gb.tl.classify")["params"]
    table = mdata.obsm[f"{key}_proba"]
    of_split = split.removesuffix(OPEN)
    rows = np.flatnonzero(np.asarray(_keys.REGION_SPLIT.get(mdata)) == of_split)
    matrix, names = _keys.LABELS.get(mdata), mdata[_keys.LABEL].var_names
    outputs = [str(name) for name in params["outputs"]]
    found = {}
    for number, output in enumerate(outputs):
        is_class = params["kind"] == "multiclass"
        column = names.get_loc(str(next(iter(params["labels"]))) if is_class else output)
        truth = load_columns(matrix, [column], rows)[:, 0]
        known = ~np.isnan(truth)
        if split != of_split:
            known &= _is_open(mdata, column, rows)
        truth = truth[known] == (number if is_class else 1)
        if 0 < truth.sum() < len(truth) and len(found) < MOST_CURVES:
            found[output] = truth, _column(table, outputs, output)[rows][known]
    return found


def _column(table: pd.DataFrame | Any, outputs: list[str], output: str) -> np.ndarray:
    """One output of all regions; in a store all of them are a matrix."""
    return table[output].to_numpy() if hasattr(table, "columns") else load_columns(table, [outputs.index(output)])[:, 0]


def _is_open(mdata: MuData, column: int, rows: np.ndarray) -> np.ndarray:
    """Whether these regions are accessible in the cell type of a label, bool ``(rows,)``."""
    slot = _keys.OPEN if _keys.OPEN.has(mdata) else _keys.ACCESSIBILITY
    name, names = str(_keys.LABEL_CELL_TYPE.get(mdata).iloc[column]), mdata[_keys.ATAC].var_names
    if name not in names:
        return np.zeros(len(rows), dtype=bool)
    return load_columns(slot.get(mdata), [names.get_loc(name)], rows)[:, 0] > 0


def _draw_curves(ax: Axes, curves: dict[str, tuple[np.ndarray, np.ndarray]], *, panel: str) -> None:
    labels = {
        "roc": ("false positive rate", "true positive rate", "ROC"),
        "pr": ("recall", "precision", "precision and recall"),
        "calibration": ("predicted probability", "frequency", "calibration"),
    }
    curve = {"roc": _roc, "pr": _precision_recall, "calibration": _calibration}[panel]
    for colour, (output, (truth, probability)) in zip(_style.PALETTE, curves.items(), strict=False):
        options = {"marker": "o", "ms": 4} if panel == "calibration" else {}
        ax.plot(*curve(truth, probability), color=colour, lw=1.6, label=output, **options)
        if panel == "pr":
            ax.axhline(truth.mean(), color=colour, lw=0.8, ls=":", zorder=0)
    if panel != "pr":
        ax.plot([0, 1], [0, 1], color="0.6", lw=0.8, ls="--", zorder=0)
    x, y, title = labels[panel]
    ax.set(xlabel=x, ylabel=y, title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if panel == "roc" and curves:
        ax.legend(frameon=False, fontsize="small", loc="lower right")


def _ranked(truth: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives above each distinct probability."""
    order = np.argsort(-probability, kind="stable")
    last = np.flatnonzero(np.diff(probability[order], append=-np.inf))
    return truth[order].cumsum()[last], (~truth[order]).cumsum()[last]


def _roc(truth: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found, false = _ranked(truth, probability)
    return np.r_[0, false / (~truth).sum()], np.r_[0, found / truth.sum()]


def _precision_recall(truth: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found, false = _ranked(truth, probability)
    return found / truth.sum(), found / (found + false)


def _calibration(truth: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean probability and frequency in ten bins, those that hold regions."""
    place = np.minimum((probability * N_BINS).astype(int), N_BINS - 1)
    count = np.bincount(place, minlength=N_BINS)
    used = count > 0
    sums = (np.bincount(place, weights=values, minlength=N_BINS)[used] for values in (probability, truth))
    return tuple(total / count[used] for total in sums)


def _draw_forest(ax: Axes, table: pd.DataFrame, *, metric: str) -> None:
    """One line per method, the best on top; the task in a colour of its own."""
    outputs = table["output"].astype(str)
    table = table[outputs == ("all" if (outputs == "all").any() else outputs.iloc[0])]
    table = table.sort_values("value", ascending=metric not in {"calibration_error", "rmse"}).reset_index(drop=True)
    for place, row in table.iterrows():
        colour = _style.SECOND if row["method"] == "genebert" else _style.PALETTE[0]
        ax.plot([row["low"], row["high"]], [place, place], color=colour, lw=1.6)
        ax.plot(row["value"], place, color=colour, marker="o", ms=5, ls="")
    ax.set_yticks(range(len(table)), table["method"].astype(str).str.replace("_", " "))
    ax.set(xlabel=f"{NAMES.get(metric, metric)} (95 % interval)", title="methods", ylim=(-0.6, len(table) - 0.4))
