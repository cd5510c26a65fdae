"""Sequence encoder: bases -> tokens -> transformer."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genebert._dna import N_BASES, N
from genebert.nn._config import GeneBERTConfig
from genebert.nn._layers import Block, rotary_angles

__all__ = ["MASK", "SequenceEncoder", "SequenceOutput", "count_tokens", "tokenize"]

MASK = N + 1  # a base hidden from the encoder
PAD_TOKEN, UNKNOWN_TOKEN, CLS_TOKEN, SEP_TOKEN, MASK_TOKEN, N_SPECIAL = range(6)


def count_tokens(lengths: Tensor, config: GeneBERTConfig) -> Tensor:
    """Whole k-mers in sequences of these lengths."""
    return ((lengths - config.k) // config.stride + 1).clamp(min=0)


def tokenize(codes: Tensor, *, k: int, stride: int) -> Tensor:
    """Read k-mers as token ids.

    Parameters
    ----------
    codes
        Bases 0..3, N = 4, hidden = 5, ``(..., length)``.

    Returns
    -------
    int64 ``(..., tokens)``: `MASK_TOKEN` where a base of the k-mer is hidden, else `UNKNOWN_TOKEN` where one is N,
    else `N_SPECIAL` + the k-mer read in base 4.
    """
    kmers = codes.long().unfold(-1, k, stride)  # (..., tokens, k)
    powers = N_BASES ** torch.arange(k - 1, -1, -1, device=codes.device)
    ids = (kmers * powers).sum(-1) + N_SPECIAL
    ids = ids.masked_fill((kmers == N).any(-1), UNKNOWN_TOKEN)
    return ids.masked_fill((kmers == MASK).any(-1), MASK_TOKEN)


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

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        return self.embedding(tokenize(codes, k=self.k, stride=self.stride))


class ConvStem(nn.Module):
    """Filters of motif length, the strongest response within each k-mer, then a mix of the filters."""

    def __init__(self, config: GeneBERTConfig) -> None:
        super().__init__()
        self.k, self.stride = config.k, config.stride
        self.filters = nn.Conv1d(N_BASES + 1, config.n_filters, config.filter_width, padding=config.filter_width // 2)
        self.mix = nn.Sequential(nn.LayerNorm(config.n_filters), nn.Linear(config.n_filters, config.dim))

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        bases = F.one_hot(codes.long(), MASK + 1).to(self.filters.weight.dtype)
        bases = bases[..., [0, 1, 2, 3, MASK]].transpose(1, 2)  # (batch, 5, length); N is zero, as padding is
        # A token is a whole k-mer, so that it never pools over padding. Pooling first leaves the GELU k times less to do.
        response = F.max_pool1d(self.filters(bases), self.k, self.stride)  # (batch, filters, tokens)
        return self.mix(F.gelu(response).transpose(1, 2))  # (batch, tokens, dim)


class SequenceEncoder(nn.Module):
    """Transformer over the k-mers of one segment, ``[CLS] A [SEP]``, or of two, ``[CLS] A [SEP] B [SEP]``."""

    def __init__(self, config: GeneBERTConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = KmerStem(config) if config.stem == "kmer" else ConvStem(config)
        self.special = nn.Parameter(torch.randn(2, config.dim) * 0.02)  # [CLS], [SEP]
        self.segment = nn.Embedding(2, config.dim)
        self.position = nn.Embedding(config.max_tokens, config.dim) if config.positions == "learned" else None
        self.input_norm = nn.LayerNorm(config.dim, eps=1e-12) if config.norm == "post" else nn.Identity()
        self.blocks = nn.ModuleList(
            Block(config.dim, config.n_heads, dropout=config.dropout, norm=config.norm) for _ in range(config.n_layers)
        )
        self.output_norm = nn.Identity() if config.norm == "post" else nn.LayerNorm(config.dim)
        nn.init.normal_(self.segment.weight, std=0.02)

    def forward(self, codes: Tensor, lengths: Tensor) -> SequenceOutput:
        """Encode segments.

        Parameters
        ----------
        codes
            Bases, left-aligned ``(batch, segments, length)``.
        lengths
            Bases per segment ``(batch, segments)``; what lies behind is padding.
        """
        codes = F.pad(codes, (0, max(0, self.config.k - codes.shape[-1])), value=N)  # shorter than a k-mer: no token
        batch, segments, length = codes.shape
        states = self.stem(codes.reshape(-1, length), lengths.reshape(-1))
        states = states.unflatten(0, (batch, segments))  # (batch, segments, tokens, dim)
        n_tokens = count_tokens(lengths, self.config)  # (batch, segments)
        x, valid, positions = self._lay_out(states, n_tokens)
        x = self.input_norm(x)
        mask = None if bool(valid.all()) else valid[:, None, None, :]
        angles = None if self.position is not None else rotary_angles(positions, self.config.dim // self.config.n_heads)
        for block in self.blocks:
            x = block(x, mask=mask, angles=angles)
        x = self.output_norm(x)
        tokens = x[:, 1:].unflatten(1, (segments, -1))[:, :, :-1]  # without [CLS] and [SEP]
        inside = torch.arange(tokens.shape[2], device=x.device) < n_tokens[..., None]  # (batch, segments, tokens)
        total = (tokens * inside[..., None]).sum(2)
        return SequenceOutput(tokens, total / n_tokens.clamp(min=1)[..., None], x[:, 0])

    def _lay_out(self, states: Tensor, n_tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Put [CLS] in front and [SEP] behind each segment; positions count tokens, not padding."""
        batch, segments, width, dim = states.shape
        segment = self.segment.weight[:segments, None]  # (segments, 1, dim)
        sep = self.special[1].expand(batch, segments, 1, dim)
        x = (torch.cat([states, sep], dim=2) + segment).flatten(1, 2)
        cls = (self.special[0] + self.segment.weight[0]).expand(batch, 1, dim)
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
