"""Effects of variants along the genome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from genebert._chromosomes import canonical, style_of
from genebert._validate import check_columns, check_literal, check_range, listed
from genebert.pl import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["variant_effect"]

PREFIX, DISTANCE = "effect_", "distance"
SIZE = (7.0, 3.2)  # inches
FONT_SIZE = 7
CORNERS = ((1, 1), (-1, 1), (1, -1), (-1, -1))  # right and up first
SHADES = (_style.PALETTE[0], _style.PALETTE[4])  # of neighbouring chromosomes


def variant_effect(
    effects: pd.DataFrame,
    *,
    effect: str | None = None,
    highlight: str | None = None,
    n_labels: int = 5,
    ax: Axes | None = None,
) -> Axes:
    """Draw the effect of each variant at its place in the genome.

    Parameters
    ----------
    effects
        As :func:`genebert.tl.variant_effect` returns it.
    effect
        Column to draw; by default the first of ``effect_...``, else ``distance``.
    highlight
        Column of 0 and 1, or of False and True, NaN counting as 0: rows that are drawn in another colour, such as known risk variants.
    n_labels
        How many of the greatest effects are named, by their identifier or their place. A name that would lie on another,
        or outside the axes, is left out.
    ax
        Where to draw.

    Returns
    -------
    The `Axes`; variants without an effect are not drawn.

    Raises
    ------
    ValueError
        When a column is missing, `highlight` holds something else than 0 and 1, or no variant has an effect.

    Examples
    --------
    >>> cohort = gb.datasets.toy_cohort(n_individuals=20, n_variants=48)
    >>> effects = gb.tl.variant_effect(cohort.var)
    >>> ax = gb.pl.variant_effect(effects, effect="effect_motif", highlight="risk")
    """
    check_columns(effects.columns, ("chrom", "pos"), what="`effects`")
    check_range(n_labels, name="n_labels", low=0, integer=True)
    choices = [name for name in effects.columns if str(name).startswith(PREFIX)]
    choices += [name for name in (DISTANCE,) if name in effects.columns]
    if not choices:
        msg = "Expected a table of gb.tl.variant_effect, with columns effect_... or distance; found neither."
        raise ValueError(msg)
    effect = choices[0] if effect is None else effect
    check_literal(effect, choices, name="effect")
    marked = _marked(effects, highlight)
    is_shown = effects[effect].notna().to_numpy()
    shown = effects[is_shown].reset_index(drop=True)
    if shown.empty:
        raise ValueError(f"Expected variants with a value of {effect!r}; found none. Their `status` says why.")
    shown["chrom"] = _in_one_style(shown["chrom"].astype(str))
    place, ticks = _places(shown)
    if ax is None:
        _, ax = plt.subplots(figsize=SIZE, layout="constrained")
    _draw(ax, shown, place, list(ticks), effect=effect, marked=marked[is_shown], label=highlight)
    ax.set_xticks(list(ticks.values()), list(ticks), rotation=90 if len(ticks) > 8 else 0, fontsize=8)
    ax.set(xlabel="chromosome", ylabel=effect.replace("_", " "))
    ax.axhline(0, color="0.6", lw=0.6, zorder=0)
    _style.tidy(ax)
    first = np.argsort(-np.abs(shown[effect].to_numpy()), kind="stable")[:n_labels]
    points = np.column_stack([place, shown[effect].to_numpy(dtype=np.float64)])
    _label(ax, [(_name(shown.iloc[row]), row) for row in first], points)
    return ax


def _places(table: pd.DataFrame) -> tuple[np.ndarray, dict[str, float]]:
    """Place of each variant on one axis, chromosome behind chromosome; and the middle of each chromosome."""
    chroms = sorted(table["chrom"].unique(), key=_rank)
    place, ticks, start = np.zeros(len(table)), {}, 0.0
    position = table["pos"].to_numpy(dtype=np.float64)
    rows_of = {chrom: (table["chrom"] == chrom).to_numpy() for chrom in chroms}
    gap = 0.02 * sum(np.ptp(position[rows]) for rows in rows_of.values()) + 1
    for chrom, rows in rows_of.items():
        inside = position[rows]
        place[rows] = start + inside - inside.min()
        ticks[chrom] = start + np.ptp(inside) / 2
        start += np.ptp(inside) + gap
    return place, ticks


def _in_one_style(chroms: pd.Series) -> pd.Series:
    """Names of chromosomes that are spelt in several styles in the first of these."""
    names = chroms.unique()
    if len({style_of(name) for name in names}) == 1:
        return chroms
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(canonical(name), name)
    styled = {key: _like(name, names[0]) for key, name in first.items()}
    return chroms.map({name: styled[canonical(name)] for name in names})


def _like(chrom: str, example: str) -> str:
    """Name of a chromosome in the style of another, where it is a plain one; with accessions, the bare one."""
    bare = canonical(chrom)
    if style_of(example) == "UCSC":
        return f"chr{'M' if bare == 'MT' else bare}" if bare.isalnum() else chrom
    return bare


def _rank(chrom: str) -> tuple[int, int, str]:
    name = canonical(chrom)
    return (0, int(name), "") if name.isascii() and name.isdigit() else (1, 0, name)


def _marked(effects: pd.DataFrame, highlight: str | None) -> np.ndarray:
    """Rows to highlight, bool ``(variants,)``."""
    if highlight is None:
        return np.zeros(len(effects), dtype=bool)
    check_columns(effects.columns, (highlight,), what="`effects`")
    column = effects[highlight].astype(object)
    numbers = pd.to_numeric(column, errors="coerce")
    if (wrong := column.notna() & ~numbers.isin([0, 1])).any():
        msg = (
            f"Expected `highlight` to be a column of 0 and 1, or of False and True; found {listed(map(repr, column[wrong].unique()))} "
            f'in {highlight!r}. Make one: effects["known"] = effects["id"].isin(names).'
        )
        raise ValueError(msg)
    return (numbers == 1).to_numpy()


def _draw(
    ax: Axes,
    table: pd.DataFrame,
    place: np.ndarray,
    chroms: list[str],
    *,
    effect: str,
    marked: np.ndarray,
    label: str | None,
) -> None:
    number = table["chrom"].map({chrom: rank for rank, chrom in enumerate(chroms)}).to_numpy()
    values = table[effect].to_numpy()
    for shade, colour in enumerate(SHADES):
        rows = ~marked & (number % len(SHADES) == shade)
        ax.scatter(place[rows], values[rows], s=9, color=colour, linewidths=0)
    if marked.any():
        ax.scatter(place[marked], values[marked], s=18, color=_style.SECOND, linewidths=0, label=label)
        ax.legend(frameon=False, fontsize="small", loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)


def _label(ax: Axes, names: list[tuple[str, int]], points: np.ndarray) -> None:
    """Write names beside points, in the first of four corners that is inside and free of names and, if one is, of points."""
    ax.figure.canvas.figure.draw_without_rendering()  # the whole figure, so that the axes have their size
    unit = 72 / ax.figure.dpi  # points of print in a pixel
    size = ax.get_window_extent().size * unit
    where = ax.transAxes.inverted().transform(ax.transData.transform(points)) * size
    taken: list[tuple[np.ndarray, np.ndarray]] = []  # middle and extent of each name
    for name, row in names:
        text = ax.annotate(name, points[row], xytext=(0, 0), textcoords="offset points", fontsize=FONT_SIZE)
        extent = text.get_window_extent().size * unit
        corners = [(corner, where[row] + np.array(corner) * (extent / 2 + 3)) for corner in CORNERS]
        free = [
            (corner, middle) for corner, middle in corners
            if (middle >= extent / 2).all() and (middle + extent / 2 <= size).all()
            and not any((np.abs(middle - other) < (extent + its) / 2).all() for other, its in taken)
        ]  # fmt: skip
        if not free:
            text.remove()
            continue
        (dx, dy), middle = min(free, key=lambda found: (np.abs(where - found[1]) < extent / 2 + 1).all(axis=1).any())
        taken.append((middle, extent))
        text.set(ha="left" if dx > 0 else "right", va="bottom" if dy > 0 else "top")
        text.set_position((3 * dx, 3 * dy))


def _name(row: pd.Series) -> str:
    name = str(row.get("id", "") or "")
    return name if name and name != "." else f"{row['chrom']}:{row['pos']}"
