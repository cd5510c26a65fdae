"""Which cell types are held out together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from mudata import MuData

from genebert import _keys
from genebert._validate import check_cell_type, check_names, listed
from genebert.tl._leak_guard import check_held_out

__all__ = ["Fold", "Holdout", "make_folds"]

Holdout = str | Sequence[str] | Sequence[Sequence[str]]
_EACH, _SPLIT = "each", "split"


class Fold(NamedTuple):
    """Cell types that are held out together, and those that are learnt from."""

    held_out: list[str]
    learnt: list[str]

    @property
    def name(self) -> str:
        """How the table calls it."""
        return "+".join(self.held_out)


def make_folds(mdata: MuData, holdout: Holdout, *, cell_types: Sequence[str]) -> list[Fold]:
    """Turn `holdout` into folds.

    Parameters
    ----------
    mdata
        Read for ``holdout="split"`` only.
    holdout
        ``"each"``: one at a time; names: together; lists of names: each list together; ``"split"``: those of
        `genebert.pp.split_cell_types`, together.
    cell_types
        All that take part.

    Raises
    ------
    ValueError
        When a cell type is unknown or named twice, or none is left to learn from.
    """
    if isinstance(holdout, str):
        if holdout not in (_EACH, _SPLIT):
            msg = f"Expected `holdout` to be 'each', 'split', names of cell types, or lists of them; found {holdout!r}. Write [{holdout!r}]."
            raise ValueError(msg)
        groups = [[name] for name in cell_types] if holdout == _EACH else [_of_split(mdata, cell_types)]
    else:
        check_names(holdout, name="holdout")
        items = list([] if holdout is None else holdout)
        for item in items:
            check_names(item, name="holdout")
        is_flat = all(isinstance(item, str) for item in items)
        groups = [[str(name) for name in items]] if is_flat else [[i] if isinstance(i, str) else list(i) for i in items]
    named = [name for group in groups for name in group]
    if not named or not all(groups):
        msg = f"Expected `holdout` to name a cell type; found none. There are {listed(cell_types, most=20)}."
        raise ValueError(msg)
    for name in named:
        check_cell_type(name, cell_types, name="holdout")
    if len(set(named)) < len(named):
        msg = f"Expected each cell type once in `holdout`; found {listed(sorted({n for n in named if named.count(n) > 1}))} twice."
        raise ValueError(msg)
    folds = [Fold(group, [name for name in cell_types if name not in group]) for group in groups]
    for fold in folds:
        check_held_out(fold.held_out, fold.learnt)
    return folds


def _of_split(mdata: MuData, cell_types: Sequence[str]) -> list[str]:
    split = np.asarray(_keys.CELL_TYPE_SPLIT.get(mdata)).astype(str)
    held_out = set(mdata[_keys.ATAC].var_names[split == "holdout"])
    return [name for name in cell_types if name in held_out]
