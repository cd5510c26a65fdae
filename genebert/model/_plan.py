"""Pre-training as a Lightning module: the weighted sum of the objectives, one line of history per measurement."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from genebert._logging import info
from genebert.model._scores import ScoreBook
from genebert.nn import Batch, GeneBERTNetwork, objectives

__all__ = ["PretrainingPlan", "Progress", "quiet_training"]

_VALIDATION_SEED = 20_211_005


class PretrainingPlan(LightningModule):
    """Train a network on the objectives.

    Parameters
    ----------
    network
        Trained in place.
    weights
        Weight of each objective; 0 switches it off.
    lr, weight_decay
        Of AdamW, after a warm-up over `warmup` of all steps and down a cosine.
    seed
        Of masks and pairs. They follow from the seed and the step, not from a running state.
    chance
        Entropy of the training k-mers in nats, and the share of the commonest.
    """

    def __init__(
        self,
        network: GeneBERTNetwork,
        *,
        weights: Mapping[str, float],
        lr: float,
        weight_decay: float,
        warmup: float,
        seed: int,
        chance: Mapping[str, float],
    ) -> None:
        super().__init__()
        self.module = network.train()
        self.weights, self.chance = dict(weights), dict(chance)
        self.lr, self.weight_decay, self.warmup, self.seed = lr, weight_decay, warmup, seed
        self.rows: list[dict[str, Any]] = []
        self._books = {"train": ScoreBook(chance, by_region=False), "val": ScoreBook(chance, by_region=False)}

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        return self._step(batch, split="train", seed=self.seed * 1_000_003 + self.global_step)

    def validation_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        return self._step(batch, split="val", seed=_VALIDATION_SEED + batch_index)

    def _step(self, batch: Batch, *, split: str, seed: int) -> torch.Tensor:
        generator = torch.Generator(batch.codes.device).manual_seed(seed % 2**63)
        scored = objectives(self.module, batch, weights=self.weights, generator=generator)
        self._books[split].add(scored)
        loss = sum(self.weights[name] * item.loss for name, item in scored.items())
        name = "loss_train" if split == "train" else "loss_validation"
        self.log(name, loss, on_step=False, on_epoch=True, batch_size=len(batch.rows))
        return loss

    def on_train_epoch_end(self) -> None:
        self._write("train")

    def on_validation_epoch_end(self) -> None:
        self._write("val")

    def _write(self, split: str) -> None:
        place = {"epoch": self.current_epoch, "step": self.global_step, "split": split}
        self.rows += [{**place, **row} for row in self._books[split].summary()]
        self._books[split] = ScoreBook(self.chance, by_region=False)

    def configure_optimizers(self) -> dict[str, Any]:
        # Only what multiplies: no biases, norms, positions or embeddings, as in BERT and Swin.
        layers = [module for module in self.module.modules() if isinstance(module, (nn.Linear, nn.Conv1d))]
        decayed = [layer.weight for layer in layers]
        known = {id(weight) for weight in decayed}
        plain = [parameter for parameter in self.module.parameters() if id(parameter) not in known]
        groups = [{"params": decayed, "weight_decay": self.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=self.lr, betas=(0.9, 0.98))
        n_steps = max(int(self.trainer.estimated_stepping_batches), 1)
        n_warm = max(1, round(self.warmup * n_steps))

        def rate(step: int) -> float:
            if step < n_warm:
                return (step + 1) / n_warm
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - n_warm) / max(1, n_steps - n_warm))))

        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, rate), "interval": "step"}}


class Progress(Callback):
    """Tell, once an epoch, how training goes: losses, regions/s, time left."""

    def on_train_start(self, trainer: Any, plan: PretrainingPlan) -> None:
        self._start = time.monotonic()
        info(f"pre-training on {plan.device}: {trainer.max_epochs} epochs of {trainer.num_training_batches} batches")

    def on_train_epoch_start(self, trainer: Any, plan: PretrainingPlan) -> None:
        self._epoch_start, self._n_regions = time.monotonic(), 0

    def on_train_batch_end(self, trainer: Any, plan: PretrainingPlan, outputs: Any, batch: Batch, index: int) -> None:
        self._n_regions += len(batch.rows)
        if index == trainer.num_training_batches - 1:
            self._train_seconds = time.monotonic() - self._epoch_start

    def on_train_epoch_end(self, trainer: Any, plan: PretrainingPlan) -> None:
        done = trainer.current_epoch + 1
        left = (time.monotonic() - self._start) / done * (trainer.max_epochs - done)
        losses = [
            f"{row['split']} {row['objective']} {row['value']:.3f}"
            for row in plan.rows
            if row["epoch"] == trainer.current_epoch and row["metric"] == "loss" and row["split"] == "val"
        ]
        speed = self._n_regions / max(self._train_seconds, 1e-9)
        info(f"epoch {done}/{trainer.max_epochs} | {' | '.join(losses)} | {speed:,.0f} regions/s | {left:.0f} s left")


@contextmanager
def quiet_training() -> Iterator[None]:
    """Keep what Lightning and scvi-tools say about hardware and loaders from the user, who gets `Progress` instead."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "scvi")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
