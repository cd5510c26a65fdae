"""Where motifs match: positions, strands, scores and exact p-values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys
from genebert._chunks import Progress, load, row_chunks
from genebert._motifs import PSEUDOCOUNT, tf_names
from genebert._validate import listed
from genebert.pp._scan import Hits, Scanner
from genebert.pp._scan_inputs import Background, MotifSource, Plan, Strands, check_options, load_motifs, plan_scan

__all__ = ["motif_hits"]

STRANDS = ("+", "-")


def motif_hits(
    mdata: MuData,
    motifs: MotifSource = None,
    *,
    pvalue: float = 1e-4,
    background: Background = None,
    strands: Strands = "both",
    pseudocount: float = PSEUDOCOUNT,
    regions: Sequence[str] | None = None,
    n_threads: int | None = None,
) -> pd.DataFrame:
    """List the hits of motifs: windows that a random sequence scores as high as with a probability of at most `pvalue`.

    They are the hits that :func:`genebert.pp.scan_motifs` counts with ``score="count"``. The sequences are read in chunks;
    the table is in memory, about 40 bytes per hit. One motif has about ``2 * seq_length * pvalue`` of them per region by
    chance: choose motifs, `regions` or a smaller `pvalue` where there are many regions.

    Parameters
    ----------
    mdata
        Regions with sequences.
    motifs
        Motifs, or a file of them in MEME or JASPAR format; None for those that the shipped weights were trained with.
    pvalue
        Of a hit, at most. A motif that cannot reach it, being too short, has no hit.
    background
        Probabilities of A, C, G and T, as in `scan_motifs`. ``"regions"`` takes all regions, whichever are listed.
    strands
        ``"both"`` or ``"forward"``. A site that reads the same on both strands is listed twice, once for each.
    pseudocount
        Sites added to each position of a motif, shared out by the background.
    regions
        Names of the regions to list; None for all.
    n_threads
        Threads; None for one per available core.

    Returns
    -------
    One row per hit, sorted by region (in the order of `mdata`), start, motif (in the order given) and strand:

    - ``region``: category, name of the region.
    - ``chrom``: category; missing for regions without coordinates.
    - ``start``, ``end``: int64, 0-based and half-open, on the forward strand whichever strand matches: on the chromosome, or
      in the sequence for regions without coordinates.
    - ``strand``: category, ``+`` or ``-``.
    - ``tf``, ``motif_id``: category; ``tf`` is the name that a scan for the same motifs gives the column in ``mdata["tf"]``.
      With other motifs a TF that has several is told apart by ``motif_id``.
    - ``score``: float32, log-odds in bits, counted in steps of 1/1024 bit.
    - ``pvalue``: float64, probability that a random window scores at least as high.

    Raises
    ------
    KeyError
        When there are no sequences.
    ValueError
        When an argument is out of range, no motif is given, a motif file cannot be read, or `regions` has unknown names.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> motifs = [motif for motif in gb.io.read_motifs() if motif.tf == "RFX5"]
    >>> hits = gb.pp.motif_hits(mdata, motifs, pvalue=1e-6)
    >>> hits[["region", "start", "end", "strand"]].head(2)
                 region  start    end strand
    0  chr1:10000-10200  10140  10154      +
    1  chr1:10400-10600  10480  10494      +
    """
    check_options(pvalue=pvalue, strands=strands, pseudocount=pseudocount, n_threads=n_threads)
    codes = _keys.DNA_CODE.get(mdata)
    chosen = np.arange(mdata.n_obs) if regions is None else _rows_of(regions, mdata.obs_names)
    plan = plan_scan(load_motifs(motifs), codes, background=background, strands=strands, pseudocount=pseudocount)
    scanner = Scanner(
        plan.matrices, background=plan.background, score="count", pvalue=pvalue, both_strands=plan.both_strands,
        n_threads=n_threads,
    )  # fmt: skip
    first = _window_starts(mdata, seq_length=codes.shape[1])
    parts = []
    progress = Progress("Listing hits", len(chosen))
    for rows in list(row_chunks(len(chosen))) or [slice(0, 0)]:
        region = chosen[rows]
        hits = scanner.hits(load(codes, rows if regions is None else region))
        parts.append(_compact(hits._replace(region=region[hits.region]), scanner, first))
        progress.update(len(region))
    return _table({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, mdata, plan)


def _rows_of(regions: Sequence[str], names: pd.Index) -> np.ndarray:
    """Places of regions, in the order of `names`; int64."""
    wanted = pd.Index([regions] if isinstance(regions, str) else regions)
    if len(unknown := wanted[~wanted.isin(names)]):
        msg = (
            f"Expected `regions` to be names of regions; {len(unknown)} of {len(wanted)} are not in `mdata.obs_names`: "
            f"{listed(unknown)}. They look like {names[0]!r}."
        )
        raise ValueError(msg)
    return np.flatnonzero(names.isin(wanted))


def _window_starts(mdata: MuData, *, seq_length: int) -> np.ndarray:
    """Where the sequence of each region starts on its chromosome, 0 without coordinates; int64 ``(regions,)``."""
    if not _keys.START.has(mdata):
        return np.zeros(mdata.n_obs, dtype=np.int64)
    start = pd.to_numeric(pd.Series(np.asarray(_keys.START.get(mdata))))
    if _keys.SEQ_START.has(mdata):
        first = pd.to_numeric(pd.Series(np.asarray(_keys.SEQ_START.get(mdata))))
    else:  # sequences that came with their regions: gb.io.assemble pads them to one length on both sides
        first = start - (seq_length - (pd.to_numeric(pd.Series(np.asarray(_keys.END.get(mdata)))) - start)) // 2
    return first.where(start.notna(), 0).to_numpy(dtype=np.int64)


def _compact(hits: Hits, scanner: Scanner, first: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of hits in few bytes, for a table that may be long."""
    start = first[hits.region] + hits.position
    score, pvalue = scanner.describe(hits)
    return {
        "region": hits.region.astype(np.int32), "start": start, "motif": hits.motif.astype(np.int32),
        "strand": hits.is_reverse.astype(np.int8), "score": score, "pvalue": pvalue,
    }  # fmt: skip


def _table(columns: dict[str, np.ndarray], mdata: MuData, plan: Plan) -> pd.DataFrame:
    region, motif, start = columns["region"], columns["motif"], columns["start"]
    chrom = pd.Categorical(_keys.CHROM.get(mdata) if _keys.CHROM.has(mdata) else [None] * mdata.n_obs)
    id_of_motif, ids = pd.factorize(np.array([one.motif_id for one in plan.motifs], dtype=object))
    lengths = np.array([len(matrix) for matrix in plan.matrices])
    values = (
        pd.Categorical.from_codes(region, categories=mdata.obs_names),
        chrom[region],
        start,
        start + lengths[motif],
        pd.Categorical.from_codes(columns["strand"], categories=STRANDS),
        pd.Categorical.from_codes(motif, categories=tf_names(plan.motifs)),
        pd.Categorical.from_codes(id_of_motif[motif], categories=ids),
        columns["score"],
        columns["pvalue"],
    )
    return pd.DataFrame(dict(zip(_keys.HIT_COLUMNS, values, strict=True)))
