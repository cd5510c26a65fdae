"""Sequence encoder: bases -> tokens -> transformer."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genebert._dna import N_BASES, N
from genebert.nn._config import GeneBERTConfig
from genebert.nn._layers import Block, rotary_angles

__all__ = ["MASK", "SequenceEncoder", "SequenceOutput", "count_tokens", "read_kmers", "tokenize"]

MASK = N + 1  # a base hidden from the encoder
_SD = 0.02  # of what is looked up, before training, as in BERT
PAD_TOKEN, UNKNOWN_TOKEN, CLS_TOKEN, SEP_TOKEN, MASK_TOKEN, N_SPECIAL = range(6)


def count_tokens(lengths: Tensor, config: GeneBERTConfig) -> Tensor:
    """Whole k-mers in sequences of these lengths."""
    return ((lengths - config.k) // config.stride + 1).clamp(min=0)


def read_kmers(codes: Tensor, *, k: int, stride: int) -> tuple[Tensor, Tensor]:
    """Read k-mers as numbers in base 4, and the highest code in each, which tells whether all of its bases are known.

    Parameters
    ----------
    codes
        Bases 0..3, N = 4, hidden = 5, ``(..., length)``.

    Returns
    -------
    int64 and the type of `codes`, both ``(..., tokens)``; where a base is no base the number means nothing.
    """
    behind = (codes.shape[-1] - k) // stride * stride + 1  # the last k-mer starts before this
    bases = [codes[..., place : place + behind : stride] for place in range(k)]
    numbers, highest = bases[0].long(), bases[0]
    for base in bases[1:]:
        numbers = numbers * N_BASES + base
        highest = torch.maximum(highest, base)
    return numbers, highest


def tokenize(codes: Tensor, *, k: int, stride: int) -> Tensor:
    """Read k-mers as token ids.

    Returns
    -------
    int64 ``(..., tokens)``: `MASK_TOKEN` where a base of the k-mer is hidden, else `UNKNOWN_TOKEN` where one is N,
    else `N_SPECIAL` + the k-mer read in base 4.
    """
    numbers, highest = read_kmers(codes, k=k, stride=stride)
    ids = (numbers + N_SPECIAL).masked_fill(highest == N, UNKNOWN_TOKEN)
    return ids.masked_fill(highest == MASK, MASK_TOKEN)


class SequenceOutput(NamedTuple):
    """What the sequence encoder knows."""

    tokens: Tensor
    """States of the k-mers ``(batch, segments, tokens, dim)``."""
    vector: Tensor
    """Mean over the k-mers of each segment ``(batch, segments, dim)``."""
    cls: Tensor
    """State of [CLS] ``(batch, dim)``."""


class KmerStem(nn.Module):
    """One vector per k-mer, as BERT embeds words."""

    def __init__(self, config: GeneBERTConfig) -> None:
        super().__init__()
        self.k, self.stride = config.k, config.stride
        self.embedding = nn.Embedding(config.n_kmers + N_SPECIAL, config.dim)
        nn.init.normal_(self.embedding.weight, std=_SD)

    def forward(self, codes: Tensor) -> Tensor:
        return self.embedding(tokenize(codes, k=self.k, stride=self.stride))

    def special(self) -> Tensor:
        return self.embedding.weight[CLS_TOKEN : SEP_TOKEN + 1]


class ConvStem(nn.Module):
    """Filters of motif length, the strongest response within each k-mer, then a mix of the filters."""

    def __init__(self, config: GeneBERTConfig) -> None:
        super().__init__()
        self.k, self.stride = config.k, config.stride
        self.filters = nn.Conv1d(N_BASES + 1, config.n_filters, config.filter_width, padding=config.filter_width // 2)
        self.mix = nn.Sequential(nn.LayerNorm(config.n_filters), nn.Linear(config.n_filters, config.dim))

    def forward(self, codes: Tensor) -> Tensor:
        return self.states(self.respond(codes))

    def states(self, response: Tensor) -> Tensor:
        """Mix what `respond` gives, ``(batch, tokens, dim)``."""
        return self.mix(F.gelu(response).transpose(1, 2))

    def respond(self, codes: Tensor) -> Tensor:
        """Give the strongest response of each filter within each k-mer, ``(batch, filters, tokens)``."""
        bases = F.one_hot(codes.long(), MASK + 1).to(self.filters.weight.dtype)
        bases = bases[..., [0, 1, 2, 3, MASK]].transpose(1, 2)  # (batch, 5, length); N is zero, as padding is
        # A token is a whole k-mer, so that it never pools over padding. Pooling first leaves the GELU k times less to do.
        return F.max_pool1d(self.filters(bases), self.k, self.stride)


class SequenceEncoder(nn.Module):
    """Transformer over the k-mers of one segment, ``[CLS] A [SEP]``, or of two, ``[CLS] A [SEP] B [SEP]``."""

    def __init__(self, config: GeneBERTConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = KmerStem(config) if config.stem == "kmer" else ConvStem(config)
        # Among k-mers, [CLS] and [SEP] are words like the others.
        self.special = nn.Parameter(torch.randn(2, config.dim) * _SD) if config.stem == "conv" else None
        self.segment = nn.Embedding(2, config.dim)
        self.position = nn.Embedding(config.max_tokens, config.dim) if config.positions == "learned" else None
        self.input_norm = nn.LayerNorm(config.dim, eps=config.norm_eps) if config.norm == "post" else nn.Identity()
        self.input_dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.output_norm = nn.Identity() if config.norm == "post" else nn.LayerNorm(config.dim)
        nn.init.normal_(self.segment.weight, std=_SD)
        if self.position is not None:
            nn.init.normal_(self.position.weight, std=_SD)
        if config.norm == "post":
            self.blocks.apply(_start_small)

    def forward(
        self, codes: Tensor, lengths: Tensor, *, layer: int = -1, response: Tensor | None = None
    ) -> SequenceOutput:
        """Encode segments.

        Parameters
        ----------
        codes
            Bases, left-aligned ``(batch, segments, length)``.
        lengths
            Bases per segment ``(batch, segments)``; what lies behind is padding.
        layer
            States behind which block, counted as in a list; the last one's are normalised at the end.
        response
            What `ConvStem.respond` gave for ``codes.flatten(0, 1)``, where it is at hand.
        """
        n_tokens = count_tokens(lengths, self.config)  # (batch, segments)
        x = self._run(codes, n_tokens, n_blocks=range(len(self.blocks))[layer] + 1, response=response)
        tokens = x[:, 1:].unflatten(1, (lengths.shape[1], -1))[:, :, :-1]  # without [CLS] and [SEP]
        inside = torch.arange(tokens.shape[2], device=x.device) < n_tokens[..., None]  # (batch, segments, tokens)
        total = (tokens * inside[..., None]).sum(2)
        return SequenceOutput(tokens, total / n_tokens.clamp(min=1)[..., None], x[:, 0])

    def states_at(self, codes: Tensor, lengths: Tensor, chosen: Tensor) -> Tensor:
        """States of some k-mers only, as the head of masked genome modelling needs them: the last block skips the rest.

        Parameters
        ----------
        codes, lengths
            One segment each: ``(batch, length)``, ``(batch,)``.
        chosen
            bool ``(batch, tokens)``.

        Returns
        -------
        ``(chosen, dim)``, the same numbers as ``tokens[chosen]`` of the whole.
        """
        n_tokens = count_tokens(lengths, self.config)[:, None]
        return self._run(codes[:, None], n_tokens, n_blocks=len(self.blocks), chosen=F.pad(chosen, (1, 1)))

    def _run(
        self,
        codes: Tensor,
        n_tokens: Tensor,
        *,
        n_blocks: int,
        chosen: Tensor | None = None,
        response: Tensor | None = None,
    ) -> Tensor:
        codes = F.pad(codes, (0, max(0, self.config.k - codes.shape[-1])), value=N)  # shorter than a k-mer: no token
        states = self.stem(codes.flatten(0, 1)) if response is None else self.stem.states(response)
        states = states.unflatten(0, codes.shape[:2])  # (batch, segments, tokens, dim)
        x, valid, positions = self._lay_out(states, n_tokens)
        x = self.input_dropout(self.input_norm(x))
        is_full = bool(valid.all())
        mask = None if is_full else valid[:, None, None, :]
        angles = None
        if self.position is None:  # without padding, all rows have the same places
            angles = rotary_angles(positions[:1] if is_full else positions, self.config.dim // self.config.n_heads)
        for number, block in enumerate(self.blocks[:n_blocks], start=1):
            x = block(x, mask=mask, angles=angles, chosen=chosen if number == n_blocks else None)
        return self.output_norm(x) if n_blocks == len(self.blocks) else x

    def _lay_out(self, states: Tensor, n_tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Put [CLS] in front and [SEP] behind each segment; positions count tokens, not padding."""
        batch, segments, width, dim = states.shape
        cls, sep = self.stem.special() if self.special is None else self.special
        segment = self.segment.weight[:segments, None]  # (segments, 1, dim)
        x = (torch.cat([states, sep.expand(batch, segments, 1, dim)], dim=2) + segment).flatten(1, 2)
        cls = (cls + self.segment.weight[0]).expand(batch, 1, dim)
        x = torch.cat([cls, x], dim=1)  # (batch, 1 + segments * (tokens + 1), dim)

        place = torch.arange(width + 1, device=x.device).expand(batch, segments, -1)
        place = torch.where(place == width, n_tokens[..., None], place)  # [SEP] follows the last k-mer
        valid = (place < n_tokens[..., None]) | (torch.arange(width + 1, device=x.device) == width)
        before = (n_tokens + 1).cumsum(1) - (n_tokens + 1)  # tokens of earlier segments
        first = torch.zeros(batch, 1, dtype=torch.long, device=x.device)
        positions = torch.cat([first, (1 + place + before[..., None]).flatten(1)], dim=1)
        valid = torch.cat([first == 0, valid.flatten(1)], dim=1)
        if self.position is not None:
            self._check_length(int(positions[valid].max()) + 1)
            x = x + self.position(positions.clamp(max=self.config.max_tokens - 1))
        return x, valid, positions

    def _check_length(self, n_tokens: int) -> None:
        if n_tokens > self.config.max_tokens:
            msg = (
                f"Expected at most {self.config.max_tokens} tokens with learned positions; found {n_tokens}. "
                "Use shorter sequences or a preset with rotary positions."
            )
            raise ValueError(msg)


def _start_small(module: nn.Module) -> None:
    """Start as BERT does (Devlin et al. 2019); behind norms, torch's own start would drown what is added to."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=_SD)
        nn.init.zeros_(module.bias)
