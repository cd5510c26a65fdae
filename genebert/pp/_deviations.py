"""How far the accessibility of regions with a motif lies from that of regions like them; maths on arrays.

chromVAR (Schep et al. 2017) compares the regions that hold a motif with random regions of the same GC and mean
accessibility, drawn some fifty times. Here regions of the same GC and accessibility form strata, and mean and variance over
all permutations within the strata are computed, not sampled. What varies within a stratum with GC or accessibility is taken
off by a regression, and the rest is permuted (Freedman and Lane 1983): strata of few hundred regions, and above all the one
of the most accessible, are wide. All of it follows from sums over regions, so regions may come in chunks.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy import sparse

__all__ = [
    "N_TERMS",
    "Background",
    "Moments",
    "Score",
    "Sums",
    "cell_moments",
    "deviations",
    "match_background",
    "moments",
    "strata",
]

Score = Literal["correlation", "z"]

MIN_SIZE = 50
"""Regions that a stratum should hold, about, at least."""

N_TERMS = 3
"""Of the regression within a stratum: constant, GC, accessibility."""

ROUNDING = 1e-10
"""Spread below this share of the sum of squares is a rounding error of a constant."""


def strata(gc: np.ndarray, accessibility: np.ndarray, *, n_bins: int, min_size: int = MIN_SIZE) -> np.ndarray:
    """Group regions by quantiles of GC and, within each group, of accessibility.

    Equal values stay together, so that the order of the regions changes nothing.

    Parameters
    ----------
    gc, accessibility
        Of each region. ``(regions,)``
    n_bins
        Most groups by GC, and by accessibility within each.
    min_size
        Regions that a stratum should about hold; fewer groups are made where there would be less.

    Returns
    -------
    Stratum of each region, numbered from 0. int64 ``(regions,)``
    """
    # Sums over regions differ in the last digits with their order; float32 makes equal again what is equal.
    level = np.asarray(accessibility, dtype=np.float32)
    by_gc = _quantiles(np.asarray(gc, dtype=np.float32), _n_groups(np.sqrt(len(gc) / min_size), n_bins))
    found = np.zeros(len(gc), dtype=np.int64)
    for group in range(by_gc.max(initial=-1) + 1):
        rows = np.flatnonzero(by_gc == group)
        found[rows] = group * n_bins + _quantiles(level[rows], _n_groups(len(rows) / min_size, n_bins))
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def _n_groups(wanted: float, most: int) -> int:
    return int(np.clip(np.rint(wanted), 1, most))


def _quantiles(values: np.ndarray, n_groups: int) -> np.ndarray:
    """Group by quantiles; groups that share all their values are one. int64, numbered from 0."""
    edges = np.quantile(values, np.arange(1, n_groups) / n_groups, method="higher")
    return np.unique(np.searchsorted(edges, values, side="right"), return_inverse=True)[1]


class Background(NamedTuple):
    """Which regions are compared with which, and what is known of each."""

    groups: np.ndarray
    """Stratum. int64 ``(regions,)``"""
    covariates: np.ndarray
    """GC and accessibility. ``(regions, 2)``"""
    centre: np.ndarray
    """Their mean in each stratum. ``(strata, 2)``"""
    scale: np.ndarray
    """Their standard deviation there, infinite where it is 0. ``(strata, 2)``"""

    @property
    def n_strata(self) -> int:
        """How many there are."""
        return len(self.centre)

    def design(self, rows: slice | np.ndarray = slice(None)) -> sparse.csr_matrix:
        """Terms of the regression for some regions. ``(strata x terms, regions)``, the terms of a stratum side by side."""
        groups = self.groups[rows]
        terms = np.ones((len(groups), N_TERMS))
        terms[:, 1:] = (self.covariates[rows] - self.centre[groups]) / self.scale[groups]
        place = groups[:, None] * N_TERMS + np.arange(N_TERMS)
        shape = (self.n_strata * N_TERMS, len(groups))
        ends = np.arange(len(groups) + 1) * N_TERMS
        return sparse.csc_matrix((terms.ravel(), place.ravel(), ends), shape=shape).tocsr()


def match_background(gc: np.ndarray, accessibility: np.ndarray, *, n_bins: int) -> Background:
    """Group regions by `strata`."""
    groups = strata(gc, accessibility, n_bins=n_bins)
    n = np.bincount(groups)[:, None]
    covariates = np.column_stack([gc, accessibility])
    centre = np.column_stack([np.bincount(groups, weights=column) for column in covariates.T]) / n
    square = np.column_stack([np.bincount(groups, weights=column**2) for column in (covariates - centre[groups]).T])
    is_constant = square <= ROUNDING * n * centre**2
    return Background(groups, covariates, centre, np.where(is_constant, np.inf, np.sqrt(square / n)))


class Moments(NamedTuple):
    """Sums over the regions of each stratum."""

    gram: np.ndarray
    """Products of the terms of the regression; the first is the number of regions. ``(strata, terms, terms)``"""
    total: np.ndarray
    """Products of the terms with the values. ``(strata x terms, columns)``"""
    square: np.ndarray
    """Squared values. ``(strata, columns)``"""

    def plus(self, other: Moments) -> Moments:
        """Those of these regions and others."""
        return Moments(*(mine + more for mine, more in zip(self, other, strict=True)))

    def fitted(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of what the regression explains ``(strata, terms, columns)``, and its rank ``(strata,)``."""
        size, axes = np.linalg.eigh(self.gram)
        is_used = size > ROUNDING * np.maximum(size.max(axis=1, keepdims=True), 1)
        axes = np.where(is_used, 1 / np.sqrt(np.where(is_used, size, 1)), 0)[:, None] * axes
        return axes.transpose(0, 2, 1) @ self.total.reshape(*self.gram.shape[:2], -1), is_used.sum(axis=1)


def moments(values: np.ndarray, design: sparse.csr_matrix) -> Moments:
    """Sum dense values ``(regions, columns)``, as `Background.design` groups them."""
    return Moments(_gram(design), design @ values, design[::N_TERMS] @ np.square(values))


def _gram(design: sparse.csr_matrix) -> np.ndarray:
    by_term = [design[term::N_TERMS] for term in range(N_TERMS)]
    products = [[np.asarray(one.multiply(other).sum(axis=1)).ravel() for other in by_term] for one in by_term]
    return np.moveaxis(np.array(products), 2, 0)


class Sums:
    """What deviations need to know of the regions, which come in chunks.

    Parameters
    ----------
    background
        Of all regions.
    n_tfs, n_cell_types
        How many there are.
    """

    def __init__(self, background: Background, *, n_tfs: int, n_cell_types: int) -> None:
        self.background = background
        self.products = np.zeros((n_cell_types, n_tfs))
        none = background.design(slice(0))
        self.motifs, self.shares = (moments(np.zeros((0, n)), none) for n in (n_tfs, n_cell_types))

    def add(self, strength: np.ndarray, shares: np.ndarray, rows: np.ndarray) -> None:
        """Add motif strengths ``(regions, TFs)`` and shares ``(regions, cell types)`` of the regions `rows`.

        Regions whose shares are NaN are left out; where one cell type has NaN, all have.
        """
        known = ~np.isnan(shares).any(axis=1)
        if not known.all():
            strength, shares, rows = strength[known], shares[known], rows[known]
        design = self.background.design(rows)
        self.motifs = self.motifs.plus(moments(strength, design))
        self.shares = self.shares.plus(moments(shares, design))
        self.products += shares.T @ strength

    def deviations(self, score: Score) -> np.ndarray:
        """`deviations` of all that was added."""
        return deviations(self.motifs, self.shares, self.products, score=score)


def cell_moments(shares: sparse.spmatrix, design: sparse.csr_matrix) -> Moments:
    """Like `moments`, of cells ``(cells, regions)``, without making them dense."""
    return Moments(_gram(design), _product(shares, design), _product(shares.multiply(shares), design[::N_TERMS]))


def _product(shares: sparse.spmatrix, weights: sparse.spmatrix) -> np.ndarray:
    return np.asarray((shares @ weights.T.tocsr()).todense(), dtype=np.float64).T


def deviations(motifs: Moments, shares: Moments, products: np.ndarray, *, score: Score) -> np.ndarray:
    """Compare motifs with accessibility, both less what the regression within strata explains.

    What is explained holds what is expected: the mean share is a term of the regression.

    Parameters
    ----------
    motifs
        Of the motifs' strength, columns are TFs.
    shares
        Of the accessibility, columns are cell types or cells; the same regions.
    products
        Sums over all regions of strength times share. ``(cells, TFs)``
    score
        ``"correlation"``: sum of products over the root of the product of both sums of squares. ``"z"``: sum of products
        over its standard deviation when regions are permuted within strata.

    Returns
    -------
    float64 ``(cells, TFs)``; 0 where either is explained in all strata.
    """
    (of_motifs, rank), (of_shares, _) = motifs.fitted(), shares.fitted()
    beyond = products - np.tensordot(of_shares, of_motifs, axes=((0, 1), (0, 1)))
    motif_spread, spread = _unexplained(motifs, of_motifs), _unexplained(shares, of_shares)
    if score == "z":
        freedom = np.maximum(motifs.gram[:, 0, 0] - rank, 1)
        variance = (spread / freedom[:, None]).T @ motif_spread
    else:
        variance = np.outer(spread.sum(axis=0), motif_spread.sum(axis=0))
    return np.divide(beyond, np.sqrt(variance), out=np.zeros_like(beyond), where=variance > 0)


def _unexplained(values: Moments, fitted: np.ndarray) -> np.ndarray:
    """Sum of squares that the regression leaves. ``(strata, columns)``."""
    spread = values.square - (fitted**2).sum(axis=1)
    return np.where(spread > ROUNDING * values.square, spread, 0)
