"""The bases of each region, from a genome."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys, _mudata, _store
from genebert._chunks import Progress, load, row_chunks
from genebert._dna import N, gc_content
from genebert._genome import Genome, check_genome
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
    is_outside: np.ndarray
    """All of it is not; told by where the window was before it was moved."""

    def subset(self, rows: slice | np.ndarray) -> _Windows:
        """Those of some regions."""
        return _Windows(*(column[rows] for column in self))


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
        - ``"shift"``: move the window inside, to the nearest place; what still does not fit is N.
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
    - ``mdata["seq"].obs["seq_start"]``: int64, where the window begins; ``["width"]``: int32, width of the region in bp.
    - ``mdata["seq"].obs["gc"]``: float32, share of G and C among the known bases.
    - ``mdata.uns["genebert"]["add_sequence"]["dna_code"]``: the parameters and how many windows were at an edge,
      wholly outside,
      dropped or all N.

    Raises
    ------
    TypeError
        When `genome` is neither a Genome nor a path.
    ValueError
        When regions have no coordinates, chromosomes are absent from the genome, windows reach past an edge with
        ``edge="error"``, no region would be left, no window holds a known base, or regions would be dropped from a store.

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
    check_genome(genome, or_path=True)
    check_literal(edge, Edge, name="edge")
    check_literal(missing, Missing, name="missing")
    if seq_length is not None:
        check_range(seq_length, name="seq_length", low=1, integer=True)
    regions = _coordinates(mdata)
    seq_length = _choose_length(regions) if seq_length is None else int(seq_length)
    # A genome that the caller opened stays open.
    with nullcontext(genome) if isinstance(genome, Genome) else Genome(genome) as genome:
        chrom = _names_in_genome(regions, genome, missing=missing)
        in_genome = chrom.notna().to_numpy()
        windows = _place_windows(
            regions[in_genome], chrom[in_genome], genome, seq_length=seq_length, shift=edge == "shift"
        )
        _check_edge(regions[in_genome], windows, edge=edge)
        mask = in_genome.copy()
        if edge == "drop":
            mask[in_genome] = ~windows.is_past_edge
        if not mask.all() and not copy:
            _mudata.check_in_memory(mdata, n_removed=int((~mask).sum()))
        kept = windows.subset(mask[in_genome])
        codes = _store.empty(mdata, (mask.sum(), seq_length), np.uint8, copy=copy)
        before = _keys.DNA_CODE.get(mdata) if _keys.TF_SCORE.has(mdata) and _keys.DNA_CODE.has(mdata) else None
        gc, n_unknown, is_new = _read(kept, genome, codes, before=before, kept=np.flatnonzero(mask))
    _check_known(n_unknown, len(gc))
    counts = {
        "n_past_edge": int(windows.is_past_edge.sum()), "n_outside": int(windows.is_outside.sum()), "n_missing": int((~in_genome).sum()),
        "n_dropped": int((~mask).sum()), "n_unknown": n_unknown,
    }  # fmt: skip
    _report(counts, seq_length=seq_length, edge=edge)
    if before is not None and is_new:
        info(f"{_keys.TF_SCORE.path} is still that of the earlier sequences. Run gb.pp.scan_motifs again.")

    mdata = _mudata.writable(mdata, copy=copy)
    if not mask.all():
        _mudata.keep(mdata, mask)
    _keys.DNA_CODE.set(mdata, codes)
    _keys.SEQ_START.set(mdata, kept.start)
    _keys.GC.set(mdata, gc)
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


def _names_in_genome(regions: pd.DataFrame, genome: Genome, *, missing: Missing) -> pd.Series:
    """Name, in the genome, of the chromosome of each region; missing where it has none."""
    chrom = regions["chrom"].astype(str)
    names = chrom.map(genome.match(chrom.unique()))
    is_found = names.notna()
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
    return names


def _place_windows(
    regions: pd.DataFrame, chrom: pd.Series, genome: Genome, *, seq_length: int, shift: bool
) -> _Windows:
    start = ((regions["start"] + regions["end"]) // 2 - seq_length // 2).to_numpy(dtype=np.int64)
    low, high = np.empty(len(start), dtype=np.int64), np.empty(len(start), dtype=np.int64)
    for name, rows in chrom.groupby(chrom).indices.items():
        low[rows], high[rows] = _covered(genome.intervals[name], start[rows], seq_length)
    is_past_edge = (start < low) | (start + seq_length > high)
    is_outside = (start + seq_length <= low) | (start >= high)
    if shift:
        start = np.maximum(low, np.minimum(start, high - seq_length))
    return _Windows(chrom.to_numpy(dtype=object), start, is_past_edge, is_outside)


def _covered(intervals: Sequence[tuple[int, int]], start: np.ndarray, seq_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a chromosome that shares most positions with each window, else the nearest: its start and end."""
    most, low, high = (np.zeros(len(start), dtype=np.int64) for _ in range(3))
    most[:] = np.iinfo(np.int64).min
    for first, last in intervals:
        shared = np.minimum(start + seq_length, last) - np.maximum(start, first)  # below 0: the distance
        is_best = shared > most
        most[is_best], low[is_best], high[is_best] = shared[is_best], first, last
    return low, high


def _read(
    windows: _Windows, genome: Genome, codes: np.ndarray | _store.Scratch, *, before: Any, kept: np.ndarray
) -> tuple[np.ndarray, int, bool]:
    """Fill `codes` chunk by chunk.

    Returns
    -------
    GC content, float32 ``(regions,)``; how many sequences are all N; whether any differs from that in the rows `kept` of
    `before`, codes or None.
    """
    n_regions, seq_length = codes.shape
    gc, n_unknown, is_new = np.empty(n_regions, dtype=np.float32), 0, before is None
    progress = Progress("reading sequences", n_regions)
    for rows in row_chunks(n_regions):
        part = windows.subset(rows)
        bases = genome.codes(part.chrom, part.start, part.start + seq_length)
        codes[rows], gc[rows] = bases, gc_content(bases)
        n_unknown += int((bases == N).all(axis=1).sum())
        is_new = is_new or not np.array_equal(load(before, kept[rows]), bases)
        progress.update(len(bases))
    return gc, n_unknown, is_new


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


def _check_known(n_unknown: int, n_regions: int) -> None:
    """Warn of sequences that are all N; refuse when all are."""
    if n_unknown == n_regions:
        msg = f"Expected sequences with known bases; all {n_unknown} are N. Is it the right genome and assembly?"
        raise ValueError(msg)
    if n_unknown:
        warn(f"{n_unknown} of {n_regions} sequences are all N. Remove them, or check the genome.", stacklevel=4)


def _report(counts: dict[str, int], *, seq_length: int, edge: Edge) -> None:
    done = {"pad": "padded with N", "shift": "moved inside", "drop": "dropped", "error": "refused"}[edge]
    at_edge = f", {counts['n_past_edge']} past an edge {done}" if counts["n_past_edge"] else ""
    at_edge += f" ({counts['n_outside']} of them wholly outside)" if counts["n_outside"] else ""
    info(f"Sequences of {seq_length} bp{at_edge}.")
