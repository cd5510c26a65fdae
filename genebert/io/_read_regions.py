"""Regions from BED and narrowPeak."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _mudata
from genebert._files import open_text
from genebert._keys import CHROM, END, START
from genebert._logging import info
from genebert._regions import region_table
from genebert._validate import check_literal, check_range
from genebert.io._coordinates import regions_of
from genebert.io._modalities import seq_modality

__all__ = ["read_regions"]

Duplicates = Literal["error", "drop"]
SKIPPED = ("#", "track", "browser")
SUMMIT = "summit"
N_NARROWPEAK_COLUMNS = 10


def read_regions(
    source: str | os.PathLike[str] | pd.DataFrame, *, width: int | None = None, duplicates: Duplicates = "error"
) -> MuData:
    r"""Read regions from a BED or narrowPeak file, plain or gzipped, or from a DataFrame.

    Parameters
    ----------
    source
        Path of a file with three or more columns (a header and lines of ``track``, ``browser`` and ``#`` are skipped;
        ten columns are a narrowPeak), or a DataFrame with columns chrom, start and end.
    width
        Width in bp of windows to take instead, around the summit of a narrowPeak and else around the centre; a window
        that would begin before the chromosome is shifted to its start. None = regions as they are.
    duplicates
        What to do when a region occurs more than once: raise, or keep the first. A narrowPeak with several summits per
        peak repeats the peak; `width` tells them apart.

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
    table = regions_of(source) if isinstance(source, pd.DataFrame) else _read_bed(Path(source))
    if width is not None:
        table = _windows(table, width)
    if duplicates == "drop":
        table = _first_of_each(table)
    columns = (table[key].to_numpy() for key in (CHROM.key, START.key, END.key))
    return _mudata.build({START.modality: seq_modality(region_table(*columns))})


def _read_bed(path: Path) -> pd.DataFrame:
    rows, may_be_header = [], True
    with open_text(path) as handle:
        for number, line in enumerate(handle, start=1):
            text = line.rstrip("\r\n")
            if not text.strip() or text.startswith(SKIPPED):
                continue
            fields = text.split("\t") if "\t" in text else text.split()
            if len(fields) >= 3 and fields[1].isdigit() and fields[2].isdigit():
                rows.append((fields[0], int(fields[1]), int(fields[2]), _summit(fields)))
            elif not may_be_header or any(field[:1].isdigit() for field in fields[1:3]):
                _refuse_line(path, number, text)
            may_be_header = False
    return pd.DataFrame(rows, columns=[CHROM.key, START.key, END.key, SUMMIT])


def _summit(fields: list[str]) -> int:
    """Offset of the summit from the start; -1 where there is none."""
    is_summit = len(fields) == N_NARROWPEAK_COLUMNS and fields[9].isdigit()
    return int(fields[9]) if is_summit else -1


def _windows(table: pd.DataFrame, width: int) -> pd.DataFrame:
    start, end = table[START.key].to_numpy(), table[END.key].to_numpy()
    centre = (start + end) // 2
    if SUMMIT in table:
        summit = table[SUMMIT].to_numpy()
        centre = np.where(summit >= 0, start + summit, centre)
    first = centre - width // 2
    if n_shifted := int((first < 0).sum()):
        info(f"{n_shifted} windows shifted to the start of their chromosome")
    first = np.maximum(first, 0)
    return pd.DataFrame({CHROM.key: table[CHROM.key].to_numpy(), START.key: first, END.key: first + width})


def _first_of_each(table: pd.DataFrame) -> pd.DataFrame:
    repeated = table.duplicated([CHROM.key, START.key, END.key])
    if repeated.any():
        info(f"{repeated.sum()} repeated regions left out")
    return table[~repeated]


def _refuse_line(path: Path, number: int, text: str) -> NoReturn:
    msg = (
        f"Expected a chromosome, a start and an end (whole numbers) in each line of a BED file; line {number} of {path} "
        f"is {text[:60]!r}. Correct the line, or put '#' before it."
    )
    raise ValueError(msg)
