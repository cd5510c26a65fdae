"""How good predictions are over regions and cell types: draws of metrics, and which of several types opens a region."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from genebert.tl._metrics import curves, draw_weights, value_metrics

__all__ = [
    "WITHIN",
    "TargetKind",
    "column_draws",
    "draws_of_regions",
    "likeness",
    "within_draws",
    "within_region_auroc",
]

TargetKind = Literal["binary", "value"]
WITHIN = "within_region_auroc"
LEAST_CHROMOSOMES = 5
LEAST_DRAWS = 200  # unless fewer are asked for
MOST_CELLS = 30_000_000  # draws x regions


def draws_of_regions(chromosomes: np.ndarray, *, n_draws: int, seed: int) -> tuple[np.ndarray, str]:
    """Weigh regions for the bootstrap: whole chromosomes are drawn where there are five or more, else regions.

    Parameters
    ----------
    chromosomes
        Of each region that is scored.
    n_draws, seed
        How many, and of what; so many that draws times regions are `MOST_CELLS` at most, but `LEAST_DRAWS` where so many are asked
        for.

    Returns
    -------
    uint8 ``(1 + draws, regions)``, first all alike; and what was drawn.
    """
    rng = np.random.default_rng(seed)
    n_draws = min(n_draws, max(LEAST_DRAWS, MOST_CELLS // max(len(chromosomes), 1)))
    names, place = np.unique(chromosomes, return_inverse=True)
    n_drawn, what = (len(chromosomes), "regions") if len(names) < LEAST_CHROMOSOMES else (len(names), "chromosomes")
    parts = draw_weights(n_drawn, n_draws=n_draws, rng=rng, most=MOST_CELLS)
    weights = np.concatenate([part.astype(np.uint8) for part in parts])  # nothing is drawn 256 times
    return (weights if what == "regions" else weights[:, place]), what


def likeness(target: np.ndarray) -> np.ndarray:
    """Correlation between cell types over regions, float64 ``(cell types, cell types)``; -1 where one does not vary.

    What was not measured counts as the type's mean.
    """
    known = ~np.isnan(target)
    mean = np.where(known, target, 0).sum(axis=0, dtype=np.float64) / np.maximum(known.sum(axis=0), 1)
    away = np.where(known, target - mean, 0).astype(np.float64)
    norm = np.sqrt((away**2).sum(axis=0))
    product = np.outer(norm, norm)
    return np.divide(away.T @ away, product, out=np.full(product.shape, -1.0), where=product > 0)


def column_draws(
    truth: np.ndarray, score: np.ndarray, weights: np.ndarray, *, kind: TargetKind
) -> dict[str, np.ndarray]:
    """Metrics of one column for each draw; none where they are not defined.

    Parameters
    ----------
    truth, score
        ``(regions,)``, without NaN.
    weights
        Of `draws_of_regions`, for these regions.
    kind
        0 and 1, or numbers.
    """
    if kind == "value":
        if len(truth) < 3 or np.ptp(truth) == 0:
            return {}
        parts = [value_metrics(truth, score, part) for part in _parts(weights)]
        return {name: np.concatenate([found[name] for found in parts]) for name in ("pearson", "spearman")}
    positive = truth > 0
    if not 0 < positive.sum() < len(truth):
        return {}
    auroc, auprc = curves(positive, score, weights)
    return {"auroc": auroc, "auprc": auprc}


def _parts(weights: np.ndarray) -> Iterator[np.ndarray]:
    """Draws as float64, so many at once that they take little memory."""
    step = max(1, MOST_CELLS // max(weights.shape[1], 1))
    for first in range(0, len(weights), step):
        yield weights[first : first + step].astype(np.float64)


def within_region_auroc(truth: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Which of the types opens this region? The share of pairs of types, one more open than the other, that is in order.

    Parameters
    ----------
    truth
        ``(regions, types)``; NaN where not measured.
    score
        Likewise. A score that is constant over types gets exactly 0.5.

    Returns
    -------
    float64 ``(regions,)``; NaN where all types are alike.
    """
    right, pairs = np.zeros(len(truth)), np.zeros(len(truth))
    n_types = truth.shape[1]
    for i in range(n_types):
        for j in range(n_types):
            with np.errstate(invalid="ignore"):
                is_pair = truth[:, i] > truth[:, j]  # False where one is NaN
            order = np.sign(score[:, i] - score[:, j])
            right += is_pair * (order + 1) / 2
            pairs += is_pair
    with np.errstate(invalid="ignore", divide="ignore"):
        return right / pairs


def within_draws(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray | None, int]:
    """Mean of `within_region_auroc` over regions, for each draw, and over how many regions; None where there is none."""
    found = within_region_auroc(truth, score)
    known = np.isfinite(found)
    if not known.any():
        return None, 0
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [part @ found[known] / part.sum(axis=1) for part in _parts(weights[:, known])]
    return np.concatenate(means), int(known.sum())
