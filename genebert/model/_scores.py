"""How well the objectives are met: per-item scores, their summary, and bootstrap intervals over regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats

from genebert.nn import Scored

__all__ = ["ScoreBook", "auroc"]

_N_BOOTSTRAP = 500


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve from ranks (Mann-Whitney), ties counted half; NaN with one class."""
    n_positive = int(truth.sum())
    n_negative = len(truth) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    rank_sum = stats.rankdata(score)[truth > 0].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


class ScoreBook:
    """Collects items of an epoch or of an evaluation.

    Parameters
    ----------
    chance
        Of masked genome modelling: ``entropy`` of the training k-mers in nats and ``commonest``, the share of the
        most frequent one.
    """

    def __init__(self, chance: Mapping[str, float]) -> None:
        self.chance = chance
        self._items: dict[str, list[np.ndarray]] = {}

    @torch.no_grad()
    def add(self, scored: Mapping[str, Scored]) -> None:
        """Keep what a batch tells, one line of numbers per item: region, then what its metrics need."""
        for name, item in scored.items():
            columns = [item.rows, *_per_item(name, item)]
            table = torch.stack([column.double().cpu() for column in columns], dim=1).numpy()
            if name == "masked_region":
                table = _sums(table)
            self._items.setdefault(name, []).append(table)

    def summary(self, *, rng: np.random.Generator | None = None) -> list[dict[str, Any]]:
        """One row per objective and metric, with its chance level; with `rng`, a 95 % bootstrap interval over regions."""
        rows = []
        for name, tables in self._items.items():
            table = np.concatenate(tables)
            values = _metrics(name, table, self.chance)
            for metric, (value, chance) in values.items():
                rows.append({"objective": name, "metric": metric, "value": value, "chance": chance})
            if rng is not None:
                _add_intervals(rows[-len(values) :], name, table, self.chance, rng)
        return rows


def _per_item(name: str, item: Scored) -> tuple[torch.Tensor, ...]:
    if name == "masked_genome":
        nats = F.cross_entropy(item.prediction.float(), item.truth, reduction="none")
        return nats, item.prediction.argmax(-1) == item.truth
    if name == "next_segment":
        nats = F.binary_cross_entropy_with_logits(item.prediction.float(), item.truth, reduction="none")
        return nats, item.prediction, item.truth
    if name == "matching":
        n_candidates = torch.full_like(item.rows, len(item.rows))
        return item.loss.expand(len(item.rows)), item.prediction == item.truth, n_candidates
    return (item.prediction - item.truth) ** 2, item.truth, item.truth**2


def _sums(table: np.ndarray) -> np.ndarray:
    """One line per region for the many hidden scores: region, squared error, sum, sum of squares, count."""
    regions, inverse, count = np.unique(table[:, 0], return_inverse=True, return_counts=True)
    sums = [np.bincount(inverse, weights=column) for column in table[:, 1:].T]
    return np.column_stack([regions, *sums, count])


def _metrics(name: str, table: np.ndarray, chance: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Value and chance level of each metric."""
    if len(table) == 0:
        return {}
    if name == "masked_genome":
        return {
            "loss": (table[:, 1].mean(), chance["entropy"]),
            "accuracy": (table[:, 2].mean(), chance["commonest"]),
        }
    if name == "next_segment":
        return {"loss": (table[:, 1].mean(), np.log(2)), "auroc": (auroc(table[:, 3], table[:, 2]), 0.5)}
    if name == "matching":
        return {
            "loss": (table[:, 1].mean(), np.log(table[:, 3]).mean()),
            "recall@1": (table[:, 2].mean(), (1 / table[:, 3]).mean()),
        }
    error, total, squares, count = table[:, 1:].sum(0)
    variance = squares / count - (total / count) ** 2
    return {"loss": (error / count, variance), "r2": (1 - error / count / max(variance, 1e-12), 0.0)}


def _add_intervals(
    rows: list[dict[str, Any]], name: str, table: np.ndarray, chance: Mapping[str, float], rng: np.random.Generator
) -> None:
    """Draw regions with replacement: items of one region are not independent."""
    order = np.argsort(table[:, 0], kind="stable")
    _, first, count = np.unique(table[order, 0], return_index=True, return_counts=True)
    draws: dict[str, list[float]] = {row["metric"]: [] for row in rows}
    for _ in range(_N_BOOTSTRAP):
        pick = rng.integers(len(first), size=len(first))
        within = np.arange(count[pick].sum()) - np.repeat(np.cumsum(count[pick]) - count[pick], count[pick])
        sample = table[order[np.repeat(first[pick], count[pick]) + within]]
        for metric, (value, _) in _metrics(name, sample, chance).items():
            draws[metric].append(value)
    for row in rows:
        row["low"], row["high"] = np.nanpercentile(draws[row["metric"]], [2.5, 97.5])
        row["n_regions"] = len(first)
