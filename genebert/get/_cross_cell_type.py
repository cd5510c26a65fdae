"""What is known about cell types that were held out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from genebert import _keys
from genebert._validate import check_literal

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

__all__ = ["cross_cell_type"]

Rows = Literal["headline", "all", "few_shot"]


def cross_cell_type(
    mdata: MuData,
    *,
    key: str = "cross_cell_type",
    rows: Rows = "headline",
    metric: str | None = None,
    stratum: str | None = "all",
) -> pd.DataFrame:
    """Return what `genebert.tl.cross_cell_type` measured.

    Parameters
    ----------
    mdata
        Regions that it was called with.
    key
        Its `key_added`.
    rows
        ``"headline"``: held-out cell types on test regions; ``"all"``: the four quarters of the design, cell types {train,
        holdout} x regions {train, test}; ``"few_shot"``: the curve over the number of regions or cells measured.
    metric
        One metric, such as ``"auroc"`` or ``"within_region_auroc"``; default: all.
    stratum
        One stratum of regions; None: all of them, one below the other.

    Returns
    -------
    One row per measurement. ``holdout`` names the cell types that were held out together (``all``: mean over folds),
    ``cell_type`` one of them (``all``: their mean), ``tf`` the TF of a binding label. ``known`` is what the method was given at
    the regions that are scored. ``value`` has its 95 % interval ``low`` to ``high``; ``gain`` is what genebert has over the method on
    the same draws, with ``gain_low`` and ``gain_high``, and ``control`` what is left of that when activity (of binding:
    accessibility) is shuffled; ``is_best`` marks the best baseline. ``n_near`` counts regions that share 32
    bases with train regions, and ``marks`` tells what flatters the row.

    Raises
    ------
    KeyError
        When nothing was measured under that key.
    ValueError
        When there is no such metric or stratum.

    Examples
    --------
    >>> mdata = gb.datasets.toy()
    >>> gb.tl.cross_cell_type(mdata, "none", holdout=["Monocyte", "Progenitor"])
    >>> table = gb.get.cross_cell_type(mdata, metric="within_region_auroc")
    >>> table["value"][table["method"] == "sequence_only"].unique().tolist()
    [0.5]
    """
    check_literal(rows, Rows, name="rows")
    found = _keys.load_record(mdata, "cross_cell_type", key, filled_by="gb.tl.cross_cell_type")
    if rows == "few_shot":
        if "few_shot" not in found:
            msg = f"Expected a few-shot curve in {key!r}; found none. Run gb.tl.cross_cell_type(mdata, few_shot=[50, 500])."
            raise ValueError(msg)
        table, wanted = found["few_shot"][list(_keys.FEW_SHOT_COLUMNS)], {"metric": metric}
    else:
        table, wanted = found["table"][list(_keys.CROSS_COLUMNS)], {"metric": metric, "stratum": stratum}
        if rows == "headline":
            table = table[(table["types"] == "holdout") & (table["regions"] == "test")]
    for column, value in wanted.items():
        if value is not None:
            check_literal(value, sorted(table[column].astype(str).unique()), name=column)
            table = table[table[column] == value]
    return table.reset_index(drop=True)
