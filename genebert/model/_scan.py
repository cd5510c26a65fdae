"""How a TF matrix was scanned: a model reads only what was scanned as its training data were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mudata import MuData

from genebert import _keys

__all__ = ["check_scan", "scan_params"]

_VERB = "scan_motifs"
_DECIDING = ("score", "background", "strands", "pseudocount")


def scan_params(mdata: MuData) -> dict[str, Any] | None:
    """Read what `genebert.pp.scan_motifs` noted; None for a matrix from elsewhere."""
    entry = mdata.uns.get(_keys.UNS, {}).get(_VERB, {}).get(_keys.TF)
    if entry is None:
        return None
    return {name: np.asarray(entry["params"][name]).tolist() for name in _DECIDING}


def check_scan(mdata: MuData, trained_on: Mapping[str, Any] | None) -> None:
    """Refuse scores of another kind than the model was trained on, where both are known.

    Raises
    ------
    ValueError
        When score, background, strands or pseudocount differ.
    """
    found = scan_params(mdata) if _keys.TF_SCORE.has(mdata) else None
    if found is None or trained_on is None:
        return
    for name, expected in trained_on.items():
        same = found[name] == expected if isinstance(expected, str) else np.allclose(found[name], expected, atol=1e-3)
        if not same:
            msg = (
                f"Expected motif scores with {name}={expected!r}, as the model was trained on; found {found[name]!r}. "
                f"Run gb.pp.scan_motifs(mdata, {name}={expected!r})."
            )
            raise ValueError(msg)
