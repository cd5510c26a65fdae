"""Regions from BED and narrowPeak."""

from __future__ import annotations

import os
from typing import Literal

import pandas as pd
from mudata import MuData

from genebert import _mudata
from genebert._keys import CHROM, END, START
from genebert._logging import info
from genebert._regions import format_names, region_table
from genebert._validate import check_literal, check_range, listed
from genebert.io._intervals import read_intervals, windows
from genebert.io._modalities import seq_modality

__all__ = ["read_regions"]

Duplicates = Literal["error", "drop"]


def read_regions(
    source: str | os.PathLike[str] | pd.DataFrame, *, width: int | None = None, duplicates: Duplicates = "error"
) -> MuData:
    r"""Read regions from a BED or narrowPeak file, plain or gzipped, or from a DataFrame.

    Coordinates are taken as they are: the genome that sequences are read from later must be of the same assembly. Names,
    scores and strands are not kept.

    Parameters
    ----------
    source
        Path of a file with three or more columns (a header and lines of ``track``, ``browser`` and ``#`` are skipped;
        ten columns are a narrowPeak), or a DataFrame, of polars too, with columns chrom, start and end (and ``peak`` or
        ``summit``, the offset of the summit from the start) or names such as ``chr1:100-300``.
    width
        Width in bp of windows to take instead, around the summit of a narrowPeak and else around the centre; a window
        that would begin before the chromosome is shifted to its start. None = regions as they are. Windows are regions of
        their own: :func:`genebert.io.to_anndata` finds no cells x peaks matrix of the peaks that they came from.
    duplicates
        What to do when a region occurs more than once: ``"error"``, refuse; or ``"drop"``, keep the first. A narrowPeak
        with several summits per peak repeats the peak; `width` tells them apart.

    Returns
    -------
    MuData with ``seq`` only: `.obs` chrom (category), start, end (int64), in the order of the file.

    Raises
    ------
    ValueError
        When a line is malformed (its number is named), a region is repeated, or there is none.

    Examples
    --------
    >>> import tempfile, genebert as gb
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "peaks.bed"
    >>> _ = path.write_text("chr1\t100\t300\nchr2\t50\t250\n")
    >>> gb.io.read_regions(path)["seq"].obs
                 chrom  start  end
    chr1:100-300  chr1    100  300
    chr2:50-250   chr2     50  250
    """
    check_literal(duplicates, Duplicates, name="duplicates")
    if width is not None:
        check_range(width, name="width", low=1, integer=True)
    table = read_intervals(source)
    if width is not None:
        table = windows(table, width)
    table = _unique(table, duplicates=duplicates)
    columns = (table[key].to_numpy() for key in (CHROM.key, START.key, END.key))
    return _mudata.build({START.modality: seq_modality(region_table(*columns))})


def _unique(table: pd.DataFrame, *, duplicates: Duplicates) -> pd.DataFrame:
    repeated = table.duplicated([CHROM.key, START.key, END.key])
    if not repeated.any():
        return table
    if duplicates == "error":
        names = format_names(*(table[key][repeated] for key in (CHROM.key, START.key, END.key))).unique()
        msg = (
            f"Expected each region once; {len(names)} occur more often: {listed(names)}. "
            'Keep the first of each with duplicates="drop".'
        )
        raise ValueError(msg)
    info(f"{repeated.sum()} repeated regions left out")
    return table[~repeated]
