"""Motif scores of all regions: the TF x regions matrix."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse as sp

from genebert import _keys, _mudata
from genebert._dna import N_BASES
from genebert._logging import info
from genebert._motifs import PSEUDOCOUNT, Motif, default_motifs, log_odds, read_motif_file, tf_names
from genebert._validate import check_literal, check_range
from genebert.pp._scan import Score, scan_sequences

__all__ = ["scan_motifs"]

Strands = Literal["both", "forward"]


def scan_motifs(
    mdata: MuData,
    motifs: Sequence[Motif] | str | os.PathLike[str] | None = None,
    *,
    score: Score = "max",
    pvalue: float = 1e-4,
    background: Sequence[float] | Literal["regions"] | None = None,
    strands: Strands = "both",
    pseudocount: float = PSEUDOCOUNT,
    sparse: bool | None = None,
    n_threads: int | None = None,
    copy: bool = False,
) -> MuData | None:
    """Score each region under each motif, on both strands.

    A window is scored by its log-odds in bits: log2 of its probability under the motif over that under the background.
    Windows with an N never score. With the default, fixed background the numbers of a region depend on nothing but
    its sequence: not on the other regions, their order or number, nor on threads.

    Parameters
    ----------
    mdata
        Regions with sequences.
    motifs
        Motifs, or a file of them in MEME or JASPAR format; None for those that the shipped weights were trained with
        (857 human JASPAR CORE profiles).
    score
        - ``"max"``: highest log-odds over positions and strands. A region without any window free of N, because it is
          shorter than the motif or unknown, gets the lowest score that the motif can have.
        - ``"count"``: number of hits, windows whose p-value is at most `pvalue`. Each strand counts, so a palindromic
          site counts twice.
        - ``"sum"``: sum of the log-odds of the hits.
    pvalue
        Of a hit, for ``"count"`` and ``"sum"``: the probability that a random window scores at least as high. It is
        exact for log-odds rounded, base by base, to 1/1024 bit, and those are the scores of the windows, too. A motif
        that cannot reach it, being too short, has no hit.
    background
        Probabilities of A, C, G and T; None for 0.25 each; ``"regions"`` for those of all regions, which makes the
        numbers depend on the regions at hand. Averaged with its complement when both strands are scored.
    strands
        ``"both"`` or ``"forward"``.
    pseudocount
        Sites added to each position of a motif, shared out by the background.
    sparse
        Whether the matrix is CSR; None for CSR with ``"count"`` and ``"sum"``, dense with ``"max"``.
    n_threads
        Threads; None for one per available core.
    copy
        Whether to leave `mdata` alone and return a changed copy.

    Returns
    -------
    None, or the copy. Replaces the modality ``tf``:

    - ``mdata["tf"].X``: float32 ``(regions, TFs)``; ``var_names`` are the TFs (the second motif of a TF and later ones
      are ``<TF>_<motif_id>``).
    - ``mdata["tf"].var["motif_id"]``, ``["family"]``.
    - ``mdata["tf"].varm["motif"]``: float32 ``(TFs, longest motif, 4)``, log-odds in bits, 0 behind shorter motifs.
    - ``mdata.uns["genebert"]["scan_motifs"]["tf"]``: the parameters.

    Raises
    ------
    KeyError
        When there are no sequences.
    ValueError
        When an argument is out of range, no motif is given, or a motif file cannot be read.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.pp.scan_motifs(mdata, score="count", pvalue=1e-5)
    >>> mdata["tf"].shape
    (600, 857)
    """
    check_literal(score, Score, name="score")
    check_literal(strands, Strands, name="strands")
    check_range(pvalue, name="pvalue", low=0, high=1)
    check_range(pseudocount, name="pseudocount", low=0)
    if n_threads is not None:
        check_range(n_threads, name="n_threads", low=1, integer=True)
    codes = np.asarray(_keys.DNA_CODE.get(mdata))
    motifs = _load_motifs(motifs)
    bases = _background(background, codes, both_strands=strands == "both")
    sparse = score != "max" if sparse is None else sparse

    matrices = [_matrix(motif, background=bases, pseudocount=pseudocount) for motif in motifs]
    scores = scan_sequences(
        codes, matrices, background=bases, score=score, pvalue=pvalue, both_strands=strands == "both",
        as_sparse=sparse, n_threads=n_threads,
    )  # fmt: skip

    mdata = _mudata.writable(mdata, copy=copy)
    _mudata.put(mdata, **{_keys.TF: _modality(scores, motifs, matrices, mdata.obs_names)})
    params = {"score": score, "pvalue": pvalue, "background": bases, "strands": strands, "pseudocount": pseudocount}
    _keys.record(mdata, "scan_motifs", _keys.TF, params={**params, "sparse": sparse, "n_motifs": len(motifs)})
    return mdata if copy else None


def _load_motifs(motifs: Sequence[Motif] | str | os.PathLike[str] | None) -> Sequence[Motif]:
    if motifs is None:
        return default_motifs()
    if isinstance(motifs, (str, os.PathLike)):
        return read_motif_file(motifs)
    wrong = [type(motif).__name__ for motif in motifs if not isinstance(motif, Motif)]
    if wrong or len(motifs) == 0:
        found = f"a list that holds {wrong[0]}" if wrong else "an empty list"
        msg = f"Expected `motifs` to be a path or a list of motifs as gb.io.read_motifs returns it; found {found}."
        raise ValueError(msg)
    return motifs


def _background(
    background: Sequence[float] | Literal["regions"] | None, codes: np.ndarray, *, both_strands: bool
) -> np.ndarray:
    """Probabilities of A, C, G and T, float64 ``(4,)``."""
    if background is None:
        return np.full(N_BASES, 1 / N_BASES)
    if isinstance(background, str):
        check_literal(background, ("regions",), name="background")
        counts = np.bincount(codes.ravel(), minlength=N_BASES + 1)[:N_BASES] + 1.0  # no base has probability 0
        bases = counts / counts.sum()
        info(
            f"Background of the regions: {', '.join(f'{base} {p:.3f}' for base, p in zip('ACGT', bases, strict=True))}."
        )
    else:
        bases = np.asarray(background, dtype=np.float64)
        if bases.shape != (N_BASES,) or not np.isclose(bases.sum(), 1) or (bases <= 0).any():
            msg = f"Expected `background` to be 4 probabilities above 0 of A, C, G and T that sum to 1; found {background!r}."
            raise ValueError(msg)
    # What is A on one strand is T on the other.
    return (bases + bases[::-1]) / 2 if both_strands else bases


def _matrix(motif: Motif, *, background: np.ndarray, pseudocount: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        matrix = log_odds(motif, background=background, pseudocount=pseudocount)
    if not np.isfinite(matrix).all():
        msg = (
            f"Expected finite log-odds; motif {motif.motif_id} has a base with no site. Choose a `pseudocount` above 0."
        )
        raise ValueError(msg)
    return matrix


def _modality(
    scores: np.ndarray | sp.csr_matrix, motifs: Sequence[Motif], matrices: Sequence[np.ndarray], names: pd.Index
) -> AnnData:
    columns = {
        _keys.MOTIF_ID.key: [motif.motif_id for motif in motifs],
        _keys.FAMILY.key: pd.Categorical([motif.family for motif in motifs]),
    }
    var = pd.DataFrame(columns, index=tf_names(motifs))
    padded = np.zeros((len(motifs), max(map(len, motifs)), N_BASES), dtype=np.float32)
    for row, matrix in zip(padded, matrices, strict=True):
        row[: len(matrix)] = matrix
    return AnnData(scores, obs=pd.DataFrame(index=names), var=var, varm={_keys.MOTIF.key: padded})
