"""How good a fitted task is, beside its baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genebert import _keys
from genebert._validate import check_literal

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

__all__ = ["evaluation"]

VERBS = ("classify", "regress")


def evaluation(
    mdata: MuData, *, key: str = "task", split: str | None = None, metric: str | None = None
) -> pd.DataFrame:
    """Return what `genebert.tl.classify` or `genebert.tl.regress` measured on regions that they did not learn from.

    Parameters
    ----------
    mdata
        Regions that a task was fitted on.
    key
        The `key_added` of the task.
    split
        ``"val"``, ``"test"``, or, of a task that reads accessibility, ``"test_open"``: within accessible regions; default: all.
    metric
        One metric, such as ``"auroc"``; default: all.

    Returns
    -------
    One row per measurement: ``method`` (``genebert`` or a baseline), ``split``, ``output`` (``all``: the mean over outputs,
    or all classes), ``metric``, ``value`` with its 95 % bootstrap interval ``low`` to ``high``, ``gain``, what the task has
    over the method on the same draws, with ``gain_low`` and ``gain_high``, ``n_regions``, ``n_positive`` and ``n_seen``: how
    many of the regions lie on chromosomes where the pre-trained weights saw openness or labels. In rows ``all`` of several labels
    these three are rounded means over the labels that are averaged, so that ``n_positive / n_regions`` is the share of positives
    to compare AUPRC with.

    Raises
    ------
    KeyError
        When no task was fitted under that key.
    ValueError
        When there is no such split or metric.

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=240)
    >>> task = gb.tl.classify(mdata, labels="promoter", method="probe", baselines=["kmer"])
    >>> gb.get.evaluation(mdata, split="test", metric="auroc")["method"].tolist()
    ['genebert', 'kmer']
    """
    records = mdata.uns.get(_keys.UNS, {})
    verb = next((verb for verb in VERBS if key in records.get(verb, {})), VERBS[0])
    table = _keys.load_record(mdata, verb, key, filled_by="gb.tl.classify")["table"]
    table = table[list(_keys.EVALUATION_COLUMNS)]
    for column, wanted in (("split", split), ("metric", metric)):
        if wanted is not None:
            check_literal(wanted, sorted(table[column].astype(str).unique()), name=column)
            table = table[table[column] == wanted]
    return table.reset_index(drop=True)
