"""How well the objectives are met: sums per region, their summary, and bootstrap intervals over regions."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np
import torch
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
    """Collects what batches tell of an epoch or of an evaluation.

    Parameters
    ----------
    chance
        Of masked genome modelling: ``entropy`` of the training k-mers in nats and ``commonest``, the share of the
        most frequent one.
    by_region
        Keep sums per region, for intervals; else one line per batch is enough, and nothing waits for the device. (Pairs
        are always kept one by one.)
    """

    def __init__(self, chance: Mapping[str, float], *, by_region: bool = True) -> None:
        self.chance, self.by_region = chance, by_region
        self._tables: dict[str, list[torch.Tensor]] = {}

    @torch.no_grad()
    def add(self, scored: Mapping[str, Scored]) -> None:
        """Keep what a batch tells."""
        for name, item in scored.items():
            columns = [_double(column) for column in (item.rows, *_per_item(name, item))]
            table = torch.stack(columns, dim=1)
            if name != "next_segment":
                table = _sums(table) if self.by_region else _line(table)
            self._tables.setdefault(name, []).append(table)

    def tables(self) -> dict[str, torch.Tensor]:
        """All lines so far, float64, by objective: what `merge` of another book takes."""
        # Lines that were asked for before, or come from a checkpoint, are on the CPU, those since then on the device.
        joined = {
            name: torch.cat([torch.cat(list(run)).cpu() for _, run in groupby(tables, key=lambda table: table.device)])
            for name, tables in self._tables.items()
        }
        self._tables = {name: [table] for name, table in joined.items()}
        return joined

    def merge(self, tables: Mapping[str, torch.Tensor]) -> None:
        """Add the lines of another book."""
        for name, table in tables.items():
            self._tables.setdefault(name, []).append(table)

    def summary(self, *, rng: np.random.Generator | None = None) -> list[dict[str, Any]]:
        """One row per objective and metric, with its chance level; with `rng`, a 95 % bootstrap interval over regions."""
        rows = []
        for name, table in self.tables().items():
            table = table.numpy()
            if not len(table):
                continue
            found = [
                {"objective": name, "metric": metric, "value": value, "chance": chance}
                for metric, (value, chance) in _metrics(name, table, self.chance).items()
            ]
            if rng is not None:
                _add_intervals(found, name, table, self.chance, rng)
            rows += found
        return rows


def _per_item(name: str, item: Scored) -> tuple[torch.Tensor, ...]:
    """What the metrics need of each item: k-mer, pair, region or hidden score."""
    if name == "masked_genome":
        return item.nats, item.prediction == item.truth
    if name == "next_segment":
        return item.nats, item.prediction, item.truth
    if name == "matching":
        chance = torch.full_like(item.nats, 1 / max(item.n_candidates, 1))
        return item.nats, item.prediction == item.truth, chance, -chance.log()
    return item.nats, item.truth, item.truth**2


def _double(column: torch.Tensor) -> torch.Tensor:
    return (column.cpu() if column.device.type == "mps" else column).double()  # Apple's GPUs have no 64 bits


def _line(table: torch.Tensor) -> torch.Tensor:
    """One line for all: no region, sums of the other columns, number of items."""
    line = torch.cat([table.new_zeros(1), table[:, 1:].sum(0), table.new_full((1,), len(table))])[None]
    return line[: len(table)]  # none where there was nothing to score


def _sums(table: torch.Tensor) -> torch.Tensor:
    """One line per region: region, sums of the other columns, number of items."""
    regions, inverse, count = torch.unique(table[:, 0], return_inverse=True, return_counts=True)
    sums = table.new_zeros((len(regions), table.shape[1] - 1)).index_add_(0, inverse, table[:, 1:])
    return torch.cat([regions[:, None], sums, count[:, None].double()], dim=1)


def _metrics(name: str, table: np.ndarray, chance: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Value and chance level of each metric."""
    if name == "next_segment":
        return {"loss": (table[:, 1].mean(), np.log(2)), "auroc": (auroc(table[:, 3], table[:, 2]), 0.5)}
    *sums, count = table[:, 1:].sum(0)
    means = np.array(sums) / count
    if name == "masked_genome":
        return {"loss": (means[0], chance["entropy"]), "accuracy": (means[1], chance["commonest"])}
    if name == "matching":
        return {"loss": (means[0], means[3]), "recall@1": (means[1], means[2])}
    error, mean, square = means
    variance = square - mean**2
    return {"loss": (error, variance), "r2": (1 - error / max(variance, 1e-12), 0.0)}


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
