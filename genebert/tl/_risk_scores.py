"""Cross-validated logistic regression, and how well it tells two classes apart."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genebert import _keys
from genebert.model._scores import auroc

__all__ = ["Risk", "cross_validate", "fit_weights", "measure", "risk_table"]

_INTERVAL = (2.5, 97.5)


class Risk(NamedTuple):
    """What `genebert.tl.disease_risk` found."""

    predictions: pd.DataFrame
    """One row per variant or individual, with its risk when it was held out."""
    metrics: pd.DataFrame
    """One row per method: AUROC, its interval, p-value, rows and positives."""
    weights: pd.DataFrame
    """Coefficient of each feature, per standard deviation, fitted on all rows."""


def _classifier() -> Any:
    """Classes weigh alike, so that the share of cases in a fold does not shift its scores against another's."""
    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))


def cross_validate(features: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Probability of each row by a fit on the other folds, float64; NaN where those hold one class only."""
    found = np.full(len(labels), np.nan)
    for fold in np.unique(folds):
        held_out = folds == fold
        if len(np.unique(labels[~held_out])) == 2:
            fitted = _classifier().fit(features[~held_out], labels[~held_out])
            found[held_out] = fitted.predict_proba(features[held_out])[:, 1]
    return found


def fit_weights(features: np.ndarray, labels: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Coefficients of a fit on all rows."""
    fitted = _classifier().fit(features, labels)
    return pd.DataFrame({"feature": names, "coefficient": fitted[-1].coef_[0]})


def measure(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    method: str,
    n_bootstrap: int,
    rng: np.random.Generator,
    pvalue: float = np.nan,
) -> dict[str, Any]:
    """AUROC with a 95 % bootstrap interval over rows; rows without a score are left out."""
    known = np.isfinite(scores)
    labels, scores = labels[known], scores[known]
    draws = []
    for _ in range(n_bootstrap):
        rows = rng.integers(len(labels), size=len(labels))
        draws.append(auroc(labels[rows], scores[rows]))
    draws = [draw for draw in draws if np.isfinite(draw)] or [np.nan]
    low, high = np.percentile(draws, _INTERVAL)
    return {
        "method": method, "metric": "auroc", "value": auroc(labels, scores), "low": low, "high": high,
        "pvalue": pvalue, "n": len(labels), "n_positive": int(labels.sum()),
    }  # fmt: skip


def risk_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of `measure` as a table."""
    return pd.DataFrame(rows, columns=list(_keys.RISK_COLUMNS))
