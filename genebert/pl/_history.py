"""Loss curves of pre-training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib import pyplot as plt

from genebert import _keys, get
from genebert._validate import check_literal
from genebert.pl import _style

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from mudata import MuData

__all__ = ["history"]

PANEL = (3.4, 2.8)  # inches
SAME = 0.02  # chance levels that differ by less count as one
LINES = {
    "train": {"color": _style.PALETTE[4], "lw": 1.2},
    "val": {"color": _style.PALETTE[0], "lw": 2, "marker": "o", "ms": 4},
}


def history(
    mdata: MuData,
    *,
    key: str = _keys.UNS,
    metric: str = "loss",
    objective: str | None = None,
    ax: Axes | None = None,
) -> Axes | np.ndarray:
    """Draw how pre-training went: one panel per objective, train and validation, with the value of guessing.

    Parameters
    ----------
    mdata
        Regions that were pre-trained on.
    key
        The `key_added` given to `genebert.tl.pretrain`.
    metric
        The measurement to draw, one of the column ``metric`` of `genebert.get.history`.
    objective
        Draw this one only. By default all.
    ax
        Where to draw; needs `objective` unless there is only one.

    Returns
    -------
    The `Axes`, or an array with one for each objective.

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=120)
    >>> model = gb.tl.pretrain(mdata, preset="tiny", max_epochs=1)
    >>> axes = gb.pl.history(mdata)
    """
    table = get.history(mdata, key=key)
    check_literal(metric, sorted(table["metric"].astype(str).unique()), name="metric")
    table = table[table["metric"] == metric]
    objectives = list(dict.fromkeys(table["objective"].astype(str)))
    if objective is not None:
        check_literal(objective, objectives, name="objective")
        objectives = [objective]
    if ax is None:
        width, height = PANEL
        _, axes = plt.subplots(
            1, len(objectives), figsize=(width * len(objectives), height), layout="constrained", squeeze=False
        )
        axes = axes[0]
    elif len(objectives) == 1:
        axes = [ax]
    else:
        msg = f"Expected `objective` with `ax`, one of {', '.join(map(repr, objectives))}; found None."
        raise ValueError(msg)
    for panel, name in zip(axes, objectives, strict=True):
        _draw(panel, table[table["objective"] == name], title=name.replace("_", " "), metric=metric)
    _legend(axes)
    return axes[0] if len(objectives) == 1 else axes


def _legend(axes: Sequence[Axes]) -> None:
    """One legend for all panels, where it covers no curve."""
    lines = {line.get_label(): line for ax in axes for line in ax.get_lines()}
    options = {"frameon": False, "fontsize": "small"}
    if len(axes) == 1:
        axes[0].legend(lines.values(), lines, **options)
    else:
        axes[0].figure.legend(lines.values(), lines, loc="outside right upper", **options)


def _draw(ax: Axes, table: pd.DataFrame, *, title: str, metric: str) -> None:
    splits = sorted(table["split"].astype(str).unique())  # train before val
    for split in splits:
        curve = table[table["split"] == split].groupby("step")["value"].mean()
        ax.plot(curve.index, curve.to_numpy(), label=split, **LINES.get(split, {"color": _style.SECOND}))
    for label, chance, colour in _chance_lines(table, splits):
        ax.axhline(chance, color=colour, lw=1.2, ls="--", label=label, zorder=0)
    ax.set(title=title, xlabel="training step", ylabel=metric)
    ax.locator_params(axis="x", nbins=5, integer=True)
    _style.tidy(ax)


def _chance_lines(table: pd.DataFrame, splits: list[str]) -> list[tuple[str, float, str]]:
    """One line where guessing does equally well in all splits; else one each, as when batches differ in size."""
    known = table[table["chance"].notna()]
    medians = known.groupby(known["split"].astype(str))["chance"].median()
    chance = {split: medians[split] for split in splits if split in medians}
    if not chance:
        return []
    if max(chance.values()) - min(chance.values()) <= SAME * max(map(abs, chance.values())):
        return [("guessing", chance.get("val", next(iter(chance.values()))), "0.45")]
    return [
        (f"guessing ({split})", value, LINES.get(split, {}).get("color", "0.45")) for split, value in chance.items()
    ]
