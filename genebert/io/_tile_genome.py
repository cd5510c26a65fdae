"""Windows over a whole genome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from mudata import MuData

from genebert import _mudata
from genebert._dna import N
from genebert._genome import Genome, check_genome
from genebert._keys import CHROM, END, START, record
from genebert._logging import info
from genebert._regions import region_table
from genebert._validate import check_range, listed
from genebert.io._intervals import Source, merge, overlap, read_others
from genebert.io._modalities import seq_modality

__all__ = ["tile_genome"]

BLOCK = 2**22  # bases read at once


def tile_genome(
    genome: Genome,
    *,
    width: int = 200,
    step: int | None = None,
    chromosomes: Sequence[str] | None = None,
    max_n: float = 0.1,
    blacklist: Source | Sequence[Source] | None = None,
) -> MuData:
    """Cut a genome into windows.

    Windows start at multiples of `step` on the chromosome, so a FASTA that holds only slices of it gives the same windows
    as the whole. What is left over at an end is left out.

    Parameters
    ----------
    genome
        The genome; what its file does not cover has no windows.
    width
        Width of a window in bp.
    step
        Distance in bp between the starts of neighbours; None = `width`, so that they touch.
    chromosomes
        Which chromosomes, in any style; None = all of the file, also unplaced contigs.
    max_n
        Leave out windows with a larger share of unknown bases (N).
    blacklist
        Path of a BED file, DataFrame or MuData, or a list of them: windows that share a base with one are left out. It
        must be of the same assembly.

    Returns
    -------
    MuData with ``seq`` only: `.obs` chrom (category), start, end (int64), in the order of the file.

    Raises
    ------
    TypeError
        When `genome` is no Genome.
    ValueError
        When an option is out of range, a chromosome is missing, all are shorter than `width`, or no window is left.

    Examples
    --------
    >>> import tempfile, genebert as gb
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "tiny.fa"
    >>> _ = path.write_text(">chr1" + chr(10) + "ACGT" * 20 + "N" * 40)
    >>> gb.io.tile_genome(gb.Genome(path), width=30)["seq"].obs_names.tolist()
    ['chr1:0-30', 'chr1:30-60']
    """
    step = width if step is None else step
    check_genome(genome)
    check_range(width, name="width", low=1, integer=True)
    check_range(step, name="step", low=1, integer=True)
    check_range(max_n, name="max_n", low=0, high=1)
    chroms = _chromosomes(genome, chromosomes)
    _check_room(genome, chroms, width=width)
    avoided = read_others(blacklist, chroms, what="blacklist", stacklevel=4)
    found = {}
    n_unknown = n_avoided = 0
    for chrom in chroms:
        on_chrom = avoided[avoided[CHROM.key] == chrom]
        others = merge(on_chrom[START.key].to_numpy(), on_chrom[END.key].to_numpy())
        kept = [np.zeros(0, dtype=np.int64)]
        for start, share in _windows(genome, chrom, width=width, step=step, reads=max_n < 1):
            is_known = share <= max_n
            is_avoided = overlap(start, start + width, others=others)
            n_unknown += int((~is_known).sum())
            n_avoided += int((is_known & is_avoided).sum())
            kept.append(start[is_known & ~is_avoided])
        found[chrom] = np.concatenate(kept)
    starts = np.concatenate(list(found.values()))
    table = region_table(np.repeat(list(found), [len(start) for start in found.values()]), starts, starts + width)
    mdata = _mudata.build({START.modality: seq_modality(table)})
    params = {"width": width, "step": step, "chromosomes": chroms, "max_n": max_n}
    record(mdata, "tile_genome", START.modality, params=params)
    info(f"{len(table)} windows; left out: {n_unknown} with unknown bases, {n_avoided} in the blacklist")
    return mdata


def _check_room(genome: Genome, chroms: list[str], *, width: int) -> None:
    """Raise where all of these chromosomes are shorter than a window."""
    longest = max((last - first for chrom in chroms for first, last in genome.intervals[chrom]), default=0)
    if longest < width:
        msg = (
            f"Expected a chromosome at least as long as `width`, {width} bp; the longest of {genome.path.name} "
            f"({listed(chroms)}) has {longest} bp. Choose a smaller `width`."
        )
        raise ValueError(msg)


def _chromosomes(genome: Genome, chromosomes: Sequence[str] | None) -> list[str]:
    if chromosomes is None:
        return list(genome.intervals)
    if isinstance(chromosomes, str):
        msg = f"Expected `chromosomes` to be a list; found {chromosomes!r}. Write [{chromosomes!r}]."
        raise ValueError(msg)
    matches = genome.match(chromosomes)
    if absent := [chrom for chrom, match in matches.items() if match is None]:
        msg = f"Expected chromosomes of {genome.path.name} ({listed(genome.intervals)}); found {listed(absent)}."
        raise ValueError(msg)
    return list(dict.fromkeys(matches.values()))


def _windows(
    genome: Genome, chrom: str, *, width: int, step: int, reads: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Starts of windows and their shares of N, block by block; the shares are 0 unless the genome is to be read."""
    for first, last in genome.intervals[chrom]:
        starts = np.arange(-(-first // step) * step, last - width + 1, step, dtype=np.int64)
        n_windows = max(1, BLOCK // step)
        for place in range(0, len(starts), n_windows):
            start = starts[place : place + n_windows]
            yield start, _shares_of_n(genome, chrom, start, width) if reads else np.zeros(len(start))


def _shares_of_n(genome: Genome, chrom: str, start: np.ndarray, width: int) -> np.ndarray:
    codes = genome.fetch(chrom, start[0], start[-1] + width)
    n_before = np.r_[np.int64(0), np.cumsum(codes == N)]
    first = start - start[0]
    return (n_before[first + width] - n_before[first]) / width
