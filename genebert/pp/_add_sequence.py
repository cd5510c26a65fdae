"""The bases of each region, from a genome."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys, _mudata
from genebert._dna import N, gc_content
from genebert._genome import Genome
from genebert._logging import info, warn
from genebert._validate import check_literal, check_range, listed

__all__ = ["add_sequence"]

Edge = Literal["pad", "shift", "drop", "error"]
Missing = Literal["error", "drop"]

DEFAULT_LENGTH = 200  # bp, for regions of unequal width: what the shipped weights were trained on


class _Windows(NamedTuple):
    """What is read for each region; arrays ``(regions,)``."""

    chrom: np.ndarray
    start: np.ndarray
    is_past_edge: np.ndarray
    """Part of the window, or all of it, is not in the genome."""


def add_sequence(
    mdata: MuData,
    genome: Genome | str | os.PathLike[str],
    *,
    seq_length: int | None = None,
    edge: Edge = "pad",
    missing: Missing = "error",
    copy: bool = False,
) -> MuData | None:
    r"""Read the bases of a window of fixed length, centred on each region.

    A fixed length keeps the width of peaks, which differs with coverage, out of every score; the width is kept aside.

    Parameters
    ----------
    mdata
        Regions with coordinates.
    genome
        The genome, or the path of its FASTA file. Chromosomes may be named in another style (``chr1``, ``1``,
        ``NC_000001.11``); they are mapped and the mapping is logged.
    seq_length
        Length of the window in bp; None for the width of the regions where they are all alike, else 200, the length that
        the shipped weights were trained on.
    edge
        What to do with windows that reach past the end of a chromosome, or out of what the file covers:

        - ``"pad"``: read N there.
        - ``"shift"``: move the window inside; what still does not fit is N.
        - ``"drop"``: remove the region from all of `mdata`.
        - ``"error"``: refuse, listing them.
    missing
        What to do with regions on chromosomes that the genome does not have: ``"error"`` or ``"drop"``.
    copy
        Whether to leave `mdata` alone and return a changed copy.

    Returns
    -------
    None, or the copy. Writes

    - ``mdata["seq"].obsm["dna_code"]``: uint8 ``(regions, seq_length)``, A C G T N = 0..4.
    - ``mdata["seq"].obs["gc"]``: float32, share of G and C among the known bases; ``["width"]``: int32, bp.
    - ``mdata.uns["genebert"]["add_sequence"]["dna_code"]``: the parameters and how many windows were at an edge,
      dropped or all N.

    Raises
    ------
    ValueError
        When regions have no coordinates, chromosomes are absent from the genome, windows reach past an edge with
        ``edge="error"``, no region would be left, or no window holds a known base.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "genome.fa"
    >>> _ = path.write_text("".join(f">{number}\n{'ACGTTGCA' * 30_000}\n" for number in range(1, 7)))
    >>> mdata = gb.datasets.toy()
    >>> gb.pp.add_sequence(mdata, path, seq_length=100)
    >>> mdata["seq"].obsm["dna_code"].shape
    (600, 100)
    """
    check_literal(edge, Edge, name="edge")
    check_literal(missing, Missing, name="missing")
    if seq_length is not None:
        check_range(seq_length, name="seq_length", low=1, integer=True)
    regions = _coordinates(mdata)
    seq_length = _choose_length(regions) if seq_length is None else int(seq_length)
    # A genome that the caller opened stays open.
    with nullcontext(genome) if isinstance(genome, Genome) else Genome(genome) as genome:
        in_genome = _find_chromosomes(regions, genome, missing=missing)
        found = regions[in_genome]
        windows = _place_windows(found, genome, seq_length=seq_length, shift=edge == "shift")
        _check_edge(found, windows, edge=edge)
        is_kept = ~windows.is_past_edge if edge == "drop" else np.ones(len(found), dtype=bool)
        start = windows.start[is_kept]
        codes = genome.codes(windows.chrom[is_kept], start, start + seq_length)
    n_unknown = _check_known(codes)
    mask = in_genome.copy()
    mask[in_genome] = is_kept
    counts = {
        "n_past_edge": int(windows.is_past_edge.sum()), "n_missing": int((~in_genome).sum()),
        "n_dropped": int((~mask).sum()), "n_unknown": n_unknown,
    }  # fmt: skip
    _report(counts, seq_length=seq_length, edge=edge)

    _report_stale(mdata, codes, mask)
    mdata = _mudata.writable(mdata, copy=copy)
    if not mask.all():
        _mudata.keep(mdata, mask)
    _keys.DNA_CODE.set(mdata, codes)
    _keys.GC.set(mdata, gc_content(codes))
    _keys.WIDTH.set(mdata, regions.width[mask].to_numpy(dtype=np.int32))
    params = {"genome": genome.path.name, "seq_length": seq_length, "edge": edge, "missing": missing, **counts}
    _keys.record(mdata, "add_sequence", _keys.DNA_CODE.key, params=params)
    return mdata if copy else None


def _coordinates(mdata: MuData) -> pd.DataFrame:
    slots = (_keys.CHROM, _keys.START, _keys.END)
    names = ("chrom", "start", "end")
    given = {name: slot.get(mdata) for name, slot in zip(names, slots, strict=True) if slot.has(mdata)}
    regions = pd.DataFrame(given, index=mdata.obs_names, columns=names)
    n_bare = int(regions.isna().any(axis=1).sum())
    if n_bare or len(regions) == 0:
        found = f"{n_bare} of {len(regions)} without" if n_bare else "no region"
        msg = (
            f"Expected regions with coordinates; found {found}. Read bare sequences with gb.io.read_sequences instead."
        )
        raise ValueError(msg)
    return regions.assign(width=regions["end"] - regions["start"])


def _choose_length(regions: pd.DataFrame) -> int:
    widths = regions["width"].unique()
    if len(widths) == 1:
        return int(widths[0])
    info(
        f"Regions are {widths.min()} to {widths.max()} bp wide: windows of {DEFAULT_LENGTH} bp. Choose with `seq_length`."
    )
    return DEFAULT_LENGTH


def _find_chromosomes(regions: pd.DataFrame, genome: Genome, *, missing: Missing) -> np.ndarray:
    """Whether the genome has the chromosome of each region, bool ``(regions,)``."""
    chrom = regions["chrom"].astype(str)
    matches = genome.match(chrom.unique())
    is_found = chrom.map({name: match is not None for name, match in matches.items()}).to_numpy(dtype=bool)
    absent = chrom[~is_found].value_counts()
    text = listed([f"{name} ({count} regions)" for name, count in absent.items()])
    if len(absent) and (missing == "error" or not is_found.any()):
        msg = (
            f"Expected chromosomes of {genome.path.name} ({listed(genome.intervals)}); it has none of {text}. "
            'Use the genome that the regions were called on, or missing="drop" to remove these regions.'
        )
        raise ValueError(msg)
    if len(absent):
        info(f"Dropped, not in {genome.path.name}: {text}.")
    return is_found


def _place_windows(regions: pd.DataFrame, genome: Genome, *, seq_length: int, shift: bool) -> _Windows:
    chrom = regions["chrom"].astype(str).to_numpy(dtype=object)
    start = ((regions["start"] + regions["end"]) // 2 - seq_length // 2).to_numpy(dtype=np.int64)
    is_past_edge = np.zeros(len(regions), dtype=bool)
    for row, name in enumerate(chrom):
        covered = genome.interval(name, start[row], start[row] + seq_length)
        low, high = covered or (0, 0)  # nothing of the window is covered
        is_past_edge[row] = start[row] < low or start[row] + seq_length > high
        if shift and covered and is_past_edge[row]:
            start[row] = max(low, min(start[row], high - seq_length))
    return _Windows(chrom, start, is_past_edge)


def _check_edge(regions: pd.DataFrame, windows: _Windows, *, edge: Edge) -> None:
    past = regions[windows.is_past_edge]
    if edge == "error" and len(past):
        msg = (
            f"Expected windows inside the chromosomes; {len(past)} of {len(regions)} reach past an end: "
            f'{listed(past.index)}. Choose edge="pad", "shift" or "drop".'
        )
        raise ValueError(msg)
    if edge == "drop" and len(past) == len(regions):
        msg = f"Expected windows inside the chromosomes; all {len(regions)} reach past an end. Is it the right genome?"
        raise ValueError(msg)


def _check_known(codes: np.ndarray) -> int:
    """Count sequences that are all N; refuse when all are."""
    n_unknown = int((codes == N).all(axis=1).sum())
    if n_unknown == len(codes):
        msg = f"Expected sequences with known bases; all {n_unknown} are N. Is it the right genome and assembly?"
        raise ValueError(msg)
    if n_unknown:
        warn(f"{n_unknown} of {len(codes)} sequences are all N. Remove them, or check the genome.", stacklevel=4)
    return n_unknown


def _report_stale(mdata: MuData, codes: np.ndarray, mask: np.ndarray) -> None:
    """Say that motif scores are those of the sequences before, where these were others."""
    if not (_keys.TF_SCORE.has(mdata) and _keys.DNA_CODE.has(mdata)):
        return
    if not np.array_equal(np.asarray(_keys.DNA_CODE.get(mdata))[mask], codes):
        info(f"{_keys.TF_SCORE.path} is still that of the earlier sequences. Run gb.pp.scan_motifs again.")


def _report(counts: dict[str, int], *, seq_length: int, edge: Edge) -> None:
    done = {"pad": "padded with N", "shift": "moved inside", "drop": "dropped", "error": "refused"}[edge]
    at_edge = f", {counts['n_past_edge']} past an edge {done}" if counts["n_past_edge"] else ""
    info(f"Sequences of {seq_length} bp{at_edge}.")
