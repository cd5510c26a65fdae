"""The last step of a task: how much each model counts, and calibration, fitted on the inner part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize

from genebert.model._targets import Targets, loss_and_gradient
from genebert.model._task_inputs import Inputs

__all__ = ["Member", "Stack", "fit_stack"]

PULL = 4.0  # how many regions the start counts for


class Stack(NamedTuple):
    """A weighted sum of logits. With one model its weight is an inverse temperature (Guo et al. 2017)."""

    weight: np.ndarray
    """float32 ``(models,)``, none below 0."""
    bias: np.ndarray
    """float32 ``(outputs,)``."""

    def __call__(self, logits: Sequence[np.ndarray]) -> np.ndarray:
        """Join logits of the models, each ``(regions, outputs)``."""
        return np.tensordot(self.weight.astype(np.float64), np.stack(logits), axes=1) + self.bias


class Member(NamedTuple):
    """Models that were fitted with one seed, and how they are joined."""

    models: dict[str, Any]
    stack: Stack

    def logits(self, inputs: Inputs) -> np.ndarray:
        """Joined logits ``(regions, outputs)``."""
        return self.stack([model.logits(inputs) for model in self.models.values()])


def fit_stack(logits: Sequence[np.ndarray], targets: Targets) -> Stack:
    """Find weights and bias with the lowest loss, pulled towards the plain mean (stacking, Wolpert 1992).

    Classes are not weighted here, so that probabilities are those of the data.

    Parameters
    ----------
    logits
        Of each model ``(regions, outputs)``, on regions that none of them was fitted on.
    targets
        Labels of these regions.
    """
    stacked = np.stack(logits)
    n_models, _, n_outputs = stacked.shape
    targets = Targets(targets.kind, targets.outputs, targets.values)
    weight = targets.sample_weights()
    pull = PULL / max(weight.sum(), 1.0)
    start = np.concatenate([np.full(n_models, 1 / n_models), np.zeros(n_outputs)])

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        share, bias = flat[:n_models], flat[n_models:]
        loss, gradient = loss_and_gradient(np.tensordot(share, stacked, axes=1) + bias, targets, weight)
        away = flat - start
        by_share = np.tensordot(stacked, gradient, axes=([1, 2], [0, 1]))
        return loss + pull / 2 * float(away @ away), np.concatenate([by_share, gradient.sum(0)]) + pull * away

    bounds = [(0.0, None)] * n_models + [(None, None)] * n_outputs
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Stack(found[:n_models].astype(np.float32), found[n_models:].astype(np.float32))
