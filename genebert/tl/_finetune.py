"""Fine-tune a model on labels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from mudata import MuData

from genebert import _keys, _mudata
from genebert._validate import check_key, check_literal, check_range, check_seed
from genebert.model import GeneBERT
from genebert.model._finetuning import (
    EPOCHS,
    RATES,
    Mode,
    finetune_network,
    label_matrix,
    labelled_split,
    own_randomness,
)
from genebert.model._head import HeadOptions
from genebert.model._scan import check_inputs
from genebert.model._settings import check_device
from genebert.tl._load import load

__all__ = ["finetune"]


def finetune(
    mdata: MuData,
    model: GeneBERT | str | Path | None = None,
    *,
    labels: str | Sequence[str] | None = None,
    mode: Mode = "full",
    max_epochs: int | None = None,
    batch_size: int = 64,
    lr: float | None = None,
    rank: int = 8,
    patience: int = 3,
    seed: int = 0,
    device: str = "auto",
    key_added: str = "genebert",
) -> GeneBERT:
    """Fine-tune a model on labels of regions: the whole network, adapters in it, or a head on it.

    A linear head is fitted on the embedding first; the network or the adapters then learn together with it. Only regions
    of the train split are read, and an inner part of them (whole chromosomes where there are coordinates) says when to
    stop.

    Parameters
    ----------
    mdata
        With sequences, a TF matrix and labels.
    model
        A model, the folder of one, or None for the weights that ship with genebert. It is copied, not changed.
    labels
        Columns of ``mdata["labels"]``, of 0, 1 and NaN (not labelled: left out); default: all.
    mode
        ``"full"``: all weights of both encoders; ``"lora"``: low-rank adapters on their linear layers (Hu et al. 2021), which
        are added to the weights at the end; ``"head"``: the head alone.
    max_epochs, batch_size
        Passes over the labelled regions, at most (default: 20, of a head alone 100); regions per step.
    lr
        Highest learning rate; default: 1e-4 for the network, 5e-4 for adapters, 1e-2 for a head alone.
    rank
        Of the adapters.
    patience
        Stop after so many epochs without a lower loss on the inner part; the best epoch is kept.
    seed
        Of the inner part, the order, the strands, the adapters and dropout.
    device
        ``"cpu"``, ``"cuda"``, ...; ``"auto"``: where a model that is given lies, else a GPU if there is one.
    key_added
        Where the record goes.

    Returns
    -------
    The fine-tuned model, with ``model.head``, a `torch.nn.Linear` from embedding to logits, and ``model.head_labels``,
    their names; `save` keeps them. Besides, this writes

    ``mdata.uns["genebert"]["finetune"][key_added]``
        ``params``, ``history`` (one row per measurement) and ``model``, the digest of the weights.

    Raises
    ------
    ValueError
        When a label is no column, has values other than 0, 1 and NaN, or no region of the train split is labelled.

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=120)
    >>> model = gb.tl.finetune(mdata, labels="promoter", mode="head")
    >>> model.head.out_features
    1
    """
    _mudata.check_mudata(mdata)
    check_literal(mode, Mode, name="mode")
    check_key(key_added, reserved=mdata.mod)
    check_seed(seed)
    check_device(device, name="device")
    max_epochs = EPOCHS[mode] if max_epochs is None else max_epochs
    check_range(max_epochs, name="max_epochs", low=1, integer=True)
    check_range(batch_size, name="batch_size", low=1, integer=True)
    check_range(patience, name="patience", low=1, integer=True)
    check_range(rank, name="rank", low=1, integer=True)
    lr = RATES[mode] if lr is None else lr
    check_range(lr, name="lr", low=0)
    names, values = label_matrix(mdata, labels)
    split = labelled_split(mdata, values, seed=seed)
    if not isinstance(model, GeneBERT):
        model = load("mini" if model is None else model, device=device)
    check_inputs(mdata, model.training_record)
    tuned = _copied(model, device=device)
    options = HeadOptions(lr=lr, max_epochs=max_epochs, patience=patience, batch_size=batch_size, seed=seed)
    with own_randomness(tuned.device, seed=seed):
        tuned.head, history = finetune_network(
            tuned.module, mdata, values, tfs=tuned.tfs, split=split, mode=mode, rank=rank, options=options
        )
    tuned.head_labels = names
    tuned.pretraining_history = pd.DataFrame(history, columns=list(_keys.HISTORY_COLUMNS))
    params = {
        "labels": names, "mode": mode, "max_epochs": max_epochs, "batch_size": batch_size, "lr": lr, "rank": rank,
        "patience": patience, "seed": seed, "base": model.digest,
    }  # fmt: skip
    if _keys.CHROM.has(mdata):
        used = split.train | split.val
        params["chromosomes"] = sorted(map(str, _keys.CHROM.get(mdata)[used].unique()))
    before = tuned.training_record.get("finetune")
    tuned.training_record["finetune"] = params if before is None else {**params, "earlier": before}
    mdata = _mudata.writable(mdata, copy=False)
    _keys.record(mdata, "finetune", key_added, params=params, history=tuned.pretraining_history, model=tuned.digest)
    return tuned


def _copied(model: GeneBERT, *, device: str) -> GeneBERT:
    """A model of its own with the same weights."""
    tuned = GeneBERT(config=model.module.config, tfs=model.tfs)
    tuned.module.load_state_dict(model.module.state_dict())
    tuned.training_record = copy.deepcopy(model.training_record)
    tuned.is_trained_ = True
    tuned.to_device(model.device if device == "auto" else device)
    return tuned
