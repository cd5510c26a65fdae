"""What happens beside the steps of pre-training: progress is told, checkpoints are written."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from genebert._data import Step
from genebert._logging import info, warn
from genebert.model._plan import PretrainingPlan
from genebert.nn import count_tokens

__all__ = ["Checkpoints", "Progress", "quiet_training"]

_TELL_AFTER = 30.0  # seconds
_ASK_EVERY = 20  # steps between looks at the clock of the first process, where there are several
_MUCH_WAITING = 0.1


class Progress(Callback):
    """Tell, once an epoch and every half minute, how training goes: losses, speed, waiting for data, time left."""

    def on_train_start(self, trainer: Any, plan: PretrainingPlan) -> None:
        self._begun, self._steps_before = time.monotonic(), plan.place.step
        per_epoch = plan.n_steps / trainer.max_epochs
        several = f" x {trainer.world_size} processes" if trainer.world_size > 1 else ""
        resumed = f", from step {plan.place.step:,} on" if plan.place.step else ""
        self._tell(
            trainer,
            f"pre-training on {plan.device}{several}: {trainer.max_epochs} epochs of {per_epoch:,.0f} steps{resumed}",
        )

    def on_train_epoch_start(self, trainer: Any, plan: PretrainingPlan) -> None:
        self._start = self._told = time.monotonic()
        self._waited = trainer.datamodule.train_loader.seconds_waited
        self._n_regions, self._n_tokens = 0, torch.zeros((), dtype=torch.long, device=plan.device)
        self._seconds = 0.0

    def on_train_batch_end(self, trainer: Any, plan: PretrainingPlan, outputs: Any, batch: Step, index: int) -> None:
        self._n_regions += int(batch.n_regions.sum())
        self._n_tokens += count_tokens(batch.batch.lengths, plan.module.config).sum()
        now = time.monotonic()
        self._seconds = now - self._start
        if now - self._told > _TELL_AFTER:
            self._told = now
            loss = f" | loss {plan.losses[-1]:.3f}" if plan.losses else ""
            self._tell(trainer, f"step {plan.place.step:,}/{plan.n_steps:,}{loss} | {self._speed(trainer, plan)}")

    def on_train_epoch_end(self, trainer: Any, plan: PretrainingPlan) -> None:
        if _is_cut_short(trainer):
            self._tell(trainer, f"stopped at step {plan.place.step:,} of {plan.n_steps:,}")
            return
        losses = {
            row["objective"]: f"val {row['objective']} {row['value']:.3f}"
            for row in plan.rows
            if row["epoch"] == plan.place.epoch and row["metric"] == "loss" and row["split"] == "val"
        }
        epoch = f"epoch {plan.place.epoch + 1}/{trainer.max_epochs}"
        self._tell(trainer, " | ".join([epoch, *losses.values(), self._speed(trainer, plan)]))
        waiting = self._waiting(trainer)
        if waiting > _MUCH_WAITING and self._seconds > _TELL_AFTER and trainer.is_global_zero:
            warn(
                f"Expected to wait for data less than a tenth of the time; found {waiting:.0%}. Put the data on a faster "
                "disk, read them into memory with gb.io.to_memory, or use fewer devices."
            )

    def _waiting(self, trainer: Any) -> float:
        return (trainer.datamodule.train_loader.seconds_waited - self._waited) / max(self._seconds, 1e-9)

    def _speed(self, trainer: Any, plan: PretrainingPlan) -> str:
        seconds = max(self._seconds, 1e-9)
        n_tokens = int(self._n_tokens) * trainer.world_size  # about: of the first process
        done = max(plan.place.step - self._steps_before, 1)
        left = (time.monotonic() - self._begun) / done * (plan.n_steps - plan.place.step)
        return (
            f"{self._n_regions / seconds:,.0f} regions/s | {n_tokens / seconds:,.0f} tokens/s | "
            f"{self._waiting(trainer):.1%} waiting for data | {_duration(left)} left"
        )

    @staticmethod
    def _tell(trainer: Any, text: str) -> None:
        if trainer.is_global_zero:
            info(text)


class Checkpoints(Callback):
    """Save every so many minutes, between two steps: all that was measured so far belongs to the steps that are done.

    Parameters
    ----------
    save
        Called in every process.
    minutes
        Between two calls, by the clock of the first process.
    """

    def __init__(self, save: Callable[[], None], *, minutes: float) -> None:
        self._save, self._seconds = save, 60 * minutes

    def on_train_start(self, trainer: Any, plan: PretrainingPlan) -> None:
        self._saved = time.monotonic()

    def on_train_batch_start(self, trainer: Any, plan: PretrainingPlan, batch: Step, index: int) -> None:
        if plan.place.step == 0:
            return
        is_due = time.monotonic() - self._saved >= self._seconds
        if trainer.world_size > 1:
            if self._seconds and plan.place.step % _ASK_EVERY:
                return
            is_due = trainer.strategy.broadcast(is_due)
        if is_due:
            self._save()
            self._saved = time.monotonic()

    def on_validation_start(self, trainer: Any, plan: PretrainingPlan) -> None:
        """Save where the run is stopped within an epoch, as by `max_time`: the measurements that follow are not the run's."""
        if _is_cut_short(trainer):
            self._save()

    def on_train_end(self, trainer: Any, plan: PretrainingPlan) -> None:
        """Save where the run is stopped between two epochs: no further step begins at which it would be saved."""
        if plan.place.step < plan.n_steps and not plan.is_stopped and not _is_cut_short(trainer):
            self._save()

    def on_exception(self, trainer: Any, plan: PretrainingPlan, exception: BaseException) -> None:
        """Save where SIGTERM, by which schedulers ask before they kill, stops the run: after a step or after an epoch.

        Not within validation, whose measurements would be lost; nor with several processes, which may hear of it at
        different steps. Then the last checkpoint stands.
        """
        if isinstance(exception, SIGTERMException) and trainer.world_size == 1 and not trainer.validating:
            self._save()
            info(f"stopped by SIGTERM at step {plan.place.step:,} of {plan.n_steps:,}; saved")


def _is_cut_short(trainer: Any) -> bool:
    """Whether the run is being stopped within an epoch."""
    return trainer.should_stop and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


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
            warnings.filterwarnings("ignore", message="early_stopping was automatically disabled")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
