"""Each cell type's accessibility from the sequence alone, cross-fitted over groups of regions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numba
import numpy as np

from genebert._chunks import row_chunks
from genebert.model._ridge import N_LANDMARKS, Design, Features, Ridge, fit_ridge, kernel, standardised
from genebert.pp._deviations import Sums, match_background

__all__ = ["Features", "Heads", "Scores", "fit_heads", "standardised"]

RADIAL = 2 / 3  # weight of the regression on the kernel
MOTIF_PENALTY = 25_000.0
"""Of the regression of accessibility on motifs, divided by the regions that the activity was computed on."""
LIKENESS_PENALTY = 5_000.0
"""The same, where activities are compared."""
LEAST = 3.0
"""Standard deviations below which an activity may be noise; of a correlation it is one over the root of the regions."""
SPARSE, SPARSE_RIDGE = 3.0, 0.1
"""Of the sparse regression: absolute weights, in standard errors of an activity, and squared ones."""
MAX_SWEEPS, CONVERGED = 100, 1e-4
N_FOLDS = 5
N_BINS = 10  # of `pp.tf_activity`
ROWS = 2**14  # regions scored at once


class Scores(NamedTuple):
    """What the sequence says."""

    heads: np.ndarray
    """Standardised accessibility in each training type, float32 ``(regions, cell types)``."""
    motifs: np.ndarray
    """Standardised motif strength, float32 ``(regions, TFs)``."""


class _Head(NamedTuple):
    """A weighted mean of a linear regression and one on a kernel."""

    linear: Ridge
    radial: Ridge

    @classmethod
    def fit(cls, matrix: np.ndarray, by_kernel: np.ndarray, wanted: np.ndarray, *, metric: np.ndarray) -> _Head:
        return cls(fit_ridge(matrix, wanted), fit_ridge(by_kernel, wanted, metric=metric))

    def __call__(self, matrix: np.ndarray, by_kernel: np.ndarray) -> np.ndarray:
        return (1 - RADIAL) * self.linear(matrix) + RADIAL * self.radial(by_kernel)


@dataclass(frozen=True)
class Heads:
    """Heads of cell types, and what they say of train regions when these are left out."""

    design: Design
    landmarks: np.ndarray
    """Features of the regions that the kernel compares with, float32 ``(landmarks, features)``."""
    head: _Head
    motif_gram: np.ndarray
    """Correlation of motif strengths, float64 ``(TFs, TFs)``."""
    motif_axes: tuple[np.ndarray, np.ndarray]
    """Its eigenvalues and eigenvectors."""
    out_of_fold: Scores
    """Of the train regions."""
    folds: np.ndarray
    """int64 ``(train regions,)``."""
    change: np.ndarray
    """How the activity changes when a fold is left out, float32 ``(folds, cell types, TFs)``."""
    columns: np.ndarray
    """Which of the types are meant."""
    memo: dict[str, tuple[Features, Scores]]
    """Of the regions scored last, by all types."""

    def take(self, columns: list[int] | np.ndarray) -> Heads:
        """Those of some cell types; a head does not depend on the others."""
        heads = self.out_of_fold.heads[:, columns]
        return replace(
            self, out_of_fold=self.out_of_fold._replace(heads=heads), change=self.change[:, columns],
            columns=self.columns[columns],
        )  # fmt: skip

    def score(self, features: Features) -> Scores:
        """Score regions; again without work when they are the same as before."""
        if "last" not in self.memo or self.memo["last"][0] is not features:
            heads = []
            for rows in row_chunks(len(features.motifs), step=ROWS):
                matrix = self.design(features.take(rows))
                heads.append(self.head(matrix, kernel(matrix, self.landmarks)))
            empty = np.zeros((0, self.head.linear.weight.shape[1]), dtype=np.float32)
            self.memo["last"] = features, Scores(np.concatenate([empty, *heads]), self.design.motifs(features))
        found = self.memo["last"][1]
        return found._replace(heads=found.heads[:, self.columns])

    def whitened(self, activity: np.ndarray, *, n_regions: int | None = None) -> np.ndarray:
        """Turn activities ``(cell types, TFs)`` so that motifs that occur together count once; float64.

        Their products are then the covariances of the accessibility that the activities imply.
        """
        n_regions = len(self.folds) if n_regions is None else n_regions
        size, axes = self.motif_axes
        return activity.astype(np.float64) @ (axes / np.sqrt(np.maximum(size, 0) + LIKENESS_PENALTY / n_regions))

    def motif_weights(self, activity: np.ndarray, *, n_regions: int | None = None) -> np.ndarray:
        """Weights of motif strengths that an activity implies: ridge regression from correlations.

        Parameters
        ----------
        activity
            ``(TFs,)``
        n_regions
            From how many regions it was computed; None: as many as the heads were fitted on.

        Returns
        -------
        float64 ``(TFs, 3)``: from the activity as it is, without what may be noise (Breiman's garrote), and sparse weights
        (lasso from summary statistics, Mak et al. 2017): where few TFs act, they alone count.
        """
        n_regions = len(self.folds) if n_regions is None else n_regions
        gram = self.motif_gram + MOTIF_PENALTY / n_regions * np.eye(len(self.motif_gram))
        noise = LEAST / np.sqrt(n_regions)
        firm = activity * np.maximum(0, 1 - (noise / np.maximum(np.abs(activity), 1e-9)) ** 2)
        dense = np.linalg.solve(gram, np.column_stack([activity, firm]).astype(np.float64))
        own = np.ascontiguousarray(self.motif_gram, dtype=np.float64)
        sparse = _lasso(own, np.asarray(activity, dtype=np.float64), SPARSE / np.sqrt(n_regions), SPARSE_RIDGE)
        return np.column_stack([dense, sparse])


@numba.njit(cache=True)
def _lasso(gram: np.ndarray, target: np.ndarray, penalty: float, ridge: float) -> np.ndarray:
    """Minimise half of w' gram w, minus target' w, plus penalties of absolute and squared weights, by coordinate descent."""
    weight, left = np.zeros(len(target)), target.copy()  # `left` is target - gram @ weight
    for _ in range(MAX_SWEEPS):
        most = 0.0
        for j in range(len(target)):
            whole = left[j] + gram[j, j] * weight[j]
            size = max(abs(whole) - penalty, 0.0)
            step = np.sign(whole) * size / (gram[j, j] + ridge) - weight[j]
            if step != 0.0:
                left -= gram[j] * step
                weight[j] += step
                most = max(most, abs(step))
        if most < CONVERGED:
            break
    return weight


def fit_heads(features: Features, target: np.ndarray, *, seed: int, groups: np.ndarray | None = None) -> Heads:
    """Fit a head per cell type, on all regions and without each fold.

    Parameters
    ----------
    features
        Of the train regions.
    target
        float32 ``(regions, cell types)``; NaN where not measured.
    seed
        Of the folds and landmarks.
    groups
        Whole groups, such as chromosomes, lie in one fold; None: single regions.
    """
    design = Design.fit(features)
    matrix, motifs, gc, wanted = design(features), design.motifs(features), features.gc(), standardised(target)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(matrix))[:N_LANDMARKS])
    by_kernel = kernel(matrix, matrix[chosen])
    metric = by_kernel[chosen].astype(np.float64)
    folds = _folds(len(target), groups, rng)
    out_of_fold, change = np.zeros_like(wanted), []
    whole = _activity(features.motifs, target, gc)
    for fold in range(folds.max() + 1):
        inside, outside = folds != fold, folds == fold
        head = _Head.fit(matrix[inside], by_kernel[inside], wanted[inside], metric=metric)
        out_of_fold[outside] = head(matrix[outside], by_kernel[outside])
        change.append(_activity(features.motifs[inside], target[inside], gc[inside]) - whole)
    head = _Head.fit(matrix, by_kernel, wanted, metric=metric)
    gram = (motifs.T @ motifs).astype(np.float64) / len(motifs)
    return Heads(
        design, matrix[chosen], head, gram, tuple(np.linalg.eigh(gram)), Scores(out_of_fold, motifs), folds,
        np.stack(change), columns=np.arange(target.shape[1]), memo={},
    )  # fmt: skip


def _folds(n_regions: int, groups: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Fold of each region; the largest groups first, each into the fold that is smallest by then."""
    if groups is None or len(np.unique(groups)) < 2:
        return rng.permutation(np.arange(n_regions) % N_FOLDS)
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    total, place = np.zeros(min(N_FOLDS, len(size)), dtype=np.int64), np.zeros(len(size), dtype=np.int64)
    for number in np.argsort(-size, kind="stable"):
        place[number] = total.argmin()
        total[place[number]] += size[number]
    return place[group]


def _activity(motifs: np.ndarray, target: np.ndarray, gc: np.ndarray) -> np.ndarray:
    """`pp.tf_activity` of regions in memory, float32 ``(cell types, TFs)``; not measured counts as the type's mean."""
    known = ~np.isnan(target)
    values = np.where(known, target, 0).astype(np.float64)
    values = np.where(known, values, values.sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    total = values.sum(axis=0)
    shares = values / np.where(total > 0, total, 1)
    background = match_background(gc, shares.mean(axis=1), n_bins=N_BINS)
    sums = Sums(background, n_tfs=motifs.shape[1], n_cell_types=target.shape[1])
    sums.add(np.maximum(motifs, 0).astype(np.float64), shares, np.arange(len(target)))
    return sums.deviations("correlation").astype(np.float32)
