"""A cell type that no model has seen, from its TF activity: heads of other types, weighted, and what its motifs say.

Each training type has a head, ridge regressions of its accessibility on motif scores, 4- to 6-mers and the encoder's vector: a
linear one and one on a radial kernel (Williams and Seeger 2001), averaged.
A new type enters through its TF activity alone, computed from its accessibility on other regions:

- **Alike types.** Their heads, and what was measured in them where that is known, are weighted by kriging (Goovaerts 1997).
  How the new type's accessibility correlates with theirs is predicted from the correlation of activities.
- **Motifs.** Activities are correlations of motif and accessibility. Multiplied by the inverse of the correlation of motifs
  among each other they are the ridge regression of the new type's accessibility on motif scores (motif activity response
  analysis, Balwierz et al. 2014; from summary statistics as for polygenic scores, Mak et al. 2017).

How much each counts is learnt on training types, each of which plays the new one in turn, with and without its nearest
relatives (stacking, Wolpert 1992). Where measurements are known, boosted trees (Friedman 2001) join in, what is open around a region,
what its motifs say of the alike types, and what kind of sequence it has (principal components of its motifs). The heads are out of
fold there, and so are the activities: a region's own label would be in them otherwise. Where a new type's activity comes from few
regions, the prediction goes back towards the one without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import expit, logit

from genebert.model._cell_types_heads import N_DRAWS, Features, Heads, Scores, fit_heads, standardised
from genebert.model._cell_types_mix import Case, Combiner, Likeness, Measured, correlations, fit_combiner, relatives

__all__ = ["CellTypeModel", "Features", "fit_cell_types", "fit_heads"]

Known = Literal["nothing", "train_cell_types"]
Kind = Literal["binary", "value"]

LEFT_OUT = {"nothing": (0, 2), "train_cell_types": (0,)}
"""Nearest relatives that are missing, too, when a training type plays the new one."""
N_AXES = 3  # principal components of motif strength
SHRINKAGE = 200  # regions of an activity that counts as much as all other knowledge
LEAST_CHANCE = 1e-9  # of a probability whose log-odds are taken
MOST_ROWS = 1_000_000  # regions x cell types x relatives left out that the last step is fitted on


@dataclass(frozen=True)
class CellTypeModel:
    """Accessibility of cell types that were not trained on."""

    known: Known
    kind: Kind
    heads: Heads
    activity: np.ndarray
    """Of the training types, float32 ``(cell types, TFs)``."""
    likeness: np.ndarray
    """Correlation of their accessibility."""
    centre: np.ndarray
    spread: np.ndarray
    """Mean and standard deviation of the target in each training type."""
    combiners: dict[str, Combiner]

    def predict(
        self,
        features: Features,
        activity: np.ndarray,
        *,
        neighbours: np.ndarray | None = None,
        around: np.ndarray | None = None,
        n_regions: int | Sequence[int | None] | None = None,
        used: np.ndarray | None = None,
        parts: bool = False,
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
        around
            The same of other regions nearby, `Surroundings.read`; where the model was fitted with it.
        n_regions
            From how many regions the activity was computed, where these are fewer than the model was fitted on, one number or
            one of each new type; None: from as many. The fewer, the less the motifs count, and the more the prediction is shrunk
            towards the one without the activity.
        used
            Places of the training types that have a say; None: those that were measured in any of these regions, so that this
            hangs on which regions are given at once.
        parts
            Whether to return what the prediction is compared with, too.

        Returns
        -------
        float64 ``(regions, cell types)``, probabilities or values; with `parts` a dict of them: ``genebert``,
        ``sequence_only`` (mean of the heads, in their order), ``motif_activity`` (regression on motifs from the activity alone) and, where
        neighbours are known, ``mean_sequence`` (the model without the new type's activity) and ``weighted_mean`` (by
        activity alone).
        """
        if (neighbours is None) != (self.known == "nothing"):
            msg = f"Expected `neighbours` if and only if known='train_cell_types'; this model knows {self.known!r}."
            raise ValueError(msg)
        scores = self.heads.score(features)
        if used is None:
            used = np.arange(len(self.activity))
            if neighbours is not None and not np.isnan(neighbours).all():  # else nothing is known: each at its mean
                used = np.flatnonzero(~np.isnan(neighbours).all(axis=0))
        measured = None if neighbours is None else self._measured(neighbours, around, used)
        activity, columns = np.atleast_2d(activity), []
        plain = "sequence_only" if self.known == "nothing" else "mean_sequence"
        numbers = [n_regions] * len(activity) if np.ndim(n_regions) == 0 else list(n_regions)
        if len(numbers) != len(activity):
            msg = f"Expected one `n_regions`, or one of each of the {len(activity)} new types; found {len(numbers)}."
            raise ValueError(msg)
        for each, n in zip(activity, numbers, strict=True):
            case = self._case(scores, each, self.activity, used, measured, n_regions=n)
            column = {name: self._finish(name, case) for name in (self.combiners if parts else ["genebert"])}
            if n is not None:
                without = column[plain] if parts else self._finish(plain, case)
                column["genebert"] = self._shrunk(column["genebert"], without, n_regions=n)
            columns.append(column | (case.simple() if parts else {}))
        found = {name: np.column_stack([column[name] for column in columns]) for name in columns[0]}
        return found if parts else found["genebert"]

    def _case(
        self,
        scores: Scores,
        new: np.ndarray,
        activity: np.ndarray,
        used: np.ndarray,
        measured: Measured | None,
        *,
        n_regions: int | None = None,
    ) -> Case:
        turned = self.heads.whitened(np.vstack([new, activity[used]]), n_regions=n_regions)
        likeness = Likeness.of(self.likeness[np.ix_(used, used)], turned[1:], turned[0])
        weights = self.heads.motif_weights(new, n_regions=n_regions)
        components = None
        if measured is not None:
            alike = self.heads.ridge_weights(likeness.mixtures() @ activity[used])  # the new type differs from these
            weights = np.hstack([weights, alike])
            components = scores.motifs @ self.heads.motif_axes[1][:, -N_AXES:].astype(np.float32)
        motifs = scores.motifs @ weights.astype(np.float32)
        return Case(scores.heads[:, used], motifs, likeness, measured, components)

    def _measured(self, neighbours: np.ndarray, around: np.ndarray | None, used: np.ndarray) -> Measured:
        near, levels = self._standard(neighbours)[:, used], None
        if self.kind == "binary":
            levels = np.clip(near * self.spread[used] + self.centre[used], 0, 1)
        if around is not None:
            around = around[:, used]
            if self.kind == "value":
                around = (around - self.centre[used, None]) / self.spread[used, None]
        return Measured(near, levels, around)

    def _finish(self, name: str, case: Case) -> np.ndarray:
        value = self.combiners[name](case.columns(name))
        return value * self.spread.mean() + self.centre.mean() if self.kind == "value" else value

    def _shrunk(self, value: np.ndarray, without: np.ndarray, *, n_regions: int) -> np.ndarray:
        """Shrink towards what is said without the activity, the more so the fewer regions that comes from."""
        whole = len(self.heads.folds)  # from so many it is not shrunk
        trust = min(1.0, n_regions * (whole + SHRINKAGE) / (whole * (n_regions + SHRINKAGE)))
        if self.kind == "value":
            return trust * value + (1 - trust) * without
        value, without = (logit(np.clip(each, LEAST_CHANCE, 1 - LEAST_CHANCE)) for each in (value, without))
        return expit(trust * value + (1 - trust) * without)

    def _standard(self, values: np.ndarray) -> np.ndarray:
        """Standardise; what is missing becomes the region's mean."""
        values = (values - self.centre) / self.spread
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
    around: np.ndarray | None = None,
    is_measured: bool = True,
    n_draws: int = N_DRAWS,
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
    around
        What was measured around the train regions, `Surroundings.read`, where it counts.
    is_measured
        Whether `activity` was computed from accessibility, so that a region's own label is in it; not so of expression.
    n_draws
        Of `fit_heads`, where that is run here.
    """
    if target.shape[1] < 2 and known == "train_cell_types":
        msg = "Expected at least two training cell types with known='train_cell_types'; found one. Use known='nothing'."
        raise ValueError(msg)
    if heads is None:
        heads = fit_heads(features, target, seed=seed, groups=groups, n_draws=n_draws)
    if not is_measured:
        heads = replace(heads, change=np.zeros_like(heads.change))
    values = standardised(target)
    spread = np.nanstd(target, axis=0)
    model = CellTypeModel(
        known, kind, heads, activity, correlations(values.T, values.T), np.nanmean(target, axis=0),
        np.where(spread > 0, spread, 1), combiners={},
    )  # fmt: skip
    names = ["genebert", "sequence_only", *(["mean_sequence"] if known == "train_cell_types" else [])]
    cases = [  # of a rehearsal its few columns are kept, not all cell types
        ({name: case.columns(name) for name in names}, each)
        for case, each in _rehearsals(model, target, seed=seed, around=around)
    ]
    wanted = np.concatenate([each for _, each in cases])
    for name in names:
        model.combiners[name] = fit_combiner(
            np.concatenate([columns[name] for columns, _ in cases]),
            wanted,
            is_binary=kind == "binary",
            with_trees=known != "nothing" and name != "sequence_only",
            keeps_order=name == "sequence_only",
            seed=seed,
        )
    return model


def _rehearsals(
    model: CellTypeModel, target: np.ndarray, *, seed: int, around: np.ndarray | None = None
) -> Iterator[tuple[Case, np.ndarray]]:
    """Let each training type play the new one; what is known of it, and what should be said."""
    n_types = target.shape[1]
    wanted = target if model.kind == "binary" else (target - model.centre) / model.spread
    left_out = sorted({min(number, max(n_types - 3, 0)) for number in LEFT_OUT[model.known]})
    share = MOST_ROWS / (len(left_out) * target.size)
    rng = np.random.default_rng(seed)
    heads = model.heads
    for fold in range(len(heads.change)):
        everywhere = model.activity + heads.change[fold]
        for new in range(n_types):
            rows = np.flatnonzero((heads.folds == fold) & ~np.isnan(target[:, new]))
            rows = rows[rng.random(len(rows)) < share]
            scores = Scores(heads.out_of_fold.heads[rows], heads.out_of_fold.motifs[rows])
            for number in left_out:
                used = relatives(everywhere, new, n_left_out=number)
                measured = None
                if model.known == "train_cell_types":  # a gap is filled with what these types say of a region
                    is_there = np.isin(np.arange(n_types), used)
                    nearby = None if around is None else around[rows]
                    measured = model._measured(np.where(is_there, target[rows], np.nan), nearby, used)
                yield model._case(scores, everywhere[new], everywhere, used, measured), wanted[rows, new]
