"""Tell promoters from other sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mudata import MuData

from genebert.model import GeneBERT, Task
from genebert.tl._classify import classify
from genebert.tl._task_labels import default_labels

__all__ = ["promoter"]


def promoter(
    mdata: MuData,
    model: GeneBERT | str | Path | None = None,
    *,
    labels: str | None = None,
    key_added: str = "promoter",
    **classify_kwargs: Any,
) -> Task:
    """Learn which sequences are promoters; the strand matters, since promoters are given in the direction of their gene.

    Parameters
    ----------
    mdata
        With sequences, labels and a split.
    model
        A model, the folder of one, or None for the weights that ship with genebert.
    labels
        Column of 0 and 1; default: the column of the task ``promoter``, or the only one.
    key_added
        Name of the results.
    **classify_kwargs
        To :func:`genebert.tl.classify`, such as ``strands="both"`` for regions of unknown direction.

    Returns
    -------
    The fitted task; writes what :func:`genebert.tl.classify` writes, under its name.

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=240)
    >>> task = gb.tl.promoter(mdata, method="probe", baselines=["position_2mer"])
    >>> task.kind
    'binary'
    """
    labels = default_labels(mdata, "promoter") if labels is None else labels
    options = {"strands": "forward", **classify_kwargs}
    return classify(mdata, model, labels=labels, key_added=key_added, **options)
