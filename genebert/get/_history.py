"""The losses of pre-training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genebert import _keys

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

__all__ = ["history"]


def history(mdata: MuData, *, key: str = _keys.UNS) -> pd.DataFrame:
    """Return what `genebert.tl.pretrain` measured while it trained.

    Parameters
    ----------
    mdata
        Regions that were pre-trained on.
    key
        The `key_added` given to `genebert.tl.pretrain`.

    Returns
    -------
    One row per measurement: ``epoch``, ``step``, ``split`` (train / val), ``objective``, ``metric``, ``value``, and
    ``chance``, the value that guessing would give (NaN where there is none).

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=120)
    >>> model = gb.tl.pretrain(mdata, preset="tiny", max_epochs=1)
    >>> sorted(gb.get.history(mdata)["split"].unique())
    ['train', 'val']
    """
    table = _keys.load_record(mdata, "pretrain", key, filled_by="gb.tl.pretrain")["history"]
    return table[list(_keys.HISTORY_COLUMNS)].reset_index(drop=True)
