"""How training cell types are weighted for a new one, and the last step, which joins what is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

__all__ = ["Combiner", "fit_combiner", "neighbour_columns", "relatives", "sequence_columns", "weights_of"]

RANGE = 0.3
"""Of the covariance between cell types: by how much the correlation of activities falls short of 1 when it is 1/e."""
RANGES = (0.1, 0.3, 1.0)
NOISE = 0.1
"""Variance of a cell type that is its own."""
PULL = 10.0
"""Penalty of the last step, in regions."""
N_NEAREST = 3
MAX_STEPS = 30
TOLERANCE = 1e-8  # of the loss, per region


def weights_of(activity: np.ndarray | None, others: np.ndarray, *, reach: float = RANGE) -> np.ndarray:
    """Weights of the training types in the best linear prediction of a new one whose mean is not known; they sum to 1.

    Parameters
    ----------
    activity
        Of the new type ``(TFs,)``; None: it is as far from all of them.
    others
        Of the training types ``(cell types, TFs)``.
    reach
        Range of the covariance.
    """
    covariance = np.exp((_correlations(others, others) - 1) / reach)
    covariance[np.diag_indices(len(covariance))] += NOISE
    one = np.ones(len(others))
    even = np.linalg.solve(covariance, one)
    if activity is None:
        return even / even.sum()
    found = np.linalg.solve(covariance, np.exp((_correlations(activity[None], others)[0] - 1) / reach))
    return found + even * (1 - found.sum()) / even.sum()


def _correlations(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    left, right = (np.nan_to_num(each - each.mean(axis=1, keepdims=True)).astype(np.float64) for each in (left, right))
    norm = np.outer(np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1))
    return np.divide(left @ right.T, norm, out=np.zeros_like(norm), where=norm > 0)


def relatives(activity: np.ndarray, new: int, *, n_left_out: int) -> np.ndarray:
    """Other types, without the nearest ones. int64"""
    others = np.setdiff1d(np.arange(len(activity)), [new])
    if not len(others):
        return np.array([new])
    nearness = _correlations(activity[[new]], activity[others])[0]
    return np.sort(others[np.argsort(-nearness, kind="stable")[n_left_out:]])


def sequence_columns(
    heads: np.ndarray, motifs: np.ndarray, activity: np.ndarray | None, others: np.ndarray
) -> np.ndarray:
    """Mean of the heads, their weighted mean, and what the motifs say. float64 ``(regions, columns)``"""
    mean = heads.mean(axis=1, dtype=np.float64)
    if activity is None:
        return mean[:, None]
    return np.column_stack([mean, heads @ weights_of(activity, others), motifs @ activity])


def neighbour_columns(neighbours: np.ndarray, activity: np.ndarray | None, others: np.ndarray) -> np.ndarray:
    """Standardised accessibility in other types: mean, weighted means, the nearest. float64 ``(regions, columns)``"""
    mean = neighbours.mean(axis=1)
    level = mean - neighbours.min(axis=1)
    columns = [mean, np.log(level + 0.1)]
    if activity is None:
        return np.column_stack(columns)
    order = np.argsort(-_correlations(activity[None], others)[0], kind="stable")
    columns += [neighbours @ weights_of(activity, others, reach=reach) for reach in RANGES]
    columns += [neighbours[:, order[min(place, len(order) - 1)]] for place in range(N_NEAREST)]
    return np.column_stack(columns)


@dataclass(frozen=True)
class Combiner:
    """A linear function of standardised columns."""

    centre: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: float
    is_binary: bool

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        """Probabilities or values, float64 ``(regions,)``."""
        value = (matrix - self.centre) * self.scale @ self.weight + self.bias
        return expit(value) if self.is_binary else value


def fit_combiner(matrix: np.ndarray, wanted: np.ndarray, *, kind: str) -> Combiner:
    """Logistic regression by Newton's method, or ridge regression."""
    centre, spread = matrix.mean(axis=0), matrix.std(axis=0)
    scale = np.where(spread > 1e-9, 1 / np.where(spread > 1e-9, spread, 1), 0)
    design = np.column_stack([np.ones(len(matrix)), (matrix - centre) * scale])
    penalty = np.append(1e-6, np.full(matrix.shape[1], PULL))
    found = _logistic(design, wanted, penalty) if kind == "binary" else _least_squares(design, wanted, penalty)
    return Combiner(centre, scale, found[1:], float(found[0]), kind == "binary")


def _least_squares(design: np.ndarray, wanted: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    return np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ wanted)


def _logistic(design: np.ndarray, wanted: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    share = np.clip(wanted.mean(), 1e-3, 1 - 1e-3)
    found = np.append(np.log(share / (1 - share)), np.zeros(design.shape[1] - 1))
    value = design @ found
    loss = _loss(value, wanted, found, penalty)
    for _ in range(MAX_STEPS):
        chance = expit(value)
        slope = design.T @ (chance - wanted) + penalty * found
        curve = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        for length in 0.5 ** np.arange(10):  # Newton's full step may overshoot
            tried = found - length * step
            value = design @ tried
            new = _loss(value, wanted, tried, penalty)
            if new <= loss:
                break
        gain, loss, found = loss - new, new, tried
        if gain < TOLERANCE * len(wanted):
            break
    return found


def _loss(value: np.ndarray, wanted: np.ndarray, weight: np.ndarray, penalty: np.ndarray) -> float:
    return float(np.logaddexp(0, value).sum() - wanted @ value + penalty @ weight**2 / 2)
