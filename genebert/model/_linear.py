"""Linear models of k-mers: counts, and what lies where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import minimize

from genebert.model._kmers import Block, Vocabulary
from genebert.model._targets import Targets, loss_and_gradient
from genebert.model._task_inputs import Contexts, Inputs, gate

__all__ = ["LinearModel", "fit_linear", "joined", "solve"]

STRENGTHS = (0.01, 0.1, 1.0)
"""Inverse strengths of the penalty, per region, that are tried; the inner part decides."""
MAX_STEPS = 100
TOLERANCE = 1e-7  # relative change of the loss
MANY_OUTPUTS = 8  # from which on the weakest penalty, whose fit is the slowest, is not tried
GATE_SCALE = 10.0  # of the constant that accessibility multiplies, so that it is hardly penalised


class LinearModel:
    """Logits that are linear in k-mers and, where accessibility multiplies, in k-mers times accessibility.

    Parameters
    ----------
    vocabulary
        What is read.
    weight
        float32 ``(features, outputs)``; with `own` twice as many columns, the second half multiplied by accessibility.
    bias
        float32 ``(outputs,)``.
    own
        Of each output the column of accessibility that multiplies, -1 for none; empty: none is read.
    """

    name: ClassVar[str] = "linear"

    def __init__(
        self, vocabulary: Vocabulary, weight: np.ndarray, bias: np.ndarray, *, own: Sequence[int] = ()
    ) -> None:
        self.vocabulary, self.weight, self.bias, self.own = vocabulary, weight, bias, tuple(own)

    def logits(self, inputs: Inputs) -> np.ndarray:
        """Logits, float64 ``(regions, outputs)``."""
        matrix, factor = _read(self.vocabulary, inputs, self.own)
        return joined(matrix @ self.weight.astype(np.float64), factor) + self.bias

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Settings and tensors, for `restore`."""
        known = self.vocabulary
        settings = {
            "blocks": [list(block) for block in known.blocks], "seq_length": known.seq_length,
            "both_strands": known.both_strands, "own": list(self.own),
        }  # fmt: skip
        tensors = {"columns": known.columns, "weight": self.weight, "bias": self.bias}
        return settings, {name: torch.from_numpy(array) for name, array in tensors.items()}

    @classmethod
    def restore(cls, settings: dict[str, Any], tensors: dict[str, torch.Tensor]) -> LinearModel:
        """Rebuild from what `state` returned."""
        own = settings.pop("own") if "own" in (settings := dict(settings)) else ()
        vocabulary = Vocabulary(**settings, columns=tensors["columns"].numpy())
        return cls(vocabulary, tensors["weight"].numpy(), tensors["bias"].numpy(), own=own)


def _read(vocabulary: Vocabulary, inputs: Inputs, own: Sequence[int]) -> tuple[sparse.csr_matrix, np.ndarray | None]:
    """Features, and what multiplies them; then with a constant beside the k-mers."""
    matrix = vocabulary.read(inputs.codes)
    if not own:
        return matrix, None
    constant = np.full((matrix.shape[0], 1), GATE_SCALE, dtype=np.float32)
    return sparse.hstack([matrix, constant], format="csr"), gate(inputs.context, own)


def fit_linear(
    inputs: Inputs,
    targets: Targets,
    *,
    blocks: Sequence[Block],
    both_strands: bool,
    train: np.ndarray,
    inner: np.ndarray,
    contexts: Contexts | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> LinearModel:
    """Fit a penalised linear model; the penalty with the lowest loss on the inner part wins.

    Parameters
    ----------
    inputs, targets
        Of all regions.
    blocks
        K-mers that are read.
    both_strands
        Whether the strand does not matter.
    train, inner
        Rows.
    contexts
        Accessibility that multiplies; None: none.
    strengths
        Inverse strengths of the penalty, per region, from strong to weak.
    """
    own = () if contexts is None else contexts.own
    codes, wanted = inputs.codes[train], targets.take(train)
    vocabulary = Vocabulary(blocks, seq_length=codes.shape[1], both_strands=both_strands).seen_in(codes)
    matrix, factor = _read(vocabulary, inputs.take(train), own)
    held_out, held_factor = _read(vocabulary, inputs.take(inner), own)
    truth = targets.take(inner)
    if targets.n_outputs >= MANY_OUTPUTS:
        strengths = strengths[:-1]
    best, found = np.inf, None
    for weight, bias in _path(matrix, wanted, strengths, factor):
        loss, _ = loss_and_gradient(joined(held_out @ weight, held_factor) + bias, truth, truth.sample_weights())
        if found is None or loss < best:
            best, found = loss, (weight, bias)
    weight, bias = (array.astype(np.float32) for array in found)
    return LinearModel(vocabulary, weight, bias, own=own)


def _path(
    matrix: Any, targets: Targets, strengths: Sequence[float], factor: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """From a strong penalty to a weak one, each from where the one before ended."""
    start = None
    for strength in strengths:
        start = solve(matrix, targets, penalty=1 / (strength * matrix.shape[0]), start=start, factor=factor)
        yield start


def joined(product: np.ndarray, factor: np.ndarray | None) -> np.ndarray:
    """First half of the columns plus `factor` times the second half; without a factor all columns as they are."""
    if factor is None:
        return product
    n_outputs = factor.shape[1]
    return product[:, :n_outputs] + factor * product[:, n_outputs:]


def solve(
    matrix: Any,
    targets: Targets,
    *,
    penalty: float,
    start: tuple[np.ndarray, np.ndarray] | None = None,
    factor: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise the mean loss plus half the penalty times the squared weights, by L-BFGS (Liu and Nocedal 1989).

    Parameters
    ----------
    matrix
        Features, dense or sparse ``(regions, features)``.
    targets
        Labels of these regions.
    penalty
        Of squared weights.
    start
        Weights and bias to start from.
    factor
        What multiplies the second half of the weights ``(regions, outputs)``; None: there is one half only.

    Returns
    -------
    Weights ``(features, outputs)``, with a factor ``(features, 2 outputs)``, and bias ``(outputs,)``, float64.
    """
    n_outputs = targets.n_outputs
    shape = (matrix.shape[1], n_outputs * (1 if factor is None else 2))
    label_weight = targets.sample_weights()
    if start is None:
        start = np.zeros(shape), targets.start()
    transposed = matrix.T.tocsr() if sparse.issparse(matrix) else matrix.T

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = flat[n_outputs:].reshape(shape), flat[:n_outputs]
        loss, gradient = loss_and_gradient(joined(matrix @ weight, factor) + bias, targets, label_weight)
        both = gradient if factor is None else np.hstack([gradient, factor * gradient])
        by_weight = transposed @ both + penalty * weight
        return loss + penalty / 2 * float((weight**2).sum()), np.concatenate([gradient.sum(0), by_weight.ravel()])

    first = np.concatenate([start[1], start[0].ravel()])
    options = {"maxiter": MAX_STEPS, "ftol": TOLERANCE}
    found = minimize(objective, first, jac=True, method="L-BFGS-B", options=options).x
    return found[n_outputs:].reshape(shape), found[:n_outputs]
