"""The engine of all tasks: fit, calibrate, compare, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from mudata import MuData

from genebert import _keys, _mudata
from genebert._chunks import Progress
from genebert._dna import N
from genebert._logging import info, warn
from genebert._validate import check_literal, check_range, check_seed, listed
from genebert.model import GeneBERT, Task
from genebert.model._scan import check_task_scan
from genebert.model._seen import Seen, seen_regions
from genebert.model._settings import check_device
from genebert.model._stack import Member, fit_stack
from genebert.model._targets import Targets, probabilities
from genebert.model._task_inputs import Contexts, Inputs, MotifSet, read_codes
from genebert.model._task_network import FitOptions, TaskStrands
from genebert.tl._baselines import BASELINES, PARTS, FitData, baseline, chosen_baselines, kmers, network, probe
from genebert.tl._leak_guard import check_inner
from genebert.tl._load import load as load_model
from genebert.tl._metrics import ONE_CLASS
from genebert.tl._task_inner import inner_rows
from genebert.tl._task_labels import check_train, standardised, warn_unscored
from genebert.tl._task_results import check_result_key, predict_rows, write_predictions
from genebert.tl._task_table import TASK, UNSCORED, evaluation_table

__all__ = [
    "Method",
    "OutputWeight",
    "check_task_options",
    "fit_task",
]

Method = Literal["probe", "finetune"]
OutputWeight = Literal["none", "accessibility", "open"]
_PADDED = 0.05  # share of sequences that end in N from which on it is told


def check_task_options(
    mdata: MuData,
    *,
    method: str,
    strands: str,
    n_models: int,
    class_weight: str | None,
    max_epochs: int | None,
    batch_size: int,
    baselines: Sequence[str] | None,
    seed: int,
    device: str,
    key_added: str,
) -> None:
    """Raise where an option is out of range, before anything is computed."""
    _mudata.check_mudata(mdata)
    check_literal(method, Method, name="method")
    check_literal(strands, TaskStrands, name="strands")
    check_range(n_models, name="n_models", low=1, integer=True)
    if class_weight is not None:
        check_literal(class_weight, ("balanced",), name="class_weight", also=("None",))
    if max_epochs is not None:
        check_range(max_epochs, name="max_epochs", low=1, integer=True)
    check_range(batch_size, name="batch_size", low=2, integer=True)
    check_seed(seed)
    check_device(device, name="device")
    if isinstance(baselines, str):
        msg = f"Expected `baselines` to be a list; found {baselines!r}. Write [{baselines!r}]."
        raise ValueError(msg)
    for name in baselines or ():
        check_literal(name, BASELINES, name="baselines")
    check_result_key(mdata, key_added)
    _keys.DNA_CODE.get(mdata)
    _keys.REGION_SPLIT.get(mdata)


def fit_task(
    mdata: MuData,
    model: GeneBERT | str | Path | None,
    targets: Targets,
    *,
    verb: str,
    method: Method,
    options: FitOptions,
    n_models: int,
    class_weight: str | None,
    baselines: Sequence[str] | None,
    tf_weight: OutputWeight,
    own_cell_types: Sequence[str] | None,
    device: str,
    key_added: str,
    params: dict[str, Any],
) -> Task:
    """Fit a task on the train split, score it beside its baselines, and write what came out.

    Parameters
    ----------
    targets
        Labels of all regions of `mdata`, unscaled.
    verb
        Under whose name the record goes.
    own_cell_types
        Of each output, where `tf_weight` is not ``"none"``; empty text for none.
    params
        What else the record tells.

    The other parameters are those of `genebert.tl.classify`.
    """
    split = np.asarray(_keys.REGION_SPLIT.get(mdata)).astype(str)
    truth = check_train(targets, (split == "train") & targets.known)
    train = (split == "train") & truth.known
    warn_unscored(truth.known & ~np.isin(split, UNSCORED))
    own = _own(own_cell_types, targets, truth)
    inner = [inner_rows(mdata, train, seed=options.seed + number, targets=truth) for number in range(n_models)]
    check_inner(np.flatnonzero(np.any(inner, axis=0)), np.flatnonzero(~train))
    scaled, mean, sd = standardised(truth, train) if truth.kind == "regression" else (truth, None, None)
    if class_weight == "balanced":
        scaled = replace(scaled, weights=scaled.take(train).balanced().weights)
    model, place = _resolved(model, device)
    if method == "probe":  # in the other, pre-trained weights read bases alone
        check_task_scan(mdata, model.training_record)
    contexts = _contexts(mdata, own, method=method, tf_weight=tf_weight, train=train)
    compared = chosen_baselines(baselines, method=method, contexts=contexts, both_strands=options.both_strands)
    used = np.flatnonzero(truth.known)
    data = _data(mdata, scaled, used, contexts=contexts, model=model, options=options, device=place)
    parts = [
        data._replace(
            train=np.flatnonzero((train & ~rows)[used]), inner=np.flatnonzero(rows[used]),
            options=replace(options, seed=options.seed + number),
        )
        for number, rows in enumerate(inner)
    ]  # fmt: skip
    fitted = [_member(part, method=method) for part in parts]
    members = [member for member, _ in fitted]
    history = [{"model": number, **row} for number, (_, losses) in enumerate(fitted) for row in losses]
    task = Task(
        kind=truth.kind, outputs=truth.outputs, seq_length=data.inputs.codes.shape[1], members=members,
        motifs=data.motifs, contexts=contexts, scale=None if mean is None else (mean, sd),
        record={**params, "verb": verb, "base": model.digest, "strands": options.strands, "is_centred": data.is_centred},
    )  # fmt: skip
    here = np.flatnonzero(~np.isin(split[used], UNSCORED))
    scored = used[here]
    everywhere = predict_rows(mdata, task, rows=scored)
    predicted = {TASK: everywhere.kept}
    for name, found in _compared(parts[0], members[0], here, names=compared, method=method).items():
        predicted[name] = found if mean is None else found * sd + mean
    table = evaluation_table(
        predicted, truth.take(scored), split[scored], seed=options.seed, is_open=_is_open(mdata, contexts, scored),
        is_seen=_seen(mdata, model, scored),
    )  # fmt: skip
    _tell(table)
    mdata = _mudata.writable(mdata, copy=False)
    written = write_predictions(mdata, task, everywhere, key_added=key_added)
    _keys.record(
        mdata, verb, key_added, params={**params, **written}, table=table,
        history=pd.DataFrame(history, columns=["model", "epoch", "split", "loss"]), model=task.digest,
    )  # fmt: skip
    return task


def _own(own: Sequence[str] | None, before: Targets, after: Targets) -> list[str]:
    """Cell type of each output that is left."""
    if own is None:
        return []
    known = dict(zip(before.outputs, own, strict=True))
    return [known[name] for name in after.outputs]


def _contexts(
    mdata: MuData, own: list[str], *, method: Method, tf_weight: OutputWeight, train: np.ndarray
) -> Contexts | None:
    if tf_weight == "none" or not own:
        return None
    there = {str(name) for name in mdata[_keys.ATAC].var_names}
    cell_types = sorted({name for name in own if name in there})
    if not cell_types:
        return None
    places = [cell_types.index(name) if name in cell_types else -1 for name in own]
    found = Contexts.of(mdata, cell_types, layer=tf_weight, own=places, train=np.flatnonzero(train))
    return found._replace(atlas=(), usual=0.0) if method == "probe" else found  # a probe reads own cell types alone


def _is_open(mdata: MuData, contexts: Contexts | None, rows: np.ndarray) -> np.ndarray | None:
    """Whether these regions are accessible in the cell type of each output; an output without one has no such region."""
    if contexts is None:
        return None
    found = contexts.is_open(mdata, rows)
    return found[:, list(contexts.own)] & (np.array(contexts.own) >= 0)


def _seen(mdata: MuData, model: GeneBERT, scored: np.ndarray) -> np.ndarray:
    """Whether these regions lie on chromosomes that the pre-trained weights saw; warn where some do."""
    seen = Seen.of(model.training_record)
    found = seen_regions(mdata, seen)
    if n_seen := int(found[scored].sum()):
        names = pd.unique(np.asarray(_keys.CHROM.get(mdata)).astype(str)[~found])
        what = f"the openness of {listed(seen.cell_types)}" if seen.cell_types else "labels"
        remedy = (
            f"Hold out {listed(names)}, which they did not see" if len(names) else "Pre-train on others: gb.tl.pretrain"
        )
        warn(
            f"{n_seen:,} of {len(scored):,} scored regions lie on chromosomes where the pre-trained weights saw {what}; "
            f"column n_seen of the table counts them. {remedy}.",
            stacklevel=5,
        )
    return found[scored]


def _resolved(model: GeneBERT | str | Path | None, device: str) -> tuple[GeneBERT, torch.device]:
    """The model, which stays where it is, and where the task is fitted."""
    if not isinstance(model, GeneBERT):
        model = load_model("mini" if model is None else model, device=device)
    return model, torch.device(model.device if device == "auto" else device)


def _data(
    mdata: MuData,
    targets: Targets,
    used: np.ndarray,
    *,
    contexts: Contexts | None,
    model: GeneBERT,
    options: FitOptions,
    device: torch.device,
) -> FitData:
    codes = read_codes(mdata, used)
    share = float((codes[:, -1] == N).mean()) if codes.shape[1] else 0.0
    if share > _PADDED and not _keys.CHROM.has(mdata):
        warn(f"{share:.0%} of the sequences are shorter than the longest ({codes.shape[1]} bp) and padded with N.")
    motifs = MotifSet.of(mdata)
    inputs = Inputs(codes, motifs.scan(codes), None if contexts is None else contexts.read(mdata, used))
    nothing = np.zeros(0, dtype=np.int64)
    is_centred = _keys.CHROM.has(mdata)
    return FitData(inputs, targets.take(used), nothing, nothing, motifs, contexts, is_centred, options, model, device)


def _member(data: FitData, *, method: Method) -> tuple[Member, list[dict[str, Any]]]:
    """Fit the models of one seed, and how they are joined."""
    if method == "probe":
        models, losses = {"probe": probe(data)}, []
    else:
        net, losses = network(data)
        models = {"network": net, "kmers": kmers(data)}
        trees = "trees" if data.has_trees else "motif_boosting"
        for name in ("kernel", trees) if data.options.both_strands else (trees,):
            models[name] = baseline(name, data, method=method)
    inner = data.inputs.take(data.inner)
    stack = fit_stack([model.logits(inner) for model in models.values()], data.targets.take(data.inner))
    shares = ", ".join(f"{name} {share:.2f}" for name, share in zip(models, stack.weight, strict=True))
    info(f"fitted on {len(data.train):,} regions, calibrated on {len(data.inner):,}; weights: {shares}")
    return Member(models, stack), losses


def _compared(
    data: FitData, member: Member, scored: np.ndarray, *, names: Sequence[str], method: Method
) -> dict[str, np.ndarray]:
    """Probabilities of the baselines in rows `scored`, each calibrated as the task is, ``(scored rows, outputs)``."""
    inputs = data.inputs.take(scored)
    found = {}
    if not len(scored):
        return found
    progress = Progress("comparing", len(names), unit="baselines", device=data.device)
    for name in names:
        model = member.models.get(name) or baseline(name, data, method=method)
        truth = data.targets.take(data.inner)
        stack = fit_stack([model.logits(data.inputs.take(data.inner))], truth)
        found[name] = probabilities(stack([model.logits(inputs)]), data.targets.kind)
        progress.update(1)
    return found


def _tell(table: pd.DataFrame) -> None:
    """Say in one line how the task and the best baseline did; parts of the task are none."""
    main = {"auroc", "pearson"}
    last = table[table["metric"].isin(main)]
    if not len(table):  # `warn_unscored` said so
        return
    if not len(last):
        warn(
            f"The labelled regions of {listed(pd.unique(table['split']))} are of one class, so only {listed(ONE_CLASS)} were scored; "
            "AUROC and the like need both. See gb.pp.split_regions.",
        )
        return
    last = last[(last["split"] == last["split"].iloc[0]) & (last["output"] == last["output"].iloc[0])]
    values = last.set_index("method")["value"]
    others = values.drop([TASK, *PARTS], errors="ignore").dropna()
    best = f", best baseline {others.idxmax()} {others.max():.3f}" if len(others) else ""
    info(f"{last['split'].iloc[0]}: {last['metric'].iloc[0]} {values[TASK]:.3f}{best}")
