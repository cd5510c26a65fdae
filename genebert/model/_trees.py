"""Gradient boosting on motif scores: fitted by scikit-learn, kept as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numba
import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from genebert.model._targets import Targets, loss_and_gradient

__all__ = ["BoostedTrees", "fit_trees"]

MANY_OUTPUTS = 4
STEPS = {False: 200, True: 60}
"""Trees per output at most; fewer where there are many outputs."""
MAX_BINS = 63  # of each score


@dataclass(frozen=True)
class BoostedTrees:
    """Sums of trees over motif scores, and over accessibility where the task reads it."""

    name: ClassVar[str] = "trees"
    feature: np.ndarray
    """int32 ``(nodes,)``: column that a node asks for; -1 at a leaf."""
    threshold: np.ndarray
    """float32 ``(nodes,)``: values up to this go left."""
    children: np.ndarray
    """int32 ``(nodes, 2)``."""
    value: np.ndarray
    """float32 ``(nodes,)``: what a leaf adds."""
    root: np.ndarray
    """int32 ``(trees,)``."""
    output: np.ndarray
    """int32 ``(trees,)``: the logit that a tree adds to."""
    bias: np.ndarray
    """float32 ``(outputs,)``."""

    def logits(self, inputs: Any) -> np.ndarray:
        """Logits, float64 ``(regions, outputs)``."""
        matrix = columns(inputs)
        total = np.tile(self.bias.astype(np.float64), (len(matrix), 1))
        _add_trees(matrix, self.feature, self.threshold, self.children, self.value, self.root, self.output, total)
        return total

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Settings and tensors, for `restore`."""
        return {}, {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in vars(self).items()}

    @classmethod
    def restore(cls, settings: dict[str, Any], tensors: dict[str, torch.Tensor]) -> BoostedTrees:
        """Rebuild from what `state` returned."""
        return cls(**settings, **{name: tensor.numpy() for name, tensor in tensors.items()})


def columns(inputs: Any) -> np.ndarray:
    """What the trees read: motif scores, then accessibility."""
    parts = [inputs.scores] if inputs.context is None else [inputs.scores, inputs.context]
    return np.ascontiguousarray(np.hstack(parts), dtype=np.float32)


@numba.njit(cache=True, nogil=True)
def _add_trees(
    matrix: np.ndarray,
    feature: np.ndarray,
    threshold: np.ndarray,
    children: np.ndarray,
    value: np.ndarray,
    root: np.ndarray,
    output: np.ndarray,
    total: np.ndarray,
) -> None:
    """Walk each row down each tree and add up the leaves."""
    for row in range(matrix.shape[0]):
        for tree in range(root.shape[0]):
            node = root[tree]
            while feature[node] >= 0:
                node = children[node, 0 if matrix[row, feature[node]] <= threshold[node] else 1]
            total[row, output[tree]] += value[node]


def fit_trees(inputs: Any, targets: Targets, *, train: np.ndarray, inner: np.ndarray, seed: int) -> BoostedTrees:
    """Fit boosted trees; the inner part says how many are kept.

    Parameters
    ----------
    inputs
        Of all regions, with motif scores.
    targets
        Their labels.
    train, inner
        Rows.
    seed
        Of the columns that each split may ask for.
    """
    matrix = columns(inputs)
    if targets.kind == "multiclass" and targets.n_outputs > 2:
        return _fit_one(matrix, targets, train=train, inner=inner, seed=seed, n_steps=STEPS[False])
    if targets.kind == "multiclass":  # of two classes: the log-odds of the second one
        weights = None if targets.weights is None else targets.weights[[1]] / targets.weights[0]
        single = Targets("binary", targets.outputs[1:], targets.values, weights)
        trees = _fit_one(matrix, single, train=train, inner=inner, seed=seed, n_steps=STEPS[False])
        return replace(trees, output=trees.output + 1, bias=np.append(np.float32(0), trees.bias))
    parts = []
    for number, name in enumerate(targets.outputs):
        weights = None if targets.weights is None else targets.weights[[number]]
        single = Targets(
            "binary" if targets.kind == "multilabel" else targets.kind, [name], targets.values[:, [number]], weights
        )
        n_steps = STEPS[targets.n_outputs > MANY_OUTPUTS]
        parts.append(_fit_one(matrix, single, train=train, inner=inner, seed=seed, n_steps=n_steps))
    return _joined(parts)


def _fit_one(
    matrix: np.ndarray, targets: Targets, *, train: np.ndarray, inner: np.ndarray, seed: int, n_steps: int
) -> BoostedTrees:
    known, weight = targets.known, targets.sample_weights()[:, 0]
    train, inner = train[known[train]], inner[known[inner]]
    kind = HistGradientBoostingRegressor if targets.kind == "regression" else HistGradientBoostingClassifier
    booster = kind(
        learning_rate=0.1, max_leaf_nodes=15, min_samples_leaf=min(20, max(2, len(train) // 20)), max_bins=MAX_BINS,
        l2_regularization=1.0, max_features=0.3, early_stopping=False, random_state=seed, warm_start=True,
    )  # fmt: skip
    labels = targets.values[train, 0]
    if targets.kind != "regression":
        labels = labels.astype(int)
        if len(np.unique(labels)) < targets.n_outputs + (targets.kind == "binary"):  # not all classes in this part
            return _constant(targets.take(train))
    edges = find_edges(matrix[train])
    learnt, held_out, truth = to_bins(matrix[train], edges), matrix[inner], targets.take(inner)
    for part in (8, 4, 2, 1):
        n_now = n_steps // part
        booster.set_params(max_iter=n_now).fit(learnt, labels, sample_weight=weight[train])  # goes on where it was
        trees = _shortened(_exported(booster, targets.n_outputs, edges), held_out, truth)
        if len(trees.root) <= n_now // 2 * targets.n_outputs:  # the second half was of no use
            break
    return trees


def find_edges(matrix: np.ndarray) -> np.ndarray:
    """Edges of the bins of each column, float32 ``(columns, MAX_BINS - 1)``; with weights scikit-learn takes minutes."""
    shares = np.linspace(0, 1, MAX_BINS + 1)[1:-1]
    return np.array([np.quantile(column, shares) for column in matrix.T], dtype=np.float32)


def to_bins(matrix: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Number of the bin of each value: how many edges are below it, float32 like `matrix`."""
    found = np.empty_like(matrix)
    for number, column in enumerate(edges):
        found[:, number] = np.searchsorted(column, matrix[:, number])
    return found


def _constant(targets: Targets) -> BoostedTrees:
    none, ends = np.zeros(0, dtype=np.int32), np.zeros((0, 2), dtype=np.int32)
    empty = np.zeros(0, dtype=np.float32)
    return BoostedTrees(none, empty, ends, empty, none, none, targets.start().astype(np.float32))


def _exported(booster: Any, n_outputs: int, edges: np.ndarray) -> BoostedTrees:
    """Read the nodes of the trees, which scikit-learn keeps to itself; a test compares with its own predictions.

    Its thresholds lie between numbers of bins. A value is in bin `i` or below where it is not above edge `i`.
    """
    trees = [(output, tree.nodes) for step in booster._predictors for output, tree in enumerate(step)]
    sizes = np.array([len(nodes) for _, nodes in trees], dtype=np.int64)
    root = np.concatenate([[0], sizes.cumsum()[:-1]]).astype(np.int32)
    nodes = np.concatenate([nodes for _, nodes in trees])
    shift = np.repeat(root, sizes)[:, None]
    is_leaf = nodes["is_leaf"].astype(bool)
    feature = np.where(is_leaf, 0, nodes["feature_idx"]).astype(np.int32)
    bins = np.where(is_leaf, 0, np.floor(nodes["num_threshold"])).astype(np.int32)
    children = np.stack([nodes["left"], nodes["right"]], axis=1).astype(np.int32) + shift
    return BoostedTrees(
        feature=np.where(is_leaf, -1, feature).astype(np.int32),
        threshold=edges[feature, bins],
        children=children.astype(np.int32),
        value=nodes["value"].astype(np.float32),
        root=root,
        output=np.array([output for output, _ in trees], dtype=np.int32),
        bias=np.broadcast_to(np.ravel(booster._baseline_prediction), (n_outputs,)).astype(np.float32).copy(),
    )


def _shortened(trees: BoostedTrees, matrix: np.ndarray, targets: Targets) -> BoostedTrees:
    """Keep the first steps, as many as have the lowest loss."""
    n_outputs = len(trees.bias)
    if not len(matrix):
        return trees
    total = np.tile(trees.bias.astype(np.float64), (len(matrix), 1))
    weight = targets.sample_weights()
    losses = [loss_and_gradient(total, targets, weight)[0]]
    for first in range(0, len(trees.root), n_outputs):
        part = slice(first, first + n_outputs)
        _add_trees(
            matrix, trees.feature, trees.threshold, trees.children, trees.value, trees.root[part], trees.output[part], total
        )  # fmt: skip
        losses.append(loss_and_gradient(total, targets, weight)[0])
    n_trees = int(np.argmin(losses)) * n_outputs
    end = trees.root[n_trees] if n_trees < len(trees.root) else len(trees.feature)
    return BoostedTrees(
        trees.feature[:end], trees.threshold[:end], trees.children[:end], trees.value[:end], trees.root[:n_trees],
        trees.output[:n_trees], trees.bias,
    )  # fmt: skip


def _joined(parts: list[BoostedTrees]) -> BoostedTrees:
    """Put models of one output each side by side."""
    shifts = np.concatenate([[0], np.cumsum([len(part.feature) for part in parts])])[:-1].astype(np.int32)
    shifted = list(zip(parts, shifts, strict=True))
    return BoostedTrees(
        feature=np.concatenate([part.feature for part in parts]),
        threshold=np.concatenate([part.threshold for part in parts]),
        children=np.concatenate([part.children + shift for part, shift in shifted]),
        value=np.concatenate([part.value for part in parts]),
        root=np.concatenate([part.root + shift for part, shift in shifted]),
        output=np.concatenate([np.full(len(part.root), i, dtype=np.int32) for i, part in enumerate(parts)]),
        bias=np.concatenate([part.bias for part in parts]),
    )
