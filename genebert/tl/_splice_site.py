"""Tell acceptors, donors and other sequence apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mudata import MuData

from genebert.model import GeneBERT, Task
from genebert.tl._classify import classify
from genebert.tl._task_labels import default_labels

__all__ = ["splice_site"]


def splice_site(
    mdata: MuData,
    model: GeneBERT | str | Path | None = None,
    *,
    labels: str | None = None,
    classes: Sequence[str] = ("acceptor", "donor", "neither"),
    key_added: str = "splice_site",
    **classify_kwargs: Any,
) -> Task:
    """Learn which windows are centred on a splice acceptor, on a donor, or on neither; the strand is that of the transcript.

    Parameters
    ----------
    mdata
        With sequences, labels and a split.
    model
        A model, the folder of one, or None for the weights that ship with genebert.
    labels
        Column of class numbers; default: the column of the task ``splice_site``, or the only one.
    classes
        Names of the classes 0, 1 and 2.
    key_added
        Name of the results.
    **classify_kwargs
        To :func:`genebert.tl.classify`; `strands` is always ``"forward"``.

    Returns
    -------
    The fitted task; writes what :func:`genebert.tl.classify` writes, under its name.

    Raises
    ------
    ValueError
        When both strands are asked for: on the other strand an acceptor is no acceptor.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> mdata = gb.datasets.toy(n_regions=240)
    >>> number = pd.DataFrame({"site": np.arange(240) % 3}, index=mdata.obs_names)
    >>> bases = ["".join("ACGTN"[b] for b in row) for row in mdata["seq"].obsm["dna_code"]]
    >>> mdata = gb.io.assemble(sequences=pd.Series(bases, index=mdata.obs_names), labels=number)
    >>> gb.pp.split_regions(mdata)
    >>> task = gb.tl.splice_site(mdata, method="probe", baselines=["kmer"])
    >>> task.outputs
    ['acceptor', 'donor', 'neither']
    """
    if classify_kwargs.pop("strands", "forward") != "forward":
        msg = "Expected strands='forward': an acceptor is none on the other strand; found 'both'. Leave `strands` out."
        raise ValueError(msg)
    labels = default_labels(mdata, "splice_site") if labels is None else labels
    return classify(
        mdata, model, labels=labels, classes=classes, strands="forward", key_added=key_added, **classify_kwargs
    )
