"""Embedding: batches of windows through the network, each region once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from mudata import MuData

from genebert._chunks import ROWS, Progress
from genebert._data import RegionSource, TFWeight, context_weight, context_windows, turn
from genebert._logging import info
from genebert._validate import check_literal, check_range
from genebert.nn import GeneBERTConfig, GeneBERTNetwork, Pooling, read_sequences

__all__ = ["Reading", "Strands", "embed_regions"]

Strands = Literal["both", "forward"]


class Reading(NamedTuple):
    """How a sequence becomes a vector."""

    strands: Strands
    pooling: Pooling
    layer: int
    most: int | None
    """K-mers that are read at once."""

    @classmethod
    def of(
        cls, config: GeneBERTConfig, *, strands: Strands, pooling: Pooling, layer: int, max_seq_length: int | None
    ) -> Reading:
        """Check the options of `GeneBERT.get_latent_representation`."""
        check_literal(strands, Strands, name="strands")
        check_literal(pooling, Pooling, name="pooling")
        check_range(layer, name="layer", low=-config.n_layers, high=config.n_layers - 1, integer=True)
        # [CLS] and [SEP] have places, too.
        high = None if config.positions == "rotary" else (config.max_tokens - 3) * config.stride + config.k
        length = high if max_seq_length is None else max_seq_length
        if length is not None:
            check_range(length, name="max_seq_length", low=config.k, high=high, integer=True)
        return cls(strands, pooling, layer, None if length is None else (length - config.k) // config.stride + 1)


def embed_regions(
    network: GeneBERTNetwork,
    mdata: MuData,
    *,
    tfs: list[str],
    cell_type: str | None,
    tf_weight: TFWeight,
    reading: Reading,
    batch_size: int,
    out: Any = None,
) -> Any:
    """Embed all regions of a MuData, see `GeneBERT.get_latent_representation`."""
    check_literal(tf_weight, TFWeight, name="tf_weight")
    check_range(batch_size, name="batch_size", low=1, integer=True)
    weight = context_weight(mdata, cell_type, tf_weight=tf_weight, tfs=tfs)
    windows = context_windows(mdata, cell_type=cell_type, window_size=network.config.window_size)
    source = RegionSource(mdata, tfs=tfs, fill=network.tf_mean.cpu().numpy())
    return embed_windows(network, source, windows, weight=weight, reading=reading, batch_size=batch_size, out=out)


@torch.inference_mode()
def embed_windows(
    network: GeneBERTNetwork,
    source: RegionSource,
    windows: list[np.ndarray],
    *,
    weight: np.ndarray | None,
    reading: Reading,
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
    reading
        How sequences become vectors.
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
            sequence = _sequences(network, part, real, reading=reading) if source.has_codes else None
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


def _sequences(network: GeneBERTNetwork, source: RegionSource, rows: np.ndarray, *, reading: Reading) -> torch.Tensor:
    """Mean over the strands that are read. Both are cut into the same pieces, so that neither is the first."""
    codes, lengths = source.codes(rows)
    sides = [codes]
    if reading.strands == "both":
        sides.append(turn(codes, lengths, np.ones(len(rows), dtype=bool)))
    lengths = torch.from_numpy(lengths).to(network.device)
    options = {"pooling": reading.pooling, "layer": reading.layer, "most": reading.most, "batch_size": len(rows)}
    sides = [torch.from_numpy(side).to(network.device) for side in sides]
    return torch.stack([read_sequences(network.sequence_encoder, side, lengths, **options) for side in sides]).mean(0)


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
