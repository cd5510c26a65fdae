"""What pre-training reads: which regions, in which windows, and what the data tell before the first step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningDataModule
from mudata import MuData
from scipy.cluster.hierarchy import leaves_list, linkage
from torch.utils.data import DataLoader

from genebert import _keys
from genebert._data import RegionSource, TFWeight, WindowDataset, cell_type_weight, loader, open_windows
from genebert._dna import kmer_ids, reverse_complement
from genebert._logging import info
from genebert._validate import check_cell_type, check_literal, check_range, listed
from genebert.model._scan import scan_params
from genebert.nn import OBJECTIVES, Batch, GeneBERTNetwork

__all__ = ["check_training", "order_tfs", "prepare", "set_filters", "window_dataset"]

OBJECTIVE_WEIGHTS = {"masked_genome": 1.0, "next_segment": 0.5, "matching": 0.5, "masked_region": 1.0}
_INNER_FRACTION = 0.1
_SAMPLE = 20_000  # regions from which moments and frequencies are taken


class PretrainingData(LightningDataModule):
    """Training and validation windows in batches."""

    def __init__(self, train: WindowDataset, val: WindowDataset, *, batch_size: int) -> None:
        super().__init__()
        self._train = loader(train, regions_per_batch=batch_size)
        self._val = loader(val, regions_per_batch=batch_size)

    def train_dataloader(self) -> DataLoader:
        return self._train

    def val_dataloader(self) -> DataLoader:
        return self._val

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return batch.to(device)


@dataclass(frozen=True)
class RegionSplit:
    """Regions of a training run, each as bool ``(regions,)``."""

    train: np.ndarray
    val: np.ndarray


@dataclass(frozen=True)
class Prepared:
    """What a training run needs to know of its data."""

    module: PretrainingData
    chance: dict[str, float]
    """Entropy of the training k-mers in nats, and the share of the commonest."""
    record: dict[str, Any]
    """For the model card: cell types, chromosomes and number of regions."""


def check_training(
    mdata: MuData,
    *,
    cell_types: Sequence[str] | None,
    tf_weight: TFWeight,
    max_epochs: int,
    batch_size: int,
    objectives: Mapping[str, float] | None,
) -> tuple[list[str] | None, dict[str, float]]:
    """Check all arguments of a training run before anything is changed; return cell types and weights in full."""
    check_literal(tf_weight, TFWeight, name="tf_weight")
    check_range(max_epochs, name="max_epochs", low=1, integer=True)
    check_range(batch_size, name="batch_size", low=2, integer=True)
    for slot in (_keys.DNA_CODE, _keys.TF_SCORE):
        slot.get(mdata)  # raises, and says what to run
    return resolve_cell_types(mdata, cell_types), objective_weights(objectives)


def prepare(
    network: GeneBERTNetwork,
    mdata: MuData,
    *,
    tfs: list[str],
    cell_types: list[str] | None,
    tf_weight: TFWeight,
    batch_size: int,
    seed: int,
    is_new: bool,
) -> Prepared:
    """Choose regions, cut windows and give a new network what the training regions tell before training."""
    if cell_types is None:
        info("no accessibility or no coordinates: each region is read alone, without next-segment prediction")
    split = split_regions(mdata, seed=seed)
    source = RegionSource(mdata, tfs=tfs, fill=network.tf_mean.cpu().numpy())
    shared = {"cell_types": cell_types, "tf_weight": tf_weight, "window_size": network.config.window_size}
    train = window_dataset(mdata, source, regions=split.train, seed=seed, **shared)
    val = window_dataset(mdata, source, regions=split.val, **shared)
    frequencies = set_priors(network, source, regions=split.train, seed=seed, is_new=is_new)
    seen = frequencies[frequencies > 0]
    chance = {"entropy": float(-(seen * np.log(seen)).sum()), "commonest": float(seen.max())}
    chroms = _keys.CHROM.get(mdata)[split.train] if _keys.CHROM.has(mdata) else []
    record = {
        "cell_types": cell_types,
        "chromosomes": sorted(map(str, pd.unique(np.asarray(chroms, dtype=object)))),
        "n_regions": int(split.train.sum()),
        "tf_weight": tf_weight,
        "seq_length": int(_keys.DNA_CODE.get(mdata).shape[1]),
        "scan": scan_params(mdata),
    }
    return Prepared(PretrainingData(train, val, batch_size=batch_size), chance, record)


def objective_weights(changes: Mapping[str, float] | None) -> dict[str, float]:
    """Weights of all objectives, the default ones with `changes`."""
    weights = {**OBJECTIVE_WEIGHTS, **(changes or {})}
    for name, weight in weights.items():
        check_literal(name, OBJECTIVES, name="objectives")
        check_range(weight, name=f"objectives[{name!r}]", low=0)
    if not any(weights.values()):
        msg = "Expected an objective with a weight above 0; found none. Leave `objectives` out for the default weights."
        raise ValueError(msg)
    return weights


def order_tfs(mdata: MuData, *, seed: int = 0) -> list[str]:
    """Order TFs so that neighbours score alike over training regions: leaves of average linkage on correlation."""
    names = [str(name) for name in mdata[_keys.TF].var_names]
    source = RegionSource(mdata, tfs=names, fill=np.zeros(len(names)))
    if len(names) < 3 or source.n_regions < 3:
        return names
    scores = source.scores(_sample(split_regions(mdata, seed=seed).train, 2_000, seed))
    scores = scores - scores.mean(0)
    scores /= np.maximum(np.linalg.norm(scores, axis=0), 1e-9)
    distance = 1 - (scores.T @ scores)[np.triu_indices(len(names), k=1)]
    return [names[i] for i in leaves_list(linkage(distance.astype(np.float64).clip(0), method="average"))]


def resolve_cell_types(mdata: MuData, cell_types: Sequence[str] | None) -> list[str] | None:
    """Cell types whose open regions are read; None where the data have no accessibility or no coordinates."""
    if _keys.ATAC not in mdata.mod or not _keys.CHROM.has(mdata):
        if cell_types is not None:
            _keys.OPEN.get(mdata)
            _keys.CHROM.get(mdata)
        return None
    _keys.OPEN.get(mdata)
    names = mdata[_keys.ATAC].var_names
    if cell_types is None:
        held_out = _keys.CELL_TYPE_SPLIT.get(mdata) == "holdout" if _keys.CELL_TYPE_SPLIT.has(mdata) else False
        cell_types = names[~np.broadcast_to(held_out, len(names))]
    cell_types = [cell_types] if isinstance(cell_types, str) else list(cell_types)
    if not cell_types:
        msg = f"Expected one or more `cell_types` of {listed(names, most=20)}; found none."
        raise ValueError(msg)
    for cell_type in cell_types:
        check_cell_type(cell_type, names)
    return [str(cell_type) for cell_type in cell_types]


def split_regions(mdata: MuData, *, seed: int) -> RegionSplit:
    """Take train and val of ``region_split``; where there is no val, cut an inner part from train.

    The inner part is whole chromosomes where there are several, else regions at random.
    """
    everything = np.ones(mdata.n_obs, dtype=bool)
    if _keys.REGION_SPLIT.has(mdata):
        split = np.asarray(_keys.REGION_SPLIT.get(mdata))
        train, val = split == "train", split == "val"
        if val.any():
            return RegionSplit(train, val)
    else:
        train = everything
    rng = np.random.default_rng(seed)
    group = np.asarray(_keys.CHROM.get(mdata), dtype=object) if _keys.CHROM.has(mdata) else np.arange(mdata.n_obs)
    if len(pd.unique(group[train])) < 2:
        group = np.arange(mdata.n_obs)
    names, count = np.unique(group[train], return_counts=True)
    order = rng.permutation(len(names))
    # The fewest groups that hold the fraction, but never all of them.
    n_inner = min(np.searchsorted(count[order].cumsum(), _INNER_FRACTION * train.sum()) + 1, len(names) - 1)
    inner = np.isin(group, names[order[:n_inner]])
    return RegionSplit(train & ~inner, train & inner)


def window_dataset(
    mdata: MuData,
    source: RegionSource,
    *,
    regions: np.ndarray,
    cell_types: list[str] | None,
    window_size: int,
    tf_weight: TFWeight = "none",
    seed: int | None = None,
) -> WindowDataset:
    """Windows of these regions in each cell type, with what the cell type puts on the matrix."""
    windows = open_windows(mdata, cell_types=cell_types, allowed=regions, window_size=window_size)
    weights = {}
    if cell_types is not None and tf_weight != "none":
        names = mdata[_keys.ATAC].var_names
        weights = {
            names.get_loc(name): cell_type_weight(mdata, name, tf_weight=tf_weight, tfs=source.tfs)
            for name in cell_types
        }
    if not len(windows.rows):
        msg = (
            f"Expected open regions in {', '.join(cell_types or ['the data'])}; found none in this split. "
            "Check gb.pp.binarize and gb.pp.split_regions."
        )
        raise ValueError(msg)
    return WindowDataset(source, windows, seed=seed, weights=weights)


def set_priors(
    network: GeneBERTNetwork, source: RegionSource, *, regions: np.ndarray, seed: int, is_new: bool
) -> np.ndarray:
    """Give a new network moments of motif scores and frequencies of k-mers; one that was trained has its own.

    Returns
    -------
    Frequencies of the k-mers in the training regions, float64 ``(4**k,)``.
    """
    rows = _sample(regions, _SAMPLE, seed)
    frequencies = _kmer_frequencies(source.codes(rows)[0], network.config.k)
    if is_new:
        scores = source.scores(rows)
        network.set_tf_scale(torch.from_numpy(scores.mean(0)), torch.from_numpy(scores.std(0)))
        network.set_kmer_frequencies(torch.from_numpy(frequencies))
    return frequencies


def set_filters(network: GeneBERTNetwork, mdata: MuData, *, tfs: list[str]) -> None:
    """Start the filters of a convolutional stem from the motifs of the matrix, spread evenly over its TFs.

    Does nothing with another stem, or where the matrix came without motifs.
    """
    if network.config.stem != "conv" or not _keys.MOTIF.has(mdata):
        return
    n_motifs = min(network.config.n_filters, len(tfs))
    chosen = np.linspace(0, len(tfs) - 1, n_motifs).round().astype(int)  # neighbours in this order are alike
    place = mdata[_keys.TF].var_names.get_indexer([tfs[i] for i in chosen])
    network.set_filters(torch.from_numpy(np.asarray(_keys.MOTIF.get(mdata))[place[place >= 0]]))


def _kmer_frequencies(codes: np.ndarray, k: int) -> np.ndarray:
    """Share of each k-mer on both strands, float64 ``(4**k,)``."""
    counts = np.zeros(4**k + 1)
    for start in range(0, len(codes), 1_000):
        chunk = codes[start : start + 1_000]
        for strand in (chunk, reverse_complement(chunk)):
            counts += np.bincount(kmer_ids(strand, k).ravel(), minlength=4**k + 1)
    counts = counts[:-1]
    return counts / max(counts.sum(), 1)


def _sample(regions: np.ndarray, most: int, seed: int) -> np.ndarray:
    rows = np.flatnonzero(regions)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    return rows
