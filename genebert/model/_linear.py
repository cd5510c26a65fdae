"""Linear models of sequence: counts of k-mers, and the k-mer at each position."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import minimize

from genebert._dna import kmer_ids, reverse_complement
from genebert.model._targets import Targets, loss_and_gradient

__all__ = ["LinearModel", "fit_linear", "kmer_counts", "position_kmers", "solve"]

STRENGTHS = (0.01, 0.1, 1.0)
"""Inverse strengths of the penalty, per region, that are tried; the inner part decides."""
MAX_STEPS = 100
MANY_OUTPUTS = 8  # from which on the weakest penalty, whose fit is the slowest, is not tried


def kmer_counts(codes: np.ndarray, *, k: int, both_strands: bool) -> sparse.csr_matrix:
    """Count k-mers; with `both_strands` those of the reverse complement, too, so that the strand changes nothing.

    Returns
    -------
    float32 ``(regions, 4**k)``.
    """
    sides = (codes, reverse_complement(codes)) if both_strands else (codes,)
    return sum(_one_hot(kmer_ids(side, k), n_columns=4**k, unknown=4**k) for side in sides)


def position_kmers(codes: np.ndarray, *, k: int) -> sparse.csr_matrix:
    """Tell which k-mer lies at each position, float32 ``(regions, positions * 4**k)``."""
    ids = kmer_ids(codes, k).astype(np.int64)
    unknown = ids.shape[1] * 4**k
    ids = np.where(ids < 4**k, ids + 4**k * np.arange(ids.shape[1]), unknown)
    return _one_hot(ids, n_columns=unknown, unknown=unknown)


def _one_hot(ids: np.ndarray, *, n_columns: int, unknown: int) -> sparse.csr_matrix:
    known = ids != unknown
    indptr = np.concatenate([[0], known.sum(axis=1).cumsum()])
    matrix = sparse.csr_matrix(
        (np.ones(indptr[-1], dtype=np.float32), ids[known], indptr), shape=(len(ids), max(n_columns, 1))
    )
    matrix.sum_duplicates()
    return matrix


@dataclass(frozen=True)
class LinearModel:
    """Logits that are linear in k-mers."""

    name: ClassVar[str] = "linear"
    features: str
    """``"count"`` or ``"position"``."""
    k: int
    both_strands: bool
    weight: np.ndarray
    """float32 ``(features, outputs)``."""
    bias: np.ndarray

    def logits(self, inputs: Any) -> np.ndarray:
        """Logits of sequences, float64 ``(regions, outputs)``; of positions averaged over strands where both count."""
        if self.features == "count":
            sides = [kmer_counts(inputs.codes, k=self.k, both_strands=self.both_strands)]
        else:
            sides = [position_kmers(inputs.codes, k=self.k)]
            if self.both_strands:
                sides.append(position_kmers(reverse_complement(inputs.codes), k=self.k))
        return sum(side @ self.weight.astype(np.float64) for side in sides) / len(sides) + self.bias

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Settings and tensors, for `restore`."""
        settings = {"features": self.features, "k": self.k, "both_strands": self.both_strands}
        return settings, {"weight": torch.from_numpy(self.weight), "bias": torch.from_numpy(self.bias)}

    @classmethod
    def restore(cls, settings: dict[str, Any], tensors: dict[str, torch.Tensor]) -> LinearModel:
        """Rebuild from what `state` returned."""
        return cls(**settings, weight=tensors["weight"].numpy(), bias=tensors["bias"].numpy())


def fit_linear(
    codes: np.ndarray,
    targets: Targets,
    *,
    features: str,
    k: int,
    both_strands: bool,
    train: np.ndarray,
    inner: np.ndarray,
) -> LinearModel:
    """Fit a penalised linear model; the penalty with the lowest loss on the inner part wins.

    Parameters
    ----------
    codes
        uint8 ``(regions, seq_length)``.
    targets
        Their labels.
    features, k
        ``"count"`` or ``"position"`` of k-mers.
    both_strands
        Whether the strand does not matter: counts are those of both; positions are learnt on both.
    train, inner
        Rows.
    """
    wanted, sides = targets.take(train), [codes[train]]
    if features == "position" and both_strands:
        sides.append(reverse_complement(sides[0]))
        wanted = wanted.doubled()
    make: Callable[[np.ndarray], sparse.csr_matrix]
    if features == "count":
        make = partial(kmer_counts, k=k, both_strands=both_strands)
    else:
        make = partial(position_kmers, k=k)
    matrix = make(np.concatenate(sides))
    held_out, truth = make(codes[inner]), targets.take(inner)
    best, found = np.inf, None
    for weight, bias in _path(matrix, wanted):
        loss, _ = loss_and_gradient(held_out @ weight + bias, truth, truth.sample_weights())
        if found is None or loss < best:
            best, found = loss, (weight, bias)
    return LinearModel(features, k, both_strands, found[0].astype(np.float32), found[1].astype(np.float32))


def _path(matrix: Any, targets: Targets) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """From a strong penalty to a weak one, each from where the one before ended."""
    start = None
    for strength in STRENGTHS if targets.n_outputs < MANY_OUTPUTS else STRENGTHS[:-1]:
        start = solve(matrix, targets, penalty=1 / (strength * matrix.shape[0]), start=start)
        yield start


def solve(
    matrix: Any, targets: Targets, *, penalty: float, start: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise the mean loss plus half the penalty times the squared weights, by L-BFGS (Liu and Nocedal 1989).

    Returns
    -------
    Weights ``(features, outputs)`` and bias ``(outputs,)``, float64.
    """
    n_features, n_outputs = matrix.shape[1], targets.n_outputs
    label_weight = targets.sample_weights()
    if start is None:
        start = np.zeros((n_features, n_outputs)), targets.start()
    transposed = matrix.T.tocsr() if sparse.issparse(matrix) else matrix.T

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = flat[n_outputs:].reshape(n_features, n_outputs), flat[:n_outputs]
        loss, gradient = loss_and_gradient(matrix @ weight + bias, targets, label_weight)
        by_weight = transposed @ gradient + penalty * weight
        return loss + penalty / 2 * float((weight**2).sum()), np.concatenate([gradient.sum(0), by_weight.ravel()])

    first = np.concatenate([start[1], start[0].ravel()])
    found = minimize(objective, first, jac=True, method="L-BFGS-B", options={"maxiter": MAX_STEPS}).x
    return found[n_outputs:].reshape(n_features, n_outputs), found[:n_outputs]
