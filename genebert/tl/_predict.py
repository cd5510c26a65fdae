"""Apply a fitted task to regions."""

from __future__ import annotations

import os
from pathlib import Path

from mudata import MuData

from genebert import _keys, _mudata
from genebert._genome import Genome, check_genome
from genebert._validate import check_literal
from genebert.model import Task
from genebert.model._settings import check_device
from genebert.tl._task_results import check_length, check_result_key, in_cell_type, predict_rows, write_predictions
from genebert.tl._tracks import plan_track

__all__ = ["predict"]


def predict(
    mdata: MuData,
    task: Task | str | Path,
    *,
    cell_type: str | None = None,
    track: str | os.PathLike[str] | None = None,
    genome: Genome | str | os.PathLike[str] | None = None,
    output: str | None = None,
    device: str = "auto",
    key_added: str = "prediction",
    copy: bool = False,
) -> MuData | None:
    """Predict regions with a fitted task; those of a whole genome come from `genebert.io.tile_genome`.

    Sequences are read chunk by chunk, and where `mdata` was opened from a store (:func:`genebert.io.open`), results go
    there chunk by chunk. A task that reads accessibility takes that of its cell types from ``mdata["atac"]``, or that of
    another cell type.

    Parameters
    ----------
    mdata
        With sequences as long as those that the task was fitted with. Shorter ones without coordinates are padded with N
        as those were, on the right; other lengths are refused.
    task
        A task, or the folder of one.
    cell_type
        Of a task that reads accessibility: a cell type in ``mdata["atac"]`` whose accessibility is read in place of that of
        every cell type that the task was fitted in. Columns are called ``<output> in <cell type>``: a task of the labels
        ``CTCF|K562`` and ``CTCF|HepG2`` has two opinions on CTCF in a third cell type. The unit of accessibility is its
        mean over the regions of `mdata` that are open there, at least 20; of a cell type that the task was fitted in, that
        of its train regions.
    track
        File to write one output into, too, for genome browsers: ``.bedgraph``, or ``.bw`` where pyBigWig is installed.
    genome
        Genome, or path of its FASTA, for the lengths of chromosomes in a bigWig; without it they end with their last region.
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
        float32 DataFrame ``(regions, outputs)``: probabilities, or values of a regression. In an opened store a matrix, whose
        columns are ``params["outputs"]``.
    ``mdata["seq"].obs[key_added]``
        category ``(regions,)``: the called class, where there is one.
    ``mdata.uns["genebert"]["predict"][key_added]``
        ``params`` and ``model``, the digest of the task.

    Raises
    ------
    TypeError
        When `task` is no task.
    ImportError
        When `track` is a bigWig and pyBigWig is not installed.
    KeyError
        When there are no sequences, or no coordinates for `track`.
    ValueError
        When sequences have another length, the accessibility of a cell type is missing, regions of a track overlap, or
        `key_added` is taken by something that no task wrote.

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
    check_device(device, name="device")
    _keys.DNA_CODE.get(mdata)
    if not isinstance(task, (Task, str, os.PathLike)):
        msg = (
            f"Expected `task` to be a fitted task, or the folder of one; found {type(task).__name__}. Fit one, as with gb.tl.classify, or "
            "read one: gb.model.Task.load(folder)."
        )
        raise TypeError(msg)
    task = task if isinstance(task, Task) else Task.load(task, device=device)
    check_length(mdata, task)
    output = task.outputs[0] if output is None else output
    check_literal(output, task.outputs, name="output")
    place = task.outputs.index(output)
    if genome is not None:
        check_genome(genome, or_path=True)
        genome = genome if isinstance(genome, Genome) else Genome(genome)
    write = None if track is None else plan_track(mdata, track, genome=genome)
    digest = task.digest
    task = task if cell_type is None else in_cell_type(task, mdata, cell_type)
    found = predict_rows(mdata, task, copy=copy, output=None if write is None else place)
    if write is not None:
        write(found.kept[:, 0])
    mdata = _mudata.writable(mdata, copy=copy)
    written = write_predictions(mdata, task, found, key_added=key_added)
    params = {**written, "cell_type": cell_type, "track": None if track is None else str(track)}
    _keys.record(mdata, "predict", key_added, params=params, model=digest)
    return mdata if copy else None
