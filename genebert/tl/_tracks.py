"""Predictions as files that genome browsers read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys
from genebert._chunks import row_chunks
from genebert._genome import Genome
from genebert._validate import listed

__all__ = ["plan_track"]

BEDGRAPH, BIGWIG = (".bedgraph", ".bg", ".bed"), (".bw", ".bigwig")


def plan_track(mdata: MuData, path: str | os.PathLike[str], *, genome: Genome | None) -> Callable[[np.ndarray], None]:
    """Check that a track can be written, before anything is computed.

    Parameters
    ----------
    mdata
        Regions with coordinates.
    path
        Its ending tells the format.
    genome
        For the lengths of chromosomes in a bigWig; without one they end with their last region.

    Returns
    -------
    A function that writes values ``(regions,)``.

    Raises
    ------
    ImportError
        When pyBigWig is not installed.
    KeyError
        When regions have no coordinates.
    ValueError
        When the ending is another one, or regions overlap or, in a bigWig, lie beyond the genome.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*BEDGRAPH, *BIGWIG):
        msg = f"Expected `track` to end in {listed((*BEDGRAPH, *BIGWIG))}; found {path.name!r}. Rename it."
        raise ValueError(msg)
    places = _Places.of(mdata)
    if suffix in BEDGRAPH:
        _ends(places)
        return lambda values: _whole(path, lambda part: _write_bedgraph(places, values, part))
    try:
        import pyBigWig
    except ImportError as error:
        msg = 'Expected pyBigWig, which is not installed. Run: pip install "genebert[io]", or write a .bedgraph.'
        raise ImportError(msg) from error
    lengths = _lengths(places, genome)
    return lambda values: _whole(path, lambda part: _write_bigwig(pyBigWig, places, values, lengths, part))


class _Places(NamedTuple):
    """Coordinates of regions, sorted chromosome by chromosome when they are asked for."""

    chroms: pd.Categorical
    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, mdata: MuData) -> _Places:
        start, end = (np.asarray(slot.get(mdata)) for slot in (_keys.START, _keys.END))
        return cls(pd.Categorical(_keys.CHROM.get(mdata)), start, end)

    def sorted(self) -> Iterator[tuple[str, np.ndarray]]:
        """Name of each chromosome, and its regions, int64, by start and end."""
        for number in np.argsort(self.chroms.categories.astype(str), kind="stable"):
            rows = np.flatnonzero(self.chroms.codes == number)
            if len(rows):
                yield str(self.chroms.categories[number]), rows[np.lexsort((self.end[rows], self.start[rows]))]


def _ends(places: _Places) -> dict[str, int]:
    """End of the last region of each chromosome; raise where regions overlap."""
    ends, n_overlaps, example = {}, 0, ""
    for chrom, rows in places.sorted():
        overlap = rows[1:][places.start[rows][1:] < places.end[rows][:-1]]
        if len(overlap) and not n_overlaps:
            example = f"{chrom}:{places.start[overlap[0]]}-{places.end[overlap[0]]}"
        n_overlaps += len(overlap)
        ends[chrom] = int(places.end[rows].max())
    if n_overlaps:
        msg = (
            f"Expected regions that do not overlap, as a track needs; found {n_overlaps} that do, such as {example}. Tile with "
            "`step` as wide as the tiles, or leave out `track`: probabilities lie in mdata.obsm."
        )
        raise ValueError(msg)
    return ends


def _lengths(places: _Places, genome: Genome | None) -> dict[str, int]:
    """Length of each chromosome."""
    ends = _ends(places)
    if genome is None:
        return ends
    names = genome.match(ends)
    lengths = {chrom: genome.chromosomes[name][1] if name is not None else 0 for chrom, name in names.items()}
    if beyond := [f"{chrom} ({end})" for chrom, end in ends.items() if end > lengths[chrom]]:
        msg = f"Expected regions within the genome; found ends beyond it on {listed(beyond)}. Give the genome of the regions."
        raise ValueError(msg)
    return {chrom: int(lengths[chrom]) for chrom in ends}


def _whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write under a temporary name until it is complete."""
    scratch = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _chunks(places: _Places) -> Iterator[tuple[str, np.ndarray]]:
    """Regions in order, some at a time."""
    for chrom, rows in places.sorted():
        for part in row_chunks(len(rows)):
            yield chrom, rows[part]


def _write_bedgraph(places: _Places, values: np.ndarray, path: Path) -> None:
    """What could not be predicted is left out."""
    with path.open("w", newline="") as file:
        for chrom, rows in _chunks(places):
            rows = rows[np.isfinite(values[rows])]
            table = pd.DataFrame({"start": places.start[rows], "end": places.end[rows], "value": values[rows]})
            table.insert(0, "chrom", chrom)
            table.to_csv(file, sep="\t", header=False, index=False, float_format="%.5g", lineterminator="\n")


def _write_bigwig(library: Any, places: _Places, values: np.ndarray, lengths: dict[str, int], path: Path) -> None:
    """What could not be predicted is left out."""
    with library.open(str(path), "w") as file:
        file.addHeader(list(lengths.items()))
        for chrom, rows in _chunks(places):
            rows = rows[np.isfinite(values[rows])]
            if len(rows):
                start, end = (part[rows].astype(np.int64).tolist() for part in (places.start, places.end))
                file.addEntries([chrom] * len(start), start, ends=end, values=values[rows].tolist())
