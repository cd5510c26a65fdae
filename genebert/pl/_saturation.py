"""Heat map of every single-base change, with the sequence as a logo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from genebert.pl import _style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["saturation"]

COLOURS = {"A": _style.PALETTE[2], "C": _style.PALETTE[0], "G": _style.PALETTE[1], "T": _style.PALETTE[5]}
BASES = list(COLOURS)
WIDTH, HEIGHT = 0.11, 3.2  # inches per position, and in all
NARROWEST, WIDEST = 4.0, 22.0
LETTER = 0.13  # inches of the axis for each letter of a tick, with the gap behind
SIDE, BAR = 0.6, 0.15  # inches beside the heat map; of the colour bar and before it
LOGO = (0.0, 1.06, 1.0, 0.75)  # place above the heat map, in its own units
FONT = FontProperties(family="DejaVu Sans", weight="bold")  # comes with matplotlib


def saturation(effects: pd.DataFrame, *, label: str = "effect", ax: Axes | None = None) -> Axes:
    """Draw what each single-base change of a region does.

    Parameters
    ----------
    effects
        As :func:`genebert.tl.saturation_mutagenesis` returns it.
    label
        Of the colour bar, such as the name of the effect.
    ax
        Where to draw the heat map; the logo is drawn above it.

    Returns
    -------
    The `Axes` of the heat map, bases from top to bottom and positions from left to right. Its child above it holds the logo: the
    height of a base is minus the mean effect of its three changes, so a base that an output needs stands up. An effect without a
    sign, such as ``distance``, stands up as it is.

    Raises
    ------
    ValueError
        When it is no such table.

    Examples
    --------
    >>> effects = gb.tl.saturation_mutagenesis("ACGATAACGTCCGATTGCACCGTACGTA")
    >>> ax = gb.pl.saturation(effects, label="distance")
    """
    _check(effects)
    values = effects[BASES].to_numpy(dtype=np.float64)
    n_positions = len(values)
    if ax is None:
        width = min(max(WIDTH * n_positions, NARROWEST), WIDEST)
        _, ax = plt.subplots(figsize=(width, HEIGHT))
        ax.figure.subplots_adjust(left=SIDE / width, right=1 - SIDE / width, top=0.56, bottom=0.18)
    limit = max(np.nanmax(np.abs(values), initial=0.0), np.finfo(np.float32).tiny)
    ax.set_facecolor(_style.MISSING)
    image = ax.imshow(values.T, aspect="auto", cmap=_style.DIVERGING, vmin=-limit, vmax=limit, interpolation="none")
    ax.set_yticks(range(len(BASES)), BASES)
    width = ax.get_window_extent().width / ax.figure.dpi
    names = [f"{position:,}" for position in effects.index.get_level_values("position")]
    most = max(2, min(8, int(width / (LETTER * max(map(len, names))))))
    ticks = np.unique(np.linspace(0, n_positions - 1, min(n_positions, most)).astype(int))
    ax.set_xticks(ticks, [names[tick] for tick in ticks])
    ax.set_xlabel("position")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(image, ax=ax, label=label, fraction=BAR / width, pad=BAR / width, aspect=12)
    if np.nanmin(values, initial=0.0) >= 0:  # an effect without a sign
        bar.ax.set_ylim(0, limit)
    _draw_logo(ax.inset_axes(LOGO), list(effects.index.get_level_values("base")), _heights(values))
    return ax


def _check(effects: pd.DataFrame) -> None:
    is_table = isinstance(effects, pd.DataFrame) and set(BASES) <= set(effects.columns)
    if not is_table or not {"position", "base"} <= set(effects.index.names) or not len(effects):
        found = list(effects.columns)[:6] if isinstance(effects, pd.DataFrame) else type(effects).__name__
        msg = f"Expected a table of gb.tl.saturation_mutagenesis, with columns A, C, G and T; found {found}."
        raise ValueError(msg)


def _heights(values: np.ndarray) -> np.ndarray:
    """Height of each base: minus the mean effect of its changes; as it is where no effect is negative."""
    means = np.nan_to_num(values).sum(axis=1) / (len(BASES) - 1)
    return means if np.nanmin(values, initial=0.0) >= 0 else -means


def _draw_logo(ax: Axes, bases: list[str], heights: np.ndarray) -> None:
    """Draw each letter as an outline stretched to its height."""
    for place, (base, height) in enumerate(zip(bases, heights, strict=True)):
        if base not in COLOURS or height == 0:
            continue
        outline = TextPath((0, 0), base, size=1, prop=FONT)
        box = outline.get_extents()
        stretch = Affine2D().translate(-box.x0, -box.y0).scale(0.9 / box.width, height / box.height)
        path = stretch.translate(place - 0.45, 0).transform_path(outline)
        ax.add_patch(PathPatch(path, facecolor=COLOURS[base], linewidth=0))
    ax.set_xlim(-0.5, len(bases) - 0.5)
    low, high = min(heights.min(initial=0.0), 0.0), max(heights.max(initial=0.0), 0.0)
    margin = 0.05 * (high - low) or 1.0
    ax.set_ylim(low - margin, high + margin)
    ax.axhline(0, color="0.3", lw=0.6)
    ax.set_xticks([])
    ax.locator_params(axis="y", nbins=3)
    ax.tick_params(labelsize=7)
    _style.tidy(ax)
    ax.spines["bottom"].set_visible(False)
