"""BED, narrowPeak and broadPeak files as tables of intervals."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd

from genebert._files import open_text
from genebert._keys import CHROM, END, START
from genebert._logging import info

__all__ = ["SCORE", "SUMMIT", "read_bed"]

SUMMIT = "summit"
SCORE = "score"

_NUMBER = re.compile(r"(?<![A-Za-z\d.])\d+(?![A-Za-z\d.])")  # in a header there is at most one that stands alone
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
    rows, n_columns, header = _by_pandas(path) or _by_line(path)
    if header:
        info(f"{path.name}: line taken for a header and skipped: {header[:60]!r}")
    is_narrowpeak = n_columns == _N_NARROWPEAK
    is_broadpeak = (
        n_columns == _N_BROADPEAK and ".broadpeak" in path.name.lower()
    )  # else columns 7 and 8 are for drawing
    table = rows[[0, 1, 2]].set_axis([CHROM.key, START.key, END.key], axis=1)
    table[SUMMIT] = _summits(rows) if is_narrowpeak else -1
    table[SCORE] = _scores(rows, is_peak_file=is_narrowpeak or is_broadpeak)
    return table


def _by_pandas(path: Path) -> tuple[pd.DataFrame, int, str] | None:
    """Read a file whose lines are all alike, which is several times faster; with its number of columns and its header.

    Else None.
    """
    n_skipped, n_columns, header = _look(path)
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
    return None if is_odd else (rows, n_columns, header)


def _look(path: Path) -> tuple[int, int, str]:
    """Lines before the first with coordinates, its columns between tabs (0 where it is not among the first), the header."""
    with open_text(path) as handle:
        header = ""
        for number, line in enumerate(handle):
            text = line.rstrip("\r\n")
            if not text.strip() or text.startswith(_SKIPPED):
                continue
            fields = text.split("\t")
            if len(fields) >= 3 and fields[1].isdigit() and fields[2].isdigit():
                return number, len(fields), header
            if header or any(field[:1].isdigit() for field in fields[1:3]):
                break
            header = text
    return 0, 0, ""


def _by_line(path: Path) -> tuple[pd.DataFrame, int, str]:
    rows, header, header_number, may_be_header = [], "", 0, True
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
            else:
                header, header_number = text, number
            may_be_header = False
    if not rows and len(_NUMBER.findall(header)) > 1:
        _refuse_line(path, header_number, header)
    table = pd.DataFrame(rows, dtype=object) if rows else pd.DataFrame(columns=range(3), dtype=object)
    return table.astype({1: np.int64, 2: np.int64}), table.shape[1], header


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
        f"Expected a chromosome, a start and an end (whole numbers), with tabs between, in each line of a BED file; line {number} of {path} "
        f"is {text[:60]!r}. Correct the line, or put '#' before it."
    )
    raise ValueError(msg)
