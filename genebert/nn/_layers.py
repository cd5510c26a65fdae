"""Building blocks of both encoders."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genebert.nn._config import GeneBERTConfig

__all__ = ["Attention", "Block", "rotary_angles"]


def rotary_angles(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines that rotate each pair of channels by its position (RoFormer, Su et al. 2021).

    Parameters
    ----------
    positions
        Integers ``(batch, tokens)``; one row where all of the batch are alike.
    head_dim
        Channels per head.
    """
    frequencies = 10_000 ** -(torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim)
    angles = positions[:, :, None, None, None].float() * frequencies  # (batch, tokens, 1, 1, head_dim / 2)
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, angles: tuple[Tensor, Tensor] | None) -> Tensor:
    """Rotate ``(batch, tokens, kinds, heads, head_dim)``: queries and keys at once, before heads and tokens change places."""
    if angles is None:
        return x
    cos, sin = (angle.to(x.dtype) for angle in angles)
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, dim: int, n_heads: int, *, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        angles: tuple[Tensor, Tensor] | None = None,
        chosen: Tensor | None = None,
    ) -> Tensor:
        heads = (self.n_heads, x.shape[-1] // self.n_heads)
        if chosen is None:
            qkv = self.qkv(x).unflatten(-1, (3, *heads))  # (batch, tokens, 3, heads, head_dim)
            (q, k), v = _rotate(qkv[:, :, :2], angles).unbind(2), qkv[:, :, 2]
        else:
            place = _places(chosen)  # (batch, queries)
            parts = [x.shape[-1], 2 * x.shape[-1]]
            (q_weight, kv_weight), (q_bias, kv_bias) = self.qkv.weight.split(parts), self.qkv.bias.split(parts)
            asked = x.gather(1, place[..., None].expand(-1, -1, x.shape[-1]))
            q = F.linear(asked, q_weight, q_bias).unflatten(-1, (1, *heads))
            kv = F.linear(x, kv_weight, kv_bias).unflatten(-1, (2, *heads))
            q, k, v = _rotate(q, _at(angles, place))[:, :, 0], _rotate(kv[:, :, :1], angles)[:, :, 0], kv[:, :, 1]
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask, dropout_p=dropout
        )
        mixed = mixed.transpose(1, 2).flatten(2)  # (batch, queries, dim)
        return self.out(mixed if chosen is None else mixed[chosen.gather(1, place)])


def _places(chosen: Tensor) -> Tensor:
    """Places of what is chosen, in order and in front, ``(batch, most of a row)``; then come others."""
    most = max(1, int(chosen.sum(1).max()))
    return chosen.byte().argsort(dim=1, descending=True, stable=True)[:, :most]


def _at(angles: tuple[Tensor, Tensor] | None, place: Tensor) -> tuple[Tensor, Tensor] | None:
    """The angles of some places."""
    if angles is None:
        return None
    row = torch.arange(len(place), device=place.device)[:, None]
    cos, sin = (angle.expand(len(place), *angle.shape[1:])[row, place] for angle in angles)
    return cos, sin


class Block(nn.Module):
    """Transformer block: attention, then a two-layer perceptron, each with a residual and a norm before or after it."""

    def __init__(self, config: GeneBERTConfig) -> None:
        super().__init__()
        dim = config.dim
        self.post = config.norm == "post"
        self.attention = Attention(dim, config.n_heads, dropout=config.dropout)
        self.attention_norm = nn.LayerNorm(dim, eps=config.norm_eps)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.mlp_norm = nn.LayerNorm(dim, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        angles: tuple[Tensor, Tensor] | None = None,
        chosen: Tensor | None = None,
    ) -> Tensor:
        """Run the block.

        Parameters
        ----------
        x
            States ``(batch, tokens, dim)``.
        mask
            True where a token may be seen ``(batch, 1, 1, tokens)``; None: everywhere.
        angles
            Of `rotary_angles`.
        chosen
            Tokens whose states are asked for, bool ``(batch, tokens)``; all of them are seen, no other is worked out.

        Returns
        -------
        ``(batch, tokens, dim)``, or ``(chosen, dim)``.
        """
        kept = x if chosen is None else x[chosen]
        if self.post:
            x = self.attention_norm(kept + self.dropout(self.attention(x, mask=mask, angles=angles, chosen=chosen)))
            return self.mlp_norm(x + self.dropout(self.mlp(x)))
        mixed = self.attention(self.attention_norm(x), mask=mask, angles=angles, chosen=chosen)
        x = kept + self.dropout(mixed)
        return x + self.dropout(self.mlp(self.mlp_norm(x)))
