"""How training cell types are weighted for a new one, and the last step, which joins what is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

__all__ = ["Case", "Combiner", "Likeness", "Measured", "correlations", "fit_combiner", "relatives"]

NOISE = 0.05
"""Variance of a cell type that no other one shares."""
NOISES = (0.02, 0.1, 0.5)
FOCUS = (0.05, 0.15)
"""Falls of a correlation of activities over which the weight of a type falls to 1/e."""
REACH = 0.5
"""Fall of a correlation of activities over which the covariance falls to 1/e, where it follows from activities alone."""
OWN = 0.1  # as `NOISE`, of these
COUNT = 0.3  # types that are added to those that are open, and to those that are not
TRUST = (1.0, 0.01, 0.01, 1e-6)
"""Penalties of the regression of likeness on activity: on what is of a type, on both terms of the correlation, on the mean."""
PULL = 10.0
"""Penalty of the last step, in regions."""
TREES = {
    "max_iter": 120, "learning_rate": 0.07, "max_leaf_nodes": 12, "min_samples_leaf": 200, "l2_regularization": 20.0,
    "early_stopping": False,
}  # fmt: skip
LEAST_SLOPE = 1e-3  # of a single column that keeps its order
MAX_STEPS = 30
TOLERANCE = 1e-8  # of the loss, per region


def correlations(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Correlate each row of `left` with each of `right`; 0 where one is constant. float64."""
    left, right = (each - each.mean(axis=1, keepdims=True, dtype=np.float64) for each in (left, right))
    norm = np.outer(np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1))
    return np.divide(left @ right.T, norm, out=np.zeros_like(norm), where=norm > 0)


def relatives(activity: np.ndarray, new: int, *, n_left_out: int) -> np.ndarray:
    """Tell which types are left when `new` and its nearest ones are not there; a single type is its own relative."""
    others = np.setdiff1d(np.arange(len(activity)), [new])
    if not len(others):
        return np.array([new])
    nearness = correlations(activity[[new]], activity[others])[0]
    return np.sort(others[np.argsort(-nearness, kind="stable")[n_left_out:]])


@dataclass(frozen=True)
class Likeness:
    """How training types resemble each other, in accessibility and in activity, and a new one in activity alone."""

    target: np.ndarray
    """Correlation of the accessibility of training types at train regions."""
    activity: np.ndarray
    """Correlation of their activities."""
    new: np.ndarray
    """Of the new type with each of them."""

    @classmethod
    def of(cls, target: np.ndarray, activity: np.ndarray, new: np.ndarray) -> Likeness:
        """Compare `new` ``(TFs,)`` with training types ``(cell types, TFs)`` whose accessibility correlates as `target`."""
        return cls(target, correlations(activity, activity), correlations(new[None], activity)[0])

    @cached_property
    def predicted(self) -> np.ndarray:
        """Correlation of the new type's accessibility with that of each training type, as its activity tells.

        Over pairs of training types it is regressed on the correlation of activities, with an effect of each type: one
        that is like no other is not like the new one either.
        """
        n_types = len(self.target)
        left, right = np.triu_indices(n_types, 1)
        design = np.zeros((len(left), n_types + 3))
        pair = np.arange(len(left))
        design[pair, left] = design[pair, right] = 1
        design[:, n_types:] = _terms(self.activity[left, right])
        penalty = np.diag([TRUST[0]] * n_types + list(TRUST[1:]))
        found = np.linalg.solve(design.T @ design + penalty, design.T @ self.target[left, right])
        return found[:n_types] + _terms(self.new) @ found[n_types:]

    def weights(self, noise: float = NOISE) -> np.ndarray:
        """Weigh the training types in the best linear prediction of the new one (simple kriging)."""
        return np.linalg.solve(self.target + noise * np.eye(len(self.target)), self.predicted)

    def focus(self, width: float) -> np.ndarray:
        """Weigh the most alike: a softmax of the correlation of activities over `width`."""
        weight = np.exp((self.new - self.new.max()) / width)
        return weight / weight.sum()

    def mixtures(self) -> np.ndarray:
        """Weights of the most alike, and even ones, float64 ``(mixtures, training types)``."""
        return np.stack([*(self.focus(width) for width in FOCUS), np.full(len(self.new), 1 / len(self.new))])

    def mixture(self) -> np.ndarray:
        """Weigh them by activity alone, for a mean that is not known (ordinary kriging); the weights sum to 1."""
        covariance = np.exp((self.activity - 1) / REACH) + OWN * np.eye(len(self.activity))
        even = np.linalg.solve(covariance, np.ones(len(covariance)))
        found = np.linalg.solve(covariance, np.exp((self.new - 1) / REACH))
        return found + even * (1 - found.sum()) / even.sum()


def _terms(correlation: np.ndarray) -> np.ndarray:
    return np.column_stack([correlation, np.maximum(correlation, 0) ** 2, np.ones_like(correlation)])


class Measured(NamedTuple):
    """What was measured in the training types."""

    near: np.ndarray
    """Standardised ``(regions, training types)``."""
    levels: np.ndarray | None
    """Where they are open, 0 to 1; None: values, whose level is their mean."""
    around: np.ndarray | None
    """Means over other regions nearby, like `levels` or `near`, ``(regions, training types, reaches)``; None: not read."""


@dataclass(frozen=True)
class Case:
    """One cell type that is new in some regions, and those that are not."""

    heads: np.ndarray
    """What the sequence says of each training type, standardised ``(regions, training types)``."""
    motifs: np.ndarray
    """What motifs say of the new one, by its activity, and beside `measured` of types like it, by theirs."""
    likeness: Likeness
    measured: Measured | None
    components: np.ndarray | None
    """What kind of sequence it is, such as rich in GC: principal components of motif strength; only beside `measured`."""

    def columns(self, name: str) -> np.ndarray:
        """What the combiner of that name reads, float64 ``(regions, columns)``."""
        found = [self.heads.mean(axis=1, dtype=np.float64)[:, None]]
        if name == "genebert":
            found += [(self.heads @ self.likeness.weights())[:, None], self.motifs]
        if self.measured is not None and name != "sequence_only":
            found += [_level_columns(self.measured), self.components]
            if name == "genebert":
                found.append(_alike_columns(self.measured, self.heads, self.likeness))
        return np.hstack(found)

    def simple(self) -> dict[str, np.ndarray]:
        """Methods that need no last step."""
        found = {"motif_activity": self.motifs[:, 0].astype(np.float64)}
        if self.measured is not None:
            found["weighted_mean"] = self.measured.near @ self.likeness.mixture()
        return found


def _level_columns(measured: Measured) -> np.ndarray:
    """In how many training types a region and those around it are open: without the activity of the new one."""
    columns = [measured.near.mean(axis=1)]
    if measured.levels is not None:
        share, n_types = measured.levels.mean(axis=1), measured.levels.shape[1]
        columns = [share, np.log((share * n_types + COUNT) / ((1 - share) * n_types + COUNT))]
    if measured.around is not None:
        columns += list(measured.around.mean(axis=1, dtype=np.float64).T)
    return np.column_stack(columns)


def _alike_columns(measured: Measured, heads: np.ndarray, likeness: Likeness) -> np.ndarray:
    """What was measured in the training types, weighted by how much they are like the new one."""
    near = measured.near
    columns = [near @ likeness.weights(noise) for noise in NOISES]
    columns.append(near @ likeness.mixture())
    columns += [(near if measured.levels is None else measured.levels) @ likeness.focus(width) for width in FOCUS]
    columns.append((near - heads) @ likeness.weights(NOISES[1]))  # how far the sequence was wrong
    if measured.around is not None:
        columns += list(np.einsum("rtk,t->kr", measured.around, likeness.focus(FOCUS[1])))
    return np.column_stack(columns)


@dataclass(frozen=True)
class Combiner:
    """A linear function of standardised columns; where there are trees, its mean with what they say."""

    centre: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: float
    is_binary: bool
    trees: Any

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        """Probabilities or values, float64 ``(regions,)``."""
        value = (matrix - self.centre) * self.scale @ self.weight + self.bias
        if self.trees is not None and len(matrix):
            more = self.trees.decision_function(matrix) if self.is_binary else self.trees.predict(matrix)
            value = (value + more) / 2
        return expit(value) if self.is_binary else value


def fit_combiner(
    matrix: np.ndarray, wanted: np.ndarray, *, is_binary: bool, with_trees: bool, seed: int, keeps_order: bool = False
) -> Combiner:
    """Fit logistic regression by Newton's method, or ridge regression, and trees where they are asked for.

    With `keeps_order` a single column ranks regions as it does itself, also where it ran the wrong way in what was fitted.
    """
    centre, spread = matrix.mean(axis=0), matrix.std(axis=0)
    varies = spread > 1e-9
    scale = np.where(varies, 1 / np.where(varies, spread, 1), 0)
    design = np.column_stack([np.ones(len(matrix)), (matrix - centre) * scale])
    penalty = np.append(1e-6, np.full(matrix.shape[1], PULL))
    wanted = wanted.astype(np.float64)
    if is_binary:
        found = _logistic(design, wanted, penalty)
    else:
        found = np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ wanted)
    if keeps_order and found[1] < LEAST_SLOPE:
        mean = wanted.mean()
        found = np.array([_log_odds(mean) if is_binary else mean, LEAST_SLOPE])
    trees = None
    if with_trees and len(np.unique(wanted)) > 1:
        kind = HistGradientBoostingClassifier if is_binary else HistGradientBoostingRegressor
        trees = kind(**TREES, random_state=seed).fit(matrix, wanted)
    return Combiner(centre, scale, found[1:], float(found[0]), is_binary, trees)


def _log_odds(share: float) -> float:
    share = np.clip(share, 1e-3, 1 - 1e-3)
    return float(np.log(share / (1 - share)))


def _logistic(design: np.ndarray, wanted: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    found = np.append(_log_odds(wanted.mean()), np.zeros(design.shape[1] - 1))
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
