"""Regression of many outputs on the sequence at once: a linear one, and one on a radial kernel."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from genebert._dna import gc_content
from genebert.model._kmers import Block, Vocabulary

__all__ = ["Design", "Features", "Ridge", "fit_ridge", "kernel", "solve_landmarks", "standardised"]

K = (4, 5, 6)
"""Lengths of the k-mers that are counted."""
REACH = 40.0
"""Bases from the centre over which k-mers come to count less, where regions are centred."""
PENALTY = 30.0
"""Of the linear regression; motifs, vector and k-mers have a mean square of 1 per region each."""
WIDTH = 0.2
"""The kernel is exp(-`WIDTH` x squared distance)."""
KERNEL_PENALTY = 1.5
N_LANDMARKS = 4_000
"""Regions whose kernels with all others stand for the whole kernel (Nystroem's approximation)."""
JITTER = 1e-6
"""Added to the diagonal, per region, since products are summed in 32 bits; regions may occur twice."""


class Features(NamedTuple):
    """What is known of regions without any measurement in a cell type."""

    motifs: np.ndarray
    """Highest log-odds of each motif, float32 ``(regions, TFs)``."""
    vectors: np.ndarray | None
    """The encoder's embedding, float32 ``(regions, dim)``."""
    codes: np.ndarray | None
    """Bases, uint8 ``(regions, seq_length)``."""
    is_centred: bool = False
    """Whether what matters lies in the middle, as the summit of an accessible region does; k-mers there count more."""

    def take(self, rows: np.ndarray | slice) -> Features:
        """Read some of the regions."""
        return self._replace(
            motifs=self.motifs[rows],
            vectors=None if self.vectors is None else self.vectors[rows],
            codes=None if self.codes is None else self.codes[rows],
        )

    def gc(self) -> np.ndarray:
        """GC content, that of the average region where no base is known. float64 ``(regions,)``."""
        found = np.full(len(self.motifs), np.nan) if self.codes is None else gc_content(self.codes).astype(np.float64)
        known = np.isfinite(found)
        return np.where(known, found, found[known].mean() if known.any() else 0.5)

    def blocks(self) -> list[np.ndarray]:
        """Motif strength, the encoder's vector, roots of the counts of k-mers of both strands, one block per length."""
        blocks = [np.maximum(self.motifs, 0).astype(np.float32)]
        if self.vectors is not None:
            blocks.append(np.asarray(self.vectors, dtype=np.float32))
        reach = REACH if self.is_centred else 0.0
        return blocks + [
            np.sqrt(_kmers(k, self.codes.shape[1], reach).read(self.codes).toarray()) for k in self._lengths()
        ]

    def weights(self) -> list[float]:
        """Mean square of each block per region, once standardised; all lengths of k-mers together count as one block."""
        lengths = self._lengths()
        return [1.0] * (1 + (self.vectors is not None)) + [1 / len(lengths) for _ in lengths]

    def _lengths(self) -> list[int]:
        return [] if self.codes is None else [k for k in K if k <= self.codes.shape[1]]


@cache
def _kmers(k: int, seq_length: int, reach: float) -> Vocabulary:
    """K-mers of both strands, those that come no later than their reverse complement."""
    ids = np.arange(4**k)
    turned = sum((3 - (ids >> 2 * place & 3)) << 2 * (k - 1 - place) for place in range(k))
    columns = np.flatnonzero(ids <= turned)
    return Vocabulary([Block(k, 0, reach=reach)], seq_length=seq_length, both_strands=True, columns=columns)


class Design(NamedTuple):
    """How features are standardised: mean 0 and, in each block, a mean square per region that is its weight."""

    centres: list[np.ndarray]
    scales: list[np.ndarray]
    weights: list[float]

    @classmethod
    def fit(cls, features: Features) -> Design:
        """Read mean and spread off train regions."""
        blocks = features.blocks()
        spreads = [block.std(axis=0) for block in blocks]
        scales = [np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0) for spread in spreads]
        return cls([block.mean(axis=0) for block in blocks], scales, features.weights())

    def motifs(self, features: Features) -> np.ndarray:
        """Standardised motif strength, float32 ``(regions, TFs)``."""
        return ((np.maximum(features.motifs, 0) - self.centres[0]) * self.scales[0]).astype(np.float32)

    def __call__(self, features: Features) -> np.ndarray:
        """All blocks side by side, float32 ``(regions, features)``."""
        found = np.empty((len(features.motifs), sum(map(len, self.scales))), dtype=np.float32)
        first = 0
        for block, centre, scale, weight in zip(
            features.blocks(), self.centres, self.scales, self.weights, strict=True
        ):
            part = found[:, first : first + len(scale)]
            np.subtract(block, centre, out=part)
            part *= (scale * np.sqrt(weight / len(scale))).astype(np.float32)
            first += len(scale)
        return found


class Ridge(NamedTuple):
    """A linear function of centred features."""

    centre: np.ndarray
    weight: np.ndarray
    """float32 ``(features, cell types)``."""

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        """Predict, float32 ``(regions, cell types)``."""
        return (matrix - self.centre) @ self.weight


def fit_ridge(matrix: np.ndarray, wanted: np.ndarray, *, metric: np.ndarray | None = None) -> Ridge:
    """Fit all columns of `wanted` at once, by the smaller of both Gram matrices.

    Parameters
    ----------
    matrix
        float32 ``(regions, features)``.
    wanted
        float32 ``(regions, cell types)``.
    metric
        What the penalty weighs products of weights with; None: their squares. ``(features, features)``
    """
    centre = matrix.mean(axis=0)
    matrix = matrix - centre
    is_wide = metric is None and matrix.shape[1] > len(matrix)
    gram = (matrix @ matrix.T if is_wide else matrix.T @ matrix).astype(np.float64)
    right = wanted.astype(np.float64) if is_wide else (matrix.T @ wanted).astype(np.float64)
    if metric is None:
        gram[np.diag_indices(len(gram))] += PENALTY
        found = _solve(gram, right)
    else:
        found = solve_landmarks(gram, right, metric, penalty=KERNEL_PENALTY, n_regions=len(matrix))
    found = found.astype(np.float32)
    return Ridge(centre, matrix.T @ found if is_wide else found)


def solve_landmarks(
    gram: np.ndarray, right: np.ndarray, metric: np.ndarray, *, penalty: float, n_regions: int
) -> np.ndarray:
    """Weights of landmarks, float64 ``(landmarks, outputs)``; `gram` is overwritten.

    Parameters
    ----------
    gram, right
        Products of the centred kernel of regions and landmarks with itself, and with what is wanted, float64.
    metric
        Kernel of the landmarks with each other.
    penalty
        What that is multiplied with.
    n_regions
        How many were added up.
    """
    gram += penalty * metric
    gram[np.diag_indices(len(gram))] += JITTER * n_regions
    return _solve(gram, right)


def _solve(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    return cho_solve(cho_factor(gram, overwrite_a=True, check_finite=False), right, check_finite=False)


def kernel(matrix: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Radial kernel of regions with landmarks, float32 ``(regions, landmarks)``."""
    squares = (matrix**2).sum(axis=1)[:, None] + (landmarks**2).sum(axis=1)
    return np.exp(-WIDTH * np.maximum(squares - 2 * matrix @ landmarks.T, 0))


def standardised(target: np.ndarray) -> np.ndarray:
    """Mean 0 and standard deviation 1 per cell type; 0 where not measured. float32."""
    known = ~np.isnan(target)
    n = np.maximum(known.sum(axis=0), 1)
    values = np.where(known, target, 0).astype(np.float64)
    away = np.where(known, values - values.sum(axis=0) / n, 0)
    spread = np.sqrt((away**2).sum(axis=0) / n)
    return (away / np.where(spread > 0, spread, 1)).astype(np.float32)
