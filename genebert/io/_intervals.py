"""Sets of intervals from files, tables and MuData: reading, one spelling of chromosomes, union, overlap, thinning."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numba
import numpy as np
import pandas as pd
from mudata import MuData

from genebert._chromosomes import match_names
from genebert._coordinates import intervals_of
from genebert._keys import CHROM, END, START
from genebert._logging import info, warn
from genebert._validate import listed
from genebert.io._bed import SCORE, SUMMIT, read_bed

__all__ = ["Axis", "Source", "merge", "overlap", "read_intervals", "read_others", "thin", "windows"]

Source = str | os.PathLike[str] | pd.DataFrame | MuData

SUMMIT_COLUMNS = (SUMMIT, "peak")  # `peak` in SnapATAC2 and in the narrowPeak format
SCORE_COLUMNS = ("p_value", "pValue", "signal_value", "signalValue", SCORE)


def read_intervals(source: Source, *, what: str = "source") -> pd.DataFrame:
    """Read intervals of any kind of source, which may be repeated and need not be sorted.

    Returns
    -------
    chrom (object), start, end (int64), summit (int64, offset from the start, -1 = none), score (float64, NaN = none).

    Raises
    ------
    TypeError
        When `source` is nothing that holds intervals.
    ValueError
        When an interval is malformed.
    """
    if isinstance(source, (str, os.PathLike)):
        table = read_bed(Path(source))
    elif isinstance(source, MuData):
        table = pd.DataFrame({slot.key: np.asarray(slot.get(source)) for slot in (CHROM, START, END)})
    elif isinstance(source, pd.DataFrame):
        table = source
    elif hasattr(source, "to_dict") and hasattr(source, "schema"):  # polars, without its own optional dependencies
        table = pd.DataFrame(source.to_dict(as_series=False))
    else:
        msg = f"Expected `{what}` to be a path, a DataFrame or a MuData; found {type(source).__name__}. Give one of these."
        raise TypeError(msg)
    chrom, start, end = intervals_of(table)
    columns = {CHROM.key: chrom, START.key: start, END.key: end}
    return pd.DataFrame({**columns, SUMMIT: _summits(table), SCORE: _scores(table)})


def _summits(table: pd.DataFrame) -> np.ndarray:
    values = _numbers(table, SUMMIT_COLUMNS)
    return np.where(values >= 0, values, -1).astype(np.int64)


def _scores(table: pd.DataFrame) -> np.ndarray:
    return _numbers(table, SCORE_COLUMNS)


def _numbers(table: pd.DataFrame, names: Iterable[str]) -> np.ndarray:
    """First of the columns that holds numbers; NaN where there is none."""
    found = next((name for name in names if name in table and pd.api.types.is_numeric_dtype(table[name])), None)
    return np.full(len(table), np.nan) if found is None else table[found].to_numpy(dtype=np.float64, na_value=np.nan)


def read_others(
    sources: Source | Sequence[Source] | None, chroms: Iterable[str], *, what: str, stacklevel: int = 5
) -> pd.DataFrame:
    """Read what is to be left out, with chromosomes spelt as in `chroms`; those on other chromosomes are dropped."""
    sources = [] if sources is None else list(sources) if isinstance(sources, (list, tuple)) else [sources]
    columns = [CHROM.key, START.key, END.key]
    tables = [read_intervals(source, what=what)[columns] for source in sources]
    if not tables:
        return pd.DataFrame({CHROM.key: np.array([], dtype=object), START.key: np.int64([]), END.key: np.int64([])})
    if any(table.empty for table in tables):
        which = f"`{what}`" if len(tables) == 1 else f"One of `{what}`"
        warn(f"{which} holds no peaks, so it leaves nothing out. Check the file.", stacklevel=stacklevel)
    table = pd.concat(tables, ignore_index=True)
    matches = match_names(table[CHROM.key].unique(), chroms)
    known = {name: found for name, found in matches.items() if found is not None}
    if matches and not known:
        warn(
            f"None of the chromosomes of `{what}` ({listed(matches)}) is one of the regions', so nothing is left out. Is it "
            "for the same genome?",
            stacklevel=stacklevel,
        )
    renamed = [name for name, found in known.items() if name != found]
    if renamed:
        info(f"{what}: {len(renamed)} chromosomes taken for those of the regions: {_pairs(known, renamed)}")
    table = table[table[CHROM.key].isin(known)]
    return table.assign(**{CHROM.key: table[CHROM.key].map(known).astype(object)})


def _pairs(names: Mapping[str, str], keys: Iterable[str]) -> str:
    return listed([f"{key} = {names[key]}" for key in keys], most=3)


def windows(table: pd.DataFrame, width: int) -> pd.DataFrame:
    """Put windows of `width` bp around the summits, else the centres; the start of the chromosome shifts some."""
    start, end = table[START.key].to_numpy(), table[END.key].to_numpy()
    summit = table[SUMMIT].to_numpy()
    first = np.where(summit >= 0, start + summit, (start + end) // 2) - width // 2
    if n_shifted := int((first < 0).sum()):
        info(f"{n_shifted} windows shifted to the start of their chromosome")
    first = np.maximum(first, 0)
    return table.assign(**{START.key: first, END.key: first + width})


class Axis:
    """One axis on which chromosomes stand behind each other, with room between: intervals become pairs of numbers.

    Parameters
    ----------
    tables
        All intervals that will be placed, as columns chrom, start and end.
    room
        Bases between chromosomes, so that intervals of two never touch or merge.
    """

    def __init__(self, tables: Iterable[pd.DataFrame], *, room: int = 1) -> None:
        lengths: dict[str, int] = {}
        for table in tables:
            for chrom, end in table.groupby(CHROM.key, observed=True)[END.key].max().items():
                lengths[chrom] = max(int(end), lengths.get(chrom, 0))
        self.chroms = sorted(lengths)
        sizes = np.array([lengths[chrom] + room for chrom in self.chroms], dtype=np.int64)
        self._offsets = np.r_[np.int64(0), np.cumsum(sizes)]

    def place(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends on the axis. int64 ``(intervals,)`` each."""
        offset = self._offsets[pd.Index(self.chroms).get_indexer(table[CHROM.key])]
        return offset + table[START.key].to_numpy(), offset + table[END.key].to_numpy()

    def table(self, start: np.ndarray, end: np.ndarray) -> pd.DataFrame:
        """Chromosomes and coordinates of intervals on the axis."""
        number = np.searchsorted(self._offsets, start, side="right") - 1
        chrom = np.array(self.chroms, dtype=object)[number]
        offset = self._offsets[number]
        return pd.DataFrame({CHROM.key: chrom, START.key: start - offset, END.key: end - offset})


def merge(start: np.ndarray, end: np.ndarray, *, gap: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Join intervals that overlap, touch, or have at most `gap` bases between them; sorted."""
    if len(start) == 0:
        return start, end
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    is_first = np.r_[True, start[1:] > reach[:-1] + gap]
    return start[is_first], reach[np.r_[is_first[1:], True]]


def overlap(start: np.ndarray, end: np.ndarray, *, others: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Tell which intervals share a base with one of `others`, which `merge` made. bool ``(intervals,)``."""
    first, last = others
    return np.searchsorted(last, start, side="right") < np.searchsorted(first, end, side="left")


def thin(start: np.ndarray, end: np.ndarray, *, order: np.ndarray) -> np.ndarray:
    """Keep intervals in `order`, the best first, each only if it overlaps none that was kept. bool ``(intervals,)``."""
    if len(start) == 0:
        return np.zeros(0, dtype=bool)
    by_start = np.argsort(start, kind="stable")
    place = np.empty_like(by_start)
    place[by_start] = np.arange(len(by_start))
    kept = np.empty(len(start), dtype=bool)
    kept[by_start] = _thin(start[by_start], end[by_start], place[order], int((end - start).max()))
    return kept


@numba.njit(cache=True, nogil=True)
def _thin(start: np.ndarray, end: np.ndarray, order: np.ndarray, widest: int) -> np.ndarray:
    """`thin` for intervals sorted by start."""
    kept = np.zeros(len(start), dtype=np.bool_)
    removed = np.zeros(len(start), dtype=np.bool_)
    for i in order:
        if removed[i]:
            continue
        kept[i] = True
        j = i - 1
        while j >= 0 and start[j] + widest > start[i]:
            if end[j] > start[i]:
                removed[j] = True
            j -= 1
        j = i + 1
        while j < len(start) and start[j] < end[i]:
            removed[j] = True
            j += 1
    return kept
