"""A moving average of the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """Exponential moving average of the weights of a network (Polyak and Juditsky 1992; here over the end of the run).

    The decay follows from the length of the run: a fixed one that suits long runs leaves the average of a short run near
    the untrained weights. Before `span` steps are done it is the plain mean of all so far.

    Parameters
    ----------
    network
        Whose weights.
    span
        Steps over which the average reaches back.
    """

    def __init__(self, network: nn.Module, *, span: int) -> None:
        self.span, self.n_steps = max(1, span), 0
        self.weights = {name: weight.detach().clone() for name, weight in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the weights after a step in."""
        self.n_steps += 1
        share = 1 / min(self.n_steps, self.span)
        for name, weight in network.named_parameters():
            self.weights[name].lerp_(weight, share)

    @torch.no_grad()
    def swap(self, network: nn.Module) -> None:
        """Put the average into the network and keep what was there; a second call undoes it."""
        for name, weight in network.named_parameters():
            kept = weight.detach().clone()
            weight.copy_(self.weights[name])
            self.weights[name].copy_(kept)

    def state(self) -> dict[str, Tensor | int | dict]:
        """For `load`, on the CPU."""
        return {"n_steps": self.n_steps, "weights": {name: weight.cpu() for name, weight in self.weights.items()}}

    def load(self, state: dict) -> None:
        """Go on from what `state` returned."""
        self.n_steps = state["n_steps"]
        for name, weight in state["weights"].items():
            self.weights[name].copy_(weight)

    def to(self, device: torch.device) -> None:
        """Move to a device."""
        self.weights = {name: weight.to(device) for name, weight in self.weights.items()}
