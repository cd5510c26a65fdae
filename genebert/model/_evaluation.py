"""How well a trained network meets the objectives on regions of one's choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from mudata import MuData

from genebert import _keys
from genebert._data import RegionSource, Schedule, StepLoader
from genebert._validate import check_range
from genebert.model._scan import check_inputs
from genebert.model._scores import ScoreBook
from genebert.model._training import BLOCK, window_dataset
from genebert.nn import GeneBERTNetwork, objectives

__all__ = ["score_objectives", "score_regions"]


def score_objectives(network: GeneBERTNetwork, mdata: MuData, *, seed: int, **options: Any) -> pd.DataFrame:
    """Score the objectives of a trained network on some regions, with bootstrap intervals; options of `score_regions`."""
    book = score_regions(network, mdata, seed=seed, **options)
    return pd.DataFrame(book.summary(rng=np.random.default_rng(seed)))


def score_regions(
    network: GeneBERTNetwork,
    mdata: MuData,
    *,
    tfs: list[str],
    regions: np.ndarray | None,
    cell_types: Sequence[str] | None,
    record: Mapping[str, Any],
    batch_size: int,
    seed: int,
) -> ScoreBook:
    """Collect what a trained network makes of some regions, region by region."""
    if "kmer_chance" not in record:
        msg = "Expected a model that was trained; this one was not. Run `model.train()` or gb.tl.pretrain(mdata)."
        raise ValueError(msg)
    check_range(batch_size, name="batch_size", low=2, integer=True)
    regions = np.asarray(_keys.REGION_SPLIT.get(mdata) == "test" if regions is None else regions)
    if regions.dtype != bool or regions.shape != (mdata.n_obs,):
        msg = f"Expected `regions` as bool ({mdata.n_obs},); found {regions.dtype} {regions.shape}."
        raise ValueError(msg)
    check_inputs(mdata, record)
    source = RegionSource(mdata, tfs=tfs, fill=network.tf_mean.cpu().numpy())
    dataset = window_dataset(
        mdata, source, regions=regions, cell_types=record["cell_types"] if cell_types is None else list(cell_types),
        tf_weight=record["tf_weight"], window_size=network.config.window_size,
    )  # fmt: skip
    network.eval()
    book = ScoreBook(record["kmer_chance"])
    schedule = Schedule(dataset.windows, regions_per_batch=batch_size, block=None if source.in_memory else BLOCK)
    for number, step in enumerate(StepLoader(dataset, schedule)):
        generator = torch.Generator(network.device).manual_seed(seed + number)
        batch = step.batch.to(network.device)
        with torch.inference_mode():
            book.add(objectives(network, batch, weights=record["objectives"], generator=generator))
    return book
