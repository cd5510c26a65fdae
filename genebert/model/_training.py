"""What pre-training reads: which regions, in which windows, in which order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningDataModule
from mudata import MuData

from genebert import _keys
from genebert._chunks import ROWS
from genebert._data import (
    Place,
    RegionSource,
    Schedule,
    Step,
    StepLoader,
    TFWeight,
    WindowDataset,
    cell_type_weight,
    open_windows,
)
from genebert._logging import info
from genebert.model._priors import SAMPLE, set_priors
from genebert.model._scan import scan_params
from genebert.model._settings import TrainingSettings
from genebert.model._split import split_regions
from genebert.nn import GeneBERTConfig, GeneBERTNetwork

__all__ = ["BLOCK", "Prepared", "PretrainingData", "prepare", "window_dataset"]

BLOCK = ROWS // 2
"""Regions that are read together from a store. Two groups of `BLOCKS` such blocks are in memory at once."""


class PretrainingData(LightningDataModule):
    """Training and validation windows, the share of this process."""

    def __init__(
        self, train: tuple[WindowDataset, Schedule], val: tuple[WindowDataset, Schedule], *, place: Place, seed: int
    ) -> None:
        super().__init__()
        self._train, self._val, self._place, self._seed = train, val, place, seed
        self.train_loader: StepLoader | None = None

    def train_dataloader(self) -> StepLoader:
        self.train_loader = StepLoader(*self._train, place=self._place, seed=self._seed, **self._share())
        return self.train_loader

    def val_dataloader(self) -> StepLoader:
        return StepLoader(*self._val, **self._share())

    def transfer_batch_to_device(self, batch: Step, device: torch.device, dataloader_idx: int) -> Step:
        return batch.to(device)

    def _share(self) -> dict[str, int]:
        return {"rank": self.trainer.global_rank, "n_processes": self.trainer.world_size}


@dataclass(frozen=True)
class Prepared:
    """What a training run needs to know of its data."""

    train: tuple[WindowDataset, Schedule]
    val: tuple[WindowDataset, Schedule]
    chance: dict[str, float]
    """Entropy of the training k-mers in nats, and the share of the commonest."""
    record: dict[str, Any]
    """For the model card: cell types, chromosomes and number of regions."""
    digest: str
    """Fingerprint of what is read."""


def prepare(
    network: GeneBERTNetwork, mdata: MuData, settings: TrainingSettings, *, tfs: list[str], is_new: bool
) -> Prepared:
    """Choose regions, cut windows and give a new network what the training regions tell before training."""
    if settings.cell_types is None:
        info("no accessibility or no coordinates: each region is read alone, without next-segment prediction")
    split = split_regions(mdata, seed=settings.seed)
    source = RegionSource(mdata, tfs=tfs, fill=network.tf_mean.cpu().numpy())
    shared = {
        "cell_types": settings.cell_types, "tf_weight": settings.tf_weight, "window_size": network.config.window_size,
    }  # fmt: skip
    train = window_dataset(mdata, source, regions=split.train, **shared)
    val = window_dataset(mdata, source, regions=split.val, **shared)
    # To read all lengths from a store takes a pass over it; regions with coordinates are all as long.
    lengths = source.lengths() if source.in_memory or not _keys.CHROM.has(mdata) else None
    length = int(_keys.DNA_CODE.get(mdata).shape[1])
    for dataset in (train, val):
        _check_length(network.config, dataset.windows.rows, settings, lengths=lengths, length=length)
    sample = source.take(source.sample(split.train, SAMPLE, seed=settings.seed))
    frequencies = set_priors(network, sample, is_new=is_new)
    seen = frequencies[frequencies > 0]
    chroms = _keys.CHROM.get(mdata)[split.train] if _keys.CHROM.has(mdata) else []
    record = {
        "cell_types": settings.cell_types,
        "chromosomes": sorted(map(str, pd.unique(np.asarray(chroms, dtype=object)))),
        "n_regions": int(split.train.sum()),
        "tf_weight": settings.tf_weight,
        "seq_length": length,
        "scan": scan_params(mdata),
    }
    options = {
        "regions_per_batch": settings.batch_size,
        "block": None if source.in_memory else BLOCK,
        "lengths": lengths,
    }
    return Prepared(
        (train, Schedule(train.windows, seed=settings.seed, **options)),
        (val, Schedule(val.windows, **options)),
        {"entropy": float(-(seen * np.log(seen)).sum()), "commonest": float(seen.max())},
        record,
        _digest(mdata, sample, train, val, in_memory=source.in_memory),
    )


def _check_length(
    config: GeneBERTConfig, rows: np.ndarray, settings: TrainingSettings, *, lengths: np.ndarray | None, length: int
) -> None:
    """Raise where learned positions do not reach to the end of what is read at once; all are of `length` without `lengths`."""
    if config.positions != "learned":
        return
    is_paired = settings.objectives["next_segment"] > 0 and (rows[:, 1:] >= 0).any()
    longest = length if lengths is None else lengths[rows[rows >= 0]].max()
    n_tokens = (config.max_tokens - 3) // 2 if is_paired else config.max_tokens - 2
    most = n_tokens * config.stride + config.k - 1
    if longest > most:
        pairs = "next-segment prediction reads two at once and " if is_paired else ""
        remedy = ', switch it off (objectives={"next_segment": 0})' if is_paired else ""
        msg = (
            f"Expected regions of at most {most} bp, since {pairs}the network has positions for {config.max_tokens} "
            f"tokens; found {longest}. Shorten them with gb.pp.add_sequence(mdata, genome, seq_length={most}){remedy}, or "
            'take a preset with rotary positions, such as "base".'
        )
        raise ValueError(msg)


def window_dataset(
    mdata: MuData,
    source: RegionSource,
    *,
    regions: np.ndarray,
    cell_types: list[str] | None,
    window_size: int,
    tf_weight: TFWeight = "none",
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
    return WindowDataset(source, windows, weights=weights)


def _digest(mdata: MuData, sample: RegionSource, train: WindowDataset, val: WindowDataset, *, in_memory: bool) -> str:
    """Sha256 over the regions, their windows and weights, and the sequences and scores of a sample."""
    digest = hashlib.sha256(f"{in_memory} {' '.join(sample.tfs)}".encode())
    digest.update(pd.util.hash_pandas_object(pd.Series(mdata.obs_names)).to_numpy().tobytes())
    for dataset in (train, val):
        digest.update(dataset.windows.rows.tobytes())
        digest.update(dataset.windows.cell_type.tobytes())
        for number in sorted(dataset.weights):
            digest.update(np.ascontiguousarray(dataset.weights[number]).tobytes())
    for start in range(0, sample.n_regions, 1_000):
        rows = np.arange(start, min(start + 1_000, sample.n_regions))
        digest.update(np.ascontiguousarray(sample.codes(rows)[0]).tobytes())
        digest.update(np.ascontiguousarray(sample.scores(rows)).tobytes())
    return digest.hexdigest()
