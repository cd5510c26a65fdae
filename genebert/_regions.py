"""Names, order and windows of regions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Real

import numpy as np
import pandas as pd

from genebert._keys import CHROM, END, START
from genebert._validate import listed

__all__ = [
    "check_unique",
    "chromosome_names",
    "format_names",
    "genomic_order",
    "is_region_name",
    "parse_names",
    "region_table",
    "split_names",
    "windows",
]

# A separator never ends the chromosome, so that a negative start (chr1:-5-10) is no region on "chr1:".
_PATTERN = re.compile(r"(.*?[^:_\n-])[:_-](\d+)[-_](\d+)")
_LINE = re.compile(f"^{_PATTERN.pattern}$", re.MULTILINE)


def format_names(chrom: pd.Series | np.ndarray, start: np.ndarray, end: np.ndarray) -> pd.Index:
    """Name regions ``chrom:start-end`` (0-based, half-open)."""
    # Plain numbers are formatted faster than those of numpy.
    columns = (np.asarray(column).tolist() for column in (chrom, start, end))
    return pd.Index([f"{c}:{s}-{e}" for c, s, e in zip(*columns, strict=True)], dtype=object)


def is_region_name(name: str) -> bool:
    """Whether a name has one of the forms that `parse_names` reads."""
    return _PATTERN.fullmatch(name) is not None


def parse_names(names: pd.Index | list[str]) -> pd.DataFrame:
    """Read ``chr1:1-2``, ``chr1-1-2`` or ``chr1_1_2`` into chrom (category), start and end (int64).

    Raises
    ------
    ValueError
        When a name has another form, its end is not behind its start, or it occurs twice.
    """
    return region_table(*split_names(names))


def split_names(names: pd.Index | list[str]) -> tuple[list[str], list[int], list[int]]:
    """Chromosomes, starts and ends of names, as `parse_names` reads them; they may be repeated or impossible."""
    names = [str(name) for name in names]
    text = "\n".join(names)
    found = _LINE.findall(text)  # one call for all names is several times faster than one each
    if not len(found) == len(names) == text.count("\n") + bool(names):
        bad = [name for name in names if not is_region_name(name)]
        msg = (
            f"Expected region names such as chr1:100-200, chr1-100-200 or chr1_100_200; {len(bad)} of {len(names)} "
            f"have another form: {listed(bad)}. Rename them, or give columns chrom, start and end in `.var`."
        )
        raise ValueError(msg)
    chrom, start, end = zip(*found, strict=True) if found else ((), (), ())
    return list(chrom), list(map(int, start)), list(map(int, end))


def region_table(chrom: Sequence[str], start: Sequence[int], end: Sequence[int]) -> pd.DataFrame:
    """Make the table of regions that every reader returns: chrom (category), start, end (int64), indexed by name.

    Raises
    ------
    ValueError
        When there is no region, a chromosome is missing or a fraction, a start is negative, an end is not behind its start, or a name
        occurs twice.
    """
    chrom = np.asarray(chrom, dtype=object)
    if n_missing := int(pd.isna(chrom).sum()):
        msg = (
            f"Expected a chromosome for each region; {n_missing} of {len(chrom)} have none. Fill or remove these rows."
        )
        raise ValueError(msg)
    numbers, names = pd.factorize(chrom)
    names = chromosome_names(names)
    table = pd.DataFrame(
        {
            CHROM.key: pd.Categorical(names[numbers]),
            START.key: np.asarray(start, dtype=np.int64),
            END.key: np.asarray(end, dtype=np.int64),
        }
    )
    table.index = format_names(table[CHROM.key], table[START.key], table[END.key])
    if table.empty:
        msg = "Expected at least one region; found none. Check the file, or the filter that left no peaks."
        raise ValueError(msg)
    bad = table.index[(table[START.key] < 0) | (table[END.key] <= table[START.key])]
    if len(bad):
        msg = (
            f"Expected regions with 0 <= start < end (0-based, half-open); {len(bad)} of {len(table)} have not: "
            f"{listed(bad)}. Remove or correct them."
        )
        raise ValueError(msg)
    check_unique(table.index)
    return table


def chromosome_names(chrom: np.ndarray) -> np.ndarray:
    """Turn chromosomes into text; 1.0 is what a table makes of chromosome 1 where others are missing.

    Raises
    ------
    ValueError
        When one is a fraction.
    """
    numbers = {name for name in set(chrom) if isinstance(name, Real)}
    if fractions := sorted(number for number in numbers if number % 1 != 0):
        msg = f"Expected names of chromosomes; found {listed(fractions)}. Is another column the one with chromosomes?"
        raise ValueError(msg)
    return np.array([str(int(name) if name in numbers else name) for name in chrom], dtype=object)


def check_unique(names: pd.Index) -> None:
    """Raise when a region's name occurs more than once."""
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        msg = (
            f"Expected each region once; {len(repeated)} occur more often: {listed(repeated)}. Keep one of each; in "
            "an AnnData with adata[:, ~adata.var_names.duplicated()]."
        )
        raise ValueError(msg)


def genomic_order(chrom: pd.Series | np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Positions that sort regions by chromosome, start and end; the same for any order of the input."""
    codes, _ = pd.factorize(np.asarray(chrom, dtype=object), sort=True)
    return np.lexsort((np.asarray(end), np.asarray(start), codes))


def windows(chrom: pd.Series | np.ndarray, start: np.ndarray, end: np.ndarray, *, window_size: int) -> np.ndarray:
    """Cut regions, sorted along each chromosome, into runs of `window_size` neighbours.

    Parameters
    ----------
    chrom, start, end
        Coordinates ``(regions,)``, in any order.
    window_size
        Regions per window; the last window of a chromosome may hold fewer.

    Returns
    -------
    int64 ``(windows, window_size)``: positions in the input, -1 where a window ends early.
    """
    order = genomic_order(chrom, start, end)
    if len(order) == 0:
        return np.zeros((0, window_size), dtype=np.int64)
    sorted_chrom = np.asarray(chrom, dtype=object)[order]
    is_first = np.r_[True, sorted_chrom[1:] != sorted_chrom[:-1]]
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    rank = np.arange(len(order)) - first  # place along the chromosome
    row = np.cumsum(rank % window_size == 0) - 1
    table = np.full((row[-1] + 1, window_size), -1, dtype=np.int64)
    table[row, rank % window_size] = order
    return table
