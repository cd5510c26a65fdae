"""The objectives as pure functions. They are a reconstruction: the paper's equations were not available to us."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["masked_genome_loss", "masked_region_loss", "matching_loss", "next_segment_loss"]

Reduction = Literal["mean", "none"]


def masked_genome_loss(logits: Tensor, kmers: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Cross-entropy in nats over hidden k-mers.

    Parameters
    ----------
    logits
        ``(hidden, 4**k)``.
    kmers
        The true k-mers ``(hidden,)``.
    reduction
        ``"none"``: one number per k-mer.
    """
    return _reduced(F.cross_entropy(_wide(logits), kmers, reduction="none"), reduction)


def next_segment_loss(logits: Tensor, is_next: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Binary cross-entropy in nats: is B the next open region behind A? Both ``(pairs,)``."""
    logits = _wide(logits)
    nats = F.binary_cross_entropy_with_logits(logits, is_next.to(logits.dtype), reduction="none")
    return _reduced(nats, reduction)


def matching_loss(
    sequences: Tensor,
    regions: Tensor,
    scale: Tensor,
    *,
    candidates: tuple[Tensor, Tensor] | None = None,
    first: int = 0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Symmetric InfoNCE in nats (van den Oord et al. 2018; in this form Radford et al. 2021).

    Parameters
    ----------
    sequences, regions
        Unit vectors ``(regions, contrast_dim)``; row i of both belongs to region i.
    scale
        Inverse temperature.
    candidates
        Sequences and regions among which the own one is looked for, ``(candidates, contrast_dim)`` each; default: those
        given. With several processes they are those of all.
    first
        Where the rows given begin among the candidates.
    reduction
        ``"none"``: one number per region.
    """
    all_sequences, all_regions = candidates or (sequences, regions)
    own = first + torch.arange(len(sequences), device=sequences.device)
    with torch.autocast(sequences.device.type, enabled=False):  # half precision would blur the nearest candidates
        to_region = _wide(scale) * _wide(sequences) @ _wide(all_regions).T
        to_sequence = _wide(scale) * _wide(regions) @ _wide(all_sequences).T
    nats = [F.cross_entropy(logits, own, reduction="none") for logits in (to_region, to_sequence)]
    return _reduced((nats[0] + nats[1]) / 2, reduction)


def masked_region_loss(predicted: Tensor, scores: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Mean squared error over hidden, standardised motif scores; both ``(hidden,)``."""
    return _reduced((_wide(predicted) - _wide(scores)) ** 2, reduction)


def _wide(values: Tensor) -> Tensor:
    """At least 32 bits."""
    return values.float() if values.element_size() < 4 else values


def _reduced(items: Tensor, reduction: Reduction) -> Tensor:
    """The mean, which is 0 where there is nothing to score."""
    return items if reduction == "none" else items.sum() / max(len(items), 1)
