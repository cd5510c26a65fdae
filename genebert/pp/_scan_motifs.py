"""Motif scores of all regions: the TF x regions matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse as sp

from genebert import _keys, _mudata, _store
from genebert._chunks import Progress, load, row_chunks
from genebert._dna import N_BASES
from genebert._logging import info
from genebert._motifs import PSEUDOCOUNT, Motif, tf_names
from genebert._validate import check_literal, check_range
from genebert.pp._archetypes import Order, arrange
from genebert.pp._scan import Scanner, Score
from genebert.pp._scan_inputs import Background, MotifSource, Plan, Strands, check_options, load_motifs, plan_scan
from genebert.pp._scan_tables import MotifGroup, TableEngine

__all__ = ["scan_motifs"]

QUIET_PAIRS = 5_000_000  # (sequence, motif) pairs below which a scan takes a moment and needs no report


def scan_motifs(
    mdata: MuData,
    motifs: MotifSource = None,
    *,
    score: Score = "max",
    pvalue: float = 1e-4,
    background: Background = None,
    strands: Strands = "both",
    pseudocount: float = PSEUDOCOUNT,
    order: Order = "given",
    archetypes: float | None = None,
    sparse: bool | None = None,
    device: str = "auto",
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
        (857 human profiles of JASPAR 2026 CORE).
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
    order
        Of the columns: ``"given"``, or ``"similarity"``, which puts similar motifs beside each other (hierarchical
        clustering, leaves in optimal order; Bar-Joseph et al. 2001).
    archetypes
        Similarity in (0, 1] from which on motifs are taken together; None to scan each. Databases hold the same motif under
        the names of many factors: of 857 default motifs 465 archetypes (Vierstra et al. 2020) are left at 0.9, and 295 at
        0.7. One member stands for all, the one that is most similar to the others, and gives the column its name. Two
        motifs are compared in their best alignment, on either strand: the correlation of columns (Pietrokovski 1996),
        weighted by what they say, which is 1 where both motifs say the same.
    sparse
        Whether the matrix is CSR; None for CSR with ``"count"`` and ``"sum"``, dense with ``"max"``.
    device
        ``"auto"`` and ``"cpu"`` for look-up tables on the CPU; a device of torch, such as ``"cuda"``, for a convolution
        there. The numbers are the same.
    n_threads
        Threads of the CPU; None for one per available core.
    copy
        Whether to leave `mdata` alone and return a changed copy.

    Returns
    -------
    None, or the copy. Replaces the modality ``tf``:

    - ``mdata["tf"].X``: float32 ``(regions, TFs)``; ``var_names`` are the TFs (the second motif of a TF and later ones
      are ``<TF>_<motif_id>``).
    - ``mdata["tf"].var["motif_id"]``, ``["family"]``; with `archetypes` ``["members"]``, the identifiers of all motifs that
      a column stands for, joined by commas.
    - ``mdata["tf"].varm["motif"]``: float32 ``(TFs, longest motif, 4)``, log-odds in bits, 0 behind shorter motifs.
    - ``mdata.uns["genebert"]["scan_motifs"]["tf"]``: the parameters.

    Raises
    ------
    KeyError
        When there are no sequences.
    TypeError
        When `motifs` is one motif.
    ValueError
        When an argument is out of range, no motif is given, a motif file cannot be read, or there is no such device.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.pp.scan_motifs(mdata, score="count", pvalue=1e-5)
    >>> mdata["tf"].shape
    (600, 857)
    """
    check_literal(score, Score, name="score")
    check_options(pvalue=pvalue, strands=strands, pseudocount=pseudocount, n_threads=n_threads)
    check_literal(order, Order, name="order")
    if archetypes is not None:
        check_range(archetypes, name="archetypes", above=0, high=1)
    codes = _keys.DNA_CODE.get(mdata)
    motifs = [replace(motif) for motif in load_motifs(motifs)]  # an object for each, also where one was given twice
    names = dict(zip(motifs, tf_names(motifs), strict=True))  # before they are sorted: a TF has one name in any order
    motifs, members = arrange(motifs, order=order, archetypes=archetypes)
    plan = plan_scan(motifs, codes, background=background, strands=strands, pseudocount=pseudocount)
    scanner = Scanner(
        plan.matrices, background=plan.background, score=score, pvalue=pvalue, both_strands=plan.both_strands,
        n_threads=n_threads, engine=_engine(device),
    )  # fmt: skip
    sparse = score != "max" if sparse is None else sparse

    mdata = _mudata.writable(mdata, copy=copy)
    scores = _scan(mdata, scanner, codes, as_sparse=sparse, device=device)
    _mudata.put(mdata, **{_keys.TF: _modality(plan, [names[motif] for motif in motifs], members, mdata.obs_names)})
    _keys.TF_SCORE.set(mdata, scores)
    params = {"score": score, "pvalue": pvalue, "background": plan.background, "strands": strands}
    params |= {"pseudocount": pseudocount, "order": order, "archetypes": archetypes}
    params |= {"sparse": sparse, "n_motifs": len(motifs)}
    _keys.record(mdata, "scan_motifs", _keys.TF, params=params)
    return mdata if copy else None


def _engine(device: str) -> Callable[..., Any]:
    """What scans on a device."""
    if device in {"auto", "cpu"}:
        return TableEngine
    from genebert.nn import MotifConvolution  # brings torch, which no other preprocessing needs

    def convolve(groups: Sequence[MotifGroup], *, is_for_hits: bool) -> MotifConvolution:
        return MotifConvolution(
            [group.losses for group in groups], [group.max_losses for group in groups], device=device
        )

    return convolve


def _scan(mdata: MuData, scanner: Scanner, codes: Any, *, as_sparse: bool, device: str) -> Any:
    """Score chunk after chunk, into memory or into the store that `mdata` lives in."""
    n_regions, n_motifs = codes.shape[0], scanner.n_motifs
    scores = _store.empty_csr(mdata, n_motifs) if as_sparse else _store.empty(mdata, (n_regions, n_motifs), np.float32)
    progress = Progress("Scanning motifs", n_regions, device="cpu" if device == "auto" else device)
    for rows in row_chunks(n_regions):
        part = scanner(load(codes, rows))
        if as_sparse:
            scores.append(sp.csr_matrix(part))
        else:
            scores[rows] = part
        progress.update(len(part))
    if n_regions * n_motifs >= QUIET_PAIRS:
        info(
            f"Scanned {n_regions} regions for {n_motifs} motifs in {progress.seconds:.1f} s "
            f"({progress.speed:.0f} regions/s)."
        )
    return scores.finished() if as_sparse else scores


def _modality(plan: Plan, tfs: list[str], members: list[list[Motif]] | None, regions: pd.Index) -> AnnData:
    """The modality without its matrix."""
    columns = {
        _keys.MOTIF_ID.key: [motif.motif_id for motif in plan.motifs],
        _keys.FAMILY.key: pd.Categorical([motif.family for motif in plan.motifs]),
    }
    if members is not None:
        columns[_keys.MEMBERS.key] = [",".join(motif.motif_id for motif in group) for group in members]
    var = pd.DataFrame(columns, index=tfs)
    padded = np.zeros((len(var), max(map(len, plan.matrices)), N_BASES), dtype=np.float32)
    for row, matrix in zip(padded, plan.matrices, strict=True):
        row[: len(matrix)] = matrix
    return AnnData(obs=pd.DataFrame(index=regions), var=var, varm={_keys.MOTIF.key: padded})
