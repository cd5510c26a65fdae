"""What `scan_motifs` and `motif_hits` are given: motifs, background, strands, checked and turned into matrices."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from genebert._chunks import load, row_chunks
from genebert._dna import N_BASES
from genebert._logging import info
from genebert._motifs import Motif, default_motifs, log_odds, read_motif_file
from genebert._validate import check_literal, check_range

__all__ = ["Background", "MotifSource", "Plan", "Strands", "check_options", "load_motifs", "plan_scan"]

MotifSource = Sequence[Motif] | str | os.PathLike[str] | None
Background = Sequence[float] | Literal["regions"] | None
Strands = Literal["both", "forward"]


class Plan(NamedTuple):
    """What to scan for."""

    motifs: Sequence[Motif]
    matrices: list[np.ndarray]
    """Log-odds ``(length, 4)`` of each motif."""
    background: np.ndarray
    """Probabilities of A, C, G and T, float64 ``(4,)``."""
    both_strands: bool


def check_options(*, pvalue: float, strands: Strands, pseudocount: float, n_threads: int | None) -> None:
    """Raise where one of the options that both verbs have is out of range."""
    check_literal(strands, Strands, name="strands")
    check_range(pvalue, name="pvalue", above=0, high=1)
    check_range(pseudocount, name="pseudocount", low=0)
    if n_threads is not None:
        check_range(n_threads, name="n_threads", low=1, integer=True)


def load_motifs(motifs: MotifSource) -> Sequence[Motif]:
    """Return the motifs that were given, those of a file, or the default ones."""
    if motifs is None:
        return default_motifs()
    if isinstance(motifs, (str, os.PathLike)):
        return read_motif_file(motifs)
    if isinstance(motifs, Motif) or not isinstance(motifs, Iterable):
        remedy = "Write [motif]." if isinstance(motifs, Motif) else "Read some with gb.io.read_motifs."
        msg = f"Expected `motifs` to be a path or a list of motifs; found one {type(motifs).__name__}. {remedy}"
        raise TypeError(msg)
    wrong = [type(motif).__name__ for motif in motifs if not isinstance(motif, Motif)]
    if wrong or len(motifs) == 0:
        found = f"a list that holds {wrong[0]}" if wrong else "an empty list"
        msg = f"Expected `motifs` to be a path or a list of motifs as gb.io.read_motifs returns it; found {found}."
        raise ValueError(msg)
    return motifs


def plan_scan(
    motifs: Sequence[Motif], codes: Any, *, background: Background, strands: Strands, pseudocount: float
) -> Plan:
    """Compute the background and the log-odds of the motifs."""
    bases = _base_probabilities(background, codes, both_strands=strands == "both")
    matrices = [_matrix(motif, background=bases, pseudocount=pseudocount) for motif in motifs]
    return Plan(motifs, matrices, bases, strands == "both")


def _base_probabilities(background: Background, codes: Any, *, both_strands: bool) -> np.ndarray:
    """Probabilities of A, C, G and T, float64 ``(4,)``."""
    if background is None:
        return np.full(N_BASES, 1 / N_BASES)
    if isinstance(background, str):
        check_literal(background, ("regions",), name="background", also=("None", "4 probabilities of A, C, G and T"))
        bases = _count_bases(codes)
        text = ", ".join(f"{base} {p:.3f}" for base, p in zip("ACGT", bases, strict=True))
        info(f"Background of the regions: {text}.")
    else:
        bases = np.asarray(background, dtype=np.float64)
        if bases.shape != (N_BASES,) or not np.isclose(bases.sum(), 1) or (bases <= 0).any():
            msg = f"Expected `background` to be 4 probabilities above 0 of A, C, G and T that sum to 1; found {background!r}."
            raise ValueError(msg)
    # What is A on one strand is T on the other.
    return (bases + bases[::-1]) / 2 if both_strands else bases


def _count_bases(codes: Any) -> np.ndarray:
    counts = np.ones(N_BASES)  # no base has probability 0
    for rows in row_chunks(codes.shape[0]):
        counts += np.bincount(load(codes, rows).ravel(), minlength=N_BASES + 1)[:N_BASES]
    return counts / counts.sum()


def _matrix(motif: Motif, *, background: np.ndarray, pseudocount: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        matrix = log_odds(motif, background=background, pseudocount=pseudocount)
    if not np.isfinite(matrix).all():
        msg = (
            f"Expected finite log-odds; motif {motif.motif_id} has a base with no site. Choose a `pseudocount` above 0."
        )
        raise ValueError(msg)
    return matrix
