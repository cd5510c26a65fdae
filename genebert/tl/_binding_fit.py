"""One fold of `cross_cell_type` with TF binding as target: fit, predict, and all that it is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from genebert._logging import info, warn
from genebert._validate import listed
from genebert.model._binding import BindingModel, fit_binding
from genebert.tl._cell_type_folds import Fold
from genebert.tl._cell_type_scores import likeness
from genebert.tl._cell_type_table import ALL, GENEBERT, Block, Column
from genebert.tl._cross_binding import BindingData, BindingPart
from genebert.tl._leak_guard import ACTIVITY

__all__ = ["BINDING_SETTINGS", "binding_blocks"]

LEAST = 5  # labels of each class that a TF needs in the training types

BINDING_SETTINGS = {
    GENEBERT: "", "accessibility": "nothing", "open_motif": "nothing", "open_sequence": "nothing", "motif": "nothing", "motif_activity": "nothing",
    "sequence_only": "nothing", "mean": "train_cell_types", "nearest": "train_cell_types", "shuffled_accessibility": "", "shuffled_activity": "",
    "random": "nothing",
}  # fmt: skip
"""What each method is given at the scored regions beside accessibility; empty: what the call says."""


def binding_blocks(data: BindingData, folds: Sequence[Fold], *, is_full: bool) -> list[Block]:
    """Fit and predict all folds."""
    blocks = []
    for number, fold in enumerate(folds):
        blocks += _fold_blocks(data, fold, is_full=is_full)
        info(f"held out {fold.name} ({number + 1} of {len(folds)})")
    return blocks


def _fold_blocks(data: BindingData, fold: Fold, *, is_full: bool) -> Iterator[Block]:
    learnt = data.columns(fold.learnt)
    tfs = _learnable(data, fold, learnt)
    part = data.train
    sites = part.sites._replace(openness=part.sites.openness[:, learnt], is_open=part.sites.is_open[:, learnt])
    activity = None if data.activity is None else data.activity[learnt]
    model = fit_binding(
        sites, part.labels[:, learnt][:, :, tfs], activity, own=[data.own[tf] for tf in tfs],
        with_neighbours=data.known == "train_cell_types",
    )  # fmt: skip
    for regions, of_split in (("test", data.test), ("train", data.train)):
        for types, names in (("holdout", fold.held_out), ("train", fold.learnt)):
            if is_full or (types, regions) == ("holdout", "test"):
                yield _block(data, fold, model, tfs, of_split, names, types=types, regions=regions)


def _learnable(data: BindingData, fold: Fold, learnt: Sequence[int]) -> list[int]:
    """TFs with enough labels of both classes in the training types, that a held-out type has labels of, too."""
    labels = data.train.labels[:, learnt]
    enough = np.minimum((labels == 1).sum(axis=(0, 1)), (labels == 0).sum(axis=(0, 1))) >= LEAST
    asked = ~np.isnan(data.test.labels[:, data.columns(fold.held_out)]).all(axis=(0, 1))
    if missing := [tf for tf, ok, wanted in zip(data.tfs, enough, asked, strict=True) if wanted and not ok]:
        warn(f"Held out {fold.name}: too few labels in the training types of {listed(missing)}, which are left out.")
    tfs = np.flatnonzero(enough & asked).tolist()
    if not tfs:
        msg = f"Expected a TF with labels in {fold.name} and, of both classes, in other cell types; found none. Hold out others."
        raise ValueError(msg)
    return tfs


def _block(
    data: BindingData, fold: Fold, model: BindingModel, tfs: Sequence[int], part: BindingPart, names: Sequence[str], *,
    types: str, regions: str,
) -> Block:  # fmt: skip
    places = [
        (c, number)
        for c in data.columns(names)
        for number, tf in enumerate(tfs)
        if not np.isnan(part.labels[:, c, tf]).all()
    ]
    by_type = {c: _methods(data, fold, model, tfs, part, c) for c in dict.fromkeys(c for c, _ in places)}
    methods = next(iter(by_type.values()), {})
    methods = [name for name in methods if all(name in found for found in by_type.values())]  # what all types can have
    predicted = {name: np.stack([by_type[c][name][:, number] for c, number in places], axis=1) for name in methods}
    truth = (
        np.stack([part.labels[:, c, tfs[number]] for c, number in places], axis=1)
        if places
        else np.zeros((len(part.labels), 0))
    )
    strata = {ALL: np.ones(len(truth), dtype=bool), **part.regions.strata}
    if places and data.has_accessibility[[c for c, _ in places]].all():
        strata["accessible"] = part.sites.is_open[:, [c for c, _ in places]]
    marks = part.regions.marks
    if regions == "train" and data.activity is not None:
        marks = {name: [*marks.get(name, ()), ACTIVITY] for name in names}
    return Block(
        holdout=fold.name, types=types, regions=regions, columns=[Column(data.cell_types[c], data.tfs[tfs[n]]) for c, n in places],
        truth=truth, predicted=predicted, strata=strata, weights=part.regions.weights, near=part.regions.near, marks=marks,
    )  # fmt: skip


def _methods(
    data: BindingData, fold: Fold, model: BindingModel, tfs: Sequence[int], part: BindingPart, column: int
) -> dict[str, np.ndarray]:
    """Predict one cell type by all methods, each ``(regions, TFs)``."""
    others = [c for c in data.columns(fold.learnt) if c != column]
    labels, sites = part.labels[:, :, tfs], part.sites
    activity = None if data.activity is None else data.activity[column]
    mean = _label_mean(labels[:, others])
    neighbours = mean if data.known == "train_cell_types" else None
    options = {"reference": data.train.sites, "neighbours": neighbours}
    shape = labels[:, 0].shape
    rng = np.random.default_rng([data.seed, column, len(labels)])
    own, sequence = model.own_score(sites.motifs), model.sequence_only(sites.motifs)
    train = data.train.sites.motifs
    openness = sites.openness[:, [column]]
    found = {
        GENEBERT: model.logits(sites, column, activity, **options),
        "motif": own,
        "sequence_only": sequence,
        "mean": np.nan_to_num(mean, nan=float(np.nanmean(mean)) if not np.isnan(mean).all() else 0.0),
        "nearest": _nearest(data, labels, others, column),
        "random": rng.random(shape),
    }
    if activity is not None and activity.any():
        found["motif_activity"] = np.broadcast_to(model.partners(sites.motifs, activity)[:, None], shape)
        found["shuffled_activity"] = model.logits(sites, column, rng.permutation(activity), **options)
    if data.has_accessibility[column]:
        shuffled = sites.openness.copy()
        shuffled[:, column] = rng.permutation(shuffled[:, column])
        found |= {
            "accessibility": np.broadcast_to(part.raw[:, [column]], shape),
            "open_motif": _gated(openness, _rank(own, model.own_score(train))),
            "open_sequence": _gated(openness, _rank(sequence, model.sequence_only(train))),
            "shuffled_accessibility": model.logits(sites._replace(openness=shuffled), column, activity, **options),
        }
    return {name: found[name] for name in BINDING_SETTINGS if name in found}


def _label_mean(labels: np.ndarray) -> np.ndarray:
    """Mean label over cell types, ``(regions, TFs)``; NaN where there is none."""
    known = ~np.isnan(labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, labels, 0).sum(axis=1) / known.sum(axis=1)


def _nearest(data: BindingData, labels: np.ndarray, others: Sequence[int], column: int) -> np.ndarray:
    """Labels of the training type that is most alike at train regions: in accessibility, else in labels."""
    found = np.zeros(labels[:, 0].shape)
    train = data.train
    for tf in range(labels.shape[2]):
        there = [c for c in others if not np.isnan(labels[:, c, tf]).all()]
        if there:
            alike = [_alike(train, column, c, by_labels=not data.has_accessibility[[column, c]].all()) for c in there]
            found[:, tf] = np.nan_to_num(labels[:, there[int(np.argmax(alike))], tf])
    return found


def _alike(train: BindingPart, one: int, other: int, *, by_labels: bool) -> float:
    values = train.labels.reshape(len(train.labels), train.labels.shape[1], -1) if by_labels else train.raw[:, :, None]
    return float(likeness(np.stack([values[:, one].ravel(), values[:, other].ravel()], axis=1))[0, 1])


def _rank(score: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Share of train regions below a score, ``(regions, TFs)``: no threshold comes from what is scored."""
    columns = [np.searchsorted(np.sort(train[:, f]), score[:, f], side="left") for f in range(score.shape[1])]
    return np.stack(columns, axis=1) / len(train)


def _gated(openness: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Accessibility times sequence; what is as accessible as the mean of accessible regions lies above all that is closed."""
    return openness * (1 + rank) + (1 - openness).clip(min=0) * rank / 2
