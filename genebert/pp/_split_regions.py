"""Which regions a model learns from and which it is scored on."""

from __future__ import annotations

from collections.abc import Sequence

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
        they hold about that share. Bare sequences have no chromosome: they take shares and are drawn one by one, so
        run `genebert.pp.check` for sequences that two splits share.
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
        When a chromosome has no region or is in both splits, a share is outside [0, 1), or no region would be left in a
        split.

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
        if isinstance(share, (int, float)):
            check_range(share, name=name, low=0, high=1)
        elif isinstance(share, str):
            msg = f"Expected `{name}` to be a share or a list of chromosomes; found {share!r}. Write [{share!r}]."
            raise ValueError(msg)
    split = (
        _by_chromosome(mdata, wanted, generator) if _has_chromosomes(mdata) else _at_random(mdata, wanted, generator)
    )
    _check_split(split, wanted)
    sizes = ", ".join(f"{name} {(split == name).sum()}" for name in SPLITS)
    info(f"Regions: {sizes}.")

    mdata = _mudata.writable(mdata, copy=copy)
    _keys.REGION_SPLIT.set(mdata, pd.Categorical(split, categories=SPLITS))
    params = {**wanted, "rng": int(rng) if isinstance(rng, (int, np.integer)) else None}
    _keys.record(mdata, "split_regions", _keys.REGION_SPLIT.key, params=params)
    return mdata if copy else None


def _has_chromosomes(mdata: MuData) -> bool:
    return _keys.CHROM.has(mdata) and not _keys.CHROM.get(mdata).isna().any()


def _by_chromosome(mdata: MuData, wanted: dict[str, float | Sequence[str]], rng: np.random.Generator) -> np.ndarray:
    chrom = _keys.CHROM.get(mdata).astype(str).to_numpy()
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


def _at_random(mdata: MuData, wanted: dict[str, float | Sequence[str]], rng: np.random.Generator) -> np.ndarray:
    named = [name for name, value in wanted.items() if not np.isscalar(value)]
    if named:
        msg = f"Expected `{named[0]}` to be a share, since these sequences have no chromosome; found {wanted[named[0]]!r}."
        raise ValueError(msg)
    ranks = rng.permutation(mdata.n_obs)
    n_test, n_val = (round(share * mdata.n_obs) for share in wanted.values())
    return np.select([ranks < n_test, ranks < n_test + n_val], [TEST, VAL], default=TRAIN).astype(object)


def _check_split(split: np.ndarray, wanted: dict[str, float | Sequence[str]]) -> None:
    needed = [TRAIN, *(name for name, value in wanted.items() if not (np.isscalar(value) and value == 0))]
    empty = [name for name in needed if not (split == name).any()]
    if empty:
        msg = f"Expected regions in each split; none is left for {listed(empty)}. Choose fewer or smaller `val` and `test`."
        raise ValueError(msg)
