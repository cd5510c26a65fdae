"""Colours that are told apart with any kind of colour vision, and axes without clutter."""

from __future__ import annotations

from matplotlib.axes import Axes

__all__ = ["CONTINUOUS", "DIVERGING", "MISSING", "PALETTE", "SECOND", "palette", "tidy"]

# Okabe and Ito's eight; four darker ones for when there are more groups, where no palette is safe for everybody.
PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#000000",
    "#882255",
    "#44AA99",
    "#332288",
    "#999933",
)
SECOND = PALETTE[5]
MISSING = "#BDBDBD"
DIVERGING = "PuOr_r"
CONTINUOUS = "cividis"


def palette(n_levels: int) -> list[str] | None:
    """Colours for `n_levels` groups; None where these are not enough and scanpy's long list must do."""
    return list(PALETTE[:n_levels]) if n_levels <= len(PALETTE) else None


def tidy(ax: Axes) -> None:
    """Leave only the axes that carry numbers."""
    ax.spines[["top", "right"]].set_visible(False)
