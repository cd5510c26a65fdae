"""A training run from settings to a trained network, which may be a run that goes on after a kill."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Trainer as LightningTrainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from mudata import MuData
from scvi.train import Trainer, TrainRunner

from genebert import _keys
from genebert._data import Place
from genebert._logging import info
from genebert._validate import check_literal, check_range
from genebert.model._callbacks import Checkpoints, Progress, quiet_training
from genebert.model._checkpoint import CHECKPOINT, check_same, read_checkpoint, write_checkpoint
from genebert.model._plan import PretrainingPlan
from genebert.model._settings import TrainingSettings, check_cuda
from genebert.model._state import capture, restore, run_settings
from genebert.model._training import Prepared, PretrainingData, prepare

__all__ = ["check_run", "fit"]

_LOGGERS = {"csv": CSVLogger, "tensorboard": TensorBoardLogger}
_OURS = {
    "accumulate_grad_batches": "accumulate", "early_stopping": "patience", "early_stopping_patience": "patience",
    "device": "accelerator", "use_gpu": "accelerator", "epochs": "max_epochs", "n_epochs": "max_epochs",
    "learning_rate": "lr",
}  # fmt: skip
"""Options of the Trainer, and names elsewhere, that options of `train` stand for."""
_COUNTED = {"val_check_interval", "limit_train_batches", "overfit_batches", "fast_dev_run"}
"""Options of the Trainer that count the steps of an epoch from where a process began."""
_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "64": "64-true"}


def check_run(
    *, checkpoint_dir: str | Path | None, checkpoint_minutes: float, resume: bool, trainer_kwargs: Mapping[str, Any]
) -> None:
    """Check what is no setting of a run before anything is changed."""
    check_range(checkpoint_minutes, name="checkpoint_minutes", low=0)
    check_cuda(trainer_kwargs.get("accelerator"), name="accelerator")
    for theirs in trainer_kwargs:
        if theirs in _OURS:
            raise TypeError(f"Expected `{_OURS[theirs]}`; found `{theirs}`. Write {_OURS[theirs]}=... instead.")
    _check_names(trainer_kwargs)
    if isinstance(logger := trainer_kwargs.get("logger"), str):
        check_literal(logger, tuple(_LOGGERS), name="logger")
    if isinstance(strategy := trainer_kwargs.get("strategy", "auto"), str):
        check_literal(strategy, ("auto", "ddp"), name="strategy")  # in the others history would not come back
    if checkpoint_dir is None:
        if resume:
            raise ValueError("Expected `checkpoint_dir` with resume=True; found None. Name the folder of the run.")
        return
    for name in _COUNTED & trainer_kwargs.keys():
        msg = (
            f"Expected no `{name}` with `checkpoint_dir`; found {trainer_kwargs[name]!r}. A run that is resumed within an "
            "epoch would count its steps anew: leave it out, or train without checkpoints."
        )
        raise ValueError(msg)
    if (Path(checkpoint_dir) / CHECKPOINT).exists() and not resume:
        msg = (
            f"Expected no checkpoint in {checkpoint_dir}; found one. Pass resume=True to go on, or name another folder."
        )
        raise FileExistsError(msg)


def _check_names(options: Mapping[str, Any]) -> None:
    """Raise where an option is none of `train` and none of the Trainer, which would say so only after all data are read."""
    theirs = (name for kind in (TrainRunner, Trainer, LightningTrainer) for name in signature(kind).parameters)
    known = {"checkpoint_minutes", *(field.name for field in fields(TrainingSettings)), *theirs}
    for name in options.keys() - (known - {"trainer_kwargs", "kwargs"}):
        alike = get_close_matches(name, known, n=1)
        remedy = f"Did you mean {alike[0]}=...?" if alike else "genebert.model.GeneBERT.train lists the first."
        raise TypeError(f"Expected options of `train` or of Lightning's Trainer; found `{name}`. {remedy}")


def fit(
    model: Any,
    mdata: MuData,
    *,
    checkpoint_dir: str | Path | None,
    checkpoint_minutes: float,
    resume: bool,
    trainer_kwargs: dict[str, Any],
    **options: Any,
) -> None:
    """Train the network of a `genebert.model.GeneBERT`, and give the model its record and history.

    Parameters
    ----------
    **options
        Of `TrainingSettings`.
    """
    run = {"checkpoint_dir": checkpoint_dir, "checkpoint_minutes": checkpoint_minutes, "resume": resume}
    check_run(**run, trainer_kwargs=trainer_kwargs)
    clip = trainer_kwargs.pop("gradient_clip_val", 1.0)
    settings = TrainingSettings.of(mdata, clip=clip, **options)
    network = model.module.double() if settings.precision == "64" else model.module
    data = prepare(network, mdata, settings, tfs=model.tfs, is_new=not model.is_trained_)
    plan = PretrainingPlan(
        network, settings, chance=data.chance, n_steps=_n_steps(data, settings.max_epochs, trainer_kwargs),
        place=Place(), length=data.record["seq_length"],
    )  # fmt: skip
    folder = None if checkpoint_dir is None else Path(checkpoint_dir)
    state = read_checkpoint(folder) if resume else None
    if state is not None:
        check_same(state, settings=run_settings(plan), data=data.digest, folder=folder)
        restore(plan, state)
    if state is None or not state["is_finished"]:
        try:
            _run(model, plan, data, folder=folder, minutes=checkpoint_minutes, options=trainer_kwargs)
        finally:
            network.float().eval()  # also where training failed
        model.is_first_process = plan.trainer.is_global_zero
    else:
        info(f"the run in {folder} is finished; took its result")
        model.is_trained_ = True
        model.is_first_process = not (_is_several(trainer_kwargs) and rank_zero_only.rank)
    network.float().eval()
    model.head, model.head_labels = None, []  # which belonged to other weights
    model.training_losses = plan.losses
    model.pretraining_history = pd.DataFrame(plan.rows, columns=list(_keys.HISTORY_COLUMNS))
    model.history_ = _history(plan)
    # What the weights saw before is not forgotten: chromosomes and cell types on which they may not be scored.
    earlier = {"earlier": model.training_record} if model.training_record else {}
    model.training_record = {**settings.to_dict(), **data.record, "kmer_chance": data.chance, **earlier}


def _run(
    model: Any, plan: PretrainingPlan, data: Prepared, *, folder: Path | None, minutes: float, options: dict[str, Any]
) -> None:
    """From where the plan stands to the end; the first process writes checkpoints."""
    options = _trainer_options(options, settings=plan.settings, folder=folder)

    def save(*, is_finished: bool = False) -> None:
        state = capture(plan, data=data.digest, is_finished=is_finished)
        if plan.trainer.is_global_zero:
            write_checkpoint(folder, state)

    model.history_ = model.history_ or {}  # scvi-tools appends to it, and warns where there is none
    callbacks = [Progress(), *options.pop("callbacks", [])]
    if folder is not None:
        callbacks.append(Checkpoints(save, minutes=minutes))
    splitter = PretrainingData(data.train, data.val, place=plan.place, seed=plan.settings.seed)
    max_epochs = plan.settings.max_epochs
    with quiet_training():
        runner = TrainRunner(
            model, training_plan=plan, data_splitter=splitter, max_epochs=max_epochs, callbacks=callbacks, **options
        )
        # The loops of Lightning begin where the plan stands; steps of an epoch that are done are the loader's matter.
        epochs, steps = runner.trainer.fit_loop.epoch_progress, runner.trainer.fit_loop.epoch_loop.manual_optimization
        epochs.current.processed = epochs.current.completed = plan.place.epoch
        steps.optim_step_progress.total.completed = plan.place.step
        try:
            runner()
        except SIGTERMException:
            raise SystemExit(128 + signal.SIGTERM) from None  # Lightning's would end the process as if all were well
    if plan.place.step < plan.n_steps and not plan.is_stopped:
        return  # cut short, as by `max_time`: the last checkpoint is there to go on from
    plan.finish()
    if folder is not None:
        save(is_finished=True)


def _trainer_options(options: dict[str, Any], *, settings: TrainingSettings, folder: Path | None) -> dict[str, Any]:
    """What scvi-tools' Trainer is called with."""
    options = {"accelerator": "auto", "devices": "auto", "strategy": "auto", "logger": None, **options}
    options["precision"] = _PRECISION[_resolved(settings.precision, options["accelerator"])]
    if options["strategy"] == "ddp" or (options["strategy"] == "auto" and _is_several(options)):
        # Heads of objectives that are switched off, or have nothing to score in a batch, get no gradient.
        options["strategy"] = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)
    if SLURMEnvironment.detect() and "plugins" not in options:
        # Lightning would write a checkpoint of its own at a signal and start from it, past ours.
        options["plugins"] = [SLURMEnvironment(auto_requeue=False)]
    logger = options["logger"]
    if isinstance(logger, str):
        options["logger"] = _LOGGERS[logger](save_dir=folder or Path.cwd(), name="logs")
    elif logger is None:
        options["logger"] = False
    defaults = {"enable_progress_bar": False, "check_val_every_n_epoch": 1, "use_distributed_sampler": False}
    return {**defaults, **options}


def _is_several(options: Mapping[str, Any]) -> bool:
    """Whether more than one device is asked for."""
    devices = options.get("devices", "auto")
    if options.get("num_nodes", 1) > 1:
        return True
    if isinstance(devices, str):
        return devices not in {"auto", "1"}
    return len(devices) > 1 if isinstance(devices, (list, tuple)) else devices != 1


def _resolved(precision: str, accelerator: str) -> str:
    if precision != "auto":
        return precision
    is_cuda = accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available()
    return "bf16" if is_cuda and torch.cuda.is_bf16_supported() else "32"


def _n_steps(data: Prepared, max_epochs: int, options: Mapping[str, Any]) -> int:
    """Steps of the whole run."""
    schedule = data.train[1]
    limit = options.get("limit_train_batches")
    per_epoch = (schedule.n_steps(epoch) for epoch in range(max_epochs))
    n_steps = sum(min(n, limit) if isinstance(limit, int) else n for n in per_epoch)
    max_steps = options.get("max_steps", -1)
    return n_steps if max_steps < 0 else min(n_steps, max_steps)


def _history(plan: PretrainingPlan) -> dict[str, pd.DataFrame]:
    """The weighted losses as scvi-tools keeps them: a table per split, indexed by epoch."""
    rows = pd.DataFrame(plan.rows, columns=list(_keys.HISTORY_COLUMNS)).query("metric == 'loss'")
    weighted = rows.assign(value=rows["value"] * rows["objective"].map(plan.settings.objectives).astype(float))
    sums = weighted.groupby(["split", "epoch"])["value"].sum()
    names = {"train": "loss_train", "val": "loss_validation"}
    return {name: sums[split].to_frame(name) for split, name in names.items() if split in sums.index.levels[0]}
