"""Pre-train a model on one's own regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mudata import MuData

from genebert import _keys, _mudata
from genebert._data import TFWeight
from genebert._validate import check_key
from genebert.model import GeneBERT
from genebert.model._fit import check_run
from genebert.model._settings import TrainingSettings
from genebert.nn import GeneBERTConfig

__all__ = ["pretrain"]


def pretrain(
    mdata: MuData,
    *,
    preset: str = "mini",
    cell_types: Sequence[str] | None = None,
    tf_weight: TFWeight = "none",
    max_epochs: int = 20,
    batch_size: int = 256,
    lr: float = 1e-3,
    objectives: Mapping[str, float] | None = None,
    checkpoint_dir: str | Path | None = None,
    resume: bool = False,
    key_added: str = "genebert",
    seed: int = 0,
    **train_kwargs: Any,
) -> GeneBERT:
    """Pre-train GeneBERT on windows of consecutive open regions.

    Train regions are those of ``region_split`` (:func:`genebert.pp.split_regions`); val scores each epoch. Without a
    split, or without val, an inner part is cut off: whole chromosomes where there are several.

    Regions of a store that :func:`genebert.io.open` opened are read block by block, so that memory does not grow with
    their number. With ``devices=``, ``num_nodes=`` several processes train together, see :doc:`/cluster`.

    Parameters
    ----------
    mdata
        With sequences, a TF matrix and, for windows, open regions per cell type.
    preset
        Size of the network: ``"mini"``, ``"base"``, ``"paper"`` or ``"tiny"``.
    cell_types
        Whose open regions; default: all but those that :func:`genebert.pp.split_cell_types` holds out.
    tf_weight
        What a cell type puts on the TF x regions matrix.
    max_epochs, batch_size, lr
        Passes over all windows; regions per step, on all devices together; highest learning rate.
    objectives
        Weights of ``masked_genome`` (default 1), ``next_segment`` (0.5), ``matching`` (0.5) and ``masked_region`` (1), as in
        ``{"matching": 0}``; what is not named keeps its default, 0 switches off.
    checkpoint_dir
        Folder into which the run is saved every few minutes; None: it is not.
    resume
        Go on from the checkpoint in that folder, where there is one: the result is that of a run that was never
        interrupted.
    key_added
        Where the record goes.
    seed
        Of weights, order, strands and masks.
    **train_kwargs
        To :meth:`genebert.model.GeneBERT.train`: `accumulate`, `ema`, `patience`, `precision`, `checkpoint_minutes`, and
        what Lightning's Trainer takes, such as `accelerator`, `devices` and ``logger="csv"``.

    Returns
    -------
    The trained model (`save`, `get_latent_representation`). Besides, this writes

    ``mdata.uns["genebert"]["pretrain"][key_added]``
        ``params``, ``history`` (one row per measurement, see :func:`genebert.get.history`) and ``model``, a digest. Where
        several processes train together, only the first one writes.

    Raises
    ------
    FileExistsError
        When there is a checkpoint and `resume` is not set.
    ValueError
        When the checkpoint comes from other settings or other data. When regions are longer than a network with learned
        positions (``"paper"``) can read.
    TypeError
        When an option is neither one of ``train`` nor of the Trainer.

    Notes
    -----
    The objectives are a reconstruction of those that Mo et al. (2021) name.

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=120)
    >>> model = gb.tl.pretrain(mdata, preset="tiny", max_epochs=1)
    >>> gb.get.history(mdata)["objective"].nunique()
    4
    """
    _keys.DNA_CODE.get(mdata)
    check_key(key_added, reserved=mdata.mod)
    GeneBERTConfig.preset(preset, n_tfs=1)  # raises where there is no such preset
    settings = {
        "cell_types": cell_types, "tf_weight": tf_weight, "max_epochs": max_epochs, "batch_size": batch_size, "lr": lr,
        "objectives": objectives, "seed": seed,
    }  # fmt: skip
    minutes = train_kwargs.setdefault("checkpoint_minutes", 10)
    run = {"checkpoint_dir": checkpoint_dir, "resume": resume}
    check_run(**run, checkpoint_minutes=minutes, trainer_kwargs=train_kwargs)
    TrainingSettings.of(mdata, **settings, **train_kwargs)
    mdata = _mudata.writable(mdata, copy=False)
    GeneBERT.setup_mudata(mdata)
    model = GeneBERT(mdata, preset=preset, seed=seed)
    model.train(**settings, **run, **train_kwargs)
    params = {"preset": preset, **model.training_record}
    history = model.pretraining_history
    if model.is_first_process:
        _keys.record(mdata, "pretrain", key_added, params=params, history=history, model=model.digest)
    return model
