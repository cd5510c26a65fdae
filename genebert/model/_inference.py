"""Embedding: batches of windows through the network, each region once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch

from genebert._data import RegionSource, turn
from genebert._logging import info
from genebert.nn import GeneBERTNetwork

__all__ = ["Strands", "embed_windows"]

Strands = Literal["both", "forward"]
_TELL_AFTER = 30.0  # seconds


@torch.inference_mode()
def embed_windows(
    network: GeneBERTNetwork,
    source: RegionSource,
    windows: list[np.ndarray],
    *,
    weight: np.ndarray | None,
    strands: Strands,
    batch_size: int,
) -> np.ndarray:
    """Embed regions, window by window.

    Parameters
    ----------
    network
        In evaluation mode.
    source
        Codes and scores; the half of the embedding of a modality that is absent is zero.
    windows
        Tables of rows ``(windows, window_size)``, -1 for none; every region in one window of one table.
    weight
        What the cell type puts on the matrix, as `cell_type_weight` reads it.
    strands
        ``"both"``: mean of the sequence vectors of the region and of its reverse complement.
    batch_size
        Regions per batch.

    Returns
    -------
    float32 ``(regions, n_latent)``.
    """
    embedding = np.zeros((source.n_regions, network.config.n_latent), dtype=np.float32)
    start = told = time.monotonic()
    done = 0
    for batch in _batches(windows, batch_size):
        rows = batch[batch >= 0]
        sequence = _sequences(network, source, rows, strands=strands) if source.has_codes else None
        region = _regions(network, source, batch, weight=weight) if source.has_scores else None
        embedding[rows] = network.fuse(sequence, region).cpu().numpy()
        done += len(rows)
        if time.monotonic() - told > _TELL_AFTER:
            told = time.monotonic()
            speed = done / (told - start)
            left = (source.n_regions - done) / speed
            info(f"embedding: {done:,} of {source.n_regions:,} regions | {speed:,.0f} regions/s | {left:.0f} s left")
    seconds = max(time.monotonic() - start, 1e-9)
    info(f"embedded {done:,} regions on {network.device} | {done / seconds:,.0f} regions/s")
    return embedding


def _batches(windows: list[np.ndarray], batch_size: int) -> Iterator[np.ndarray]:
    for table in windows:
        step = max(1, batch_size // table.shape[1])
        for first in range(0, len(table), step):
            yield table[first : first + step]


def _sequences(network: GeneBERTNetwork, source: RegionSource, rows: np.ndarray, *, strands: Strands) -> torch.Tensor:
    codes, lengths = source.codes(rows)
    sides = [codes]
    if strands == "both":
        sides.append(turn(codes, lengths, np.ones(len(rows), dtype=bool)))
    lengths = torch.from_numpy(lengths).to(network.device)[:, None]
    vectors = [network.sequence_encoder(torch.from_numpy(side).to(network.device)[:, None], lengths) for side in sides]
    return torch.stack([output.vector[:, 0] for output in vectors]).mean(0)


def _regions(
    network: GeneBERTNetwork, source: RegionSource, table: np.ndarray, *, weight: np.ndarray | None
) -> torch.Tensor:
    real = table >= 0
    scores = np.zeros((*table.shape, source.n_tfs), dtype=np.float32)
    scores[real] = source.scores(table[real])
    if weight is not None:
        weight = weight[table] if len(weight) > 1 else weight[None]
        weight = torch.from_numpy(weight).to(network.device)
    mask = torch.from_numpy(real).to(network.device)
    matrix = network.standardise(torch.from_numpy(scores).to(network.device), weight)
    return network.region_encoder(matrix, mask)[mask]
