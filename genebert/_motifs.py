"""Motifs: one type, its log-odds, and the set that the shipped weights were trained with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

__all__ = ["Motif", "default_motifs", "log_odds"]

WEIGHTS = Path(__file__).parent / "weights"
PSEUDOCOUNT = 0.8


@dataclass(frozen=True, eq=False)
class Motif:
    """A position count matrix with the TF that it belongs to."""

    tf: str
    motif_id: str
    counts: np.ndarray
    """float64 ``(length, 4)``, columns A C G T: sites seen with each base. Where a file gives probabilities, these times its number of sites."""
    family: str = ""

    def __len__(self) -> int:
        return len(self.counts)


def log_odds(motif: Motif, *, background: np.ndarray, pseudocount: float = PSEUDOCOUNT) -> np.ndarray:
    """Log2 of the base probability at each position over its background probability.

    Parameters
    ----------
    motif
        The motif.
    background
        Probabilities of A, C, G and T.
    pseudocount
        Sites added to each position, shared out by `background`, so that no score is infinite.

    Returns
    -------
    float32 ``(length, 4)``.
    """
    counts = motif.counts + pseudocount * background
    probabilities = counts / counts.sum(axis=1, keepdims=True)
    return np.log2(probabilities / background).astype(np.float32)
