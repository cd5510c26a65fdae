"""Each cell type's accessibility from the sequence alone: ridge regression, cross-fitted over groups of regions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numba
import numpy as np
from scipy.linalg import cho_factor, cho_solve

from genebert._dna import gc_content
from genebert.model._kmers import Block, Vocabulary
from genebert.pp._deviations import Sums, match_background

__all__ = ["Features", "Heads", "Scores", "fit_heads"]

K = 6
PENALTY = 30.0
"""Of the heads; each block of features has a mean square of 1 per region."""
MOTIF_PENALTY = 25_000.0
"""Of the regression of accessibility on motifs, divided by the regions that the activity was computed on."""
LEAST = 3.0
"""Standard deviations below which an activity may be noise; of a correlation it is one over the root of the regions."""
SPARSE, SPARSE_RIDGE = 3.0, 0.1
"""Of the sparse regression: absolute weights, in standard errors of an activity, and squared ones."""
MAX_SWEEPS, CONVERGED = 100, 1e-4
N_FOLDS = 5
N_BINS = 10  # of `pp.tf_activity`


class Features(NamedTuple):
    """What is known of regions without any measurement in a cell type."""

    motifs: np.ndarray
    """Highest log-odds of each motif, float32 ``(regions, TFs)``."""
    vectors: np.ndarray | None
    """The encoder's embedding, float32 ``(regions, dim)``."""
    codes: np.ndarray | None
    """Bases, uint8 ``(regions, seq_length)``."""


class Scores(NamedTuple):
    """What the sequence says."""

    heads: np.ndarray
    """Standardised accessibility in each training type, float32 ``(regions, cell types)``."""
    motifs: np.ndarray
    """Standardised motif strength, float32 ``(regions, TFs)``."""


class _Scaler(NamedTuple):
    """Blocks of features, standardised, each with a mean square of 1 per region."""

    centre: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, matrix: np.ndarray) -> _Scaler:
        spread = matrix.std(axis=0)
        used = spread > 1e-6
        return cls(matrix.mean(axis=0), np.where(used, 1 / np.where(used, spread, 1), 0))

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        return (matrix - self.centre) * self.scale


def _blocks(features: Features) -> list[np.ndarray]:
    blocks = [np.maximum(features.motifs, 0).astype(np.float32)]
    if features.vectors is not None:
        blocks.append(np.asarray(features.vectors, dtype=np.float32))
    if features.codes is not None:
        blocks.append(np.sqrt(_kmers(features.codes)))
    return blocks


def _kmers(codes: np.ndarray) -> np.ndarray:
    """Counts on both strands of the k-mers that come no later than their reverse complement ``(regions, k-mers)``."""
    ids = np.arange(4**K)
    turned = sum((3 - (ids >> 2 * place & 3)) << 2 * (K - 1 - place) for place in range(K))
    columns = np.flatnonzero(ids <= turned)
    return (
        Vocabulary([Block(K, 0)], seq_length=codes.shape[1], both_strands=True, columns=columns).read(codes).toarray()
    )


@dataclass(frozen=True)
class Heads:
    """Heads of cell types, and what they say of train regions when these are left out."""

    scalers: list[_Scaler]
    weight: np.ndarray
    """float32 ``(features, cell types)``."""
    centre: np.ndarray
    """float32 ``(features,)``."""
    motif_gram: np.ndarray
    """Correlation of motif strengths, float64 ``(TFs, TFs)``."""
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
            matrix = _joined(features, self.scalers)
            motifs = self.scalers[0](np.maximum(features.motifs, 0)).astype(np.float32)
            self.memo["last"] = features, Scores((matrix - self.centre) @ self.weight, motifs)
        found = self.memo["last"][1]
        return found._replace(heads=found.heads[:, self.columns])

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


def _joined(features: Features, scalers: list[_Scaler]) -> np.ndarray:
    blocks = [scaler(block) for scaler, block in zip(scalers, _blocks(features), strict=True)]
    return np.hstack([block / np.sqrt(block.shape[1]) for block in blocks]).astype(np.float32)


def fit_heads(features: Features, target: np.ndarray, *, seed: int, groups: np.ndarray | None = None) -> Heads:
    """Fit a head per cell type, on all regions and without each fold.

    Parameters
    ----------
    features
        Of the train regions.
    target
        float32 ``(regions, cell types)``; NaN where not measured.
    seed
        Of the folds.
    groups
        Whole groups, such as chromosomes, lie in one fold; None: single regions.
    """
    scalers = [_Scaler.fit(block) for block in _blocks(features)]
    matrix = _joined(features, scalers)
    wanted = standardised(target)
    folds = _folds(len(target), groups, seed=seed)
    out_of_fold, change = np.zeros_like(wanted), []
    gc = _gc(features)
    whole = activity_of(features.motifs, target, gc)
    for fold in range(folds.max() + 1):
        inside, outside = folds != fold, folds == fold
        weight, centre = _ridge(matrix[inside], wanted[inside])
        out_of_fold[outside] = (matrix[outside] - centre) @ weight
        change.append(activity_of(features.motifs[inside], target[inside], gc[inside]) - whole)
    weight, centre = _ridge(matrix, wanted)
    strength = scalers[0](np.maximum(features.motifs, 0)).astype(np.float32)
    gram = (strength.T @ strength).astype(np.float64) / len(strength)
    scores = Scores(out_of_fold, strength)
    return Heads(
        scalers, weight, centre, gram, scores, folds, np.stack(change), columns=np.arange(target.shape[1]), memo={}
    )


def standardised(target: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1 per cell type; 0 where not measured. float32."""
    known = ~np.isnan(target)
    n = np.maximum(known.sum(axis=0), 1)
    values = np.where(known, target, 0).astype(np.float64)
    away = np.where(known, values - values.sum(axis=0) / n, 0)
    spread = np.sqrt((away**2).sum(axis=0) / n)
    return (away / np.where(spread > 0, spread, 1)).astype(np.float32)


def _folds(n_regions: int, groups: np.ndarray | None, *, seed: int) -> np.ndarray:
    """Fold of each region; the largest groups first, each into the fold that is smallest by then."""
    rng = np.random.default_rng(seed)
    if groups is None or len(np.unique(groups)) < 2:
        return rng.permutation(np.arange(n_regions) % N_FOLDS)
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    total, place = np.zeros(min(N_FOLDS, len(size)), dtype=np.int64), np.zeros(len(size), dtype=np.int64)
    for number in np.argsort(-size, kind="stable"):
        place[number] = total.argmin()
        total[place[number]] += size[number]
    return place[group]


def _ridge(matrix: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``(features, cell types)`` and centre of the features; by the smaller of both Gram matrices."""
    centre = matrix.mean(axis=0)
    matrix = matrix - centre
    is_wide = matrix.shape[1] > len(matrix)
    gram = (matrix @ matrix.T if is_wide else matrix.T @ matrix).astype(np.float64)
    gram[np.diag_indices(len(gram))] += PENALTY
    factor = cho_factor(gram, overwrite_a=True, check_finite=False)
    right = wanted.astype(np.float64) if is_wide else (matrix.T @ wanted).astype(np.float64)
    found = cho_solve(factor, right, check_finite=False).astype(np.float32)
    return (matrix.T @ found if is_wide else found), centre


def _gc(features: Features) -> np.ndarray:
    if features.codes is None:
        return np.zeros(len(features.motifs))
    found = gc_content(features.codes).astype(np.float64)
    return np.where(np.isfinite(found), found, np.nanmean(found) if np.isfinite(found).any() else 0.5)


def activity_of(motifs: np.ndarray, target: np.ndarray, gc: np.ndarray) -> np.ndarray:
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
