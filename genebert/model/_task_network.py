"""Training of the network of a task, and of the networks that it is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from genebert._chunks import Progress, row_chunks
from genebert._dna import N_BASES, N, reverse_complement
from genebert.model._average import WeightAverage
from genebert.model._targets import Targets, task_loss
from genebert.model._task_inputs import Inputs
from genebert.nn import TaskConfig, TaskNetwork

__all__ = ["FitOptions", "NetworkModel", "TaskStrands", "fit_network"]

TaskStrands = Literal["both", "forward"]

MOST_BASES = 5_000_000  # that are read in training, over all epochs: about two minutes on two cores
LEAST_EPOCHS, MOST_EPOCHS = 2, 12
WARMUP, DECAY, CLIP = 0.05, 0.05, 1.0
AVERAGED = 0.1  # share of the run that the average of the weights reaches back
MUTATED = (
    0.1  # share of the bases that are drawn anew each time a sequence is shown; few sequences are soon known by heart
)


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a task is fitted."""

    strands: TaskStrands = "both"
    max_epochs: int | None = None
    """None: as many as `MOST_BASES` allow."""
    batch_size: int = 64
    lr: float = 1e-3
    encoder_lr: float = 3e-4
    """Of what was pre-trained."""
    patience: int = 3
    seed: int = 0

    @property
    def both_strands(self) -> bool:
        """Whether the strand does not matter."""
        return self.strands == "both"

    def n_epochs(self, n_regions: int, seq_length: int) -> int:
        """Passes over the regions."""
        if self.max_epochs is not None:
            return self.max_epochs
        return int(np.clip(round(MOST_BASES / max(n_regions * seq_length, 1)), LEAST_EPOCHS, MOST_EPOCHS))


class NetworkModel:
    """A fitted network.

    Parameters
    ----------
    network
        `TaskNetwork`, or another one that is called like it.
    both_strands
        Whether logits are averaged over strands.
    """

    name: ClassVar[str] = "network"

    def __init__(self, network: nn.Module, *, both_strands: bool) -> None:
        self.network, self.both_strands = network.eval(), both_strands

    @torch.inference_mode()
    def logits(self, inputs: Inputs, *, batch_size: int = 256) -> np.ndarray:
        """Logits, float64 ``(regions, outputs)``."""
        self.network.eval()
        parts = []
        for rows in row_chunks(len(inputs.codes), step=batch_size):
            part = inputs.take(rows)
            sides = [part.codes, reverse_complement(part.codes)] if self.both_strands else [part.codes]
            found = [self.network(*_tensors(part._replace(codes=side), self.network.device)) for side in sides]
            parts.append(torch.stack(found).mean(0).double().cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.network.out.out_features))

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Settings and tensors, for `restore`."""
        settings = {"config": self.network.config.to_dict(), "both_strands": self.both_strands}
        return settings, dict(self.network.state_dict())

    @classmethod
    def restore(cls, settings: dict[str, Any], tensors: dict[str, Tensor]) -> NetworkModel:
        """Rebuild from what `state` returned."""
        network = TaskNetwork(TaskConfig.from_dict(settings["config"]))
        network.load_state_dict(tensors)
        return cls(network, both_strands=settings["both_strands"])


def _tensors(inputs: Inputs, device: torch.device) -> list[Tensor | None]:
    return [None if part is None else torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in inputs]


def fit_network(
    network: nn.Module,
    inputs: Inputs,
    targets: Targets,
    *,
    train: np.ndarray,
    inner: np.ndarray,
    options: FitOptions,
) -> tuple[NetworkModel, list[dict[str, Any]]]:
    """Train a network; the epoch with the lowest loss on the inner part wins.

    What is kept is a moving average of the weights, over a share of the run, so that it suits short runs, too. On both
    strands each region is shown on a random one. A share of the bases is replaced at random; motif scores stay those of the
    region.

    Parameters
    ----------
    network
        On the device where it is to be trained; its random start is its own.
    inputs, targets
        Of all regions.
    train, inner
        Rows to learn from and to stop by.
    options
        How.

    Returns
    -------
    The model, and rows ``epoch, split, loss``.
    """
    model = NetworkModel(network, both_strands=options.both_strands)
    network.start_at(torch.from_numpy(targets.take(train).start()).float())
    weight, values = targets.sample_weights().astype(np.float32), np.nan_to_num(targets.values)
    n_epochs = options.n_epochs(len(train), inputs.codes.shape[1])
    n_batches = -(-len(train) // options.batch_size)
    optimizer, schedule = _optimizer(network, options, n_steps=n_epochs * n_batches)
    average = WeightAverage(network, span=round(AVERAGED * n_epochs * n_batches))
    rng = np.random.default_rng(options.seed)
    history, best, kept, waited = [], np.inf, None, 0
    progress = Progress(f"training a network, {n_epochs} epochs at most", n_epochs * len(train), device=network.device)
    for epoch in range(n_epochs):
        network.train()
        losses = []
        for rows in _batches(train, options.batch_size, rng):
            part = inputs.take(rows)
            if options.both_strands:
                part = part._replace(codes=_turned(part.codes, rng))
            part = part._replace(codes=_mutated(part.codes, rng))
            truth, share = (torch.from_numpy(array[rows]).to(network.device) for array in (values, weight))
            loss = task_loss(network(*_tensors(part, network.device)), truth, share, kind=targets.kind)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
            schedule.step()
            average.update(network)
            losses.append(float(loss.detach()))
            progress.update(len(rows))
        average.swap(network)
        held_out = _inner_loss(model, inputs.take(inner), values[inner], weight[inner], targets)
        if held_out < best or kept is None:
            best, kept, waited = held_out, {k: v.clone() for k, v in network.state_dict().items()}, 0
        else:
            waited += 1
        average.swap(network)
        history += [
            {"epoch": epoch, "split": "train", "loss": float(np.mean(losses))},
            {"epoch": epoch, "split": "inner", "loss": held_out},
        ]
        if waited >= options.patience:
            break
    network.load_state_dict(kept)
    network.eval()
    return model, history


def _inner_loss(model: NetworkModel, inputs: Inputs, values: np.ndarray, weight: np.ndarray, targets: Targets) -> float:
    logits = torch.from_numpy(model.logits(inputs))
    return float(task_loss(logits, torch.from_numpy(values), torch.from_numpy(weight), kind=targets.kind))


def _optimizer(
    network: nn.Module, options: FitOptions, *, n_steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW (Loshchilov and Hutter 2019), pre-trained weights at a lower rate; a short rise, then a cosine to zero."""
    slow = {name for name, _ in network.named_parameters() if name.startswith("reader.encoder.")}
    groups = [
        {"params": [p for name, p in network.named_parameters() if (name in slow) == is_slow], "lr": rate}
        for is_slow, rate in ((True, options.encoder_lr), (False, options.lr))
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=DECAY)
    rise = max(1, round(WARMUP * n_steps))

    def rate(step: int) -> float:
        return min(1.0, (step + 1) / rise) * 0.5 * (1 + np.cos(np.pi * min(1.0, step / max(n_steps, 1))))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)


def _batches(rows: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    yield from np.array_split(rng.permutation(rows), max(1, -(-len(rows) // batch_size)))


def _turned(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each sequence on a random strand."""
    is_turned = rng.random(len(codes)) < 0.5
    return np.where(is_turned[:, None], reverse_complement(codes), codes)


def _mutated(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some bases drawn anew; N stays."""
    is_hit = (rng.random(codes.shape, dtype=np.float32) < MUTATED) & (codes < N)
    return np.where(is_hit, rng.integers(N_BASES, size=codes.shape, dtype=codes.dtype), codes)
