"""Predict where TFs bind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mudata import MuData

from genebert import _keys
from genebert._validate import check_literal, listed
from genebert.model import GeneBERT, Task
from genebert.tl._classify import classify
from genebert.tl._task_labels import default_labels, label_values

__all__ = ["tf_binding"]

BindingWeight = Literal["auto", "none", "accessibility", "open"]


def tf_binding(
    mdata: MuData,
    model: GeneBERT | str | Path | None = None,
    *,
    labels: str | Sequence[str] | None = None,
    tf_weight: BindingWeight = "auto",
    key_added: str = "tf_binding",
    **classify_kwargs: Any,
) -> Task:
    """Learn where TFs bind: one TF, or many TFs in many cell types at once, from sequence and accessibility.

    A motif is the same in all cell types; whether it is bound depends on the chromatin. So the accessibility of a label's
    cell type multiplies what the sequence says: with ``h`` the state of the sequence and ``a`` the accessibility, the logit
    is ``u(h) + a v(h)``, with functions ``u`` and ``v`` for each label. Labels of a cell type without accessibility have
    ``u`` alone.

    Parameters
    ----------
    mdata
        With sequences, labels, a split, and accessibility (``atac``) of the cell types of the labels.
    model
        A model, the folder of one, or None for the weights that ship with genebert.
    labels
        Columns of 0, 1 and NaN; default: those of the task ``tf_binding``, or the only one. ``labels.var["cell_type"]``
        tells the cell type of each.
    tf_weight
        ``"accessibility"``: ``atac.X``, relative to its mean over accessible regions; ``"open"``: the calls; ``"none"``;
        ``"auto"``: accessibility where it is there for one of the cell types. It may be used here, since accessibility is not what
        is predicted. Where ``atac`` holds calls of three cell types or more besides those of the labels, a fine-tuned task reads the share
        of all of them in which a region is open, too.
    key_added
        Name of the results.
    **classify_kwargs
        To :func:`genebert.tl.classify`.

    Returns
    -------
    The fitted task; writes what :func:`genebert.tl.classify` writes, under its name.

    Raises
    ------
    ValueError
        When labels are other than 0, 1 and NaN, and where :func:`genebert.tl.classify` raises.

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=240)
    >>> task = gb.tl.tf_binding(mdata, labels=["CTCF|Monocyte"], method="probe", baselines=["accessibility"])
    >>> task.contexts.cell_types
    ['Monocyte']
    """
    check_literal(tf_weight, BindingWeight, name="tf_weight")
    labels = default_labels(mdata, "tf_binding") if labels is None else labels
    names, values = label_values(mdata, labels)
    found = np.unique(values[~np.isnan(values)])
    if not np.isin(found, (0, 1)).all():
        msg = (
            f"Expected labels of 0 (not bound), 1 (bound) or NaN; found {listed(found)} in {listed(names)}. Binarise them, or use "
            "gb.tl.classify for classes."
        )
        raise ValueError(msg)
    if tf_weight == "auto":
        known = dict(zip(mdata[_keys.LABEL].var_names, _keys.LABEL_CELL_TYPE.get(mdata), strict=True))
        there = set(mdata[_keys.ATAC].var_names) if _keys.ACCESSIBILITY.has(mdata) else set()
        tf_weight = "accessibility" if there & {str(known.get(name, "")) for name in names} else "none"
    return classify(mdata, model, labels=labels, tf_weight=tf_weight, key_added=key_added, **classify_kwargs)
