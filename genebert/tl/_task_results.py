"""Predictions of a task for all regions: computed chunk by chunk, and written where the MuData lives."""

from __future__ import annotations

import copy as copies
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys, _store
from genebert._chunks import ROWS, Progress, load, load_columns, row_chunks
from genebert._logging import info, warn
from genebert._validate import check_key, listed
from genebert.model import Task
from genebert.model._task_inputs import pad_codes

__all__ = ["Predictions", "check_length", "check_result_key", "in_cell_type", "predict_rows", "write_predictions"]

WRITERS = ("classify", "regress", "predict")  # verbs that record what they wrote under a key


class Predictions(NamedTuple):
    """What a task says of all regions of a MuData."""

    values: Any
    """float32 ``(regions, outputs)``: an array, or, of a MuData that lives in a store, a matrix on disk."""
    called: np.ndarray | None
    """Number of the called class ``(regions,)``, where there is one."""
    kept: np.ndarray
    """float32: what was asked for in memory."""


def check_result_key(mdata: MuData, key_added: str) -> None:
    """Raise where results would take the name of a modality, or the place of something that no task wrote."""
    taken = [slot.key for slot in _keys.SLOTS if slot.modality == _keys.SEQ and slot.attr == "obs"]
    taken.remove(_keys.CALL.key)  # stands for any `key_added`
    check_key(key_added, reserved=[*mdata.mod, *taken])
    records = mdata.uns.get(_keys.UNS, {})
    params = [records[verb][key_added]["params"] for verb in WRITERS if key_added in records.get(verb, {})]
    for slot, is_ours in ((_call(key_added), _is_called(mdata, key_added)), (_probability(key_added), bool(params))):
        if slot.has(mdata) and not is_ours:
            msg = (
                f"Expected `key_added` to name nothing that is there already; {slot.path} was not written by a task. Choose "
                f"another key than {key_added!r}, or remove it."
            )
            raise ValueError(msg)


def _call(key_added: str) -> _keys.Slot:
    return replace(_keys.CALL, key=key_added)


def _probability(key_added: str) -> _keys.Slot:
    return replace(_keys.PROBABILITY, key=f"{key_added}_proba")


def _is_called(mdata: MuData, key_added: str) -> bool:
    """Whether a task wrote its calls under this key."""
    records = mdata.uns.get(_keys.UNS, {})
    return any(
        bool(records[verb][key_added]["params"].get("called", False))
        for verb in WRITERS
        if key_added in records.get(verb, {})
    )


def check_length(mdata: MuData, task: Task) -> None:
    """Raise where the bases of regions are not of the length that the task was fitted with; shorter bare ones are padded."""
    found, wanted = _keys.DNA_CODE.get(mdata).shape[1], task.seq_length
    if found == wanted:
        return
    if _keys.CHROM.has(mdata):
        msg = (
            f"Expected windows of {wanted} bp, as the task was fitted with; found {found} bp. Run "
            f"gb.pp.add_sequence(mdata, genome, seq_length={wanted})."
        )
        raise ValueError(msg)
    if found > wanted:
        msg = (
            f"Expected sequences of at most {wanted} bp, as the task was fitted with; the longest has {found} bp. Cut them "
            "around what matters, or fit a task on longer ones."
        )
        raise ValueError(msg)
    place = "both sides" if task.record.get("is_centred") else "the right"
    info(f"sequences of up to {found} bp are padded with N on {place} to the {wanted} bp that the task was fitted with")


def in_cell_type(task: Task, mdata: MuData, cell_type: str) -> Task:
    """Return the same task with the accessibility of one cell type in place of all that it was fitted with."""
    if task.contexts is None:
        msg = f"Expected no `cell_type`, since this task reads no accessibility; found {cell_type!r}. Leave it out."
        raise ValueError(msg)
    if _keys.ACCESSIBILITY.has(mdata) and cell_type in mdata[_keys.ATAC].var_names:
        column = mdata[_keys.ATAC].var_names.get_indexer([cell_type])
        matrix = _keys.ACCESSIBILITY.get(mdata)
        if all(np.isnan(load_columns(matrix, column, rows)).all() for rows in row_chunks(mdata.n_obs)):
            msg = (
                f"Expected accessibility of {cell_type!r}; it was not measured in any of the {mdata.n_obs:,} regions (all are NaN). Name "
                "another cell type, or give regions in which it was measured."
            )
            raise ValueError(msg)
    moved = copies.copy(task)
    moved.contexts = task.contexts.elsewhere(mdata, cell_type)
    moved.outputs = [f"{name} in {cell_type}" for name in task.outputs]
    return moved


def predict_rows(
    mdata: MuData,
    task: Task,
    *,
    copy: bool = False,
    rows: np.ndarray | None = None,
    output: int | None = None,
) -> Predictions:
    """Predict all regions, chunk by chunk.

    Parameters
    ----------
    copy
        Whether a copy of `mdata` will take them, which lives in memory.
    rows, output
        What is wanted in memory, too, as `Predictions.kept`: these regions, in ascending order, or one output of all regions.
    """
    check_length(mdata, task)
    codes = _keys.DNA_CODE.get(mdata)
    values = _store.empty(mdata, (mdata.n_obs, len(task.outputs)), np.float32, copy=copy)
    shape = (mdata.n_obs if output is not None else 0, 1) if rows is None else (len(rows), len(task.outputs))
    kept = np.empty(shape, dtype=np.float32)
    called = np.empty(mdata.n_obs, dtype=np.int16) if task.kind in ("binary", "multiclass") else None
    progress, n_missing = Progress("predicting", mdata.n_obs, device=task.device), 0
    for part in row_chunks(mdata.n_obs, step=ROWS):
        bases = pad_codes(load(codes, part), task.seq_length, is_centred=bool(task.record.get("is_centred")))
        found = task.predict_regions(mdata, part, bases)
        values[part] = found
        is_missing = np.isnan(found).any(axis=1)
        n_missing += int(is_missing.sum())
        if called is not None:
            called[part] = np.where(
                is_missing, -1, found[:, 0] >= 0.5 if task.kind == "binary" else found.argmax(axis=1)
            )
        if rows is not None:
            first, last = np.searchsorted(rows, (part.start, part.stop))
            kept[first:last] = found[rows[first:last] - part.start]
        elif output is not None:
            kept[part, 0] = found[:, output]
        progress.update(len(found))
    if n_missing:
        read = listed(dict.fromkeys(task.contexts.cell_types))
        warn(
            f"Accessibility in {read}, which the task reads, was not measured in all regions: predictions of {n_missing} of "
            f"{mdata.n_obs} are NaN.",
            stacklevel=4,
        )
    return Predictions(values, called, kept)


def write_predictions(mdata: MuData, task: Task, found: Predictions, *, key_added: str) -> dict[str, Any]:
    """Write probabilities, and the called class where there is one; return what the record tells of them."""
    values = found.values
    if isinstance(values, np.ndarray):
        values = pd.DataFrame(values, index=mdata.obs_names.copy(), columns=task.outputs)
    _probability(key_added).set(mdata, values)
    called = found.called is not None or _is_called(mdata, key_added)
    if found.called is not None:
        classes = ["0", "1"] if task.kind == "binary" else task.outputs
        _call(key_added).set(mdata, pd.Categorical.from_codes(found.called, categories=classes))
    return {"outputs": task.outputs, "kind": task.kind, "called": called}
