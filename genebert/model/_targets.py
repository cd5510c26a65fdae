"""What a task is to predict: values with gaps, their loss, and what a logit becomes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch.nn.functional as F
from scipy.special import expit, log_softmax, softmax
from torch import Tensor

__all__ = ["Kind", "Targets", "loss_and_gradient", "probabilities", "task_loss"]

Kind = Literal["binary", "multiclass", "multilabel", "regression"]


@dataclass(frozen=True)
class Targets:
    """Labels of regions, NaN where there is none."""

    kind: Kind
    outputs: list[str]
    """Names of labels; of classes where there are more than two."""
    values: np.ndarray
    """float32 ``(regions, labels)``: 0 or 1, the number of the class (one column), or a number of mean 0 and sd 1."""
    weights: np.ndarray | None = None
    """Weight of each class, float32 ``(outputs,)``: of a positive, or of the class; None: all alike."""

    @property
    def n_outputs(self) -> int:
        """Logits per region."""
        return len(self.outputs)

    @property
    def known(self) -> np.ndarray:
        """Regions with a label, bool ``(regions,)``."""
        return ~np.isnan(self.values).all(axis=1)

    def take(self, rows: np.ndarray) -> Targets:
        """Labels of some regions."""
        return replace(self, values=self.values[rows])

    def doubled(self) -> Targets:
        """Each region twice, for its two strands."""
        return replace(self, values=np.concatenate([self.values, self.values]))

    def sample_weights(self) -> np.ndarray:
        """Weight of each label, float64, of the shape of `values`; 0 where there is none."""
        known = ~np.isnan(self.values)
        if self.weights is None or self.kind == "regression":
            return known.astype(np.float64)
        if self.kind == "multiclass":
            weight = self.weights[np.nan_to_num(self.values).astype(int)]
        else:
            weight = np.where(self.values == 1, self.weights, 1.0)
        return np.where(known, weight, 0.0)

    def balanced(self) -> Targets:
        """Weigh classes so that each counts as much."""
        if self.kind == "regression":
            return self
        if self.kind == "multiclass":
            count = np.bincount(self.values[self.known, 0].astype(int), minlength=self.n_outputs)
            weights = count.sum() / (self.n_outputs * np.maximum(count, 1))
        else:
            positive = np.nansum(self.values, axis=0)
            weights = (np.sum(~np.isnan(self.values), axis=0) - positive) / np.maximum(positive, 1)
        return replace(self, weights=weights.astype(np.float32))

    def start(self) -> np.ndarray:
        """Logits of guessing, float64 ``(outputs,)``."""
        weight = self.sample_weights()
        values = np.nan_to_num(self.values)
        if self.kind == "regression":
            return (weight * values).sum(0) / np.maximum(weight.sum(0), 1)
        if self.kind == "multiclass":
            total = np.bincount(values[:, 0].astype(int), weights=weight[:, 0], minlength=self.n_outputs) + 1
            return np.log(total / total.sum())
        positive = (weight * values).sum(0) + 1
        return np.log(positive) - np.log(weight.sum(0) - positive + 2)


def probabilities(logits: np.ndarray, kind: Kind) -> np.ndarray:
    """Turn logits ``(regions, outputs)`` into probabilities; values of a regression stay."""
    if kind == "regression":
        return logits
    return softmax(logits, axis=1) if kind == "multiclass" else expit(logits)


def loss_and_gradient(logits: np.ndarray, targets: Targets, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Weighted mean of the loss in nats (half the squared error of a regression), and its gradient by the logits.

    Parameters
    ----------
    logits
        float64 ``(regions, outputs)``.
    targets
        Labels of these regions.
    weight
        Of `Targets.sample_weights`.
    """
    total = max(weight.sum(), 1e-12)
    values = np.nan_to_num(targets.values).astype(np.float64)
    if targets.kind == "multiclass":
        log_p = log_softmax(logits, axis=1)
        number = values[:, 0].astype(int)
        gradient = np.exp(log_p)
        gradient[np.arange(len(number)), number] -= 1
        return float(-(weight[:, 0] * log_p[np.arange(len(number)), number]).sum() / total), gradient * weight / total
    if targets.kind == "regression":
        error = logits - values
        return float((weight * error**2).sum() / (2 * total)), weight * error / total
    nats = np.logaddexp(0, logits) - values * logits
    return float((weight * nats).sum() / total), weight * (expit(logits) - values) / total


def task_loss(logits: Tensor, values: Tensor, weight: Tensor, *, kind: Kind) -> Tensor:
    """`loss_and_gradient` in torch; `values` without NaN, `weight` 0 where there is no label."""
    logits = logits.float()
    if kind == "multiclass":
        loss = F.cross_entropy(logits, values[:, 0].long(), reduction="none")[:, None]
    elif kind == "regression":
        loss = (logits - values) ** 2 / 2
    else:
        loss = F.binary_cross_entropy_with_logits(logits, values, reduction="none")
    return (loss * weight).sum() / weight.sum().clamp(min=1e-12)
