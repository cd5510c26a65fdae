"""A cell type that no model has seen, from its TF activity: heads of other types, weighted, and what its motifs say.

Each training type has a head, a ridge regression of its accessibility on motif scores, 6-mers and the encoder's vector.
A new type enters through its TF activity alone, computed from its accessibility on other regions:

- **Alike types.** Their heads, and what was measured in them where that is known, are weighted by kriging: covariance
  between types falls with the correlation of their activities (co-regionalisation; Goovaerts 1997).
- **Motifs.** Activities are correlations of motif and accessibility. Multiplied by the inverse of the correlation of motifs
  among each other they are the ridge regression of the new type's accessibility on motif scores (motif activity response
  analysis, Balwierz et al. 2014; from summary statistics as for polygenic scores, Mak et al. 2017).

How much each counts is learnt on training types, each of which plays the new one in turn, with and without its nearest
relatives (stacking, Wolpert 1992). The heads are out of fold there, and so are the activities: a region's own label would
be in them otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from genebert.model._cell_types_heads import Features, Heads, Scores, fit_heads, standardised
from genebert.model._cell_types_mix import Combiner, fit_combiner, neighbour_columns, relatives, sequence_columns
from genebert.model._cell_types_mix import weights_of as mixing_weights

__all__ = ["CellTypeModel", "Features", "fit_cell_types", "fit_heads"]

Known = Literal["nothing", "train_cell_types"]
Kind = Literal["binary", "value"]

LEFT_OUT = (0, 2, 4)
"""Nearest relatives that are missing, too, when a training type plays the new one."""
MOST_ROWS = 1_000_000  # regions x cell types x relatives left out that the last step is fitted on


@dataclass
class CellTypeModel:
    """Accessibility of cell types that were not trained on."""

    known: Known
    kind: Kind
    heads: Heads
    activity: np.ndarray
    """Of the training types, float32 ``(cell types, TFs)``."""
    combiners: dict[str, Combiner]
    centre: np.ndarray
    spread: np.ndarray
    """Of the target in each training type."""

    def __post_init__(self) -> None:
        self._last: tuple[Features, Scores] | None = None

    def predict(
        self, features: Features, activity: np.ndarray, *, neighbours: np.ndarray | None = None, parts: bool = False
    ) -> np.ndarray | dict[str, np.ndarray]:
        """Predict new cell types.

        Parameters
        ----------
        features
            Of the regions.
        activity
            Of the new types ``(cell types, TFs)``.
        neighbours
            What was measured in the training types at these regions ``(regions, training types)``; NaN where nothing was.
            Only with ``known="train_cell_types"``.
        parts
            Whether to return what the prediction is compared with, too.

        Returns
        -------
        float64 ``(regions, cell types)``, probabilities or values; with `parts` a dict of them: ``genebert``,
        ``sequence_only`` (mean of the heads), ``motif_activity`` and, where neighbours are known, ``mean_sequence`` (the
        model without the new type's activity) and ``weighted_mean`` (by activity).
        """
        if (neighbours is None) != (self.known == "nothing"):
            msg = f"Expected `neighbours` if and only if known='train_cell_types'; this model knows {self.known!r}."
            raise ValueError(msg)
        scores = self._scores(features)
        columns = [self._predict_one(scores, each, neighbours, parts=parts) for each in np.atleast_2d(activity)]
        found = {name: np.column_stack([column[name] for column in columns]) for name in columns[0]}
        return found if parts else found["genebert"]

    def _scores(self, features: Features) -> Scores:
        if self._last is None or self._last[0] is not features:
            self._last = features, self.heads.score(features)
        return self._last[1]

    def _predict_one(
        self, scores: Scores, activity: np.ndarray, neighbours: np.ndarray | None, *, parts: bool
    ) -> dict[str, np.ndarray]:
        used = np.arange(len(self.activity))
        if neighbours is not None:
            used = np.flatnonzero(~np.isnan(neighbours).all(axis=0))
        case = _Case(scores.heads, scores.motifs, activity, self.activity, self._standard(neighbours))
        found = {"genebert": self._finish("genebert", case, used)}
        if parts:
            found["sequence_only"] = self._finish("sequence_only", case, used)
            found["motif_activity"] = np.asarray(scores.motifs @ activity, dtype=np.float64)
            if neighbours is not None:
                found["mean_sequence"] = self._finish("mean_sequence", case, used)
                weight = mixing_weights(activity, self.activity[used])
                found["weighted_mean"] = case.neighbours[:, used] @ weight
        return found

    def _finish(self, name: str, case: _Case, used: np.ndarray) -> np.ndarray:
        value = self.combiners[name](case.columns(name, used))
        return value * self.spread.mean() + self.centre.mean() if self.kind == "value" else value

    def _standard(self, neighbours: np.ndarray | None) -> np.ndarray | None:
        if neighbours is None:
            return None
        return _filled((neighbours - self.centre) / self.spread)


@dataclass(frozen=True)
class _Case:
    """Regions, one cell type that is new there, and those that are not."""

    heads: np.ndarray
    motifs: np.ndarray
    activity: np.ndarray
    others: np.ndarray
    neighbours: np.ndarray | None

    def columns(self, name: str, used: np.ndarray) -> np.ndarray:
        """What the combiner of that name reads, float64 ``(regions, columns)``."""
        activity = None if name in ("sequence_only", "mean_sequence") else self.activity
        found = sequence_columns(self.heads[:, used], self.motifs, activity, self.others[used])
        if self.neighbours is None or name == "sequence_only":
            return found
        return np.hstack([found, neighbour_columns(self.neighbours[:, used], activity, self.others[used])])


def _filled(values: np.ndarray) -> np.ndarray:
    """Standardised values, those that are missing replaced by the region's mean."""
    known = ~np.isnan(values)
    mean = np.where(known, values, 0).sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, values, mean)


def fit_cell_types(
    features: Features,
    target: np.ndarray,
    activity: np.ndarray,
    *,
    known: Known,
    kind: Kind,
    seed: int,
    groups: np.ndarray | None = None,
    heads: Heads | None = None,
) -> CellTypeModel:
    """Fit on train regions and training types.

    Parameters
    ----------
    features
        Of the train regions.
    target
        float32 ``(regions, training types)``: 0 or 1, or values; NaN where not measured.
    activity
        Of the training types, from train regions, float32 ``(training types, TFs)``.
    known
        ``"nothing"``, or what was measured in the ``"train_cell_types"`` at the regions that will be predicted.
    kind
        ``"binary"`` or ``"value"``.
    seed
        Of the folds.
    groups
        Of the regions, such as chromosomes: heads are cross-fitted over whole groups. None: over single regions.
    heads
        Those of the training types, if `fit_heads` was run on these regions before; the same for all choices of types.
    """
    if target.shape[1] < 2 and known == "train_cell_types":
        msg = "Expected at least two training cell types with known='train_cell_types'; found one. Use known='nothing'."
        raise ValueError(msg)
    heads = fit_heads(features, target, seed=seed, groups=groups) if heads is None else heads
    centre = np.nanmean(target, axis=0)
    spread = np.nanstd(target, axis=0)
    model = CellTypeModel(known, kind, heads, activity, {}, centre, np.where(spread > 0, spread, 1))
    names = ["genebert", "sequence_only", *(["mean_sequence"] if known == "train_cell_types" else [])]
    for name in names:
        parts = list(_rehearsals(model, target, name, seed=seed))
        matrix, wanted = (np.concatenate(part) for part in zip(*parts, strict=True))
        model.combiners[name] = fit_combiner(matrix, wanted, kind=kind)
    return model


def _rehearsals(
    model: CellTypeModel, target: np.ndarray, name: str, *, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Let each training type play the new one; what the combiner reads and what it should say."""
    n_types = target.shape[1]
    wanted = target if model.kind == "binary" else (target - model.centre) / model.spread
    neighbours = model._standard(target) if model.known == "train_cell_types" else None
    left_out = sorted({min(number, max(n_types - 3, 0)) for number in LEFT_OUT})
    share = min(1.0, MOST_ROWS / (len(left_out) * target.size))
    rng = np.random.default_rng(seed)
    for fold in range(model.heads.folds.max() + 1):
        everywhere = model.activity + model.heads.change[fold]
        for new in range(n_types):
            for number in left_out:
                rows = np.flatnonzero((model.heads.folds == fold) & ~np.isnan(target[:, new]))
                rows = rows[rng.random(len(rows)) < share]
                used = relatives(everywhere, new, n_left_out=number)
                near = None if neighbours is None else neighbours[rows]
                case = _Case(model.heads.out_of_fold[rows], model.heads.motifs[rows], everywhere[new], everywhere, near)
                yield case.columns(name, used), wanted[rows, new]
