"""Pre-training as a Lightning module: the weighted sum of the objectives, one line of history per measurement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn

from genebert._data import Place, Step
from genebert.model._average import WeightAverage
from genebert.model._distributed import Processes
from genebert.model._scores import ScoreBook
from genebert.model._settings import TrainingSettings
from genebert.nn import GeneBERTNetwork
from genebert.nn._objectives import Scored, draw, score

__all__ = ["PretrainingPlan"]

_VALIDATION_SEED = 20_211_005
_RANK_SEED = 7_919  # what dropout hides is each process's own


class PretrainingPlan(LightningModule):
    """Train a network on the objectives.

    Whatever is drawn follows from the seed and the step, not from a running state: order, strands, masks, pairs and
    dropout are the same after a resumed run, and all but dropout on any number of processes.

    Parameters
    ----------
    network
        Trained in place.
    settings
        Of the run.
    chance
        Entropy of the training k-mers in nats, and the share of the commonest.
    n_steps
        Of the whole run: AdamW's rate rises over `warmup` of them and falls on a cosine.
    place
        Shared with the loader.
    length
        Bases per region in the data, with padding.
    """

    def __init__(
        self,
        network: GeneBERTNetwork,
        settings: TrainingSettings,
        *,
        chance: Mapping[str, float],
        n_steps: int,
        place: Place,
        length: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # a step may be computed in parts that are normalised together
        self.module = network.train()
        self.settings, self.chance, self.n_steps, self.place, self._length = settings, chance, n_steps, place, length
        self.rows: list[dict[str, Any]] = []
        self.losses: list[float] = []
        """Weighted sum of the objectives, step by step."""
        self.average = None if settings.ema is None else WeightAverage(network, span=round(settings.ema * n_steps))
        self.best: dict[str, Any] | None = None
        self.processes = Processes(length=length)
        self.books = {split: ScoreBook(chance, by_region=False) for split in ("train", "val")}
        self.is_stopped = False
        """Whether `patience` ran out."""
        self.optimizer_state: dict[str, Any] | None = None
        """Of a run that is resumed."""
        self.measured_before: dict[str, torch.Tensor] = {}
        """In the epoch that was interrupted, by all processes."""
        self._recent: list[torch.Tensor] = []

    # Steps ------------------------------------------------------------------------------------------------------

    def training_step(self, step: Step, batch_index: int) -> None:
        optimizer = self.optimizers()
        rate = self.settings.lr * self._rate(self.place.step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        seed = self.settings.seed * 1_000_003 + self.place.step
        is_cuda = self.device.type == "cuda"
        with torch.random.fork_rng(devices=[self.device] if is_cuda else []):  # the user's random state stays
            own_seed = seed * _RANK_SEED % 2**62 + self.processes.rank
            (torch.cuda if is_cuda else torch.default_generator).manual_seed(own_seed)
            self._recent.append(self._compute(step, split="train", seed=seed, n_parts=self.settings.accumulate))
        if self.settings.clip:
            # Not Lightning's way, which refuses fused optimizers in 16 bits for the sake of loss scaling; bf16 has none.
            nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip)
        optimizer.step()
        optimizer.zero_grad()
        if self.average is not None:
            self.average.update(self.module)
        self.place.done += 1
        self.place.step += 1
        if self.place.step % self.trainer.log_every_n_steps == 0:
            self.report()

    def validation_step(self, step: Step, batch_index: int) -> None:
        self._compute(step, split="val", seed=_VALIDATION_SEED + batch_index, n_parts=1)

    def _compute(self, step: Step, *, split: str, seed: int, n_parts: int) -> torch.Tensor:
        """Loss of this process's share of the batch, and in training its gradients."""
        weights = self.settings.objectives
        generator = torch.Generator(self.device).manual_seed(seed % 2**63)
        regions = self.processes.regions(step)
        drawn = draw(regions, step.region_mask, config=self.module.config, weights=weights, generator=generator)
        total = torch.zeros((), device=self.device, dtype=torch.float64 if self.device.type != "mps" else None)
        for number in range(n_parts):
            batch, part = self.processes.part(step, number, n_parts=n_parts)
            scored = score(self.module, batch, drawn, weights=weights, part=part)
            self.books[split].add(scored)
            loss = self._weighted(scored)
            total += loss.detach()
            if split == "train":
                self.manual_backward(loss * self.processes.n_processes)  # DDP takes the mean over processes
        return total

    def _weighted(self, scored: Mapping[str, Scored]) -> torch.Tensor:
        loss = sum(self.settings.objectives[name] * item.loss for name, item in scored.items())
        # Where nothing is scored, as for lack of pairs, there is nothing to derive; other processes wait for it all the same.
        return loss if loss.requires_grad else loss + 0 * self.module.log_scale

    def _rate(self, step: int) -> float:
        n_warm = max(1, round(self.settings.warmup * self.n_steps))
        if step < n_warm:
            return (step + 1) / n_warm
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - n_warm) / max(1, self.n_steps - n_warm))))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        # Only what multiplies: no biases, norms, positions or embeddings, as in BERT and Swin.
        layers = [module for module in self.module.modules() if isinstance(module, (nn.Linear, nn.Conv1d))]
        decayed = [layer.weight for layer in layers]
        known = {id(weight) for weight in decayed}
        plain = [parameter for parameter in self.module.parameters() if id(parameter) not in known]
        decay = self.settings.weight_decay
        groups = [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]
        is_fused = all(weight.device.type == "cuda" for weight in decayed)
        optimizer = torch.optim.AdamW(groups, lr=self.settings.lr, betas=(0.9, 0.98), fused=is_fused or None)
        if self.optimizer_state is not None:
            optimizer.load_state_dict(self.optimizer_state)
            self.optimizer_state = None
        return optimizer

    # Epochs -----------------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        trainer = self.trainer
        self.processes = Processes(rank=trainer.global_rank, n_processes=trainer.world_size, length=self._length)
        if self.average is not None:
            self.average.to(self.device)
        if self.processes.rank == 0:
            self.books["train"].merge(self.measured_before)

    def on_train_epoch_end(self) -> None:
        self.report()
        self._write("train")
        self.place.epoch += 1
        self.place.done = 0

    def on_validation_start(self) -> None:
        if self.average is not None:
            self.average.swap(self.module)

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking:
            self.books["val"] = ScoreBook(self.chance, by_region=False)
            return
        loss = self._write("val")
        self.log("loss_validation", loss)
        if self.settings.patience is not None:
            self._watch(loss)

    def on_validation_end(self) -> None:
        if self.average is not None:
            self.average.swap(self.module)

    def _watch(self, loss: float) -> None:
        """Keep the best weights so far; stop after `patience` measurements without better ones."""
        if self.best is None or loss < self.best["loss"]:
            weights = {name: value.detach().cpu().clone() for name, value in self.module.state_dict().items()}
            self.best = {"loss": loss, "waited": 0, "weights": weights}
            return
        self.best["waited"] += 1
        if self.best["waited"] >= self.settings.patience:
            self.trainer.should_stop = self.is_stopped = True

    def finish(self) -> None:
        """Leave the weights that the run was for in the network: the best, or the average, or the last."""
        self.processes = Processes(length=self._length)  # the others have gone
        if self.best is not None:
            self.module.load_state_dict(self.best["weights"])
        elif self.average is not None:
            self.average.to(self.module.device)
            self.average.swap(self.module)

    def _write(self, split: str) -> float:
        """Summarise what all processes measured; return the weighted loss."""
        book = self.gathered(split)
        self.books[split] = ScoreBook(self.chance, by_region=False)
        place = {"epoch": self.place.epoch, "step": self.place.step, "split": split}
        rows = [{**place, **row} for row in book.summary()]
        self.rows += rows
        for logger in self.trainer.loggers:
            logger.log_metrics(
                {f"{split}/{row['objective']}/{row['metric']}": row["value"] for row in rows}, step=self.place.step
            )
        weights = self.settings.objectives
        return float(sum(weights[row["objective"]] * row["value"] for row in rows if row["metric"] == "loss"))

    def gathered(self, split: str) -> ScoreBook:
        """What all processes measured so far."""
        book = ScoreBook(self.chance, by_region=False)
        for tables in self.processes.all(self.books[split].tables()):
            book.merge(tables)
        return book

    def report(self) -> None:
        """Add the recent losses to the curve, and tell loggers."""
        if not self._recent:
            return
        recent = self.processes.sum(torch.stack(self._recent)).tolist()
        self._recent.clear()
        self.losses += recent
        for logger in self.trainer.loggers:
            rate = self.settings.lr * self._rate(self.place.step - 1)
            logger.log_metrics({"train/loss": sum(recent) / len(recent), "rate": rate}, step=self.place.step)
