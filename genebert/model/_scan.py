"""How sequences and TF matrix came about: a model reads what was made as its training data were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mudata import MuData

from genebert import _keys
from genebert._logging import info, warn
from genebert._motifs import PSEUDOCOUNT

__all__ = ["check_inputs", "check_task_scan", "scan_params"]

_VERB = "scan_motifs"
_DECIDING = ("score", "background", "strands", "pseudocount")
_SIMILAR = 1.3  # ratio of lengths up to which embeddings stay close


def scan_params(mdata: MuData) -> dict[str, Any] | None:
    """Read what `genebert.pp.scan_motifs` noted; None for a matrix from elsewhere."""
    entry = mdata.uns.get(_keys.UNS, {}).get(_VERB, {}).get(_keys.TF)
    if entry is None:
        return None
    return {name: np.asarray(entry["params"][name]).tolist() for name in _DECIDING}


def check_inputs(mdata: MuData, record: Mapping[str, Any]) -> None:
    """Compare the data with those of a training record, where both are known.

    Tells when a modality is absent; warns when sequences are much longer or shorter than in training, since the highest
    score of a motif grows with the length that was searched.

    Raises
    ------
    ValueError
        When score, background, strands or pseudocount of the motif scan differ.
    """
    for slot in (_keys.DNA_CODE, _keys.TF_SCORE):
        if not slot.has(mdata):
            info(f"{slot.path} is missing: its columns of the embedding are 0. {slot.filled_by[0]} fills it.")
    trained_on = record.get("seq_length")
    if trained_on and _keys.DNA_CODE.has(mdata):
        length = _keys.DNA_CODE.get(mdata).shape[1]
        if not trained_on / _SIMILAR <= length <= trained_on * _SIMILAR:
            warn(
                f"Expected sequences of about {trained_on} bp, as the model was trained on; found {length} bp. Embeddings "
                f"shift with the length: run gb.pp.add_sequence(..., seq_length={trained_on}) and scan again, or train a "
                "model of your own with gb.tl.pretrain."
            )
    _check_scan(mdata, record.get("scan"))


def check_task_scan(mdata: MuData, record: Mapping[str, Any]) -> None:
    """Compare how a task scans with a training record, where its pre-trained weights read the scores.

    A task scans by itself: highest log-odds on both strands, of the matrices in `mdata`, which have its background and
    pseudocount, else of the shipped motifs.

    Raises
    ------
    ValueError
        When the weights were trained on other scores.
    """
    found: dict[str, Any] = {"score": "max", "strands": "both"}
    if not _keys.MOTIF.has(mdata):
        found |= {"background": [0.25] * 4, "pseudocount": PSEUDOCOUNT}
    elif (params := scan_params(mdata)) is not None:
        found |= {name: params[name] for name in ("background", "pseudocount")}
    remedy = "Take method='finetune', which learns the scale of scores anew"
    _compare(
        found, record.get("scan"), remedy=dict.fromkeys(("score", "strands"), remedy), what="a task's own scan has"
    )


def _check_scan(mdata: MuData, trained_on: Mapping[str, Any] | None) -> None:
    _compare(scan_params(mdata) if _keys.TF_SCORE.has(mdata) else None, trained_on, remedy={}, what="found")


def _compare(
    found: Mapping[str, Any] | None, trained_on: Mapping[str, Any] | None, *, remedy: Mapping[str, str], what: str
) -> None:
    """Raise where a parameter that is known of both differs."""
    if found is None or trained_on is None:
        return
    for name, expected in trained_on.items():
        if name not in found:
            continue
        same = found[name] == expected if isinstance(expected, str) else np.allclose(found[name], expected, atol=1e-3)
        if not same:
            advice = remedy.get(name, f"Run gb.pp.scan_motifs(mdata, {name}={expected!r})")
            msg = f"Expected motif scores with {name}={expected!r}, as the model was trained on; {what} {found[name]!r}. {advice}."
            raise ValueError(msg)
