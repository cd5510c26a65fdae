"""From a batch to the losses of all objectives, and what is needed to score each of them.

What is hidden and paired is drawn for the whole batch (`draw`); the losses are computed part by part (`score`), in one
process or in several. Each part adds its share of the means over the whole batch, so that the parts sum to what one
process would compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genebert._dna import N
from genebert.nn._config import GeneBERTConfig
from genebert.nn._losses import masked_genome_loss, masked_region_loss, matching_loss, next_segment_loss
from genebert.nn._masking import Pairs, hidden_kmers, hide_spans, hide_tfs, neighbour_pairs
from genebert.nn._network import GeneBERTNetwork, NetworkOutput

__all__ = ["OBJECTIVES", "Batch", "Drawn", "Part", "Scored", "draw", "objectives", "score"]

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


class Drawn(NamedTuple):
    """What is hidden and paired in a whole batch."""

    codes: Tensor
    """Bases ``(regions, length)``."""
    lengths: Tensor
    """``(regions,)``."""
    rows: Tensor
    """Where each region stands in the data ``(regions,)``."""
    masked: Tensor
    """The bases that are left to see ``(regions, length)``."""
    kmers: Tensor
    """The k-mers of which no base is visible ``(regions, tokens)``; -1 elsewhere."""
    tf_hidden: Tensor | None
    """``(windows, window_size, tfs)``."""
    pairs: Pairs | None
    totals: dict[str, Tensor | int]
    """Items of each objective."""


class Part(NamedTuple):
    """The windows of a batch that are computed at once; by default all."""

    windows: Tensor | slice = slice(None)
    """Their places in the batch."""
    regions: Tensor | slice = slice(None)
    """The places of their regions."""
    is_real: bool = True
    """False for a process without a window: it computes another one along, since all must take part in what follows, and
    scores nothing of it."""
    gather: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, int]] | None = None
    """From own vectors of both modalities to those of all processes, and where the own ones begin."""


class Scored(NamedTuple):
    """One objective on a part of a batch: its share of the loss of the batch, and what came of each item."""

    loss: Tensor
    nats: Tensor
    """Loss of each item (a squared error in masked region modelling)."""
    prediction: Tensor
    truth: Tensor
    rows: Tensor
    """The region of each item."""
    n_candidates: int = 0
    """Among how many the prediction was chosen, in matching."""


def objectives(
    network: GeneBERTNetwork, batch: Batch, *, weights: Mapping[str, float], generator: torch.Generator
) -> dict[str, Scored]:
    """Score the objectives whose weight is not zero, on a batch at once."""
    regions = (batch.codes, batch.lengths, batch.rows)
    drawn = draw(regions, batch.region_mask, config=network.config, weights=weights, generator=generator)
    return score(network, batch, drawn, weights=weights)


def draw(
    regions: tuple[Tensor, Tensor, Tensor],
    region_mask: Tensor,
    *,
    config: GeneBERTConfig,
    weights: Mapping[str, float],
    generator: torch.Generator,
) -> Drawn:
    """Draw what is hidden and paired in a whole batch.

    Parameters
    ----------
    regions
        Codes, lengths and rows of all its regions, as in `Batch`.
    region_mask
        ``(windows, window_size)``.
    """
    codes, lengths, rows = regions
    codes = F.pad(codes, (0, max(0, config.k - codes.shape[1])), value=N)  # all may be shorter than a k-mer, or unknown
    masked, hidden = hide_spans(codes, lengths, span=2 * config.k, step=config.stride, generator=generator)
    kmers = hidden_kmers(codes, hidden, k=config.k, stride=config.stride)
    tf_hidden = hide_tfs(region_mask, config.n_tfs, generator=generator) if weights["masked_region"] else None
    pairs = neighbour_pairs(region_mask, generator=generator) if weights["next_segment"] else None
    totals = {
        "masked_genome": (kmers >= 0).sum().clamp(min=1),
        "next_segment": max(1, len(pairs.left)) if pairs else 1,
        "matching": len(codes),
        "masked_region": 1 if tf_hidden is None else tf_hidden.sum().clamp(min=1),
    }
    return Drawn(codes, lengths, rows, masked, kmers, tf_hidden, pairs, totals)


def score(
    network: GeneBERTNetwork, batch: Batch, drawn: Drawn, *, weights: Mapping[str, float], part: Part = Part()
) -> dict[str, Scored]:
    """Score a part of a batch.

    Sequences and matrix are encoded once, with spans and TFs hidden, for all objectives but next-segment prediction,
    which reads two regions at once.

    Parameters
    ----------
    batch
        Scores, mask and weight of the windows of the part.
    """
    scored: dict[str, Scored] = {}
    if weights["masked_genome"] and not (weights["matching"] or weights["masked_region"]):
        scored["masked_genome"] = _masked_genome(network, None, drawn, part)
    if weights["next_segment"]:
        scored["next_segment"] = _next_segment(network, drawn, part)
    if not (weights["matching"] or weights["masked_region"]):
        return scored
    matrix = network.standardise(batch.scores, batch.weight)
    hidden = None if drawn.tf_hidden is None else drawn.tf_hidden[part.windows]
    codes, lengths = drawn.masked[part.regions], drawn.lengths[part.regions]
    output = network(codes, lengths, matrix, batch.region_mask, tf_hidden=hidden)
    if weights["masked_genome"]:
        scored["masked_genome"] = _masked_genome(network, output.tokens, drawn, part)
    if weights["matching"]:
        scored["matching"] = _matching(network, output, drawn, part)
    if weights["masked_region"]:
        seen = batch.region_mask
        scored["masked_region"] = _masked_region(network, output, drawn, part, truth=matrix[seen], hidden=hidden[seen])
    return {name: scored[name] for name in OBJECTIVES if name in scored}


def _kept(items: Tensor, part: Part) -> Tensor:
    return items if part.is_real else items[:0]


def _masked_genome(network: GeneBERTNetwork, tokens: Tensor | None, drawn: Drawn, part: Part) -> Scored:
    """The head sees hidden places only; without states of all `tokens` neither does the last block of the encoder."""
    kmers = drawn.kmers[part.regions]
    chosen = (kmers >= 0) & part.is_real
    region, place = chosen.nonzero().unbind(1)
    truth = kmers[region, place]
    if tokens is not None:
        states = tokens[region, place]
    else:
        codes, lengths = drawn.masked[part.regions], drawn.lengths[part.regions]
        states = network.sequence_encoder.states_at(codes, lengths, chosen)
    logits = network.kmer_logits(states)
    nats = masked_genome_loss(logits, truth, reduction="none")
    loss = nats.sum() / drawn.totals["masked_genome"]
    return Scored(loss, nats.detach(), logits.detach().argmax(-1), truth, drawn.rows[part.regions][region])


def _next_segment(network: GeneBERTNetwork, drawn: Drawn, part: Part) -> Scored:
    left, right, is_next = drawn.pairs
    if not isinstance(part.regions, slice):
        own = torch.isin(left, _kept(part.regions, part))
        left, right, is_next = left[own], right[own], is_next[own]
    if not len(left):
        return Scored(is_next.sum(), is_next, is_next, is_next, left)
    both = torch.stack([left, right], dim=1)  # (pairs, 2)
    logits = network.next_logits(drawn.codes[both], drawn.lengths[both])
    nats = next_segment_loss(logits, is_next, reduction="none")
    return Scored(nats.sum() / drawn.totals["next_segment"], nats.detach(), logits.detach(), is_next, drawn.rows[left])


def _matching(network: GeneBERTNetwork, output: NetworkOutput, drawn: Drawn, part: Part) -> Scored:
    sequence, region, scale = network.match(output.sequence, output.region)
    sequence, region = _kept(sequence, part), _kept(region, part)
    *candidates, first = (sequence, region, 0) if part.gather is None else part.gather(sequence, region)
    nats = matching_loss(sequence, region, scale, candidates=tuple(candidates), first=first, reduction="none")
    wide = torch.promote_types(sequence.dtype, torch.float32)
    with torch.autocast(sequence.device.type, enabled=False):  # half precision would make ties of near candidates
        likeness = sequence.detach().to(wide) @ candidates[1].detach().to(wide).T
    nearest = likeness.argmax(1) if len(candidates[1]) else nats.long()
    own = first + torch.arange(len(sequence), device=sequence.device)
    loss = nats.sum() / drawn.totals["matching"]
    return Scored(loss, nats.detach(), nearest, own, _kept(drawn.rows[part.regions], part), len(candidates[1]))


def _masked_region(
    network: GeneBERTNetwork, output: NetworkOutput, drawn: Drawn, part: Part, *, truth: Tensor, hidden: Tensor
) -> Scored:
    region, tf = _kept(hidden.nonzero(), part).unbind(1)
    truth = truth[region, tf]
    # The fusion works in 32 bits or more; in 64 bits its head must not meet 32.
    joint = output.joint.to(output.sequence.dtype) if output.sequence.element_size() > 4 else output.joint
    predicted = network.tf_scores(joint)[region, tf]
    error = masked_region_loss(predicted, truth, reduction="none")
    loss = error.sum() / drawn.totals["masked_region"]
    return Scored(loss, error.detach(), predicted.detach(), truth, drawn.rows[part.regions][region])
