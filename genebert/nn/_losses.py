"""The objectives as pure functions. They are a reconstruction: the paper's equations were not available to us."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["masked_genome_loss", "masked_region_loss", "matching_loss", "next_segment_loss"]


def masked_genome_loss(logits: Tensor, kmers: Tensor) -> Tensor:
    """Cross-entropy in nats over hidden k-mers.

    Parameters
    ----------
    logits
        ``(hidden, 4**k)``.
    kmers
        The true k-mers ``(hidden,)``.
    """
    return F.cross_entropy(logits.float(), kmers) if len(kmers) else logits.sum() * 0


def next_segment_loss(logits: Tensor, is_next: Tensor) -> Tensor:
    """Binary cross-entropy in nats: is B the next open region behind A? Both ``(pairs,)``."""
    return F.binary_cross_entropy_with_logits(logits.float(), is_next) if len(is_next) else logits.sum() * 0


def matching_loss(sequences: Tensor, regions: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE in nats (van den Oord et al. 2018; in this form Radford et al. 2021).

    Parameters
    ----------
    sequences, regions
        Unit vectors ``(regions, contrast_dim)``; row i of both belongs to region i, all other rows are negatives.
    scale
        Inverse temperature.
    """
    logits = scale.float() * sequences.float() @ regions.float().T
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def masked_region_loss(predicted: Tensor, scores: Tensor) -> Tensor:
    """Mean squared error over hidden, standardised motif scores; both ``(hidden,)``."""
    return F.mse_loss(predicted.float(), scores.float()) if len(scores) else predicted.sum() * 0
