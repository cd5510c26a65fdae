"""Which cell types a model learns from and which it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys, _mudata
from genebert._logging import info
from genebert._validate import check_cell_type, check_range

__all__ = ["split_cell_types"]

TRAIN, HOLDOUT = SPLITS = ("train", "holdout")


def split_cell_types(
    mdata: MuData,
    *,
    holdout: float | Sequence[str] = 0.2,
    rng: int | np.random.Generator | None = 0,
    copy: bool = False,
) -> MuData | None:
    """Set cell types aside that no model learns from.

    Siblings of a held-out type in training flatter every method: hold out whole lineages where there are some.

    Parameters
    ----------
    mdata
        Regions with accessibility.
    holdout
        Cell types; or their share, of which at least one is drawn.
    rng
        Seed or generator of the draw.
    copy
        Whether to leave `mdata` alone and return a changed copy.

    Returns
    -------
    None, or the copy. Writes ``mdata["atac"].var["cell_type_split"]``, a category: train or holdout.

    Raises
    ------
    KeyError
        When there is no accessibility.
    ValueError
        When a cell type is unknown, or none would be left to train on.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.pp.split_cell_types(mdata, holdout=["Monocyte"])
    >>> mdata["atac"].var["cell_type_split"].value_counts().to_dict()
    {'train': 5, 'holdout': 1}
    """
    generator = np.random.default_rng(rng)
    _keys.ACCESSIBILITY.get(mdata)
    cell_types = mdata[_keys.ATAC].var_names
    held_out = _draw(holdout, cell_types, generator) if isinstance(holdout, Real) else _named(holdout, cell_types)
    if len(held_out) >= len(cell_types):
        msg = f"Expected a cell type left to train on; `holdout` takes all {len(cell_types)}."
        raise ValueError(msg)
    split = np.where(cell_types.isin(held_out), HOLDOUT, TRAIN)
    info(f"Cell types: train {(split == TRAIN).sum()}, holdout {', '.join(held_out)}.")

    mdata = _mudata.writable(mdata, copy=copy)
    _keys.CELL_TYPE_SPLIT.set(mdata, pd.Categorical(split, categories=SPLITS))
    params = {"holdout": holdout, "rng": int(rng) if isinstance(rng, (int, np.integer)) else None}
    _keys.record(mdata, "split_cell_types", _keys.CELL_TYPE_SPLIT.key, params=params)
    return mdata if copy else None


def _draw(share: float, cell_types: pd.Index, rng: np.random.Generator) -> list[str]:
    check_range(share, name="holdout", low=0, high=1)
    return sorted(rng.choice(cell_types, size=max(1, round(share * len(cell_types))), replace=False))


def _named(holdout: Sequence[str], cell_types: pd.Index) -> list[str]:
    names = [holdout] if isinstance(holdout, str) else list(holdout)
    for name in names:
        check_cell_type(name, cell_types, name="holdout")
    if not names:
        msg = "Expected `holdout` to name a cell type; found none."
        raise ValueError(msg)
    return names
