"""Classify regions from labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mudata import MuData

from genebert import _keys
from genebert._validate import check_literal
from genebert.model import GeneBERT, Task
from genebert.model._task_network import FitOptions, TaskStrands
from genebert.tl._task_fit import Method, OutputWeight, check_task_options, fit_task
from genebert.tl._task_labels import class_targets, label_values, where_measured

__all__ = ["classify"]


def classify(
    mdata: MuData,
    model: GeneBERT | str | Path | None = None,
    *,
    labels: str | Sequence[str],
    method: Method = "finetune",
    classes: Sequence[str] | None = None,
    strands: TaskStrands = "both",
    tf_weight: OutputWeight = "none",
    n_models: int = 1,
    class_weight: str | None = None,
    max_epochs: int | None = None,
    batch_size: int = 64,
    baselines: Sequence[str] | None = None,
    seed: int = 0,
    device: str = "auto",
    key_added: str = "task",
) -> Task:
    """Learn labels of regions from their sequence, with calibrated probabilities and baselines beside them.

    Regions of the train split are learnt from; val and test, where labelled, are scored and used for nothing else. An
    inner part of train (whole chromosomes where there are coordinates, else regions that share no 32-mer with the rest)
    says when to stop, how much each model counts, and how logits are calibrated. Calls are made at 0.5.

    Parameters
    ----------
    mdata
        With sequences, labels and a split (:func:`genebert.pp.split_regions`).
    model
        A model, the folder of one, or None for the weights that ship with genebert. It is not changed.
    labels
        Columns of ``mdata["labels"]``. One column of 0 and 1, one column of class numbers 0, 1, 2, ..., or several columns
        of 0 and 1; NaN = not labelled.
    method
        ``"finetune"``: the pre-trained sequence encoder is trained on, beside motif scores and what lies at each position;
        its logit is joined with those of a linear model of k-mers, of boosted trees and, where the strand does not matter, of a kernel. ``"probe"``: a linear model on the frozen
        embedding.
    classes
        Names of the classes of one column of class numbers; default: the numbers.
    strands
        ``"both"``: the strand does not matter; ``"forward"``: it does, as in promoters and splice sites.
    tf_weight
        ``"accessibility"`` or ``"open"``: the accessibility of each label's cell type (``labels.var["cell_type"]``) gates
        the sequence, see :func:`genebert.tl.tf_binding`.
    n_models
        Models to average, each with a seed and an inner part of its own.
    class_weight
        ``"balanced"``: classes count alike in training; probabilities remain those of the data.
    max_epochs
        Passes over the regions, at most; default: 12 to 2, fewer where there is more to read.
    batch_size
        Regions per step.
    baselines
        Which ones to compute; default: all of ``kmer``, ``position_1mer``, ``position_2mer``, ``motif_boosting``, ``cnn``,
        ``untrained``, ``sequence_only``, ``matrix_only``, and, with `tf_weight`, ``accessibility``. With them come the parts of
        a fine-tuned task, each alone: ``network``, ``kmers``, where the strand does not matter ``kernel`` and, where the share of
        cell types is read (see :func:`genebert.tl.tf_binding`), ``trees``.
    seed
        Of everything that is drawn.
    device
        ``"cpu"``, ``"cuda"``, ...; ``"auto"``: where a model that is given lies, else a GPU if there is one.
    key_added
        Name of the results.

    Returns
    -------
    The fitted task (`predict_codes`, `save`). Besides, this writes

    ``mdata.obsm[key_added + "_proba"]``
        float32 DataFrame ``(regions, outputs)``: calibrated probabilities of all regions, those of train included.
    ``mdata["seq"].obs[key_added]``
        category ``(regions,)``: the called class; not with several labels.
    ``mdata.uns["genebert"]["classify"][key_added]``
        ``params``, ``table`` (see :func:`genebert.get.evaluation`), ``history`` (loss by epoch) and ``model``, a digest.

    Raises
    ------
    ValueError
        When a label is no column, holds no classes, or has fewer than five regions of a class in train, or nothing was measured of
        accessibility that it needs.
    KeyError
        When sequences, labels or the split are missing.

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=240)
    >>> task = gb.tl.classify(mdata, labels="promoter", method="probe", baselines=["kmer"])
    >>> task.outputs, mdata.obsm["task_proba"].shape
    (['promoter'], (240, 1))
    """
    check_task_options(
        mdata, method=method, strands=strands, n_models=n_models, class_weight=class_weight, max_epochs=max_epochs,
        batch_size=batch_size, baselines=baselines, seed=seed, device=device, key_added=key_added,
    )  # fmt: skip
    check_literal(tf_weight, OutputWeight, name="tf_weight")
    names, values = label_values(mdata, labels)
    targets = class_targets(names, values, classes)
    own = None
    if tf_weight != "none":
        (_keys.OPEN if tf_weight == "open" else _keys.ACCESSIBILITY).get(mdata)
        cell_types = dict(zip(mdata[_keys.LABEL].var_names, _keys.LABEL_CELL_TYPE.get(mdata), strict=True))
        own = [str(cell_types[name]) for name in names]
        if targets.kind == "multiclass":
            msg = "Expected labels of 0 and 1 with `tf_weight`; found class numbers. Leave `tf_weight` out."
            raise ValueError(msg)
        targets = where_measured(mdata, targets, own)
    params = {
        "labels": names, "method": method, "strands": strands, "tf_weight": tf_weight, "n_models": n_models,
        "class_weight": class_weight, "max_epochs": max_epochs, "batch_size": batch_size, "seed": seed,
    }  # fmt: skip
    options = FitOptions(strands=strands, max_epochs=max_epochs, batch_size=batch_size, seed=seed)
    return fit_task(
        mdata, model, targets, verb="classify", method=method, options=options, n_models=n_models,
        class_weight=class_weight, baselines=baselines, tf_weight=tf_weight, own_cell_types=own, device=device,
        key_added=key_added, params=params,
    )  # fmt: skip
