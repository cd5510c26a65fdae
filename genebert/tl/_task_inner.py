"""The inner part of train, by which a task stops and is calibrated."""

from __future__ import annotations

import numpy as np
from mudata import MuData

from genebert import _keys
from genebert.model._targets import Targets
from genebert.pp._groups import similar_regions

__all__ = ["inner_rows"]

INNER_SHARE, INNER_MOST, INNER_ROWS = 0.1, 0.25, 400
INNER_LIMIT = 0.3  # of train: more is never taken away from what is learnt from
LEAST_INNER = 0.25  # of what is wanted: from less nothing can be told
NEAR = 0.1  # of what is wanted: no other draw is needed
TRIES = 20
LARGE_GROUP = 0.02  # of train; regions that hang together in a group like this stay outside of the inner part


def inner_rows(mdata: MuData, train: np.ndarray, *, seed: int, targets: Targets | None = None) -> np.ndarray:
    """Cut an inner part from train, to stop and calibrate by: a tenth, or 400 regions where that is no more than a quarter.

    Whole chromosomes, where some of them come near to that; else groups of regions that share no 32-mer with the rest of
    train. The part is never more than 30 % of train, and never less than a quarter of what is wanted.

    Parameters
    ----------
    train
        bool ``(regions,)``.
    targets
        Labels: of several cuts one is taken that leaves each class on both sides, where there is one.

    Returns
    -------
    bool ``(regions,)``.

    Raises
    ------
    ValueError
        When too many regions of train hang together.
    """
    n_train = int(train.sum())
    wanted = max(INNER_SHARE * n_train, min(INNER_ROWS, INNER_MOST * n_train))
    least = max(1, LEAST_INNER * wanted)
    options = {"wanted": wanted, "rng": np.random.default_rng(seed), "targets": targets}
    if _keys.CHROM.has(mdata):
        found = _cut(np.asarray(_keys.CHROM.get(mdata)).astype(str), train, **options)
        if found.sum() >= least:
            return found
    groups = np.full(mdata.n_obs, -1)
    groups[train] = similar_regions(mdata[train])  # what is scored has no say in this
    count = np.bincount(groups[train])
    is_small = train & (count <= max(1, LARGE_GROUP * n_train))[groups]
    for rows in (is_small, train):
        found = _cut(groups, train, among=rows, **options)
        if found.sum() >= least:
            return found
    msg = (
        f"Expected train regions of which {int(np.ceil(least))} or more can be set apart, to stop and calibrate by, without "
        f"sharing 32 bases or a place with the others; found {int(found.sum())}: {count.max()} of {n_train} hang together. "
        "Add regions on other chromosomes, or leave out regions that overlap, such as tiles whose step is below their width."
    )
    raise ValueError(msg)


def _cut(
    groups: np.ndarray,
    train: np.ndarray,
    *,
    wanted: float,
    rng: np.random.Generator,
    targets: Targets | None,
    among: np.ndarray | None = None,
) -> np.ndarray:
    """Draw whole groups until there are as many regions as wanted; the best of several draws, which may hold none.

    A group that would make it more than `INNER_LIMIT` of train is passed over. Best are most classes on both sides, then the
    size nearest to the one that is wanted.
    """
    most = INNER_LIMIT * train.sum()
    rows = np.flatnonzero(train if among is None else among)
    _, group, count = np.unique(groups[rows], return_inverse=True, return_counts=True)
    best, found = (-1, 0.0), np.zeros_like(train)
    for _ in range(TRIES):
        is_chosen, size = np.zeros(len(count), dtype=bool), 0
        for number in rng.permutation(len(count)):
            if size + count[number] <= most:
                is_chosen[number] = True
                size += count[number]
            if size >= wanted:
                break
        inner = np.zeros_like(train)
        inner[rows] = is_chosen[group]
        n_classes = _n_classes(targets, inner) + _n_classes(targets, train & ~inner)
        distance = abs(size - wanted)
        if (n_classes, -distance) > best:
            best, found = (n_classes, -distance), inner
        if n_classes == 2 * _n_classes(targets, train) and distance <= NEAR * wanted:
            break
    return found


def _n_classes(targets: Targets | None, rows: np.ndarray) -> int:
    """Classes that occur, over all labels."""
    if targets is None or targets.kind == "regression":
        return 0
    values = targets.values[rows]
    if targets.kind == "multiclass":
        return len(np.unique(values[~np.isnan(values)]))
    return int((values == 1).any(axis=0).sum() + (values == 0).any(axis=0).sum())
