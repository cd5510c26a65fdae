"""How good predictions are: one function from truth and scores to metrics, for the regions and for draws of them.

A draw with replacement gives each region a weight, how often it was drawn. All metrics are computed with weights; the
estimate itself is the draw in which each region has the weight 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

__all__ = [
    "CLASSIFICATION",
    "ONE_CLASS",
    "REGRESSION",
    "class_metrics",
    "curves",
    "draw_weights",
    "label_metrics",
    "value_metrics",
]

CLASSIFICATION = ("auroc", "auprc", "mcc", "f1", "accuracy", "calibration_error")
ONE_CLASS = ("accuracy", "calibration_error")
"""Those that regions of one class have, too."""
REGRESSION = ("pearson", "spearman", "r2", "rmse")
N_BINS = 10


def draw_weights(
    n_regions: int, *, n_draws: int, rng: np.random.Generator, most: int | None = None
) -> Iterator[np.ndarray]:
    """Weights of the regions: first all alike, then drawn with replacement, float32 ``(1 + draws, regions)`` in all.

    They come in parts of at most `most` numbers, but of one draw at least, so that many regions need no more memory.
    """
    step = 1 + n_draws if most is None else max(1, most // max(n_regions, 1))
    share = np.full(n_regions, 1 / max(n_regions, 1))
    for first in range(0, 1 + n_draws, step):
        n_rows = min(step, 1 + n_draws - first)
        weights = np.ones((n_rows, n_regions), dtype=np.float32)
        n_alike = int(first == 0)
        weights[n_alike:] = rng.multinomial(n_regions, share, size=n_rows - n_alike)
        yield weights


def label_metrics(truth: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of one label; calls are made at 0.5.

    Parameters
    ----------
    truth
        0 or 1 ``(regions,)``.
    probability
        Of 1 ``(regions,)``.
    weights
        Of `draw_weights`.

    Returns
    -------
    For each of `CLASSIFICATION` float64 ``(1 + draws,)``; NaN for a draw without both classes, where that matters.
    """
    truth, weights = truth.astype(bool), weights.astype(np.float64)
    auroc, auprc = curves(truth, probability, weights)
    called = probability >= 0.5
    tp, fp, fn, tn = (weights @ (t & c) for t, c in _pairs(truth, called))
    with np.errstate(invalid="ignore", divide="ignore"):
        mcc = (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        f1 = 2 * tp / (2 * tp + fp + fn)
        accuracy = (tp + tn) / weights.sum(1)
    return {
        "auroc": auroc, "auprc": auprc, "mcc": np.nan_to_num(mcc), "f1": np.nan_to_num(f1), "accuracy": accuracy,
        "calibration_error": _calibration_error(truth, probability, weights),
    }  # fmt: skip


def _pairs(truth: np.ndarray, called: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    return (truth, called), (~truth, called), (truth, ~called), (~truth, ~called)


def curves(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the ROC curve (ties count half) and under precision and recall (average precision), for each draw."""
    order = np.argsort(-score, kind="stable")
    ranked, truth = score[order], truth[order]
    first = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))  # of each group of ties
    auroc, auprc = np.empty((2, len(weights)))
    for number, row in enumerate(weights):  # one that fits into the cache at a time
        each = row[order].astype(np.float64)
        positive, both = np.add.reduceat(each * truth, first), np.add.reduceat(each, first)
        found, seen = positive.cumsum(), both.cumsum()
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.nan_to_num(found / seen)
            auroc[number] = (both - positive) @ (found - positive / 2) / (found[-1] * (seen[-1] - found[-1]))
            auprc[number] = positive @ precision / found[-1]
    return auroc, auprc


def _calibration_error(truth: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean distance of probability and frequency over ten bins of equal width (Naeini et al. 2015)."""
    place = np.minimum((probability * N_BINS).astype(int), N_BINS - 1)
    bins = np.eye(N_BINS)[place]  # (regions, bins)
    difference = np.abs(weights @ (bins * (truth - probability)[:, None])).sum(1)
    with np.errstate(invalid="ignore"):  # a draw without any region of this label
        return difference / weights.sum(1)


def class_metrics(truth: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of several classes: means over classes of AUROC, AUPRC and F1, and MCC (Gorodkin 2004) over all.

    Parameters
    ----------
    truth
        Number of the class ``(regions,)``.
    probability
        ``(regions, classes)``.
    weights
        Of `draw_weights`.

    Returns
    -------
    As `label_metrics`; the calibration error is that of the called class.
    """
    n_classes = probability.shape[1]
    truth, called, weights = truth.astype(int), probability.argmax(1), weights.astype(np.float64)
    single = [curves(truth == i, probability[:, i], weights) for i in range(n_classes)]
    auroc, auprc = (np.nanmean([pair[which] for pair in single], axis=0) for which in (0, 1))
    pairs = np.eye(n_classes**2)[truth * n_classes + called]
    table = (weights @ pairs).reshape(-1, n_classes, n_classes)  # (draws, truth, called)
    right, total = np.trace(table, axis1=1, axis2=2), table.sum((1, 2))
    by_truth, by_call = table.sum(2), table.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = (total**2 - (by_truth**2).sum(1)) * (total**2 - (by_call**2).sum(1))
        mcc = (right * total - (by_truth * by_call).sum(1)) / np.sqrt(spread)
        f1 = np.nan_to_num(2 * np.einsum("dii->di", table) / (by_truth + by_call)).mean(1)
    confidence = probability[np.arange(len(truth)), called]
    return {
        "auroc": auroc, "auprc": auprc, "mcc": np.nan_to_num(mcc), "f1": f1, "accuracy": right / total,
        "calibration_error": _calibration_error(truth == called, confidence, weights),
    }  # fmt: skip


def value_metrics(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of a continuous output; ranks of Spearman's correlation are those of all regions.

    Parameters
    ----------
    truth, predicted
        ``(regions,)``.
    weights
        Of `draw_weights`.

    Returns
    -------
    For each of `REGRESSION` float64 ``(1 + draws,)``.
    """
    truth, predicted, weights = (part.astype(np.float64) for part in (truth, predicted, weights))
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw without any region
        square = weights @ (truth - predicted) ** 2 / weights.sum(1)
    return {
        "pearson": _correlation(truth, predicted, weights),
        "spearman": _correlation(rankdata(truth), rankdata(predicted), weights),
        "r2": 1 - square / _moments(truth - truth.mean(), weights)[1], "rmse": np.sqrt(square),
    }  # fmt: skip


def _moments(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each draw; NaN as the variance of regions that are all alike, up to rounding.

    `x` is to be near 0: squares of values far from it leave no digits for their variance.
    """
    total = weights.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):  # a draw without any region
        mean, square = weights @ x / total, weights @ x**2 / total
    variance = square - mean**2
    return mean, np.where(variance > 1e-12 * square, variance, np.nan)


def _correlation(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    x, y = x - x.mean(), y - y.mean()
    (mean_x, variance_x), (mean_y, variance_y) = (_moments(part, weights) for part in (x, y))
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = weights @ (x * y) / weights.sum(1) - mean_x * mean_y
    return covariance / np.sqrt(variance_x * variance_y)
