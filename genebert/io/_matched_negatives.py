"""Regions of the genome that resemble given ones in all but being given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _mudata
from genebert._genome import Genome, check_genome
from genebert._keys import CHROM, END, LABELS, START, record
from genebert._logging import info
from genebert._regions import genomic_order, region_table
from genebert._validate import check_range, listed
from genebert.io._composition import composition, read_chromosome
from genebert.io._intervals import Source, merge, overlap, read_intervals, read_others, thin
from genebert.io._modalities import labels_modality, seq_modality

__all__ = ["matched_negatives"]

N_ROUNDS = 10
DRAWS = 32  # windows drawn per region that is still without, in the first round; each round draws more
FEWEST_DRAWS, MOST_DRAWS = 2**12, 2**20  # per round
APART = 4.0  # more than any difference in GC


def matched_negatives(
    mdata: MuData,
    genome: Genome,
    *,
    n_per_region: int = 1,
    gc_tolerance: float = 0.02,
    max_n: float = 0.0,
    exclude: Source | Sequence[Source] | None = None,
    task: str = "accessible",
    rng: int | np.random.Generator | None = 0,
) -> MuData:
    """Draw regions from the genome that match given ones in width, GC and chromosome, as negatives for a classifier.

    A model tells peaks from random places by their GC alone. Each negative lies on the chromosome of its region, so that
    whole chromosomes go into a split with both classes in balance. Negatives overlap neither the given regions nor each
    other nor `exclude`. Where none is found after some million draws, there are fewer, and the log says how many. The
    result does not depend on the order of the regions.

    Parameters
    ----------
    mdata
        The regions; the genome must be of their assembly.
    genome
        Where negatives come from. A chromosome is in memory while it is drawn from (250 MB for the longest human one).
    n_per_region
        Negatives per region.
    gc_tolerance
        Largest difference in GC (a share) between a region and its negative.
    max_n
        Largest share of unknown bases (N) in a negative.
    exclude
        Where no negative may lie: path of a BED file, DataFrame or MuData, or a list of them, such as peaks of other cell
        types and a blacklist.
    task
        Name of the label and its task.
    rng
        Seed or generator.

    Returns
    -------
    MuData: the given regions in their order, then the negatives, sorted; other modalities are left behind.

    - ``seq``: `.obs` chrom, start, end.
    - ``labels``: `.X` float32 ``(regions, 1)``, 1 = given, 0 = negative; `.var` task.

    Raises
    ------
    KeyError
        When the regions have no coordinates.
    TypeError
        When `genome` is no Genome.
    ValueError
        When an option is out of range, or no negative is found at all.

    Examples
    --------
    >>> import tempfile, numpy as np, pandas as pd, genebert as gb
    >>> from pathlib import Path
    >>> bases = "".join(np.random.default_rng(0).choice(list("ACGT"), size=5_000))
    >>> path = Path(tempfile.mkdtemp()) / "tiny.fa"
    >>> _ = path.write_text(">chr1" + chr(10) + bases)
    >>> peaks = gb.io.assemble(regions=pd.DataFrame({"chrom": "chr1", "start": [100, 900], "end": [300, 1_100]}))
    >>> mdata = gb.io.matched_negatives(peaks, gb.Genome(path))
    >>> mdata["labels"].to_df()["accessible"].tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    check_genome(genome)
    check_range(n_per_region, name="n_per_region", low=1, integer=True)
    check_range(gc_tolerance, name="gc_tolerance", low=0, high=1)
    check_range(max_n, name="max_n", low=0, high=1)
    generator = np.random.default_rng(rng)
    given = read_intervals(mdata, what="mdata")
    negatives = _negatives(
        given, genome, exclude=exclude, n_per_region=n_per_region, limits=_Limits(gc_tolerance, max_n), rng=generator
    )
    n_wanted = n_per_region * len(given)
    if len(negatives) < n_wanted:
        info(f"{n_wanted - len(negatives)} of {n_wanted} negatives were not found; `gc_tolerance` admits more")
    columns = (np.concatenate([given[slot.key], negatives[slot.key]]) for slot in (CHROM, START, END))
    table = region_table(*columns)
    is_given = np.r_[np.ones(len(given)), np.zeros(len(negatives))]
    labels = labels_modality(pd.DataFrame({task: is_given}), names=table.index, task=task)
    result = _mudata.build({START.modality: seq_modality(table), LABELS.modality: labels})
    params = {"n_per_region": n_per_region, "gc_tolerance": gc_tolerance, "max_n": max_n, "task": task}
    record(result, "matched_negatives", LABELS.modality, params=params)
    info(f"{len(given)} regions, {len(negatives)} negatives")
    return result


class _Limits(NamedTuple):
    gc_tolerance: float
    max_n: float


def _negatives(
    given: pd.DataFrame,
    genome: Genome,
    *,
    exclude: Source | Sequence[Source] | None,
    n_per_region: int,
    limits: _Limits,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Negatives of all chromosomes, sorted."""
    given = given.iloc[genomic_order(given[CHROM.key], given[START.key], given[END.key])]
    matches = genome.match(given[CHROM.key].unique())
    if absent := [chrom for chrom, found in matches.items() if found is None]:
        n_regions = int(given[CHROM.key].isin(absent).sum())
        info(f"{n_regions} regions have no negatives, on chromosomes not in the genome: {listed(absent)}")
    avoided = pd.concat([given, read_others(exclude, matches, what="exclude")])
    found = [given[[CHROM.key, START.key, END.key]].iloc[:0]]
    for chrom, name in matches.items():
        if name is None:
            continue
        codes, first = read_chromosome(genome, name)
        forbidden, regions = (
            tuple(table[key].to_numpy()[table[CHROM.key] == chrom] - first for key in (START.key, END.key))
            for table in (avoided, given)
        )
        start, end = _draw(codes, regions, forbidden, n_per_region=n_per_region, limits=limits, rng=rng)
        found.append(pd.DataFrame({CHROM.key: chrom, START.key: start + first, END.key: end + first}))
    negatives = pd.concat(found, ignore_index=True)
    if negatives.empty:
        msg = "Expected a genome with room for negatives; found none. Raise `gc_tolerance` or `max_n`, or exclude less."
        raise ValueError(msg)
    return negatives


def _draw(
    codes: np.ndarray,
    regions: tuple[np.ndarray, np.ndarray],
    forbidden: tuple[np.ndarray, np.ndarray],
    *,
    n_per_region: int,
    limits: _Limits,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Negatives on one chromosome, sorted by start.

    Windows are drawn at random, more in each round, and shared out: a region takes the nearest in GC among those of its
    width that nobody took.
    """
    gc, _ = composition(codes, *regions)
    gc, width = np.repeat(gc, n_per_region), np.repeat(regions[1] - regions[0], n_per_region)
    chosen = np.full(len(gc), -1)
    can_be_found = ~np.isnan(gc) & (width <= len(codes))
    for round_ in range(N_ROUNDS):
        slots = np.flatnonzero(can_be_found & (chosen < 0))
        if len(slots) == 0:
            break
        n_draws = int(np.clip(DRAWS * 4**round_ * len(slots), FEWEST_DRAWS, MOST_DRAWS))
        done = np.flatnonzero(chosen >= 0)
        others = merge(np.r_[forbidden[0], chosen[done]], np.r_[forbidden[1], chosen[done] + width[done]])
        start, drawn_width, drawn_gc = _windows(
            codes, width[slots][np.arange(n_draws) % len(slots)], others, max_n=limits.max_n, rng=rng
        )
        match = _match(_keys(gc[slots], width[slots]), _keys(drawn_gc, drawn_width), tolerance=limits.gc_tolerance)
        slots, start = slots[match >= 0], start[match[match >= 0]]
        apart = thin(start, start + width[slots], order=np.arange(len(start)))
        chosen[slots[apart]] = start[apart]
    done = np.flatnonzero(chosen >= 0)
    done = done[np.argsort(chosen[done])]
    return chosen[done], chosen[done] + width[done]


def _windows(
    codes: np.ndarray,
    width: np.ndarray,
    others: tuple[np.ndarray, np.ndarray],
    *,
    max_n: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw windows of these widths; start, width and GC of those that may be negatives."""
    start = (rng.random(len(width)) * (len(codes) - width + 1)).astype(np.int64)
    is_free = ~overlap(start, start + width, others=others)
    start, width = start[is_free], width[is_free]
    gc, unknown = composition(codes, start, start + width)
    is_good = (unknown <= max_n) & ~np.isnan(gc)
    return start[is_good], width[is_good], gc[is_good]


def _keys(gc: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Numbers that differ by the difference in GC where widths agree, and by more than any tolerance elsewhere."""
    return gc + APART * width


def _match(wanted: np.ndarray, offered: np.ndarray, *, tolerance: float) -> np.ndarray:
    """Share `offered` numbers out, each once: the place of the nearest within `tolerance` for each wanted, -1 = none."""
    order = np.argsort(offered, kind="stable")
    nearest = _nearest(wanted, offered[order], tolerance + 1e-9)
    return np.where(nearest >= 0, order[nearest] if len(order) else -1, -1)


@numba.njit(cache=True, nogil=True)
def _nearest(wanted: np.ndarray, offered: np.ndarray, tolerance: float) -> np.ndarray:
    """`_match` for sorted numbers. Links lead over those that are taken, so that each step is short."""
    n = len(offered)
    above = np.arange(n + 1)  # next free one from here on; n = none
    below = np.arange(n + 1)  # next free one before here, plus 1; 0 = none
    match = np.full(len(wanted), -1)
    for i, value in enumerate(wanted):
        place = np.searchsorted(offered, value)
        high, low = _follow(above, place), _follow(below, place) - 1
        if high < n and (low < 0 or offered[high] - value < value - offered[low]):
            found = high
        else:
            found = low
        if found >= 0 and abs(offered[found] - value) <= tolerance:
            match[i] = found
            above[found], below[found + 1] = found + 1, found
    return match


@numba.njit(cache=True, nogil=True)
def _follow(links: np.ndarray, place: int) -> int:
    while links[place] != place:
        links[place] = links[links[place]]
        place = links[place]
    return place
