"""Region encoder: the TF x regions matrix of a window as an image, after Swin (Liu et al. 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genebert.nn._config import GeneBERTConfig

__all__ = ["RegionEncoder"]

_FORBIDDEN = -1e4  # finite, so that a window of padding alone stays a number


class WindowAttention(nn.Module):
    """Self-attention inside windows of TF patches x regions, with a bias for each relative place."""

    def __init__(self, dim: int, n_heads: int, *, window: tuple[int, int]) -> None:
        super().__init__()
        self.n_heads, self.window = n_heads, window
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.bias = nn.Parameter(torch.zeros(n_heads, 2 * window[0] - 1, 2 * window[1] - 1))
        nn.init.trunc_normal_(self.bias, std=0.02)

    def forward(self, x: Tensor, valid: Tensor, *, window: tuple[int, int]) -> Tensor:
        """Attend within each window: `x` ``(windows, places, dim)``, `valid` ``(windows, places)``."""
        windows, places, dim = x.shape
        q, k, v = self.qkv(x).view(windows, places, 3, self.n_heads, dim // self.n_heads).permute(2, 0, 3, 1, 4)
        mask = self._relative_bias(window)[None]  # (1, heads, places, places)
        if not bool(valid.all()):
            mask = mask + torch.where(valid, 0.0, _FORBIDDEN).to(mask.dtype)[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype))
        return self.out(mixed.transpose(1, 2).reshape(windows, places, dim))

    def _relative_bias(self, window: tuple[int, int]) -> Tensor:
        place = torch.cartesian_prod(*(torch.arange(n, device=self.bias.device) for n in window)).view(-1, 2)
        offset = place[:, None] - place[None] + torch.tensor(self.window, device=place.device) - 1
        return self.bias[:, offset[..., 0], offset[..., 1]]  # (heads, places, places)


class RegionBlock(nn.Module):
    """Swin block: attention in windows, shifted by half a window in every second block."""

    def __init__(self, dim: int, n_heads: int, *, window: tuple[int, int], shifted: bool) -> None:
        super().__init__()
        self.window = window
        self.shift = tuple(size // 2 if shifted else 0 for size in window)
        self.attention = WindowAttention(dim, n_heads, window=window)
        self.attention_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.mlp_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, region_mask: Tensor) -> Tensor:
        x = x + self._attend(self.attention_norm(x), region_mask)
        return x + self.mlp(self.mlp_norm(x))

    def _attend(self, x: Tensor, region_mask: Tensor) -> Tensor:
        batch, patches, regions, dim = x.shape
        # A single region attends along TFs only: the same numbers as a padded window, without its cost.
        wide = (self.window[0], 1 if regions == 1 else self.window[1])
        shift = (self.shift[0], 0 if regions == 1 else self.shift[1])
        # Shifted by padding in front instead of rolling, so that a region's window never depends on the padding.
        behind = [-(size + front) % width for size, front, width in zip((patches, regions), shift, wide, strict=True)]
        x = F.pad(x, (0, 0, shift[1], behind[1], shift[0], behind[0]))
        valid = F.pad(
            region_mask[:, None].expand(-1, patches, -1), (shift[1], behind[1], shift[0], behind[0]), value=False
        )
        rows, columns = x.shape[1] // wide[0], x.shape[2] // wide[1]
        grid = x.view(batch, rows, wide[0], columns, wide[1], dim).transpose(2, 3)
        inside = valid.reshape(batch, rows, wide[0], columns, wide[1]).transpose(2, 3)
        places = wide[0] * wide[1]
        mixed = self.attention(grid.reshape(-1, places, dim), inside.reshape(-1, places), window=wide)
        mixed = mixed.view(batch, rows, columns, wide[0], wide[1], dim).transpose(2, 3).reshape(x.shape)
        return mixed[:, shift[0] : shift[0] + patches, shift[1] : shift[1] + regions]


class PatchMerging(nn.Module):
    """Join neighbouring patches along the TF axis; regions keep their columns."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * dim)
        self.reduce = nn.Linear(2 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, 0, 0, x.shape[1] % 2))
        return self.reduce(self.norm(torch.cat([x[:, 0::2], x[:, 1::2]], dim=-1)))


class RegionEncoder(nn.Module):
    """From the matrix of a window to one vector per region."""

    def __init__(self, config: GeneBERTConfig) -> None:
        super().__init__()
        self.tf_patch = config.tf_patch
        n_patches = -(-config.n_tfs // config.tf_patch)
        dim = config.region_dim
        self.embed = nn.Linear(config.tf_patch, dim)
        # Swin reads images, where a patch means the same anywhere; here each patch holds TFs of its own.
        self.patch_position = nn.Parameter(torch.randn(n_patches, 1, dim) * 0.02)
        self.stages, self.merges = nn.ModuleList(), nn.ModuleList()
        for stage, (depth, n_heads) in enumerate(zip(config.region_depths, config.region_heads, strict=True)):
            if stage:
                self.merges.append(PatchMerging(dim))
                dim, n_patches = 2 * dim, -(-n_patches // 2)
            blocks = [RegionBlock(dim, n_heads, window=config.region_window, shifted=bool(i % 2)) for i in range(depth)]
            self.stages.append(nn.ModuleList(blocks))
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(n_patches * dim, config.region_out)  # which TF a patch came from stays known

    def forward(self, matrix: Tensor, region_mask: Tensor) -> Tensor:
        """Encode windows.

        Parameters
        ----------
        matrix
            Standardised scores ``(batch, regions, tfs)``.
        region_mask
            True where a region is real ``(batch, regions)``.

        Returns
        -------
        ``(batch, regions, region_out)``.
        """
        matrix = F.pad(matrix, (0, -matrix.shape[-1] % self.tf_patch))
        patches = matrix.unflatten(-1, (-1, self.tf_patch)).transpose(1, 2)  # (batch, patches, regions, tf_patch)
        x = self.embed(patches) + self.patch_position
        for stage, blocks in enumerate(self.stages):
            if stage:
                x = self.merges[stage - 1](x)
            for block in blocks:
                x = block(x, region_mask)
        return self.out(self.norm(x).transpose(1, 2).flatten(2))
