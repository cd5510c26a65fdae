"""Apply a fitted task to regions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData

from genebert import _keys, _mudata
from genebert._validate import check_literal
from genebert.model import Task
from genebert.tl._task_fit import check_result_key, predict_rows, write_predictions

__all__ = ["predict"]


def predict(
    mdata: MuData,
    task: Task | str | Path,
    *,
    bedgraph: str | os.PathLike[str] | None = None,
    output: str | None = None,
    device: str = "auto",
    key_added: str = "prediction",
    copy: bool = False,
) -> MuData | None:
    """Predict regions with a fitted task; those of a whole genome come from `genebert.io.tile_genome`.

    Sequences are read chunk by chunk. A task that reads accessibility takes that of its cell types from ``mdata["atac"]``.

    Parameters
    ----------
    mdata
        With sequences as long as those that the task was fitted with.
    task
        A task, or the folder of one.
    bedgraph
        File to write one output into, too: chrom, start, end and the prediction, sorted, as genome browsers read it.
    output
        Which output goes there; default: the first.
    device
        Of a task that is read from a folder.
    key_added
        Name of the results.
    copy
        Return a changed copy instead of writing into `mdata`.

    Returns
    -------
    None, or the copy. Writes

    ``mdata.obsm[key_added + "_proba"]``
        float32 DataFrame ``(regions, outputs)``: probabilities, or values of a regression.
    ``mdata["seq"].obs[key_added]``
        category ``(regions,)``: the called class, where there is one.
    ``mdata.uns["genebert"]["predict"][key_added]``
        ``params`` and ``model``, the digest of the task.

    Raises
    ------
    ValueError
        When sequences have another length, or the accessibility of a cell type is missing.
    KeyError
        When there are no sequences, or no coordinates for `bedgraph`.

    Examples
    --------
    >>> mdata = gb.datasets.toy(n_regions=240)
    >>> task = gb.tl.classify(mdata, labels="promoter", method="probe", baselines=["kmer"])
    >>> new = gb.datasets.toy(n_regions=60, rng=1)
    >>> gb.tl.predict(new, task)
    >>> new.obsm["prediction_proba"].shape
    (60, 1)
    """
    _mudata.check_mudata(mdata)
    check_result_key(mdata, key_added)
    _keys.DNA_CODE.get(mdata)
    task = task if isinstance(task, Task) else Task.load(task, device=device)
    output = task.outputs[0] if output is None else output
    check_literal(output, task.outputs, name="output")
    if bedgraph is not None:
        for slot in (_keys.CHROM, _keys.START, _keys.END):
            slot.get(mdata)
    found = predict_rows(mdata, task)
    if bedgraph is not None:
        _write_bedgraph(mdata, found[:, task.outputs.index(output)], Path(bedgraph))
    mdata = _mudata.writable(mdata, copy=copy)
    write_predictions(mdata, task, found, key_added=key_added)
    params = {"outputs": task.outputs, "kind": task.kind, "bedgraph": None if bedgraph is None else str(bedgraph)}
    _keys.record(mdata, "predict", key_added, params=params, model=task.digest)
    return mdata if copy else None


def _write_bedgraph(mdata: MuData, values: np.ndarray, path: Path) -> None:
    """Write under a temporary name until it is complete."""
    table = pd.DataFrame(
        {
            "chrom": np.asarray(_keys.CHROM.get(mdata)).astype(str),
            "start": np.asarray(_keys.START.get(mdata)),
            "end": np.asarray(_keys.END.get(mdata)),
            "value": values,
        }
    ).sort_values(["chrom", "start", "end"], kind="stable")
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        table.to_csv(scratch, sep="\t", header=False, index=False, float_format="%.5g")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
