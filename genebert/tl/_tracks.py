"""Predictions as files that genome browsers read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys
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
        When the ending is another one, or regions of a bigWig overlap or lie beyond the genome.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*BEDGRAPH, *BIGWIG):
        msg = f"Expected `track` to end in {listed((*BEDGRAPH, *BIGWIG))}; found {path.name!r}. Rename it."
        raise ValueError(msg)
    table = pd.DataFrame(
        {
            "chrom": np.asarray(_keys.CHROM.get(mdata)).astype(str),
            "start": np.asarray(_keys.START.get(mdata)),
            "end": np.asarray(_keys.END.get(mdata)),
        }
    )
    order = table.sort_values(["chrom", "start", "end"], kind="stable").index.to_numpy()
    table = table.iloc[order]
    if suffix in BEDGRAPH:
        return lambda values: _whole(path, lambda part: _write_bedgraph(table, values[order], part))
    try:
        import pyBigWig
    except ImportError as error:
        msg = 'Expected pyBigWig, which is not installed. Run: pip install "genebert[io]", or write a .bedgraph.'
        raise ImportError(msg) from error
    lengths = _lengths(table, genome)
    return lambda values: _whole(path, lambda part: _write_bigwig(pyBigWig, table, values[order], lengths, part))


def _lengths(table: pd.DataFrame, genome: Genome | None) -> dict[str, int]:
    """Length of each chromosome."""
    same = (table["chrom"] == table["chrom"].shift()).to_numpy()
    overlap = same & (table["start"] < table["end"].shift()).to_numpy()
    if overlap.any():
        row = table.iloc[int(np.argmax(overlap))]
        msg = (
            f"Expected regions that do not overlap, as a bigWig needs; found {int(overlap.sum())} that do, such as "
            f"{row['chrom']}:{row['start']}-{row['end']}. Tile with `step` as wide as the tiles, or write a .bedgraph."
        )
        raise ValueError(msg)
    ends = table.groupby("chrom", sort=True)["end"].max()
    if genome is None:
        return {str(chrom): int(end) for chrom, end in ends.items()}
    names = genome.match(ends.index)
    lengths = {chrom: genome.chromosomes[name][1] if name is not None else 0 for chrom, name in names.items()}
    if beyond := [f"{chrom} ({end})" for chrom, end in ends.items() if end > lengths[chrom]]:
        msg = f"Expected regions within the genome; found ends beyond it on {listed(beyond)}. Give the genome of the regions."
        raise ValueError(msg)
    return {str(chrom): int(lengths[chrom]) for chrom in ends.index}


def _whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write under a temporary name until it is complete."""
    scratch = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _write_bedgraph(table: pd.DataFrame, values: np.ndarray, path: Path) -> None:
    table.assign(value=values).to_csv(path, sep="\t", header=False, index=False, float_format="%.5g")


def _write_bigwig(library: Any, table: pd.DataFrame, values: np.ndarray, lengths: dict[str, int], path: Path) -> None:
    """Chromosome by chromosome; what could not be predicted is left out."""
    chroms = table["chrom"].to_numpy()
    with library.open(str(path), "w") as file:
        file.addHeader(list(lengths.items()))
        for chrom in lengths:
            rows = (chroms == chrom) & np.isfinite(values)
            if rows.any():
                start, end = (table[name].to_numpy()[rows].astype(np.int64) for name in ("start", "end"))
                file.addEntries([chrom] * len(start), start.tolist(), ends=end.tolist(), values=values[rows].tolist())
