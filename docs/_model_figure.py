"""Draw ``docs/_static/model.svg``: ``python docs/_model_figure.py``."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

FIGURE = Path(__file__).parent / "_static" / "model.svg"

SEQUENCE, REGION, JOINT, LEARNT = "#dbe7f3", "#e3eddc", "#eee3f0", "#fbe9d5"
EDGE, TEXT, FAINT = "#4a5560", "#1f2830", "#6b7782"
TITLE_LINE, TEXT_LINE = 2.9, 2.5  # heights
BASES = {"A": "#5b9a68", "C": "#4f7fb0", "G": "#c9973c", "T": "#b5584f", "?": "#d5d9dd"}


def box(ax: Axes, x: float, y: float, width: float, height: float, title: str, text: str, color: str) -> None:
    """A rounded box with a title and lines below it; `x` and `y` are its centre."""
    shape = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=1.2",
        facecolor=color, edgecolor=EDGE, linewidth=1,
    )  # fmt: skip
    ax.add_patch(shape)
    # One block of lines, centred: the title, then the text.
    heights = TITLE_LINE * (title.count("\n") + 1), TEXT_LINE * (text.count("\n") + 1)
    top = y + sum(heights) / 2
    centres = top - heights[0] / 2, top - heights[0] - heights[1] / 2
    options = {"ha": "center", "va": "center", "color": TEXT}
    ax.text(x, centres[0], title, fontsize=9.8, fontweight="bold", linespacing=1.15, **options)
    ax.text(x, centres[1], text, fontsize=8.4, linespacing=1.3, **options)


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From input to output."""
    style = {"arrowstyle": "-|>,head_width=0.22,head_length=0.45", "color": EDGE, "linewidth": 1.1}
    ax.annotate("", xy=end, xytext=start, arrowprops={**style, "shrinkA": 0, "shrinkB": 0})


def path(ax: Axes, points: list[tuple[float, float]], *, head: bool = True) -> None:
    """Dashed: what an objective reads."""
    style = {"color": "#b07a3a", "linewidth": 1.3}
    ax.plot(*zip(*points, strict=True), linestyle=(0, (3, 2)), **style)
    if head:
        arrowprops = {"arrowstyle": "-|>,head_width=0.25,head_length=0.5", "shrinkA": 0, "shrinkB": 0, **style}
        x, y = points[-1]
        ax.annotate("", xy=(x, y), xytext=(x, y + 0.5), arrowprops=arrowprops)


def draw_sequence(ax: Axes, x: float, y: float) -> None:
    """Bases of a region, some hidden."""
    letters = "ACGTTG????????ATCCATTTGACC"
    side = 1.75
    left = x - side * len(letters) / 2
    for place, letter in enumerate(letters):
        ax.add_patch(Rectangle((left + place * side, y), side, 2.6, facecolor=BASES[letter], edgecolor="white", lw=0.7))
        ax.text(left + (place + 0.5) * side, y + 1.3, letter, ha="center", va="center", fontsize=7.5, color="white")


def draw_matrix(ax: Axes, x: float, y: float) -> None:
    """TFs x regions, some scores hidden."""
    rng = np.random.default_rng(3)
    scores = rng.random((8, 8)) ** 2.2
    hidden = rng.random((8, 8)) < 0.13
    width, height = 4.3, 1.35
    for (tf, region), score in np.ndenumerate(scores):
        color = BASES["?"] if hidden[tf, region] else mpl.colormaps["Greens"](0.12 + 0.75 * score)
        place = (x + (region - 4) * width, y + (7 - tf) * height)
        ax.add_patch(Rectangle(place, width, height, facecolor=color, edgecolor="white", lw=0.7))
    ax.text(
        x - 4 * width - 1.2, y + 4 * height, "TFs", rotation=90, ha="center", va="center", fontsize=8.8, color=FAINT
    )
    ax.text(x, y - 1.6, "neighbouring open regions", ha="center", va="center", fontsize=8.8, color=FAINT)


def draw() -> plt.Figure:
    figure, ax = plt.subplots(figsize=(10.2, 7.4))
    ax.set(xlim=(0, 140), ylim=(0, 101))
    ax.axis("off")
    left, right = 31, 109

    ax.text(left, 98.5, "DNA of a region, either strand", ha="center", fontsize=10, color=TEXT)
    draw_sequence(ax, left, 91)
    ax.text(left, 88.4, "hidden: whole spans of bases", ha="center", va="center", fontsize=8.8, color=FAINT)
    ax.text(right, 98.5, "Motif scores, weighed by the cell type", ha="center", fontsize=10, color=TEXT)
    draw_matrix(ax, right, 86.2)

    arrow(ax, (left, 86.8), (left, 81))
    box(ax, left, 76, 54, 10, "Tokens", "[CLS] k-mer k-mer … [SEP]\nembedding, or motif filters (mini)", SEQUENCE)
    arrow(ax, (left, 71), (left, 66))
    box(
        ax,
        left,
        60.5,
        54,
        11,
        "Transformer × layers",
        "attention over all k-mers\nBERT (paper); rotary, pre-norm (base, mini)",
        SEQUENCE,
    )
    arrow(ax, (left, 55), (left, 50))
    box(ax, left, 45.5, 54, 9, "Sequence vector", "mean over k-mers and strands", SEQUENCE)

    arrow(ax, (right, 83), (right, 81))
    box(
        ax,
        right,
        76,
        54,
        10,
        "Patches of p TFs × 1 region",
        "z-scores over the training regions\nTFs in an order in which neighbours are alike",
        REGION,
    )
    arrow(ax, (right, 71), (right, 66))
    box(
        ax,
        right,
        60.5,
        54,
        11,
        "Shifted-window attention × stages",
        "along TFs and regions; patches are merged\nalong the TFs only: a region keeps its column",
        REGION,
    )
    arrow(ax, (right, 55), (right, 50))
    box(ax, right, 45.5, 54, 9, "Region vector", "all patches of the region's column", REGION)

    arrow(ax, (50, 41), (50, 37.5))
    arrow(ax, (90, 41), (90, 37.5))
    box(ax, 70, 33, 52, 9, "X_genebert", "side by side, each at mean 0 and variance 1", JOINT)

    path(ax, [(4, 60.5), (2.2, 60.5), (2.2, 15)])
    path(ax, [(38.8, 41), (38.8, 15)])
    path(ax, [(87.5, 28.5), (87.5, 15)])
    path(ax, [(58, 45.5), (82, 45.5)], head=False)
    path(ax, [(122.5, 41), (122.5, 15)])
    box(ax, 17, 9, 32, 12, "Masked genome\nmodelling", "which k-mer stood here?", LEARNT)
    box(ax, 52.3, 9, 32, 12, "Next genome\nsegment", "is B the next after A?", LEARNT)
    box(ax, 87.7, 9, 32, 12, "Masked region\nmodelling", "what do hidden TFs score?", LEARNT)
    box(ax, 123, 9, 32, 12, "Sequence–region\nmatching", "which belong together?", LEARNT)
    return figure


def main() -> None:
    mpl.rcParams.update({"svg.hashsalt": "genebert", "svg.fonttype": "path", "font.family": "DejaVu Sans"})
    figure = draw()
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, bbox_inches="tight", pad_inches=0.05, facecolor="white", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
