"""Which regions a model learns from and which it is scored on."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys, _mudata
from genebert._chromosomes import match_names
from genebert._logging import info
from genebert._validate import check_range, listed

__all__ = ["split_regions"]

TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")


def split_regions(
    mdata: MuData,
    *,
    val: float | Sequence[str] = 0.1,
    test: float | Sequence[str] = 0.2,
    rng: int | np.random.Generator | None = 0,
    copy: bool = False,
) -> MuData | None:
    """Assign whole chromosomes to train, val and test.

    Neighbouring regions resemble each other, so they must not end in different splits.

    Parameters
    ----------
    mdata
        Regions.
    val, test
        Chromosomes, in any style (``chr8`` or ``8``); or a share of the regions, for which chromosomes are drawn until
        they hold about that share. Bare sequences have no chromosome: they take shares and are drawn one by one, also
        where other regions have chromosomes, so run `genebert.pp.check` for sequences that two splits share.
    rng
        Seed or generator of the draw.
    copy
        Whether to leave `mdata` alone and return a changed copy.

    Returns
    -------
    None, or the copy. Writes ``mdata["seq"].obs["region_split"]``, a category.

    Raises
    ------
    ValueError
        When a chromosome has no region or is in both splits, a share is outside [0, 1), no region would be left in a
        split, or chromosomes are named and some regions have none.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.pp.split_regions(mdata, val=["chr1"], test=["2", "3"])
    >>> mdata["seq"].obs["region_split"].value_counts().to_dict()
    {'train': 300, 'test': 200, 'val': 100}
    """
    generator = np.random.default_rng(rng)
    wanted = {TEST: test, VAL: val}
    for name, share in wanted.items():
        if isinstance(share, Real):
            check_range(share, name=name, low=0, high=1)
        elif isinstance(share, str):
            msg = f"Expected `{name}` to be a share or a list of chromosomes; found {share!r}. Write [{share!r}]."
            raise ValueError(msg)
    split = _split(_chromosomes(mdata), wanted, generator)
    _check_split(split, wanted)
    sizes = ", ".join(f"{name} {(split == name).sum()}" for name in SPLITS)
    info(f"Regions: {sizes}.")

    mdata = _mudata.writable(mdata, copy=copy)
    _keys.REGION_SPLIT.set(mdata, pd.Categorical(split, categories=SPLITS))
    params = {**wanted, "rng": int(rng) if isinstance(rng, (int, np.integer)) else None}
    _keys.record(mdata, "split_regions", _keys.REGION_SPLIT.key, params=params)
    return mdata if copy else None


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


def _check_split(split: np.ndarray, wanted: dict[str, float | Sequence[str]]) -> None:
    needed = [TRAIN, *(name for name, value in wanted.items() if not (np.isscalar(value) and value == 0))]
    empty = [name for name in needed if not (split == name).any()]
    if empty:
        msg = f"Expected regions in each split; none is left for {listed(empty)}. Choose fewer or smaller `val` and `test`."
        raise ValueError(msg)
