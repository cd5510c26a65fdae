"""The leak guard: what may not be an input when cell types and regions are held out, and what is marked in the table instead.

One function for each rule. Refused is what would put the answer into the input; marked is what makes a number look better
than it is, and cannot be undone here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from genebert._chromosomes import canonical
from genebert._validate import check_literal, listed
from genebert.model._seen import Seen
from genebert.pp._shared_kmers import shared_kmers
from genebert.tl._cell_type_scores import likeness

__all__ = [
    "ACTIVITY",
    "CHROMOSOME",
    "GIVEN",
    "NEAR",
    "TWIN",
    "TYPE",
    "UNKNOWN",
    "CrossTarget",
    "CrossWeight",
    "check_activity",
    "check_held_out",
    "check_inner",
    "check_tf_weight",
    "check_vectors",
    "encoder_marks",
    "near_duplicates",
    "twins",
]

CrossTarget = Literal["accessibility", "labels"]
CrossWeight = Literal["auto", "none", "activity", "expression", "accessibility", "open"]

CHROMOSOME, TYPE, UNKNOWN = "encoder_saw_chromosome", "encoder_saw_cell_type", "encoder_unknown"
NEAR, TWIN, ACTIVITY = "near_duplicates", "twin_in_training", "activity_of_these_regions"
GIVEN = "motif_scores_as_given"

_ANSWER = ("accessibility", "open")
_TRAIN, _SCORED = 1, 2
TWIN_AGREEMENT = 0.98


def check_tf_weight(tf_weight: str, target: str) -> None:
    """Refuse to weigh the input by what is predicted."""
    check_literal(target, CrossTarget, name="target")
    check_literal(tf_weight, CrossWeight, name="tf_weight")
    if target == "accessibility" and tf_weight in _ANSWER:
        msg = (
            f"Expected `tf_weight` 'activity', 'expression' or 'none' with target='accessibility'; found {tf_weight!r}, which "
            "puts the answer into the input. It may be used for TF binding: target='labels'."
        )
        raise ValueError(msg)


def check_activity(used: np.ndarray, scored: np.ndarray, *, names: Sequence[str]) -> None:
    """Refuse an activity that was computed on regions that are to be scored; both bool ``(regions,)``."""
    both = np.flatnonzero(used & scored)
    if len(both):
        msg = (
            f"Expected a TF activity computed on train regions only; {len(both)} of the regions that are to be scored were "
            f"used, such as {listed(np.asarray(names)[both[:3]])}. Run gb.pp.tf_activity(mdata) again, behind gb.pp.split_regions."
        )
        raise ValueError(msg)


def check_vectors(record: Mapping[str, Any] | None, *, target: str, key: str) -> list[str]:
    """Refuse vectors that were computed among the regions that are open in a cell type; return marks.

    Parameters
    ----------
    record
        What `genebert.tl.embed` wrote about them; None where nothing is known.
    target
        What is predicted.
    key
        Their name.
    """
    if record is None:
        return [UNKNOWN]
    params = record["params"]
    cell_type, weight = params.get("cell_type"), str(params.get("tf_weight"))
    if target == "accessibility" and (cell_type is not None or weight in _ANSWER):
        what = f"windows of the regions open in {cell_type!r}" if cell_type is not None else f"tf_weight={weight!r}"
        msg = (
            f"Expected vectors of regions that stand alone with target='accessibility'; {key!r} was embedded with {what}, "
            "which tells the answer. Run gb.tl.embed(mdata) without a cell type."
        )
        raise ValueError(msg)
    return []


def check_inner(inner: np.ndarray, scored: np.ndarray) -> None:
    """Refuse to choose thresholds, penalties or the end of training on regions that are scored; rows of the MuData."""
    both = np.intersect1d(inner, scored)
    if len(both):
        msg = (
            f"Expected thresholds, calibration and early stopping on an inner part of train; {len(both)} of its regions are "
            "scored. Cut it from the train split."
        )
        raise ValueError(msg)


def check_held_out(held_out: Sequence[str], learnt: Sequence[str]) -> None:
    """Refuse to learn from a cell type that is held out, and to hold out all."""
    both = sorted(set(held_out) & set(learnt))
    if both:
        msg = f"Expected cell types that are held out not to be learnt from; {listed(both)} would be both."
        raise ValueError(msg)
    if len(learnt) < 1 and len(held_out) == 1:
        msg = (
            f"Expected at least two cell types, since what is known of one is learnt from others; found {listed(held_out)} alone. Name more "
            "of those in mdata['atac'], or add cell types there."
        )
        raise ValueError(msg)
    if len(learnt) < 1:
        msg = f"Expected a cell type left to learn from; {listed(held_out)} are held out together. Hold out fewer."
        raise ValueError(msg)


def encoder_marks(
    record: Mapping[str, Any], *, chromosomes: np.ndarray, cell_types: Sequence[str]
) -> dict[str, list[str]]:
    """Tell for each cell type whether the weights saw it, or a chromosome that is scored.

    Parameters
    ----------
    record
        ``training_record`` of the model; what it was before fine-tuning counts, too.
    chromosomes
        Of the regions that are scored; ``"nan"`` where there is none.
    cell_types
        Whose rows are marked.
    """
    seen = Seen.of(record)
    is_seen = not seen.chromosomes.isdisjoint(canonical(str(name)) for name in np.unique(chromosomes))
    return {name: [CHROMOSOME] * is_seen + [TYPE] * (name in seen.cell_types) for name in cell_types}


def near_duplicates(codes: np.ndarray, *, n_train: int) -> np.ndarray:
    """Find scored regions that share 32 bases, on either strand, with a train region.

    Parameters
    ----------
    codes
        uint8 ``(regions, seq_length)``: first those of train, then those that are scored.
    n_train
        How many are of train.

    Returns
    -------
    bool ``(scored regions,)``.
    """
    sides = np.full(len(codes), _SCORED, dtype=np.uint8)
    sides[:n_train] = _TRAIN
    shared = np.zeros(len(codes), dtype=bool)
    for found in shared_kmers(codes, sides):
        if len(found.region):
            own = np.left_shift(1, sides[found.region], dtype=np.uint8)
            together = np.bitwise_or.reduceat(own, found.start)
            shared[found.region[np.repeat(together == (1 << _TRAIN | 1 << _SCORED), found.count)]] = True
    return shared[n_train:]


def twins(target: np.ndarray, cell_types: Sequence[str], held_out: Sequence[str]) -> dict[str, str]:
    """Find held-out cell types of which the training types hold a copy: correlation above 0.98 over train regions.

    Parameters
    ----------
    target
        Accessibility of train regions ``(regions, cell types)``, NaN where not measured.
    cell_types, held_out
        All of them, and those held out together.
    """
    agreement = likeness(target)
    found = {}
    for name in held_out:
        row = agreement[list(cell_types).index(name)]
        like = [other for other, r in zip(cell_types, row, strict=True) if other not in held_out and r > TWIN_AGREEMENT]
        if like:
            found[name] = like[0]
    return found
