"""From a batch to the losses of all objectives, and what is needed to score each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from genebert.nn._losses import masked_genome_loss, masked_region_loss, matching_loss, next_segment_loss
from genebert.nn._masking import hidden_kmers, hide_spans, hide_tfs, neighbour_pairs
from genebert.nn._network import GeneBERTNetwork

__all__ = ["OBJECTIVES", "Batch", "Scored", "objectives"]

OBJECTIVES = ("masked_genome", "next_segment", "matching", "masked_region")


class Batch(NamedTuple):
    """Windows of one cell type."""

    codes: Tensor
    """Bases of the real regions, window by window ``(regions, length)``."""
    lengths: Tensor
    """``(regions,)``."""
    scores: Tensor
    """Motif scores ``(windows, window_size, tfs)``."""
    region_mask: Tensor
    """``(windows, window_size)``."""
    rows: Tensor
    """Where each region stands in the data ``(regions,)``."""
    weight: Tensor | None = None
    """What the cell type puts on the matrix; broadcasts to `scores`."""

    def to(self, device: torch.device | str) -> Batch:
        """Move to a device."""
        return Batch(*(None if value is None else value.to(device, non_blocking=True) for value in self))


class Scored(NamedTuple):
    """One objective on one batch: its loss, and per scored item a prediction and the truth."""

    loss: Tensor
    prediction: Tensor
    truth: Tensor
    rows: Tensor
    """The region of each item."""


def objectives(
    network: GeneBERTNetwork, batch: Batch, *, weights: Mapping[str, float], generator: torch.Generator
) -> dict[str, Scored]:
    """Score the objectives whose weight is not zero.

    Sequences and matrix are encoded once, with spans and TFs hidden, for all objectives but next-segment prediction,
    which reads two regions at once.
    """
    config = network.config
    masked, hidden = hide_spans(batch.codes, batch.lengths, span=2 * config.k, step=config.stride, generator=generator)
    matrix = network.standardise(batch.scores, batch.weight)
    tf_hidden = hide_tfs(batch.region_mask, config.n_tfs, generator=generator) if weights["masked_region"] else None
    output = network(masked, batch.lengths, matrix, batch.region_mask, tf_hidden=tf_hidden)
    scored: dict[str, Scored] = {}
    if weights["masked_genome"]:
        scored["masked_genome"] = _masked_genome(network, output.tokens, batch, hidden)
    if weights["next_segment"]:
        scored["next_segment"] = _next_segment(network, batch, generator)
    if weights["matching"]:
        sequence, region, scale = network.match(output.sequence, output.region)
        nearest = (sequence @ region.T).argmax(1)
        own = torch.arange(len(nearest), device=nearest.device)
        scored["matching"] = Scored(matching_loss(sequence, region, scale), nearest, own, batch.rows)
    if weights["masked_region"]:
        chosen = tf_hidden[batch.region_mask]  # (regions, tfs)
        truth = matrix[batch.region_mask][chosen]
        predicted = network.tf_scores(output.joint)[chosen]
        rows = batch.rows[chosen.nonzero()[:, 0]]
        scored["masked_region"] = Scored(masked_region_loss(predicted, truth), predicted, truth, rows)
    return scored


def _masked_genome(network: GeneBERTNetwork, tokens: Tensor, batch: Batch, hidden: Tensor) -> Scored:
    kmers = hidden_kmers(batch.codes, hidden, k=network.config.k, stride=network.config.stride)
    chosen = kmers >= 0
    truth = kmers[chosen]
    logits = network.kmer_logits(tokens[chosen])  # the head sees hidden places only
    rows = batch.rows[chosen.nonzero()[:, 0]]
    return Scored(masked_genome_loss(logits, truth), logits, truth, rows)


def _next_segment(network: GeneBERTNetwork, batch: Batch, generator: torch.Generator) -> Scored:
    pairs = neighbour_pairs(batch.region_mask, generator=generator)
    if not len(pairs.left):
        return Scored(next_segment_loss(pairs.is_next, pairs.is_next), pairs.is_next, pairs.is_next, pairs.left)
    both = torch.stack([pairs.left, pairs.right], dim=1)  # (pairs, 2)
    logits = network.next_logits(batch.codes[both], batch.lengths[both])
    return Scored(next_segment_loss(logits, pairs.is_next), logits, pairs.is_next, batch.rows[pairs.left])
