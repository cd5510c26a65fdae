"""Embedding: batches of windows through the network, each region once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch

from genebert._chunks import ROWS, Progress
from genebert._data import RegionSource, turn
from genebert._logging import info
from genebert.nn import GeneBERTNetwork

__all__ = ["Strands", "embed_windows"]

Strands = Literal["both", "forward"]


@torch.inference_mode()
def embed_windows(
    network: GeneBERTNetwork,
    source: RegionSource,
    windows: list[np.ndarray],
    *,
    weight: np.ndarray | None,
    strands: Strands,
    batch_size: int,
    out: Any = None,
) -> Any:
    """Embed regions, window by window.

    Parameters
    ----------
    network
        Put into evaluation mode.
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

    out
        Matrix ``(regions, n_latent)`` to fill, in memory or on disk; None for a new array.

    Returns
    -------
    The matrix, float32.
    """
    network.eval()
    if out is None:
        out = np.empty((source.n_regions, network.config.n_latent), dtype=np.float32)
    progress = Progress("embedding", source.n_regions, device=network.device)
    for block in _batches(windows, ROWS):
        rows = np.unique(block[block >= 0])
        part = source.take(rows)
        local = np.where(block >= 0, np.searchsorted(rows, block), -1)
        local_weight = weight if weight is None or len(weight) == 1 else weight[rows]
        vectors = np.empty((len(rows), network.config.n_latent), dtype=np.float32)
        for batch in _batches([local], batch_size):
            real = batch[batch >= 0]
            sequence = _sequences(network, part, real, strands=strands) if source.has_codes else None
            region = _regions(network, part, batch, weight=local_weight) if source.has_scores else None
            vectors[real] = network.fuse(sequence, region).cpu().numpy()
            progress.update(len(real))
        is_run = rows[-1] - rows[0] + 1 == len(rows)
        out[slice(rows[0], rows[-1] + 1) if is_run else rows] = vectors
    info(f"embedded {progress.n_done:,} regions on {network.device} | {progress.speed:,.0f} regions/s")
    return out


def _batches(windows: list[np.ndarray], n_regions: int) -> Iterator[np.ndarray]:
    """Cut tables of windows so that each piece holds about `n_regions`."""
    for table in windows:
        step = max(1, n_regions // table.shape[1])
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
