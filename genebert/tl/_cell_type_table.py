"""The table of `cross_cell_type`: what was predicted in each fold becomes rows with intervals, gains and marks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from genebert import _keys
from genebert.tl._cell_type_scores import WITHIN, TargetKind, column_draws, within_draws

__all__ = ["ALL", "CONTROLS", "GENEBERT", "Block", "Column", "cross_table", "interval"]

GENEBERT, ALL = "genebert", "all"
CONTROLS = ("shuffled_accessibility", "shuffled_activity", "random")
"""Methods that are no baselines: they show what is left when something is taken away."""

_PLACE = ("holdout", "cell_type", "tf", "types", "regions", "stratum", "method", "metric")


class Column(NamedTuple):
    """What is predicted: a cell type, or a TF in a cell type."""

    cell_type: str
    tf: str = ALL


class Block(NamedTuple):
    """Predictions of one fold: cell types {train, holdout} x regions {train, test}."""

    holdout: str
    """Name of the fold."""
    types: str
    """``"train"`` or ``"holdout"``."""
    regions: str
    """``"train"`` or ``"test"``."""
    columns: Sequence[Column]
    truth: np.ndarray
    """``(regions, columns)``; NaN where not measured."""
    predicted: Mapping[str, np.ndarray]
    """By method, each of the shape of `truth`."""
    strata: Mapping[str, np.ndarray]
    """bool ``(regions,)`` or ``(regions, columns)``."""
    weights: np.ndarray
    """Of `draws_of_regions`."""
    near: np.ndarray
    """Regions that share 32 bases with train, bool ``(regions,)``."""
    marks: Mapping[str, Sequence[str]]
    """By cell type."""

    @property
    def is_headline(self) -> bool:
        """Cell types and chromosomes that were not learnt from."""
        return (self.types, self.regions) == ("holdout", "test")


class _Draws(NamedTuple):
    """A metric of one column in one stratum, for each draw."""

    values: np.ndarray
    n_regions: int
    n_positive: int
    n_near: int
    marks: frozenset[str]


def cross_table(
    blocks: Iterable[Block], *, kind: TargetKind, settings: Mapping[str, str], target: str, known: str
) -> pd.DataFrame:
    """Score blocks.

    Parameters
    ----------
    blocks
        Of all folds.
    kind
        Of the target.
    settings
        What a method is given at the regions that are scored: ``"nothing"`` or ``"train_cell_types"``.
    target, known
        Of the call.

    Returns
    -------
    Columns ``_keys.CROSS_COLUMNS``: a row per column in the headline, and the means over columns of a fold and over folds.
    """
    single: dict[tuple[str, ...], _Draws] = {}
    for block in blocks:
        single |= _of_block(block, kind)
    found = _with_means(single)
    frame = pd.DataFrame([_row(place, draws, found) for place, draws in found.items()])
    if not len(frame):
        return pd.DataFrame(columns=list(_keys.CROSS_COLUMNS))
    frame["target"], frame["known"] = target, frame["method"].map(settings)
    frame["is_best"] = _is_best(frame, known)
    return frame[list(_keys.CROSS_COLUMNS)]


def _of_block(block: Block, kind: TargetKind) -> dict[tuple[str, ...], _Draws]:
    """Metrics of each column, method and stratum, and of types held out together within a region."""
    found: dict[tuple[str, ...], _Draws] = {}
    strata = block.strata if block.is_headline else {ALL: block.strata[ALL]}
    for stratum, mask in strata.items():
        masks = np.broadcast_to(mask.reshape(len(mask), -1), block.truth.shape)
        for number, column in enumerate(block.columns):
            rows = np.flatnonzero(masks[:, number] & ~np.isnan(block.truth[:, number]))
            place = (block.holdout, column.cell_type, column.tf, block.types, block.regions, stratum)
            truth, weights, about = block.truth[rows, number], block.weights[:, rows], _about(block, rows, number)
            for method, score in block.predicted.items():
                metrics = column_draws(truth, score[rows, number], weights, kind=kind)
                found |= {(*place, method, metric): _Draws(values, *about) for metric, values in metrics.items()}
    return found | (_within(block) if block.is_headline else {})


def _about(block: Block, rows: np.ndarray, number: int) -> tuple[int, int, int, frozenset[str]]:
    n_near = int(block.near[rows].sum())
    marks = frozenset(block.marks.get(block.columns[number].cell_type, ()))
    n_positive = int((block.truth[rows, number] > 0).sum())
    return len(rows), n_positive, n_near, marks | ({"near_duplicates"} if n_near else frozenset())


def _within(block: Block) -> dict[tuple[str, ...], _Draws]:
    """Which of the types held out together opens a region, TF by TF."""
    found = {}
    for tf in dict.fromkeys(column.tf for column in block.columns):
        numbers = [number for number, column in enumerate(block.columns) if column.tf == tf]
        if len(numbers) < 2:
            continue
        marks = frozenset().union(*(block.marks.get(block.columns[number].cell_type, ()) for number in numbers))
        for method, score in block.predicted.items():
            values, n_regions = within_draws(block.truth[:, numbers], score[:, numbers], block.weights)
            if values is not None:
                place = (block.holdout, ALL, tf, block.types, block.regions, ALL, method, WITHIN)
                found[place] = _Draws(values, n_regions, 0, 0, marks)
    return found


def _with_means(single: Mapping[tuple[str, ...], _Draws]) -> dict[tuple[str, ...], _Draws]:
    """Add means over TFs, over the cell types of a fold, and over folds; off the headline keep the means alone.

    A method that some columns lack, such as accessibility where it was not measured, has no mean: it would be one over others.
    """
    groups: dict[tuple[str, ...], list[_Draws]] = {}
    for place, draws in single.items():
        holdout, cell_type, tf, *rest = place
        above = dict.fromkeys([(holdout, cell_type, ALL), (holdout, ALL, ALL), (ALL, ALL, tf), (ALL, ALL, ALL)])
        for level in above:
            if level != (holdout, cell_type, tf):
                groups.setdefault((*level, *rest), []).append(draws)
    found = {place: draws for place, draws in single.items() if place[3:5] == ("holdout", "test")}
    most: dict[tuple[str, ...], int] = {}
    for place, parts in groups.items():
        most[_asked(place)] = max(most.get(_asked(place), 0), len(parts))
    for place, parts in groups.items():
        if place not in single and len(parts) == most[_asked(place)]:
            found[place] = _mean(parts)
    return found


def _asked(place: tuple[str, ...]) -> tuple[str, ...]:
    """What is measured, by whatever method."""
    return (*place[:6], place[7])


def _mean(parts: Sequence[_Draws]) -> _Draws:
    table = np.stack([part.values for part in parts])
    known = np.isfinite(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.where(known, table, 0).sum(axis=0) / known.sum(axis=0)
    sums = (sum(part[field] for part in parts) for field in (1, 2, 3))
    return _Draws(values, *sums, frozenset().union(*(part.marks for part in parts)))


def _row(place: tuple[str, ...], draws: _Draws, found: Mapping[tuple[str, ...], _Draws]) -> dict[str, Any]:
    row = dict(zip(_PLACE, place, strict=True))

    def over(*methods: str) -> np.ndarray:
        other = next((found[key] for name in methods if (key := (*place[:6], name, place[7])) in found), None)
        return np.full_like(draws.values, np.nan) if other is None else other.values - draws.values

    return {
        **row, **_named(draws.values, "value", "low", "high"), **_named(over(GENEBERT), "gain", "gain_low", "gain_high"),
        **_named(over(*CONTROLS[:2]), "control", "control_low", "control_high"),
        "n_regions": draws.n_regions, "n_positive": draws.n_positive, "n_near": draws.n_near,
        "marks": ",".join(sorted(draws.marks)),
    }  # fmt: skip


def interval(draws: np.ndarray) -> tuple[float, float, float]:
    """Give the estimate, which comes first, and the ends of its 95 % interval; NaN where no draw has a value."""
    known = draws[1:][np.isfinite(draws[1:])]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return float(draws[0]), float(low), float(high)


def _named(draws: np.ndarray, *names: str) -> dict[str, float]:
    return dict(zip(names, interval(draws), strict=True))


def _is_best(frame: pd.DataFrame, known: str) -> np.ndarray:
    """The best baseline of each comparison, among those that were given no more than genebert was."""
    fair = ~frame["method"].isin([GENEBERT, *CONTROLS]) & (frame["known"].isin(["nothing", known]))
    best = np.zeros(len(frame), dtype=bool)
    keys = [name for name in _PLACE if name != "method"]
    candidates = frame[fair & frame["value"].notna()]
    best[candidates.groupby(keys, sort=False)["value"].idxmax().to_numpy(dtype=int)] = True
    return best
