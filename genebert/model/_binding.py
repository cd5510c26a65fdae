"""Where TFs bind in a cell type that was not learnt from: accessibility gates what the sequence says.

Three things are learnt, or known, of an open region, and added as z-scores: a linear head of each TF on all motif scores, fitted
with a strong penalty on the open regions of the training types (what it learns beyond that is the training type's own
partners, and does not transfer); the TF's own motif; and the sum of motifs weighted by the TF activity of the cell type, whose
own partners these are. Their weights were chosen on inner chromosomes of train, from one cell line to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from genebert.model._linear import solve
from genebert.model._targets import Targets

__all__ = ["BindingModel", "Sites", "fit_binding", "own_motifs"]

PENALTY = 0.0045  # per open region
OWN, PARTNERS = 0.3, 0.3  # least weight of the own motif, and weight of the partners, beside the head
MOST_OWN = 5.0
WEAK = 1e-3
LEAST = 20
FLOOR = 1e-6


class Sites(NamedTuple):
    """Regions, seen from cell types."""

    motifs: np.ndarray
    """Raw highest log-odds, float32 ``(regions, motifs)``."""
    openness: np.ndarray
    """Accessibility relative to the mean of accessible regions, float32 ``(regions, cell types)``; 1 where nothing is known."""
    is_open: np.ndarray
    """bool ``(regions, cell types)``."""


class _Scale(NamedTuple):
    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> _Scale:
        sd = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(sd > FLOOR, sd, 1.0))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.sd


def own_motifs(tf: str, motifs: Sequence[str]) -> list[int]:
    """Find the motifs of a TF: columns named after it, alone (``JUND``, ``JUND_MA0492.2``) or with a partner (``FOS::JUND``)."""
    return [i for i, name in enumerate(motifs) if tf.upper() in name.upper().split("_")[0].split("::")]


@dataclass(frozen=True)
class BindingModel:
    """Heads of several TFs, fitted on training types."""

    own: list[list[int]]
    """Motifs of each TF."""
    scale: _Scale
    """Of the motif scores."""
    head: np.ndarray
    """``(motifs, TFs)``; of open regions."""
    head_scale: _Scale
    own_scale: _Scale
    own_weight: np.ndarray
    """Of the own motif beside the head, ``(TFs,)``."""
    open_fit: tuple[np.ndarray, np.ndarray]
    """Slope and intercept of each TF in open regions."""
    closed_fit: tuple[np.ndarray, np.ndarray]
    """Of the own motif in closed ones."""
    plain: tuple[np.ndarray, np.ndarray]
    """``(motifs, TFs)`` and intercepts: a linear head on all regions of the training types, open or not."""
    neighbour_fit: np.ndarray | None
    """``(3, TFs)``: intercept, slope of the logit and of the mean label of the training types; None: not fitted."""

    def own_score(self, motifs: np.ndarray) -> np.ndarray:
        """Highest score of the own motifs, float64 ``(regions, TFs)``; 0 where a TF has none."""
        return _own_score(motifs, self.own)

    def sequence_only(self, motifs: np.ndarray) -> np.ndarray:
        """What the sequence says without any accessibility, ``(regions, TFs)``."""
        return self._standard(motifs) @ self.plain[0] + self.plain[1]

    def partners(self, motifs: np.ndarray, activity: np.ndarray) -> np.ndarray:
        """Sum of motif scores weighted by activity, ``(regions,)``."""
        return self._standard(motifs) @ activity

    def logits(
        self,
        sites: Sites,
        column: int,
        activity: np.ndarray | None,
        *,
        reference: Sites,
        neighbours: np.ndarray | None = None,
    ) -> np.ndarray:
        """Predict one cell type, float64 ``(regions, TFs)``.

        Parameters
        ----------
        sites
            The regions.
        column
            The cell type among those of `sites`.
        activity
            Of its TFs, from train regions, float32 ``(motifs,)``; None: unknown.
        reference
            Train regions, whose open ones tell what is many partners in this cell type.
        neighbours
            Mean label of the training types at the regions, where it is known, ``(regions, TFs)``.
        """
        strength = self._standard(sites.motifs)
        score = self.head_scale(strength @ self.head) + self.own_weight * self.own_scale(self.own_score(sites.motifs))
        if activity is not None and np.any(activity):
            usual = _Scale.of(self.partners(reference.motifs[_open_rows(reference, column)], activity))
            score = score + PARTNERS * usual(strength @ activity)[:, None]
        is_bound = score * self.open_fit[0] + self.open_fit[1]
        alone = self.own_scale(self.own_score(sites.motifs)) * self.closed_fit[0] + self.closed_fit[1]
        logit = alone + sites.openness[:, [column]] * (is_bound - alone)
        if neighbours is None or self.neighbour_fit is None:
            return logit
        constant, slope, weight = self.neighbour_fit
        return np.where(np.isnan(neighbours), logit, constant + slope * logit + weight * np.nan_to_num(neighbours))

    def _standard(self, motifs: np.ndarray) -> np.ndarray:
        return self.scale(np.maximum(motifs, 0)) / np.sqrt(motifs.shape[1])


def fit_binding(
    sites: Sites,
    labels: np.ndarray,
    activity: np.ndarray | None,
    *,
    own: Sequence[Sequence[int]],
    with_neighbours: bool,
) -> BindingModel:
    """Fit on train regions.

    Parameters
    ----------
    sites
        Train regions x training types.
    labels
        0, 1 or NaN, float32 ``(regions, training types, TFs)``.
    activity
        float32 ``(training types, motifs)``; None: unknown.
    own
        Motifs of each TF, of `own_motifs`.
    with_neighbours
        Whether labels of the other training types are to be used, where there are some.
    """
    n_types, n_tfs = labels.shape[1:]
    strength = np.maximum(sites.motifs, 0)
    scale = _Scale.of(strength)
    standard = scale(strength) / np.sqrt(strength.shape[1])
    region, column = np.nonzero(sites.is_open & ~np.isnan(labels).all(axis=2))
    if len(region) < LEAST:
        msg = f"Expected at least {LEAST} accessible train regions with labels in the training types; found {len(region)}. Label more."
        raise ValueError(msg)
    truth = labels[region, column]
    head, _ = _ridge(standard[region], truth)
    everywhere, in_type = np.nonzero(~np.isnan(labels).all(axis=2))
    plain = _ridge(standard[everywhere], labels[everywhere, in_type])
    own_score = _own_score(sites.motifs, own)
    own_scale, head_scale = _Scale.of(own_score), _Scale.of(standard[region] @ head)
    weight = _own_weight(standard[region], own_scale(own_score)[region], truth, half=region % 2 == 0)
    nothing = (np.ones(n_tfs), np.zeros(n_tfs))
    model = BindingModel(
        [list(columns) for columns in own], scale, head, head_scale, own_scale, weight, nothing, nothing, plain, None
    )
    opened = sites._replace(openness=np.ones_like(sites.openness))
    score = np.stack([model.logits(opened, c, _row(activity, c), reference=sites) for c in range(n_types)], axis=1)
    open_fit = _slopes(score[region, column], truth)
    shut, shut_type = np.nonzero(~sites.is_open & ~np.isnan(labels).all(axis=2))
    closed_fit = _slopes(own_scale(own_score)[shut], labels[shut, shut_type])
    few = (~np.isnan(labels[shut, shut_type])).sum(axis=0) < LEAST  # a TF may have labels in open regions only
    closed_fit = tuple(
        np.where(few, of_open, of_closed) for of_open, of_closed in zip(open_fit, closed_fit, strict=True)
    )
    model = replace(model, open_fit=open_fit, closed_fit=closed_fit)
    if not with_neighbours:
        return model
    found = np.stack([model.logits(sites, c, _row(activity, c), reference=sites) for c in range(n_types)], axis=1)
    return replace(model, neighbour_fit=_neighbour_fit(found, labels))


def _own_weight(standard: np.ndarray, own: np.ndarray, truth: np.ndarray, *, half: np.ndarray) -> np.ndarray:
    """Learn how much the own motif counts beside a head that was fitted on the other half of the regions, ``(TFs,)``."""
    scores = np.empty(truth.shape)
    for part in (half, ~half):
        head, _ = _ridge(standard[~part], truth[~part])
        scores[part] = _Scale.of(standard[~part] @ head)(standard[part] @ head)
    found = []
    for f in range(truth.shape[1]):
        (of_head, of_own), _ = _logistic(np.stack([scores[:, f], own[:, f]], axis=1), truth[:, f])
        found.append(of_own / max(of_head, FLOOR))
    return np.clip(found, OWN, MOST_OWN)


def _row(activity: np.ndarray | None, column: int) -> np.ndarray | None:
    return None if activity is None else activity[column]


def _own_score(motifs: np.ndarray, own: Sequence[Sequence[int]]) -> np.ndarray:
    empty = np.zeros(len(motifs))
    return np.stack(
        [np.maximum(motifs[:, columns], 0).max(axis=1) if len(columns) else empty for columns in own], axis=1
    )


def _open_rows(sites: Sites, column: int) -> np.ndarray:
    """Open regions of a cell type; all, where there are too few."""
    rows = np.flatnonzero(sites.is_open[:, column])
    return rows if len(rows) >= LEAST else np.arange(len(sites.is_open))


def _ridge(matrix: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear heads of all TFs at once; a missing label counts as the TF's mean."""
    with np.errstate(invalid="ignore", divide="ignore"):
        known = ~np.isnan(truth)
        mean = np.where(known, truth, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    centre = matrix.mean(axis=0)
    features = (matrix - centre).astype(np.float64)
    gram = features.T @ features + PENALTY * len(matrix) * np.eye(matrix.shape[1])
    weight = cho_solve(cho_factor(gram), features.T @ (np.where(known, truth, mean) - mean))
    return weight, mean - centre @ weight


def _slopes(score: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression of each TF on one score, ``(pairs, TFs)`` both."""
    fits = [_logistic(score[:, [f]], truth[:, f]) for f in range(truth.shape[1])]
    return np.array([weight[0] for weight, _ in fits]).clip(min=FLOOR), np.array([bias for _, bias in fits])


def _logistic(matrix: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    known = ~np.isnan(truth)
    targets = Targets("binary", ["bound"], truth[known, None].astype(np.float32))
    weight, bias = solve(matrix[known].astype(np.float64), targets, penalty=WEAK)
    return weight[:, 0], float(bias[0])


def _neighbour_fit(logit: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """Learn how much the labels of the other training types count; None where no TF has two types."""
    fits = []
    for f in range(labels.shape[2]):
        truth = labels[:, :, f]
        known = ~np.isnan(truth)
        others = known.sum(axis=1, keepdims=True) - known
        total = np.where(known, truth, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (total.sum(axis=1, keepdims=True) - total) / others
        used = known & (others > 0)
        if used.any():
            weight, bias = _logistic(np.stack([logit[:, :, f][used], mean[used]], axis=1), truth[used])
            fits.append((bias, *weight))
        else:
            fits.append((0.0, 1.0, 0.0))
    return np.array(fits).T if any(fit != (0.0, 1.0, 0.0) for fit in fits) else None
