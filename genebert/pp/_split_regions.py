"""Which regions a model learns from and which it is scored on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from numbers import Real
from typing import Any, Literal

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys, _mudata
from genebert._chromosomes import match_names
from genebert._logging import info, warn
from genebert._validate import check_literal, check_range, listed
from genebert.pp._groups import similar_regions

__all__ = ["split_regions"]

TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")

By = Literal["chromosome", "similarity"]

LARGE_GROUP = 0.2  # of all regions; one like this may make shares as asked impossible


def split_regions(
    mdata: MuData,
    *,
    by: By = "chromosome",
    val: float | Sequence[str] = 0.1,
    test: float | Sequence[str] = 0.2,
    rng: int | np.random.Generator | None = 0,
    copy: bool = False,
) -> MuData | None:
    """Assign regions to train, val and test: whole chromosomes, or groups of regions that resemble each other.

    Neighbouring regions resemble each other, so they must not end in different splits; nor must copies of the same
    sequence, which chromosomes share, too (repeats, duplicated genes, sequences collected from several sources).

    Parameters
    ----------
    mdata
        Regions.
    by
        - ``"chromosome"``: whole chromosomes. Copies of a sequence on two chromosomes remain; `genebert.pp.check`
          finds them and can take them out.
        - ``"similarity"``: for bare sequences, for a single chromosome, or where no copy may remain. Regions that share a
          stretch of 32 bases on either strand, whose sequences are the same, or whose coordinates overlap or touch, are
          linked; all that are linked, directly or through others, stay together. Afterwards `genebert.pp.check` finds
          nothing shared. Regions tiled over a genome, or full of repeats, may all be linked: use chromosomes.
    val, test
        Share of the regions, for which chromosomes (or groups) are drawn until they hold about that share. Or
        chromosomes, in any style (``chr8`` or ``8``); 0, or an empty list: no such split. Bare sequences have no chromosome: by chromosome they take shares and
        are drawn one by one, also where other regions have chromosomes.
    rng
        Seed or generator of the draw, which does not depend on the order of the regions: chromosomes are drawn from in the
        order of their names, groups in the order of the smallest name in each. (Bare sequences by chromosome are drawn by
        place.)
    copy
        Whether to leave `mdata` alone and return a changed copy.

    Returns
    -------
    None, or the copy. Writes ``mdata["seq"].obs["region_split"]``, a category.

    Raises
    ------
    KeyError
        When there are no sequences to compare by similarity.
    ValueError
        When a chromosome has no region or is in both splits, a share is outside [0, 1), no region would be left in a
        split, chromosomes are named and some regions have none, or chromosomes are named for a split by similarity.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.pp.split_regions(mdata, val=["chr1"], test=["2", "3"])
    >>> mdata["seq"].obs["region_split"].value_counts().to_dict()
    {'train': 300, 'test': 200, 'val': 100}
    >>> gb.pp.split_regions(mdata, by="similarity")
    >>> mdata["seq"].obs["region_split"].value_counts().to_dict()
    {'train': 420, 'test': 120, 'val': 60}
    """
    generator = np.random.default_rng(rng)
    check_literal(by, By, name="by")
    wanted = {name: 0 if _is_empty(value) else value for name, value in ((TEST, test), (VAL, val))}
    _check_wanted(wanted, by=by)
    if by == "similarity":
        groups = similar_regions(mdata)
        split = _by_group(groups, wanted, generator)
    else:
        split = _split(_chromosomes(mdata), wanted, generator)
    _check_split(split, wanted, chroms=_chromosomes(mdata), by=by)
    found = _describe(groups, split) if by == "similarity" else {}
    info(f"Regions: {_sizes(split)}.")
    if _keys.IN_TF_ACTIVITY.has(mdata):
        _check_activity(split, np.asarray(_keys.IN_TF_ACTIVITY.get(mdata), dtype=bool))

    mdata = _mudata.writable(mdata, copy=copy)
    _keys.REGION_SPLIT.set(mdata, pd.Categorical(split, categories=SPLITS))
    params = {"by": by, **wanted, "rng": int(rng) if isinstance(rng, (int, np.integer)) else None}
    _keys.record(mdata, "split_regions", _keys.REGION_SPLIT.key, params=params, **found)
    return mdata if copy else None


def _is_empty(value: float | Sequence[str]) -> bool:
    """Whether it is a list of no chromosomes."""
    return isinstance(value, Sized) and not isinstance(value, str) and len(value) == 0


def _check_wanted(wanted: dict[str, Any], *, by: By) -> None:
    for name, share in wanted.items():
        if isinstance(share, Real):
            check_range(share, name=name, low=0, high=1)
        elif by == "similarity":
            msg = (
                f'Expected `{name}` to be a share with by="similarity", which splits no chromosomes; found {share!r}. '
                'Give a share, or use by="chromosome".'
            )
            raise ValueError(msg)
        elif isinstance(share, str):
            msg = f"Expected `{name}` to be a share or a list of chromosomes; found {share!r}. Write [{share!r}]."
            raise ValueError(msg)
        elif not isinstance(share, Iterable):
            msg = (
                f"Expected `{name}` to be a share or a list of chromosomes; found {share!r}. Write 0 for no such split."
            )
            raise ValueError(msg)


def _chromosomes(mdata: MuData) -> pd.Series:
    """Chromosome of each region, missing for bare sequences."""
    if _keys.CHROM.has(mdata):
        return _keys.CHROM.get(mdata).astype(object)
    return pd.Series(None, index=mdata.obs_names, dtype=object)


def _split(chrom: pd.Series, wanted: dict[str, float | Sequence[str]], rng: np.random.Generator) -> np.ndarray:
    is_bare = chrom.isna().to_numpy()
    n_bare = int(is_bare.sum())
    if n_bare:
        _check_shares(wanted, n_bare=n_bare, n_regions=len(chrom))
    split = np.empty(len(chrom), dtype=object)
    if n_bare < len(chrom):
        split[~is_bare] = _by_chromosome(chrom[~is_bare].to_numpy(dtype=str), wanted, rng)
    if n_bare:
        info(f"{n_bare} of {len(chrom)} regions have no chromosome: drawn one by one.")
        split[is_bare] = _at_random(n_bare, wanted, rng)
    return split


def _check_shares(wanted: dict[str, float | Sequence[str]], *, n_bare: int, n_regions: int) -> None:
    named = [name for name, value in wanted.items() if not np.isscalar(value)]
    if named:
        msg = (
            f"Expected `{named[0]}` to be a share, since {n_bare} of {n_regions} regions have no chromosome; found "
            f"{wanted[named[0]]!r}. Give a share, or split only the regions with coordinates."
        )
        raise ValueError(msg)


def _by_chromosome(chrom: np.ndarray, wanted: dict[str, float | Sequence[str]], rng: np.random.Generator) -> np.ndarray:
    sizes = pd.Series(chrom).value_counts().sort_index()
    named = {name: _named(value, sizes.index, name) for name, value in wanted.items() if not np.isscalar(value)}
    taken = [found for chroms in named.values() for found in chroms]
    twice = sorted({found for found in taken if taken.count(found) > 1})
    if twice:
        msg = f"Expected each chromosome in one split; found {listed(twice)} in `val` and `test`."
        raise ValueError(msg)
    split = pd.Series(TRAIN, index=sizes.index)
    for name, value in wanted.items():
        free = sizes[(split == TRAIN) & ~split.index.isin(taken)]
        split[named[name] if name in named else _draw(free, value * len(chrom), rng)] = name
    return split[chrom].to_numpy(dtype=object)


def _named(chroms: Sequence[str], known: pd.Index, name: str) -> list[str]:
    matches = match_names(map(str, chroms), known)
    absent = [chrom for chrom, match in matches.items() if match is None]
    if absent:
        msg = f"Expected `{name}` to name chromosomes with regions ({listed(known)}); found none on {listed(absent)}."
        raise ValueError(msg)
    return list(matches.values())


def _draw(sizes: pd.Series, n_wanted: float, rng: np.random.Generator) -> list[str]:
    """Draw chromosomes in random order, each if it brings the total nearer to what is wanted; at least one."""
    if n_wanted == 0:
        return []
    drawn, total = [], 0
    for chrom in rng.permutation(sizes.index):
        if abs(total + sizes[chrom] - n_wanted) < abs(total - n_wanted):
            drawn.append(chrom)
            total += sizes[chrom]
    return drawn or [sizes.idxmin()] if len(sizes) else []


def _at_random(n_regions: int, wanted: dict[str, float | Sequence[str]], rng: np.random.Generator) -> np.ndarray:
    ranks = rng.permutation(n_regions)
    n_test, n_val = (round(share * n_regions) for share in wanted.values())
    return np.select([ranks < n_test, ranks < n_test + n_val], [TEST, VAL], default=TRAIN).astype(object)


def _by_group(groups: np.ndarray, wanted: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    """Draw whole groups, int64 ``(regions,)``, for each split; train keeps the others."""
    sizes = np.bincount(groups)
    n_wanted = {name: share * len(groups) for name, share in wanted.items()}
    # Where most regions are in groups that are too large to draw, val and test share what there is.
    n_small = sizes[sizes <= max(n_wanted.values())].sum()
    scale = min(1, n_small / max(sum(n_wanted.values()), 1)) or 1
    split = np.zeros(len(sizes), dtype=np.int8)
    for name, count in n_wanted.items():
        free = np.flatnonzero(split == SPLITS.index(TRAIN))
        split[free[_draw_groups(sizes[free], scale * count, rng)]] = SPLITS.index(name)
    return np.array(SPLITS, dtype=object)[split[groups]]


def _draw_groups(sizes: np.ndarray, n_wanted: float, rng: np.random.Generator) -> list[int]:
    """Draw groups in random order while they fit, and at last the one that brings the total nearest; at least one."""
    if n_wanted == 0 or len(sizes) == 0:
        return []
    drawn, rest, total = [], [], 0
    for group, size in zip(order := rng.permutation(len(sizes)), sizes[order].tolist(), strict=True):
        fits = total + size <= n_wanted
        (drawn if fits else rest).append(group)
        total += size * fits
    if rest:
        gaps = np.abs(total + sizes[rest] - n_wanted)
        if not drawn or gaps.min() < n_wanted - total:
            drawn.append(rest[gaps.argmin()])
    return drawn


def _describe(groups: np.ndarray, split: np.ndarray) -> dict[str, int]:
    """Count groups, and warn when one is so large that shares cannot be as asked."""
    sizes = np.bincount(groups)
    info(f"{len(sizes)} groups of linked regions; the largest holds {sizes.max()} of {len(groups)} regions.")
    if len(sizes) > 1 and sizes.max() > LARGE_GROUP * len(groups):
        warn(
            f"One group of linked regions holds {sizes.max() / len(groups):.0%} of all: {_sizes(split)}. Are regions tiled, "
            'or full of repeats? Merge or filter them, or use by="chromosome" and gb.pp.check(mdata, drop_shared=True).',
            stacklevel=4,
        )
    return {"n_groups": len(sizes), "largest_group": int(sizes.max())}


def _check_activity(split: np.ndarray, is_used: np.ndarray) -> None:
    """Warn where TF activity knows regions that are set aside now: as an input it would leak what they look like."""
    n_leaked = int((is_used & (split != TRAIN)).sum())
    if n_leaked:
        warn(
            f"{n_leaked} regions of val and test had a part in {_keys.TF_ACTIVITY.path}. Run gb.pp.tf_activity again.",
            stacklevel=4,
        )


def _sizes(split: np.ndarray) -> str:
    return ", ".join(f"{name} {(split == name).sum()}" for name in SPLITS)


def _check_split(split: np.ndarray, wanted: dict[str, float | Sequence[str]], *, chroms: pd.Series, by: By) -> None:
    needed = [TRAIN, *(name for name, value in wanted.items() if not (np.isscalar(value) and value == 0))]
    empty = [name for name in needed if not (split == name).any()]
    if not empty:
        return
    names = chroms.dropna().unique()
    remedy = "Choose fewer or smaller `val` and `test`."
    if by == "similarity":
        remedy = 'Linked regions form too few groups; use by="chromosome".'
    elif 0 < len(names) < len(needed):
        remedy = f'Chromosomes are too few for that (only {listed(names)}); use by="similarity".'
    msg = f"Expected regions in each split; none is left for {listed(empty)}. {remedy}"
    raise ValueError(msg)
