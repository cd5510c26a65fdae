"""BED, narrowPeak and broadPeak files as tables of intervals."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from genebert._files import open_text
from genebert._keys import CHROM, END, START

__all__ = ["SCORE", "SUMMIT", "read_bed"]

SUMMIT = "summit"
SCORE = "score"

_SKIPPED = ("#", "track", "browser")
_SCORE_COLUMN, _SIGNAL_COLUMN, _PVALUE_COLUMN, _SUMMIT_COLUMN = _NUMBERS = 4, 6, 7, 9
_N_NARROWPEAK, _N_BROADPEAK = 10, 9  # columns


def read_bed(path: Path) -> pd.DataFrame:
    """Read a file with three or more columns, plain or gzipped; a header and lines of track, browser and # are skipped.

    Returns
    -------
    Table with

    - chrom (str), start, end (int64), as in the file; they may be malformed otherwise than by not being numbers.
    - summit (int64): offset from the start, -1 where there is none; ten columns are a narrowPeak.
    - score (float64): minus log10 of the p-value of a narrowPeak or broadPeak, where it has none its signal; else column 5;
      NaN where there is none.

    Raises
    ------
    ValueError
        When a line is malformed; its number is named.
    """
    rows, n_columns = _by_pandas(path) or _by_line(path)
    is_narrowpeak = n_columns == _N_NARROWPEAK
    is_broadpeak = (
        n_columns == _N_BROADPEAK and ".broadpeak" in path.name.lower()
    )  # else columns 7 and 8 are for drawing
    table = rows[[0, 1, 2]].set_axis([CHROM.key, START.key, END.key], axis=1)
    table[SUMMIT] = _summits(rows) if is_narrowpeak else -1
    table[SCORE] = _scores(rows, is_peak_file=is_narrowpeak or is_broadpeak)
    return table


def _by_pandas(path: Path) -> tuple[pd.DataFrame, int] | None:
    """Read a file whose lines are all alike, which is several times faster; with its number of columns. Else None."""
    n_skipped, n_columns = _look(path)
    if n_columns < 3:
        return None
    numbers = [column for column in _NUMBERS if column < n_columns]
    try:
        with open_text(path) as handle:
            rows = pd.read_csv(
                handle, sep="\t", header=None, names=range(n_columns), usecols=[0, 1, 2, *numbers], skiprows=n_skipped,
                dtype={0: str, 1: np.int64, 2: np.int64}, na_filter=False, quoting=csv.QUOTE_NONE,
            )  # fmt: skip
    except (ValueError, OverflowError):  # pandas' ParserError is a ValueError
        return None
    is_odd = (rows[1] < 0).any() or any(not chrom or chrom.startswith((*_SKIPPED, " ")) for chrom in rows[0].unique())
    return None if is_odd else (rows, n_columns)


def _look(path: Path) -> tuple[int, int]:
    """Lines before the first with coordinates, and its columns between tabs; 0 columns where it is not among the first."""
    with open_text(path) as handle:
        may_be_header = True
        for number, line in enumerate(handle):
            text = line.rstrip("\r\n")
            if not text.strip() or text.startswith(_SKIPPED):
                continue
            fields = text.split("\t")
            if len(fields) >= 3 and fields[1].isdigit() and fields[2].isdigit():
                return number, len(fields)
            if not may_be_header or any(field[:1].isdigit() for field in fields[1:3]):
                break
            may_be_header = False
    return 0, 0


def _by_line(path: Path) -> tuple[pd.DataFrame, int]:
    rows, may_be_header = [], True
    with open_text(path) as handle:
        for number, line in enumerate(handle, start=1):
            text = line.rstrip("\r\n")
            if not text.strip() or text.startswith(_SKIPPED):
                continue
            fields = text.split("\t") if "\t" in text else text.split()
            if len(fields) >= 3 and fields[1].isdigit() and fields[2].isdigit():
                rows.append(fields)
            elif not may_be_header or any(field[:1].isdigit() for field in fields[1:3]):
                _refuse_line(path, number, text)
            may_be_header = False
    table = pd.DataFrame(rows, dtype=object) if rows else pd.DataFrame(columns=range(3), dtype=object)
    return table.astype({1: np.int64, 2: np.int64}), table.shape[1]


def _summits(rows: pd.DataFrame) -> np.ndarray:
    offsets = pd.to_numeric(rows[_SUMMIT_COLUMN], errors="coerce").to_numpy(dtype=np.float64)
    is_summit = (offsets >= 0) & (offsets % 1 == 0)
    return np.where(is_summit, offsets, -1).astype(np.int64)


def _scores(rows: pd.DataFrame, *, is_peak_file: bool) -> np.ndarray:
    for column in (_PVALUE_COLUMN, _SIGNAL_COLUMN) if is_peak_file else ():
        values = pd.to_numeric(rows[column], errors="coerce").to_numpy(dtype=np.float64)
        if (values >= 0).all():  # -1 stands for none
            return values
    if _SCORE_COLUMN not in rows:
        return np.full(len(rows), np.nan)
    return pd.to_numeric(rows[_SCORE_COLUMN], errors="coerce").to_numpy(dtype=np.float64)


def _refuse_line(path: Path, number: int, text: str) -> NoReturn:
    msg = (
        f"Expected a chromosome, a start and an end (whole numbers) in each line of a BED file; line {number} of {path} "
        f"is {text[:60]!r}. Correct the line, or put '#' before it."
    )
    raise ValueError(msg)
