"""From the states of k-mers to one vector per sequence, also of one that is longer than what is read at once."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genebert._dna import N
from genebert.nn._sequence import SequenceEncoder, SequenceOutput, count_tokens

__all__ = ["Pooling", "cut", "pool", "read_sequences"]

Pooling = Literal["mean", "cls", "max"]

_CPU_TOKENS = 1_024
"""Tokens that go through all blocks at once: their states stay in the cache, and in memory that the process keeps."""


class Pieces(NamedTuple):
    """Pieces of sequences, in the order of the sequences."""

    row: Tensor
    """The sequence that each piece is of ``(pieces,)``."""
    first: Tensor
    """Its first k-mer ``(pieces,)``."""


def pool(output: SequenceOutput, n_tokens: Tensor, *, pooling: Pooling) -> Tensor:
    """One vector per segment; zeros where there is no k-mer.

    Parameters
    ----------
    output
        Of a batch of single segments.
    n_tokens
        K-mers in each ``(batch,)``.

    Returns
    -------
    ``(batch, dim)``.
    """
    if pooling == "mean":
        return output.vector[:, 0]
    is_empty = (n_tokens == 0)[:, None]
    if pooling == "cls":
        return output.cls.masked_fill(is_empty, 0.0)
    tokens = output.tokens[:, 0]
    inside = torch.arange(tokens.shape[1], device=tokens.device) < n_tokens[:, None]
    highest = F.pad(tokens.masked_fill(~inside[..., None], -torch.inf), (0, 0, 0, 1), value=-torch.inf).amax(1)
    return highest.masked_fill(is_empty, 0.0)


def cut(n_tokens: Tensor, *, most: int) -> Pieces:
    """Cut sequences into as few pieces of `most` k-mers as overlap by half, laid out alike from both ends.

    Parameters
    ----------
    n_tokens
        K-mers in each sequence ``(sequences,)``; one with no more than `most` is one piece.
    """
    step = most - most // 2
    n_pieces = ((n_tokens - most).clamp(min=0) + step - 1) // step + 1
    row = torch.repeat_interleave(torch.arange(len(n_tokens), device=n_tokens.device), n_pieces)
    number = torch.arange(len(row), device=row.device) - (n_pieces.cumsum(0) - n_pieces)[row]
    last, span = (n_pieces - 1)[row], (n_tokens - most).clamp(min=0)[row]
    from_start, from_end = (count * span // last.clamp(min=1) for count in (number, last - number))
    return Pieces(row, torch.where(2 * number <= last, from_start, span - from_end))


def read_sequences(
    encoder: SequenceEncoder,
    codes: Tensor,
    lengths: Tensor,
    *,
    pooling: Pooling = "mean",
    layer: int = -1,
    most: int | None = None,
    batch_size: int = 256,
) -> Tensor:
    """Encode sequences of any length as one vector each.

    A sequence of more than `most` k-mers is read in pieces. Each k-mer has the same weight in the mean, however many
    pieces hold it: ``sum_t mean_p h[p, t] / T``. The maximum is taken over all states of all pieces, and the [CLS] of
    the pieces are averaged.

    Parameters
    ----------
    codes
        Bases, left-aligned ``(sequences, length)``.
    lengths
        ``(sequences,)``.
    pooling
        How the states of the k-mers become one vector.
    layer
        Behind which block they are taken.
    most
        K-mers that are read at once; None: all.
    batch_size
        Sequences or pieces that are read at once, at most; on a CPU fewer where they are long.

    Returns
    -------
    ``(sequences, dim)``.
    """
    n_tokens = count_tokens(lengths, encoder.config)
    is_cut = most is not None and bool((n_tokens > most).any())
    if codes.device.type == "cpu":
        width = most if is_cut else codes.shape[1] // encoder.config.stride
        batch_size = min(batch_size, max(1, _CPU_TOKENS // max(1, width)))
    if not is_cut:
        parts = zip(*(part.split(batch_size) for part in (codes, lengths, n_tokens)), strict=True)
        return torch.cat([pool(encoder(c[:, None], n[:, None], layer=layer), t, pooling=pooling) for c, n, t in parts])
    table = cut(n_tokens, most=most)
    share = _shares(table, n_tokens, most=most, pooling=pooling)
    total = torch.full((len(codes), encoder.config.dim), -torch.inf if pooling == "max" else 0.0, device=codes.device)
    for start in range(0, len(table.row), batch_size):
        row, first = (column[start : start + batch_size] for column in table)
        piece, piece_lengths = _bases(codes, lengths, Pieces(row, first), most=most, encoder=encoder)
        output = encoder(piece[:, None], piece_lengths[:, None], layer=layer)
        if pooling == "mean":
            part = share[start : start + batch_size, : output.tokens.shape[2], None]
            total.index_add_(0, row, (output.tokens[:, 0] * part).sum(1))
            continue
        vectors = pool(output, count_tokens(piece_lengths, encoder.config), pooling=pooling)
        if pooling == "max":
            total.scatter_reduce_(0, row[:, None].expand_as(vectors), vectors, "amax")
        else:
            total.index_add_(0, row, vectors * share[start : start + batch_size])
    return total


def _shares(table: Pieces, n_tokens: Tensor, *, most: int, pooling: Pooling) -> Tensor:
    """What each k-mer of each piece adds to a mean ``(pieces, most)``, or each piece to a mean of pieces ``(pieces, 1)``."""
    if pooling != "mean":
        return 1 / torch.bincount(table.row, minlength=len(n_tokens))[table.row, None]
    place = table.first[:, None] + torch.arange(most, device=n_tokens.device)  # of each k-mer in its sequence
    inside = place < n_tokens[table.row, None]
    where = (table.row[:, None] * n_tokens.amax() + place)[inside]
    times = torch.bincount(where, minlength=len(n_tokens) * int(n_tokens.amax()))
    share = torch.zeros(place.shape, device=n_tokens.device)
    share[inside] = 1 / (times[where] * n_tokens[table.row, None].expand_as(place)[inside])
    return share


def _bases(
    codes: Tensor, lengths: Tensor, pieces: Pieces, *, most: int, encoder: SequenceEncoder
) -> tuple[Tensor, Tensor]:
    """Codes and lengths of some pieces."""
    k, stride = encoder.config.k, encoder.config.stride
    n_bases = (most - 1) * stride + k
    start = pieces.first[:, None] * stride
    place = torch.arange(n_bases, device=codes.device)
    piece_lengths = (lengths[pieces.row, None] - start).clamp(max=n_bases)
    taken = codes[pieces.row].gather(1, (start + place).clamp(max=codes.shape[1] - 1))
    return taken.masked_fill(place >= piece_lengths, N), piece_lengths[:, 0]
