"""What pre-training hides and pairs. Each function takes a generator, so that a test can repeat it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from genebert._dna import N
from genebert.nn._sequence import MASK, read_kmers

__all__ = ["HIDDEN_FRACTION", "Pairs", "hidden_kmers", "hide_spans", "hide_tfs", "neighbour_pairs"]

HIDDEN_FRACTION = 0.15


def hide_spans(
    codes: Tensor,
    lengths: Tensor,
    *,
    span: int,
    step: int = 1,
    fraction: float = HIDDEN_FRACTION,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Hide contiguous spans of bases.

    Bases are hidden, not tokens: whatever the k and the stride, a k-mer that lies within a span shares no visible base
    with its neighbours and cannot be copied from them.

    Parameters
    ----------
    codes
        Bases ``(sequences, length)``.
    lengths
        Bases per sequence ``(sequences,)``.
    span
        Bases per span.
    step
        Spans start at multiples of this.
    fraction
        Share of the bases of each sequence to hide, rounded up to whole spans; where spans overlap, a little less.

    Returns
    -------
    The codes with `MASK` where a base is hidden, and the hidden places as bool ``(sequences, length)``.
    """
    n_sequences, length = codes.shape
    device = codes.device
    n_spans = (fraction * lengths / span).ceil()  # (sequences,)
    most = math.ceil(fraction * length / span)
    n_starts = ((lengths - span).clamp(min=0) // step + 1)[:, None]
    draw = torch.rand((n_sequences, most), generator=generator, device=device)
    start = (draw * n_starts).long() * step  # (sequences, spans)
    counts = (torch.arange(most, device=device) < n_spans[:, None]).int()  # (sequences, spans)
    change = torch.zeros((n_sequences, length + 1), dtype=torch.int32, device=device)
    change.scatter_add_(1, start, counts)
    change.scatter_add_(1, (start + span).clamp(max=length), -counts)
    hidden = change.cumsum(1)[:, :length] > 0  # where more spans have begun than ended
    hidden &= torch.arange(length, device=device) < lengths[:, None]
    return codes.masked_fill(hidden, MASK), hidden


def hidden_kmers(codes: Tensor, hidden: Tensor, *, k: int, stride: int) -> Tensor:
    """Read the k-mers of which no base is visible.

    Returns
    -------
    int64 ``(sequences, tokens)``: the k-mer read in base 4; -1 where a base of it is visible or an N.
    """
    numbers, highest = read_kmers(codes, k=k, stride=stride)
    return numbers.masked_fill(~(hidden.unfold(-1, k, stride).all(-1) & (highest < N)), -1)


def hide_tfs(
    region_mask: Tensor, n_tfs: int, *, fraction: float = HIDDEN_FRACTION, generator: torch.Generator
) -> Tensor:
    """Choose columns of the matrix to hide, for each region its own: bool ``(windows, regions, tfs)``."""
    draw = torch.rand((*region_mask.shape, n_tfs), generator=generator, device=region_mask.device)
    return (draw < fraction) & region_mask[..., None]


class Pairs(NamedTuple):
    """Pairs of regions, as places in the list of real regions of a batch."""

    left: Tensor
    right: Tensor
    is_next: Tensor
    """1 where `right` is the next open region behind `left`, else 0; float ``(pairs,)``."""


def neighbour_pairs(region_mask: Tensor, *, generator: torch.Generator) -> Pairs:
    """Draw a pair of neighbours from each window; in half of them replace the second by one of another window.

    Parameters
    ----------
    region_mask
        True where a window holds a region; real ones stand in front ``(windows, regions)``. All windows are of one
        cell type, so that the cell type does not tell the answer.
    """
    device = region_mask.device
    n_regions = region_mask.sum(1)
    first = n_regions.cumsum(0) - n_regions  # place of each window's first region
    several = n_regions >= 2
    n_regions, first = n_regions[several], first[several]
    n_pairs = len(first)
    draw = torch.rand((3, n_pairs), generator=generator, device=device)
    left = first + (draw[0] * (n_regions - 1)).long()
    is_next = draw[1] < 0.5
    other = (torch.arange(n_pairs, device=device) + 1 + (draw[2] * (n_pairs - 1)).long()) % max(n_pairs, 1)
    is_next |= other == torch.arange(n_pairs, device=device)  # a single window has no other
    right = torch.where(is_next, left + 1, (left + 1)[other])
    return Pairs(left, right, is_next.float())
