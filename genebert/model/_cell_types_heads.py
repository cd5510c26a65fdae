"""Each cell type's accessibility from the sequence alone, cross-fitted over groups of regions."""

from __future__ import annotations

from collections.abc import Iterator
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
N_DRAWS = 3
"""Draws of landmarks, over which the regression on the kernel is averaged; one where all regions are landmarks."""
N_BINS = 10  # of `pp.tf_activity`
ROWS = 2**14  # regions scored at once


class Scores(NamedTuple):
    """What the sequence says."""

    heads: np.ndarray
    """Standardised accessibility in each training type, float32 ``(regions, cell types)``."""
    motifs: np.ndarray
    """Standardised motif strength, float32 ``(regions, TFs)``."""


class _Radial(NamedTuple):
    """A regression on a kernel."""

    landmarks: np.ndarray
    """Features of the regions that are compared with, float32 ``(landmarks, features)``."""
    ridge: Ridge

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        return self.ridge(kernel(matrix, self.landmarks))


class _Head(NamedTuple):
    """A weighted mean of a linear regression and several on a kernel."""

    linear: Ridge
    radial: list[_Radial]

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        by_kernel = sum(radial(matrix) for radial in self.radial) / len(self.radial)
        return (1 - RADIAL) * self.linear(matrix) + RADIAL * by_kernel


@dataclass(frozen=True)
class Heads:
    """Heads of cell types, and what they say of train regions when these are left out."""

    design: Design
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
                heads.append(self.head(self.design(features.take(rows))))
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

    def ridge_weights(self, activity: np.ndarray, *, n_regions: int | None = None) -> np.ndarray:
        """Weights of motif strengths that activities ``(cell types, TFs)`` imply: ridge regression from correlations.

        `n_regions` as for `motif_weights`. float64 ``(TFs, cell types)``.
        """
        n_regions = len(self.folds) if n_regions is None else n_regions
        size, axes = self.motif_axes
        return axes @ (
            (axes.T @ activity.T.astype(np.float64)) / (np.maximum(size, 0) + MOTIF_PENALTY / n_regions)[:, None]
        )

    def motif_weights(self, activity: np.ndarray, *, n_regions: int | None = None) -> np.ndarray:
        """Weights of motif strengths that an activity implies, three ways.

        Parameters
        ----------
        activity
            ``(TFs,)``
        n_regions
            From how many regions it was computed; None: as many as the heads were fitted on.

        Returns
        -------
        float64 ``(TFs, 3)``: `ridge_weights` of the activity as it is, without what may be noise (Breiman's garrote), and sparse weights
        (lasso from summary statistics, Mak et al. 2017): where few TFs act, they alone count.
        """
        n_regions = len(self.folds) if n_regions is None else n_regions
        noise = LEAST / np.sqrt(n_regions)
        firm = activity * np.maximum(0, 1 - (noise / np.maximum(np.abs(activity), 1e-9)) ** 2)
        dense = self.ridge_weights(np.stack([activity, firm]), n_regions=n_regions)
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


def fit_heads(
    features: Features,
    target: np.ndarray,
    *,
    seed: int,
    groups: np.ndarray | None = None,
    n_draws: int = N_DRAWS,
) -> Heads:
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
    n_draws
        Draws of landmarks.
    """
    design = Design.fit(features)
    matrix, motifs, gc, wanted = design(features), design.motifs(features), features.gc(), standardised(target)
    rng = np.random.default_rng(seed)
    folds = _folds(len(target), groups, rng)
    whole = _activity(features.motifs, target, gc)
    change = [_activity(features.motifs[part], target[part], gc[part]) - whole for part in _others(folds)]
    linear, out_of_fold = _cross_fitted(matrix, wanted, folds)
    out_of_fold *= 1 - RADIAL
    radial, n_draws = [], n_draws if len(matrix) > N_LANDMARKS else 1
    for _ in range(n_draws):
        chosen = np.sort(rng.permutation(len(matrix))[:N_LANDMARKS])
        by_kernel = kernel(matrix, matrix[chosen])
        ridge, part = _cross_fitted(by_kernel, wanted, folds, metric=by_kernel[chosen].astype(np.float64))
        out_of_fold += RADIAL / n_draws * part
        radial.append(_Radial(matrix[chosen], ridge))
    gram = (motifs.T @ motifs).astype(np.float64) / len(motifs)
    return Heads(
        design, _Head(linear, radial), gram, tuple(np.linalg.eigh(gram)), Scores(out_of_fold, motifs), folds,
        np.stack(change), columns=np.arange(target.shape[1]), memo={},
    )  # fmt: skip


def _others(folds: np.ndarray) -> Iterator[np.ndarray]:
    """All regions but those of a fold, one fold after the other, bool ``(regions,)``."""
    for fold in range(folds.max() + 1):
        yield folds != fold


def _cross_fitted(
    matrix: np.ndarray, wanted: np.ndarray, folds: np.ndarray, *, metric: np.ndarray | None = None
) -> tuple[Ridge, np.ndarray]:
    """Fit on all regions, and predict each fold by what was fitted without it."""
    found = np.zeros_like(wanted)
    for inside in _others(folds):
        found[~inside] = fit_ridge(matrix[inside], wanted[inside], metric=metric)(matrix[~inside])
    return fit_ridge(matrix, wanted, metric=metric), found


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
