"""Predict the accessibility of a new cell type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mudata import MuData

from genebert import _keys, _mudata, _store
from genebert._chunks import Progress, load_dense, row_chunks
from genebert._logging import info
from genebert._validate import check_range, listed
from genebert.model import GeneBERT
from genebert.model._cell_types import CellTypeModel, fit_cell_types
from genebert.model._cell_types_heads import N_DRAWS
from genebert.tl._cell_type_call import check_call, measured_train_rows, named_types
from genebert.tl._cell_type_data import (
    LEAST_REGIONS,
    Reader,
    activity_on,
    cell_type_weights,
    chromosomes_of,
    is_comparable,
    n_measured,
    resolve_model,
    surroundings,
    target_values,
)
from genebert.tl._cell_type_fit import Known, partial_counts
from genebert.tl._cell_type_scores import TargetKind
from genebert.tl._leak_guard import CrossWeight, check_held_out

__all__ = ["transfer"]

SHARE = 0.8  # of the regions that each model learns from
STEP = 2**12  # regions predicted at once
WRITTEN = (_keys.PREDICTED, _keys.PREDICTED_SD)


class _Task(NamedTuple):
    """What is learnt from what."""

    new: list[str]
    learnt: list[str]
    train: np.ndarray
    known: Known
    kind: TargetKind
    tf_weight: CrossWeight
    seed: int


class _Fitted(NamedTuple):
    """Models, and what the new types are."""

    models: list[CellTypeModel]
    activity: np.ndarray
    """float32 ``(new types, TFs)``."""
    n_regions: list[int | None]
    """From how many regions it was computed; None: from as many as the models were fitted on."""


def transfer(
    mdata: MuData,
    model: GeneBERT | str | Path | None = None,
    *,
    cell_types: str | Sequence[str],
    train_cell_types: Sequence[str] | None = None,
    known: Known = "train_cell_types",
    tf_weight: CrossWeight = "activity",
    kind: TargetKind = "binary",
    n_models: int = 5,
    max_regions: int = 20_000,
    use_rep: str | None = None,
    seed: int = 0,
    device: str = "auto",
    key_added: str = "transfer",
    copy: bool = False,
) -> MuData | None:
    """Learn from the cell types that you measured, and predict a new one in all regions.

    The new cell type needs some accessibility of its own, in some of the train regions: its TF activity is computed from it, and
    about a hundred open regions give a useful one. With ``tf_weight="expression"`` it needs none. How good this is tells
    :func:`genebert.tl.cross_cell_type`.

    Parameters
    ----------
    mdata
        With sequences, accessibility (NaN where it was not measured), and a split, if the activity is not to come from all
        regions.
    model
        A model, the folder of one, None for the weights that ship with genebert, or ``"none"``: without an encoder.
    cell_types
        The new ones.
    train_cell_types
        Those to learn from; default: all others.
    known
        ``"train_cell_types"``: they were measured in the regions that are predicted; ``"nothing"``: nothing was.
    tf_weight
        What tells cell types apart: ``"activity"`` (stored by :func:`genebert.pp.tf_activity`, else computed), ``"expression"`` or
        ``"none"``.
    kind
        ``"binary"``: where the regions are open; ``"value"``: ``atac.X``.
    n_models
        Models, each of four fifths of the regions, drawn at random. Their mean is the prediction.
    max_regions
        Most regions that a model learns from.
    use_rep
        Vectors in ``mdata.obsm``, of :func:`genebert.tl.embed`, to take instead of computing them.
    seed, device
        Of everything that is drawn; where the encoder runs.
    key_added
        Name of the record.
    copy
        Return a changed copy instead of writing into `mdata`.

    Returns
    -------
    None, or the copy. Writes

    ``mdata["atac"].layers["predicted"]``
        float32 ``(regions, cell types)``: `cell_types` are written anew, what earlier calls wrote of others stays, also under
        another `key_added` and of another `kind`, so keep to one; NaN in all others.
    ``mdata["atac"].layers["predicted_sd"]``
        float32, its standard deviation over models; NaN where there is one only.
    ``mdata.uns["genebert"]["transfer"][key_added]``
        ``params`` and ``model``, the digest of the encoder.

    Raises
    ------
    KeyError
        When accessibility, sequences or calls are missing.
    ValueError
        When a cell type is unknown or both new and learnt from, `tf_weight` would be the answer, nothing is left to learn from,
        or a layer of that name is there which no call wrote.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.tl.transfer(mdata, "none", cell_types="Monocyte")
    >>> mdata["atac"].layers["predicted"].shape
    (600, 6)
    """
    options = {"known": known, "kind": kind, "tf_weight": tf_weight, "seed": seed}
    check_call(mdata, target="accessibility", max_regions=max_regions, key_added=key_added, **options)
    check_range(n_models, name="n_models", low=1, integer=True)
    earlier = _earlier(mdata)
    task = _task(mdata, cell_types, train_cell_types, **options)
    encoder = resolve_model(model, device)
    reader, _ = Reader.of(mdata, encoder, use_rep=use_rep, target="accessibility")
    fitted = _fitted(mdata, reader, task, n_models=n_models, max_regions=max_regions)
    out = [_store.empty(mdata, mdata[_keys.ATAC].shape, np.float32, copy=copy) for _ in WRITTEN]
    _predict(mdata, reader, task, fitted, earlier=earlier, out=out)
    mdata = _mudata.writable(mdata, copy=copy)
    for slot, values in zip(WRITTEN, out, strict=True):
        slot.set(mdata, values)
    params = {
        "cell_types": task.new, "train_cell_types": task.learnt, "known": known, "tf_weight": tf_weight, "kind": kind,
        "n_models": n_models, "n_regions": len(task.train), "use_rep": use_rep, "seed": seed,
    }  # fmt: skip
    _keys.record(mdata, "transfer", key_added, params=params, model=None if encoder is None else encoder.digest)
    return mdata if copy else None


def _earlier(mdata: MuData) -> list[Any]:
    """What earlier calls predicted, for each layer that is written; None where there is nothing.

    Raises
    ------
    ValueError
        When there is a layer that no call wrote.
    """
    is_ours = bool(mdata.uns.get(_keys.UNS, {}).get("transfer", {}))
    there = [slot for slot in WRITTEN if slot.has(mdata)]
    if there and not is_ours:
        msg = (
            f"Expected no layer of yours where predictions are written; found {there[0].path}, of which no record of gb.tl.transfer "
            "tells. Give it another name, or remove it."
        )
        raise ValueError(msg)
    return [slot.get(mdata) if slot in there else None for slot in WRITTEN]


def _task(
    mdata: MuData, cell_types: str | Sequence[str], train_cell_types: Sequence[str] | None, *, known: Known,
    kind: TargetKind, tf_weight: CrossWeight, seed: int,
) -> _Task:  # fmt: skip
    """Check cell types, and find the regions to learn from: train regions in which all that is learnt from was measured."""
    there = named_types(mdata, None, name="cell_types")
    new = [] if cell_types is None else sorted(named_types(mdata, cell_types, name="cell_types"))
    others = [name for name in there if name not in new] if train_cell_types is None else train_cell_types
    learnt = sorted(named_types(mdata, others, name="train_cell_types"))  # what is drawn hangs on no order
    if not new:
        msg = f"Expected `cell_types` to name what is predicted; found none. There are {listed(there)}."
        raise ValueError(msg)
    check_held_out(new, learnt)
    train = measured_train_rows(mdata, learnt)
    tf_weight = "activity" if tf_weight == "auto" else tf_weight
    return _Task(new, learnt, train, known, kind, tf_weight, seed)


def _fitted(mdata: MuData, reader: Reader, task: _Task, *, n_models: int, max_regions: int) -> _Fitted:
    """Fit models on parts of the train regions; give the activity of the new types, too."""
    rng = np.random.default_rng(task.seed)
    names = list(mdata[_keys.ATAC].var_names)
    learnt, new = ([names.index(name) for name in part] for part in (task.learnt, task.new))
    share = SHARE if n_models > 1 else 1.0
    rows = np.sort(rng.permutation(task.train)[: int(max_regions / share)])
    features = reader.read(rows)
    target, groups = target_values(mdata, rows, learnt, kind=task.kind), chromosomes_of(mdata, rows)
    scored, n_regions = _held_out_rows(mdata), [None] * len(new)
    weights = cell_type_weights(mdata, reader, features.motifs, tf_weight=task.tf_weight, train=rows, scored=scored)
    if task.tf_weight == "activity":
        n_regions = partial_counts(n_measured(mdata, rows, new), len(rows))
        if not _keys.TF_ACTIVITY.has(mdata):
            weights[new] = [_own_activity(mdata, rows, features.motifs, column) for column in new]
    if np.isnan(weights[[*new, *learnt]]).all(axis=1).any():
        msg = f"Expected accessible train regions in each cell type, to compute its TF activity; {listed(task.new)} may have none."
        raise ValueError(msg)
    weights, around = np.nan_to_num(weights), None
    if task.known == "train_cell_types":
        nearby = surroundings(mdata, task.train, learnt, kind=task.kind)
        around = None if nearby is None else nearby.read(rows, target)
    models, n_draws = [], 1 if n_models > 1 else N_DRAWS  # the mean of models is one over draws, too
    for number in range(n_models):
        part = np.sort(rng.permutation(len(rows))[: max(LEAST_REGIONS, int(share * len(rows)))])
        some = features.take(part)
        options = {"known": task.known, "kind": task.kind, "seed": task.seed + number, "groups": groups[part]}
        options |= {"is_measured": task.tf_weight == "activity", "n_draws": n_draws}
        options["around"] = None if around is None else around[part]
        models.append(fit_cell_types(some, target[part], weights[learnt], **options))
    info(f"transfer: {n_models} models of {len(rows):,} regions x {len(learnt)} cell types, for {listed(task.new)}")
    return _Fitted(models, weights[new], n_regions)


def _held_out_rows(mdata: MuData) -> np.ndarray:
    """Regions of other splits than train, on which no stored activity may have been computed."""
    if not _keys.REGION_SPLIT.has(mdata):
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.isin(np.asarray(_keys.REGION_SPLIT.get(mdata)).astype(str), ("val", "test")))


def _own_activity(mdata: MuData, rows: np.ndarray, motifs: np.ndarray, column: int) -> np.ndarray:
    """Compute the activity of a new cell type where it was measured, float32 ``(TFs,)``; NaN where nothing is accessible."""
    accessibility = load_dense(_keys.ACCESSIBILITY.get(mdata), rows)
    measured = np.flatnonzero(~np.isnan(accessibility[:, column]))
    if not is_comparable(mdata, rows[measured], accessibility[measured], column):
        return np.full(motifs.shape[1], np.nan, dtype=np.float32)
    return activity_on(mdata, rows[measured], motifs[measured], accessibility[measured])[column]


def _predict(
    mdata: MuData, reader: Reader, task: _Task, fitted: _Fitted, *, earlier: list[Any], out: list[Any]
) -> None:
    """Predict all regions chunk by chunk: mean and spread over models, beside the cell types of earlier calls."""
    names = list(mdata[_keys.ATAC].var_names)
    learnt, new = ([names.index(name) for name in part] for part in (task.learnt, task.new))
    options = {"n_regions": fitted.n_regions, "used": np.arange(len(learnt))}  # all types, in whatever chunk
    is_known, nearby = task.known == "train_cell_types", None
    if is_known:
        nearby = surroundings(mdata, np.arange(mdata.n_obs), learnt, kind=task.kind)
    progress = Progress("transfer", mdata.n_obs)
    for rows in row_chunks(mdata.n_obs, step=STEP):
        features = reader.read(rows)
        neighbours = target_values(mdata, rows, learnt, kind=task.kind) if is_known else None
        options["around"] = None if nearby is None else nearby.read(np.arange(rows.start, rows.stop), neighbours)
        options["neighbours"] = neighbours
        found = np.stack([model.predict(features, fitted.activity, **options) for model in fitted.models])
        for before, values, part in zip(earlier, out, (found.mean(axis=0), _spread(found)), strict=True):
            full = np.full((len(part), len(names)), np.nan, dtype=np.float32)
            if before is not None:
                full[:] = load_dense(before, rows)
            full[:, new] = part
            values[rows] = full
        progress.update(rows.stop - rows.start)


def _spread(found: np.ndarray) -> np.ndarray:
    return found.std(axis=0, ddof=1) if len(found) > 1 else np.full(found.shape[1:], np.nan)
