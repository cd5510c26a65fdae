"""One fold of `cross_cell_type` with accessibility as target: fit, predict, and all that it is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from genebert._validate import listed
from genebert.model._cell_types import CellTypeModel, Features, fit_cell_types
from genebert.model._cell_types_heads import Heads
from genebert.tl._cell_type_folds import Fold
from genebert.tl._cell_type_scores import TargetKind, likeness
from genebert.tl._cell_type_table import ALL, GENEBERT, Block, Column
from genebert.tl._leak_guard import ACTIVITY

__all__ = ["SETTINGS", "CellTypeData", "Known", "Part", "fit_fold", "fold_blocks", "methods_of", "partial_counts"]

Known = Literal["nothing", "train_cell_types"]
FEW = 4  # training types: more than these many open a region that is hardly specific

SETTINGS = {
    GENEBERT: "", "sequence_only": "nothing", "motif_activity": "nothing", "random": "nothing", "mean": "train_cell_types",
    "nearest": "train_cell_types", "mean_sequence": "train_cell_types", "weighted_mean": "train_cell_types",
    "shuffled_activity": "",
}  # fmt: skip
"""What each method is given at the regions that are scored; empty: what the call says."""


class Part(NamedTuple):
    """Regions of a split."""

    features: Features
    target: np.ndarray
    """float32 ``(regions, cell types)``; NaN where not measured."""
    is_open: np.ndarray | None
    """bool ``(regions, cell types)``."""
    strata: Mapping[str, np.ndarray]
    """Those that are the same for all folds, bool ``(regions,)``."""
    weights: np.ndarray
    near: np.ndarray
    marks: Mapping[str, Sequence[str]]
    """By cell type."""
    around: np.ndarray | None
    """What was measured around the regions ``(regions, cell types, reaches)``; None: it is not read."""


class CellTypeData(NamedTuple):
    """What all folds share."""

    cell_types: list[str]
    activity: np.ndarray
    """float32 ``(cell types, TFs)``."""
    tf_weight: str
    """Where that comes from: ``"activity"``, ``"expression"`` or ``"none"``."""
    train: Part
    test: Part
    heads: Heads
    """Of all cell types, from train regions; a head does not depend on the other types."""
    groups: np.ndarray
    """Chromosomes of the train regions."""
    known: Known
    kind: TargetKind
    seed: int
    n_regions: list[int | None]
    """From how many train regions each activity comes; None: from all of them, or from elsewhere."""

    def columns(self, names: Sequence[str]) -> list[int]:
        """Places of cell types."""
        return [self.cell_types.index(name) for name in names]


def partial_counts(numbers: Iterable[int], whole: int) -> list[int | None]:
    """Numbers of regions as `CellTypeModel.predict` takes them; None for all, and for none: then the activity is from elsewhere."""
    return [int(n) if 0 < n < whole else None for n in numbers]


def fit_fold(data: CellTypeData, fold: Fold) -> CellTypeModel:
    """Fit on train regions x training types."""
    learnt = data.columns(fold.learnt)
    around = None if data.train.around is None else data.train.around[:, learnt]
    return fit_cell_types(
        data.train.features, data.train.target[:, learnt], data.activity[learnt], known=data.known, kind=data.kind,
        seed=data.seed, groups=data.groups, heads=data.heads.take(learnt),
        around=around, is_measured=data.tf_weight == "activity",
    )  # fmt: skip


def methods_of(
    data: CellTypeData,
    fold: Fold,
    model: CellTypeModel,
    part: Part,
    names: Sequence[str],
    activity: np.ndarray | None = None,
    *,
    n_regions: int | None = None,
) -> dict[str, np.ndarray]:
    """Predict cell types by all methods, each ``(regions, cell types)``.

    What was measured in one of these cell types at the regions is hidden from all methods.

    Parameters
    ----------
    part
        The regions.
    names
        The cell types.
    activity
        Theirs, where it is not that of `data`.
    n_regions
        From how many regions it was computed, where these are fewer than the train regions; that of `data`: from those in which
        each type was measured.
    """
    types, learnt = data.columns(names), data.columns(fold.learnt)
    measured = np.where(np.isin(learnt, types), np.nan, part.target[:, learnt])
    neighbours = measured if data.known == "train_cell_types" else None
    if neighbours is not None and np.isnan(neighbours).all():
        msg = (
            f"Expected training types measured at the scored regions with known='train_cell_types'; of {listed(fold.learnt)} "
            "nothing is. Use known='nothing'."
        )
        raise ValueError(msg)
    if activity is None:
        activity, n_regions = data.activity[types], [data.n_regions[place] for place in types]
    options = {"neighbours": neighbours, "n_regions": n_regions}
    options["around"] = None if part.around is None else part.around[:, learnt]
    found = dict(model.predict(part.features, activity, parts=True, **options))
    if data.tf_weight == "none":
        found[GENEBERT] = found["sequence_only" if neighbours is None else "mean_sequence"]
    rng = np.random.default_rng([data.seed, len(measured)])
    shuffled = rng.permuted(activity, axis=1)
    found["shuffled_activity"] = model.predict(part.features, shuffled, **options)
    found["random"] = rng.random((len(measured), len(types)), dtype=np.float32)
    found["mean"] = np.repeat(_row_means(measured)[:, None], len(types), axis=1)
    found["nearest"] = _nearest(data, types, learnt, measured)
    return {name: found[name] for name in SETTINGS if name in found}


def _row_means(measured: np.ndarray) -> np.ndarray:
    known = ~np.isnan(measured)
    return np.where(known, measured, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def _nearest(data: CellTypeData, types: Sequence[int], learnt: Sequence[int], measured: np.ndarray) -> np.ndarray:
    """Give what was measured in the training type whose accessibility at train regions is most alike."""
    alike = likeness(data.train.target)
    best = alike[np.ix_(types, learnt)].copy()
    best[np.asarray(types)[:, None] == np.asarray(learnt)] = -np.inf
    return np.nan_to_num(measured[:, best.argmax(axis=1)])


def fold_blocks(data: CellTypeData, fold: Fold, model: CellTypeModel, *, is_full: bool) -> Iterator[Block]:
    """Predict the four quarters of the design, or the headline alone."""
    for regions, part in (("test", data.test), ("train", data.train)):
        for types, names in (("holdout", fold.held_out), ("train", fold.learnt)):
            if is_full or (types, regions) == ("holdout", "test"):
                yield _block(data, fold, model, part, names, types=types, regions=regions)


def _block(
    data: CellTypeData, fold: Fold, model: CellTypeModel, part: Part, names: Sequence[str], *, types: str, regions: str
) -> Block:
    if types == "holdout" or data.known == "nothing":
        predicted = methods_of(data, fold, model, part, names)
    else:  # what was measured in a type itself is hidden, so one at a time
        single = [methods_of(data, fold, model, part, [name]) for name in names]
        predicted = {method: np.hstack([found[method] for found in single]) for method in single[0]}
    marks = part.marks if regions == "test" else {name: [*part.marks.get(name, ()), ACTIVITY] for name in names}
    strata = {
        ALL: np.ones(len(part.target), dtype=bool),
        **_specificity(part, data.columns(fold.learnt)),
        **part.strata,
    }
    return Block(
        holdout=fold.name, types=types, regions=regions, columns=[Column(name) for name in names],
        truth=part.target[:, data.columns(names)], predicted=predicted, strata=strata, weights=part.weights,
        near=part.near, marks=marks,
    )  # fmt: skip


def _specificity(part: Part, learnt: Sequence[int]) -> dict[str, np.ndarray]:
    """Strata by the number of training types in which a region is open; a region's own label has no say."""
    if part.is_open is None:
        return {}
    n_open = part.is_open[:, learnt].sum(axis=1)
    return {
        "open_in_none": n_open == 0,
        f"open_in_1_to_{FEW}": (n_open > 0) & (n_open <= FEW),
        "open_in_more": n_open > FEW,
    }
