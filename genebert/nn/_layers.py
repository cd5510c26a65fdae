"""Building blocks of both encoders."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Attention", "Block", "rotary_angles"]


def rotary_angles(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines that rotate each pair of channels by its position (RoFormer, Su et al. 2021).

    Parameters
    ----------
    positions
        Integers ``(batch, tokens)``.
    head_dim
        Channels per head.
    """
    frequencies = 10_000 ** -(torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim)
    angles = positions[:, None, :, None].float() * frequencies  # (batch, 1, tokens, head_dim / 2)
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
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

    def forward(self, x: Tensor, *, mask: Tensor | None = None, angles: tuple[Tensor, Tensor] | None = None) -> Tensor:
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.n_heads, dim // self.n_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (batch, heads, tokens, head_dim)
        if angles is not None:
            q, k = _rotate(q, angles), _rotate(k, angles)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, dim))


class Block(nn.Module):
    """Transformer block: attention, then a two-layer perceptron, each with a residual and a norm before or after it."""

    def __init__(self, dim: int, n_heads: int, *, dropout: float, norm: str = "pre") -> None:
        super().__init__()
        self.post = norm == "post"
        self.attention = Attention(dim, n_heads, dropout=dropout)
        self.attention_norm = nn.LayerNorm(dim, eps=1e-12 if self.post else 1e-5)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.mlp_norm = nn.LayerNorm(dim, eps=1e-12 if self.post else 1e-5)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, angles: tuple[Tensor, Tensor] | None = None) -> Tensor:
        if self.post:
            x = self.attention_norm(x + self.dropout(self.attention(x, mask=mask, angles=angles)))
            return self.mlp_norm(x + self.dropout(self.mlp(x)))
        x = x + self.dropout(self.attention(self.attention_norm(x), mask=mask, angles=angles))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))
