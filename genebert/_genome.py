"""The reference genome: bases at coordinates, from a FASTA file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from genebert._chromosomes import describe_styles, match_names
from genebert._dna import N, encode
from genebert._fasta import Fasta, FastaRecord, check_fasta
from genebert._logging import info
from genebert._validate import listed

__all__ = ["Genome", "check_genome"]

_SLICE = re.compile(r"^(?P<chrom>.+):(?P<first>\d+)-(?P<last>\d+)$")


class Genome:
    r"""Bases at coordinates, from a FASTA file that is plain or compressed with bgzip.

    The file is only read. It is indexed on first use: an index beside it (``.fai``, for bgzip also ``.gzi``) is used
    where it is not older than the file, else one is made in the user's cache folder. Records that are slices, named as
    ``samtools faidx`` names them (``chr2:10001-2333275``, 1-based and inclusive), answer for the coordinates that they
    cover. Chromosomes are found under the names of UCSC (``chr1``), Ensembl (``1``) or NCBI RefSeq (``NC_000001.11``),
    whichever the file uses.

    Parameters
    ----------
    path
        The FASTA file.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is empty, HTML, plain gzip or otherwise no FASTA.

    Examples
    --------
    >>> import tempfile, genebert as gb
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "tiny.fa"
    >>> _ = path.write_text(">chr1\nACGTnacgt\n")
    >>> genome = gb.Genome(path)
    >>> genome.fetch("chr1", 2, 6)
    array([2, 3, 4, 0], dtype=uint8)
    >>> genome.match(["1", "2"])
    {'1': 'chr1', '2': None}
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()
        check_fasta(self.path)
        self._opened: Fasta | None = None

    @cached_property
    def intervals(self) -> dict[str, list[tuple[int, int]]]:
        """Half-open intervals that the file covers, in order, by chromosome; neighbouring slices are joined."""
        return {chrom: _join([piece[:2] for piece in pieces]) for chrom, pieces in self._pieces.items()}

    @cached_property
    def chromosomes(self) -> dict[str, tuple[int, int]]:
        """First and last position that the file covers (half-open), by chromosome."""
        return {chrom: (intervals[0][0], intervals[-1][1]) for chrom, intervals in self.intervals.items()}

    def match(self, chroms: Iterable[str]) -> dict[str, str | None]:
        """Find the file's name of each chromosome, in whichever style it is asked for.

        Parameters
        ----------
        chroms
            Names of chromosomes; repeated ones count once.

        Returns
        -------
        The file's name by the name asked for; None where the file has no such chromosome. A line is logged when names
        had to be mapped from one style to another.
        """
        matches = match_names(map(str, chroms), self.intervals)
        if report := describe_styles(matches):
            info(report)
        return matches

    def interval(self, chrom: str, start: int, end: int) -> tuple[int, int] | None:
        """Return the covered interval that shares most positions with [`start`, `end`); None where none shares any."""
        name = self._name_of(chrom)
        if name is None:
            return None
        overlaps = [(min(end, last) - max(start, first), (first, last)) for first, last in self.intervals[name]]
        best, interval = max(overlaps)
        return interval if best > 0 else None

    def fetch(self, chrom: str, start: int, end: int) -> np.ndarray:
        """Bases of one region.

        Parameters
        ----------
        chrom
            Chromosome, in any style.
        start, end
            Coordinates, 0-based and half-open; they may lie outside the chromosome.

        Returns
        -------
        uint8 ``(end - start,)``: A C G T N = 0..4. Lower-case letters count, any other letter is N, and so is every
        position that the file does not cover.

        Raises
        ------
        KeyError
            When the file has no such chromosome.
        ValueError
            When `end` is before `start`.
        """
        start, end = int(start), int(end)
        if end < start:
            msg = f"Expected `end` not before `start`; found {chrom}:{start}-{end}."
            raise ValueError(msg)
        name = self._name_of(chrom)
        if name is None:
            msg = f"Expected a chromosome of {self.path.name} ({listed(self.intervals)}); found {chrom!r}."
            raise KeyError(msg)
        codes = np.full(end - start, N, dtype=np.uint8)
        for first, last, record in self._pieces[name]:
            low, high = max(start, first), min(end, last)
            if low < high:
                codes[low - start : high - start] = encode(self._fasta.read(record, low - first, high - first))
        return codes

    def codes(self, chrom: Sequence[str], start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Bases of many regions of one width, read in the order of the file.

        Parameters
        ----------
        chrom, start, end
            Coordinates ``(regions,)``, as in `fetch`.

        Returns
        -------
        uint8 ``(regions, width)``.
        """
        start, end = np.asarray(start, dtype=np.int64), np.asarray(end, dtype=np.int64)
        chrom = np.asarray(chrom, dtype=object)
        widths = np.unique(end - start)
        if len(widths) > 1:
            msg = f"Expected regions of one width; found widths from {widths[0]} to {widths[-1]} bp. Fetch them one by one."
            raise ValueError(msg)
        codes = np.full((len(chrom), widths[0] if len(widths) else 0), N, dtype=np.uint8)
        for row in np.lexsort((start, chrom.astype(str))):
            codes[row] = self.fetch(chrom[row], start[row], end[row])
        return codes

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def __enter__(self) -> Genome:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[Genome], tuple[str]]:
        return Genome, (str(self.path),)

    def __repr__(self) -> str:
        return f"Genome({str(self.path)!r})"

    @property
    def _fasta(self) -> Fasta:
        # A forked worker must not share the position in the file with its parent, so it opens its own.
        if self._opened is None or self._opened.pid != os.getpid():
            self._opened = Fasta(self.path)
        return self._opened

    @cached_property
    def _pieces(self) -> dict[str, list[tuple[int, int, str]]]:
        """(start, end, record) of each record, by chromosome."""
        pieces: dict[str, list[tuple[int, int, str]]] = {}
        for name, record in self._fasta.records.items():
            chrom, start = _place(name, record)
            pieces.setdefault(chrom, []).append((start, start + record.length, name))
        return {chrom: sorted(records) for chrom, records in pieces.items()}

    @cached_property
    def _names(self) -> dict[str, str | None]:
        return {}

    def _name_of(self, chrom: str) -> str | None:
        if chrom in self.intervals:
            return chrom
        if chrom not in self._names:
            self._names.update(match_names([chrom], self.intervals))
        return self._names[chrom]


def check_genome(genome: Genome | str | os.PathLike[str], *, or_path: bool = False) -> None:
    """Raise unless it is a Genome or, where that will do, a path."""
    if isinstance(genome, Genome) or (or_path and isinstance(genome, (str, os.PathLike))):
        return
    kinds = "a gb.Genome or the path of a FASTA file" if or_path else "a gb.Genome"
    msg = f"Expected `genome` to be {kinds}; found {type(genome).__name__}. Write gb.Genome(path)."
    raise TypeError(msg)


def _place(name: str, record: FastaRecord) -> tuple[str, int]:
    """Chromosome and start of a record; a slice may be shorter than its name says, where the chromosome ended."""
    found = _SLICE.match(name)
    if found is None:
        return name, 0
    first, last = int(found["first"]), int(found["last"])
    is_slice = first >= 1 and record.length <= last - first + 1
    return (found["chrom"], first - 1) if is_slice else (name, 0)


def _join(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
