"""What is known of cell types that were held out: all methods with intervals, differences, and the few-shot curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib import pyplot as plt

from genebert import _keys, get
from genebert._validate import check_literal
from genebert.pl import _style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from mudata import MuData

__all__ = ["cross_cell_type"]

Panel = Literal["methods", "difference", "few_shot"]
ALL, OURS = "all", "genebert"
APART = 1.5
WIDTH, LINE = 4.6, 0.42  # inches: of a panel, of a cell type
NAMES = {
    "auroc": "AUROC", "auprc": "AUPRC", "pearson": "Pearson correlation", "spearman": "Spearman correlation",
    "within_region_auroc": "within-region AUROC",
}  # fmt: skip
CHANCE = {"auroc": 0.5, "within_region_auroc": 0.5, "pearson": 0.0, "spearman": 0.0}
LOOKS = {
    OURS: (5, "o"), "mean_sequence": (0, "s"), "weighted_mean": (1, "D"), "mean": (2, "^"), "nearest": (3, "v"),
    "sequence_only": (4, "D"), "motif_activity": (8, "P"), "open_sequence": (0, "s"), "open_motif": (11, ">"),
    "accessibility": (1, "D"), "motif": (9, "<"), "shuffled_activity": (7, "*"), "shuffled_accessibility": (10, "X"),
}  # fmt: skip
"""Number of the colour, and marker: a method keeps them in all figures. Others are grey."""
ORDER = (*LOOKS, "random")


def cross_cell_type(
    mdata: MuData,
    *,
    key: str = "cross_cell_type",
    metric: str | None = None,
    panel: Panel | None = None,
    stratum: str = ALL,
    ax: Axes | None = None,
) -> Axes | np.ndarray:
    """Draw what `genebert.tl.cross_cell_type` measured on held-out cell types and test regions.

    Parameters
    ----------
    mdata
        Regions that it was called with.
    key
        Its `key_added`.
    metric
        Such as ``"auroc"`` (the default), ``"auprc"`` or ``"within_region_auroc"``; of numbers ``"pearson"`` (the default) or ``"spearman"``.
    panel
        ``"methods"``: all methods for each held-out type, with 95 % intervals, sorted; a method that was given more than
        genebert is hollow. ``"difference"``: what genebert has over the best baseline. ``"few_shot"``: the curve over regions or cells
        measured in the new type, hollow likewise. Default: the first two, and the third where it was computed.
    stratum
        Of the regions.
    ax
        Where to draw; needs `panel`.

    Returns
    -------
    The `Axes`, or an array of them.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.tl.cross_cell_type(mdata, "none", holdout=["Monocyte", "Progenitor"])
    >>> axes = gb.pl.cross_cell_type(mdata)
    """
    if panel is not None:
        check_literal(panel, Panel, name="panel")
    elif ax is not None:
        msg = "Expected `panel` with `ax`, one of 'methods', 'difference', 'few_shot'; found None."
        raise ValueError(msg)
    if metric is None:
        there = set(get.cross_cell_type(mdata, key=key, stratum=stratum)["metric"])
        metric = "auroc" if "auroc" in there else "pearson"
    table = get.cross_cell_type(mdata, key=key, metric=metric, stratum=stratum)
    record = _keys.load_record(mdata, "cross_cell_type", key, filled_by="gb.tl.cross_cell_type")
    has_curve = "few_shot" in record and metric in set(record["few_shot"]["metric"])
    panels = [panel] if panel else ["methods", "difference", *(["few_shot"] if has_curve else [])]
    lines = _lines(table)
    if ax is None:
        size = (WIDTH * len(panels) + 1.5, max(3.0, LINE * len(lines) + 1.6))
        axes = plt.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False)[1][0]
    else:
        axes = np.array([ax])
    for axis, name in zip(axes, panels, strict=True):
        if name == "few_shot":
            curve = get.cross_cell_type(mdata, key=key, rows="few_shot", metric=metric)
            _draw_curve(axis, curve, more=_given_more(table), metric=metric)
        else:
            (_draw_methods if name == "methods" else _draw_difference)(axis, table, lines, metric=metric)
        _style.tidy(axis)
    return axes[0] if len(axes) == 1 else axes


def _lines(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    """What each line of the figure is, from below: fold, cell type and TF, sorted by genebert's value; the mean on top."""
    ours = table[table["method"] == OURS].sort_values("value")
    places = list(zip(*(ours[name].astype(str) for name in ("holdout", "cell_type", "tf")), strict=True))
    several_tfs = len({tf for *_, tf in places}) > 1
    shown = [place for place in places if place[0] != ALL and (place[1] != ALL or _is_within(ours)) and (not several_tfs or place[2] == ALL)]  # fmt: skip
    return [*shown, (ALL, ALL, ALL)]


def _is_within(ours: pd.DataFrame) -> bool:
    return bool((ours["metric"] == "within_region_auroc").all())


def _of(table: pd.DataFrame, place: tuple[str, str, str]) -> pd.DataFrame:
    chosen = np.logical_and.reduce(
        [table[name].astype(str) == value for name, value in zip(("holdout", "cell_type", "tf"), place, strict=True)]
    )
    return table[chosen]


def _label(place: tuple[str, str, str], n: int) -> str:
    holdout, cell_type, _ = place
    if holdout == ALL:
        return f"mean of {n}" if n > 1 else "mean"
    return holdout if cell_type == ALL else cell_type


def _looks(method: str) -> tuple[str, str]:
    """Colour and marker."""
    number, marker = LOOKS.get(method, (None, "x"))
    return (_style.MISSING if number is None else _style.PALETTE[number]), marker


def _given_more(table: pd.DataFrame) -> set[str]:
    """Methods that were given what was measured at the scored regions where genebert was given nothing."""
    known = dict(zip(table["method"].astype(str), table["known"].astype(str), strict=True))
    return {name for name, given in known.items() if known[OURS] == "nothing" != given}


def _marker(method: str, more: set[str]) -> dict[str, str]:
    """Colour and marker, as matplotlib takes them; hollow where a method was given more."""
    colour, marker = _looks(method)
    return {"color": colour, "marker": marker, **({"mfc": "white"} if method in more else {})}


def _named(method: str, more: set[str]) -> str:
    return method.replace("_", " ") + (" (measured there)" if method in more else "")


def _draw_methods(ax: Axes, table: pd.DataFrame, lines: list[tuple[str, str, str]], *, metric: str) -> None:
    methods = [name for name in ORDER if name in set(table["method"])]
    more = _given_more(table)
    shift = dict(zip(methods, np.linspace(0.33, -0.33, len(methods)), strict=True))
    for height, place in enumerate(lines):
        for _, row in _of(table, place).iterrows():
            method = str(row["method"])
            y = height + shift[method]
            ax.plot([row["low"], row["high"]], [y, y], color=_looks(method)[0], lw=1.2, alpha=0.7)
            ax.plot(row["value"], y, ms=5 if method == OURS else 4, ls="", **_marker(method, more))
        if height % 2:
            ax.axhspan(height - 0.5, height + 0.5, color="0.96", zorder=0)
    for method in methods:
        ax.plot([], [], ls="", ms=4, label=_named(method, more), **_marker(method, more))
    if metric in CHANCE:
        ax.axvline(CHANCE[metric], color="0.6", lw=0.8, ls="--", zorder=0)
    _name_lines(ax, lines)
    ax.set(xlabel=f"{NAMES.get(metric, metric)} (95 % interval)", title="held-out cell types, test regions")
    ax.legend(frameon=False, fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5), borderaxespad=0.2)


def _draw_difference(ax: Axes, table: pd.DataFrame, lines: list[tuple[str, str, str]], *, metric: str) -> None:
    for height, place in enumerate(lines):
        part = _of(table, place)
        for _, row in part[part["is_best"]].iterrows():
            colour = _style.SECOND if place[0] == ALL else _style.PALETTE[0]
            ax.plot([row["gain_low"], row["gain_high"]], [height, height], color=colour, lw=1.6)
            ax.plot(row["gain"], height, color=colour, marker="o", ms=5, ls="")
            ax.annotate(
                str(row["method"]).replace("_", " "), (row["gain_high"], height), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize="x-small", color="0.4",
            )  # fmt: skip
    ax.axvline(0, color="0.6", lw=0.8, ls="--", zorder=0)
    ax.margins(x=0.3)
    _name_lines(ax, lines)
    ax.set(
        xlabel=f"difference in {NAMES.get(metric, metric)} (95 % interval)", title="genebert minus the best baseline"
    )


def _name_lines(ax: Axes, lines: list[tuple[str, str, str]]) -> None:
    n = len(lines) - 1
    ax.set_yticks(range(len(lines)), [_label(place, n) for place in lines])
    ax.set_ylim(-0.6, len(lines) - 0.4)


def _draw_curve(ax: Axes, table: pd.DataFrame, *, more: set[str], metric: str) -> None:
    """One line per method; regions are drawn through, cells dashed."""
    table = table[table["cell_type"] == ALL]
    units = [unit for unit in ("regions", "cells") if unit in set(table["unit"])]
    for method in [name for name in ORDER if name in set(table["method"])]:
        for unit in units:
            part = table[(table["method"] == method) & (table["unit"] == unit)].sort_values("n")
            label = {"label": _named(method, more)} if unit == units[0] else {}
            ax.plot(
                part["n"], part["value"], ms=4, ls="-" if unit == "regions" else "--", **_marker(method, more), **label
            )
            if method == OURS:
                ax.fill_between(part["n"], part["low"], part["high"], color=_looks(method)[0], alpha=0.15, lw=0)
    ax.set_xscale("log")
    ticks: list[int] = []
    for n in sorted(set(table["n"].astype(int))):
        if not ticks or n >= APART * ticks[-1]:  # labels of closer ones would run into each other
            ticks.append(n)
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.minorticks_off()
    what = units[0] if len(units) == 1 else "regions (solid), cells (dashed)"
    ax.set(xlabel=f"measured in the new type: {what}")
    ax.set(ylabel=NAMES.get(metric, metric), title="few-shot")
    ax.legend(frameon=False, fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5), borderaxespad=0.2)
