"""Low-rank adapters (LoRA, Hu et al. 2021): W + B A, of which only A and B are trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization, remove_parametrizations

__all__ = ["adapt", "merge"]


class LowRank(nn.Module):
    """What an adapter adds to a weight; nothing at first, since B starts at 0.

    Parameters
    ----------
    weight
        Of a linear layer ``(out, in)``.
    rank
        Of what is added.
    generator
        For A.
    """

    def __init__(self, weight: Tensor, *, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        n_out, n_in = weight.shape
        down = torch.randn((rank, n_in), generator=generator) / n_in**0.5
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros((n_out, rank)))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def adapt(*modules: nn.Module, rank: int, seed: int) -> list[nn.Parameter]:
    """Put adapters on all linear layers of some modules, and freeze the modules.

    Returns
    -------
    The weights of the adapters, which are all that is left to train.
    """
    generator = torch.Generator().manual_seed(seed)
    adapters = []
    for module in modules:
        module.requires_grad_(False)
        for layer in [layer for layer in module.modules() if isinstance(layer, nn.Linear)]:
            adapter = LowRank(layer.weight, rank=min(rank, *layer.weight.shape), generator=generator)
            register_parametrization(layer, "weight", adapter)
            adapters += [adapter.down, adapter.up]
    return adapters


def merge(*modules: nn.Module) -> None:
    """Add what the adapters learnt to the weights, and take the adapters off."""
    for module in modules:
        for layer in list(module.modules()):
            if isinstance(layer, nn.Linear) and hasattr(layer, "parametrizations"):
                remove_parametrizations(layer, "weight", leave_parametrized=True)
        module.requires_grad_(True)
