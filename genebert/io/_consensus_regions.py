"""One set of regions from several sets of peaks."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _mudata
from genebert._chromosomes import match_names
from genebert._genome import Genome, check_genome
from genebert._keys import ACCESSIBILITY, CHROM, END, START, record
from genebert._logging import info, warn
from genebert._regions import region_table
from genebert._validate import check_range, listed
from genebert.io._bed import SCORE
from genebert.io._intervals import Axis, Source, merge, overlap, read_intervals, read_others, thin, windows
from genebert.io._modalities import accessibility_modality, seq_modality, unique_index
from genebert.io._spelling import one_spelling

__all__ = ["consensus_regions"]

RANK = "rank"  # column with scores that can be compared
SUFFIXES = (".gz", ".bgz", ".bed", ".narrowpeak", ".broadpeak", "_peaks", "_summits")


def consensus_regions(
    sources: Mapping[str, Source] | Sequence[Source],
    *,
    width: int | None = None,
    score_per_million: bool = True,
    merge_gap: int = 0,
    min_sources: int = 1,
    blacklist: Source | Sequence[Source] | None = None,
    chromosomes: Sequence[str] | None = None,
    genome: Genome | None = None,
) -> MuData:
    r"""Make one set of regions from several sets of peaks.

    With `width`, windows of that width stand around the summits (else the centres) of all peaks; the one with the highest
    score is kept, windows that overlap it are left out, and so on with those that remain, so that no two overlap (the
    iterative removal of Corces et al. 2018, Science, as in ArchR and SnapATAC2). Without `width`, peaks that overlap or
    touch are joined, whatever width that gives.

    All sources must be on one assembly: genebert does not lift coordinates. Chromosomes that are spelt in two styles
    (``chr1``, ``1``) are brought to that of most peaks, and the log says so. The result does not depend on the order of
    sources and peaks, but for the order of the columns of ``atac``.

    Parameters
    ----------
    sources
        Paths of BED, narrowPeak or broadPeak files, DataFrames (columns chrom, start and end, or names such as
        ``chr1:100-300``; SnapATAC2's peaks as they are) or MuData, by name; in a list, a path is named after its file and
        any other source0, source1, ... Name them after cell types, and the result has their accessibility.
    width
        Width of all regions in bp; 500 suits ATAC-seq. None = union.
    score_per_million
        Divide scores by their sum in the source, so that a deeper sample does not win everywhere (Corces et al. 2018);
        False compares them as they are, as SnapATAC2 does. The score is minus log10 of the p-value in a narrowPeak or
        broadPeak, column 5 of another BED, and ``p_value``, ``signal_value`` or ``score`` of a DataFrame.
    merge_gap
        Join peaks with up to this many bp between them; only without `width`.
    min_sources
        Keep regions in which at least this many sources have a peak.
    blacklist
        Places to avoid, of the same kinds as a source. What shares a base with one is left out.
    chromosomes
        Keep only these, in any style. None = all.
    genome
        Leave out peaks on chromosomes that it lacks, and cut regions (with `width`: shift them) at its ends.

    Returns
    -------
    MuData with the modalities

    - ``seq``: `.obs` chrom, start, end, sorted.
    - ``atac``: 1 where the source has a peak that shares a base with the region, else 0; `.X` float32
      ``(regions, sources)`` and `.layers["open"]`, CSR.

    Raises
    ------
    TypeError
        When a source is no path, DataFrame or MuData, or `genome` is no Genome.
    ValueError
        When no region is left, a source is malformed, two have one name, or they name different assemblies.

    Examples
    --------
    >>> import pandas as pd, genebert as gb
    >>> b = pd.DataFrame({"chrom": "chr1", "start": [100, 900], "end": [300, 950], "score": [5, 1]})
    >>> t = pd.DataFrame({"chrom": "1", "start": [250], "end": [400], "score": [3]})
    >>> mdata = gb.io.consensus_regions({"B": b, "T": t})
    >>> mdata["atac"].to_df()
                    B    T
    chr1:100-400  1.0  1.0
    chr1:900-950  1.0  0.0
    """
    if genome is not None:
        check_genome(genome)
    _check_options(width=width, merge_gap=merge_gap, min_sources=min_sources, n_sources=len(sources))
    peaks = _comparable(one_spelling(_read(sources)), score_per_million=score_per_million)
    n_peaks = sum(map(len, peaks.values()))
    if chromosomes is not None:
        peaks = _on_chromosomes(peaks, chromosomes)
    table = _candidates(peaks, width=width)
    if genome is not None:
        table = _inside(table, genome, width=width)
    table, is_member = _regions(table, peaks, width=width, merge_gap=merge_gap, blacklist=blacklist)
    enough = is_member.sum(axis=1) >= min_sources
    if not enough.all():
        info(f"{(~enough).sum()} regions left out, with peaks of fewer than {min_sources} sources")
    table = region_table(*(table[slot.key][enough] for slot in (CHROM, START, END)))
    atac = accessibility_modality(is_member[enough], names=table.index, cell_types=list(peaks))
    mdata = _mudata.build({START.modality: seq_modality(table), ACCESSIBILITY.modality: atac})
    params = {
        "width": width,
        "score_per_million": score_per_million,
        "merge_gap": merge_gap,
        "min_sources": min_sources,
        "sources": list(peaks),
    }
    record(mdata, "consensus_regions", ACCESSIBILITY.modality, params=params)
    info(f"{n_peaks} peaks of {len(peaks)} sources -> {len(table)} regions")
    return mdata


def _check_options(*, width: int | None, merge_gap: int, min_sources: int, n_sources: int) -> None:
    if width is not None:
        check_range(width, name="width", low=1, integer=True)
    check_range(merge_gap, name="merge_gap", low=0, integer=True)
    if width is not None and merge_gap:
        msg = f"Expected `merge_gap` 0 with `width`, which joins no peaks; found {merge_gap}. Give one of the two."
        raise ValueError(msg)
    if n_sources == 0:
        msg = "Expected at least one source; found none. Give paths, DataFrames or MuData."
        raise ValueError(msg)
    check_range(min_sources, name="min_sources", low=1, high=n_sources, integer=True)


def _read(sources: Mapping[str, Source] | Sequence[Source]) -> dict[str, pd.DataFrame]:
    """Peaks of each source; one that is there twice with several summits is there twice."""
    if isinstance(sources, (str, os.PathLike, pd.DataFrame, MuData)):
        msg = f"Expected `sources` to be a dict or a list; found one {type(sources).__name__}. Write [source]."
        raise TypeError(msg)
    if not isinstance(sources, Mapping):
        names = unique_index(
            [_name(source, place) for place, source in enumerate(sources)], what="source (by its name)"
        )
        sources = dict(zip(names, sources, strict=True))
    tables = {str(name): read_intervals(source, what=f"sources[{name!r}]") for name, source in sources.items()}
    if empty := [name for name, table in tables.items() if table.empty]:
        warn(f"{listed(empty)} of `sources` holds no peaks. Check the file, or leave it out.", stacklevel=4)
    return tables


def _name(source: Source, place: int) -> str:
    if not isinstance(source, (str, os.PathLike)):
        return f"source{place}"
    name = Path(source).name
    while suffix := next((end for end in SUFFIXES if name.lower().endswith(end) and len(name) > len(end)), None):
        name = name[: -len(suffix)]
    return name


def _on_chromosomes(peaks: dict[str, pd.DataFrame], chromosomes: Sequence[str]) -> dict[str, pd.DataFrame]:
    if isinstance(chromosomes, str):  # its letters and digits would be taken for chromosomes
        msg = f"Expected `chromosomes` to be a list; found {chromosomes!r}. Write [{chromosomes!r}]."
        raise ValueError(msg)
    known = {chrom for table in peaks.values() for chrom in table[CHROM.key].unique()}
    matches = match_names(map(str, chromosomes), sorted(known))
    wanted = {found for found in matches.values() if found is not None}
    if not wanted:
        msg = f"Expected `chromosomes` with peaks, such as {listed(sorted(known))}; found {listed(chromosomes)}."
        raise ValueError(msg)
    kept = {name: table[table[CHROM.key].isin(wanted)] for name, table in peaks.items()}
    n_removed = sum(len(peaks[name]) - len(table) for name, table in kept.items())
    info(f"{n_removed} peaks left out, on {len(known - wanted)} other chromosomes")
    if absent := [chrom for chrom, found in matches.items() if found is None]:
        info(f"no peaks on {listed(absent)} of `chromosomes`")
    return kept


def _comparable(peaks: dict[str, pd.DataFrame], *, score_per_million: bool) -> dict[str, pd.DataFrame]:
    """Scores by the sum over the whole source, so that a chromosome gets the same regions alone and among others."""
    if not score_per_million:
        return peaks
    return {name: table.assign(**{RANK: _per_million(table[SCORE].to_numpy())}) for name, table in peaks.items()}


def _candidates(peaks: dict[str, pd.DataFrame], *, width: int | None) -> pd.DataFrame:
    """Peaks of all sources, or the windows around them, with scores that can be compared."""
    table = pd.concat(peaks.values(), ignore_index=True)
    table[SCORE] = table.pop(RANK) if RANK in table else table[SCORE].fillna(0)
    if width is None:
        return table
    if unscored := [name for name, peak in peaks.items() if not peak[SCORE].notna().all()]:
        info(f"no scores in {listed(unscored)}: all their peaks rank alike")
    return windows(table, width)


def _per_million(scores: np.ndarray) -> np.ndarray:
    """Scores by their sum, which is exact, so that the order of peaks changes nothing; alike where some are missing."""
    scores = np.maximum(scores, 0) if np.isfinite(scores).all() else np.zeros_like(scores)
    total = math.fsum(scores)
    return scores / total * 1e6 if total > 0 else np.full(len(scores), 1e6 / max(1, len(scores)))


def _inside(table: pd.DataFrame, genome: Genome, *, width: int | None) -> pd.DataFrame:
    """Regions within what the genome covers."""
    matches = genome.match(table[CHROM.key].unique())
    if absent := [chrom for chrom, found in matches.items() if found is None]:
        info(
            f"{table[CHROM.key].isin(absent).sum()} peaks left out, on chromosomes not in the genome: {listed(absent)}"
        )
        table = table[~table[CHROM.key].isin(absent)]
    bounds = {chrom: genome.chromosomes[found] for chrom, found in matches.items() if found is not None}
    low, high = (table[CHROM.key].map({c: b[i] for c, b in bounds.items()}).to_numpy(np.int64) for i in (0, 1))
    start, end = table[START.key].to_numpy(), table[END.key].to_numpy()
    outside = (end <= low) | (start >= high)
    if width is None:
        first, last = np.maximum(start, low), np.minimum(end, high)
    else:
        outside |= high - low < width
        first = np.clip(start, low, np.maximum(low, high - width))
        last = first + width
    changed = ~outside & ((first != start) | (last != end))
    if outside.any() or changed.any():
        done = "cut" if width is None else "shifted"
        info(f"ends of chromosomes: {changed.sum()} peaks {done}, {outside.sum()} left out")
    return table.assign(**{START.key: first, END.key: last})[~outside]


def _regions(
    table: pd.DataFrame,
    peaks: dict[str, pd.DataFrame],
    *,
    width: int | None,
    merge_gap: int,
    blacklist: Source | Sequence[Source] | None,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Regions, sorted, and which source has a peak there. float32 ``(regions, sources)``."""
    avoided = read_others(blacklist, table[CHROM.key].unique(), what="blacklist")
    axis = Axis([table, avoided, *peaks.values()], room=merge_gap + 1)
    others = merge(*axis.place(avoided))
    start, end = axis.place(table)
    is_bad = overlap(start, end, others=others)
    if blacklist is not None:
        info(f"blacklist: {is_bad.sum()} of {len(is_bad)} peaks left out")
    start, end, score = start[~is_bad], end[~is_bad], table[SCORE].to_numpy()[~is_bad]
    if width is None:
        start, end = merge(start, end, gap=merge_gap)
        is_free = ~overlap(start, end, others=others)  # a gap that was closed may hold a blacklisted place
        start, end = start[is_free], end[is_free]
    else:
        kept = thin(start, end, order=np.lexsort((start, -score)))
        start, end = np.sort(start[kept]), np.sort(end[kept])
    members = [overlap(start, end, others=merge(*axis.place(table))) for table in peaks.values()]
    return axis.table(start, end), np.stack(members, axis=1).astype(np.float32)
