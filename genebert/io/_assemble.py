"""Tables of regions to a MuData."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from genebert import _mudata
from genebert._coordinates import looks_like_regions, regions_of
from genebert._keys import ACCESSIBILITY, END, FAMILY, LABELS, MOTIF_ID, START, TF_SCORE, WIDTH
from genebert._logging import info
from genebert._regions import check_unique
from genebert._validate import listed
from genebert.io._modalities import accessibility_modality, add_codes, labels_modality, seq_modality, unique_index

__all__ = ["align", "assemble", "bare_names"]

Tables = dict[str, pd.DataFrame | pd.Series]


def assemble(
    *,
    regions: pd.DataFrame | None = None,
    sequences: pd.Series | Sequence[str] | None = None,
    tf: pd.DataFrame | None = None,
    accessibility: pd.DataFrame | None = None,
    labels: pd.DataFrame | None = None,
    task: str | None = None,
    missing_values: Sequence[float] = (),
) -> MuData:
    """Put tables with one row per region together.

    The tables are aligned by their index, in the order of `regions` (else of the first table given); a table in
    another order is reordered. With `regions`, each is named ``chrom:start-end``, whatever its index was. Without, the
    index is read as coordinates where it looks like regions, and otherwise holds the names of bare sequences.

    Parameters
    ----------
    regions
        Columns chrom, start and end (0-based, half-open), or an index of region names.
    sequences
        DNA of each region; a plain list is in the order of the regions. With coordinates, shorter ones are padded with
        N on both sides, without on the right.
    tf
        Motif scores, regions x TFs.
    accessibility
        Regions x cell types: calls 0/1, raw counts (become log1p of counts per million) or values, NaN = not measured.
    labels
        Regions x experiments, NaN = not labelled. A column ``TF|cell type`` says what it measured.
    task
        Task of the labels; None = ``tf_binding`` for columns ``TF|cell type``, else the column's name.
    missing_values
        Numbers that stand for a missing value in `accessibility` and `labels`, such as ``(-1, -9)``; they become NaN.

    Returns
    -------
    MuData with ``seq`` and those of ``tf``, ``atac`` and ``labels`` that were given.

    Raises
    ------
    TypeError
        When `regions`, `tf`, `accessibility` or `labels` is no DataFrame.
    ValueError
        When no table is given or one has no columns, indexes differ, regions are malformed or repeated, or values are impossible.

    Examples
    --------
    >>> import pandas as pd, genebert as gb
    >>> names = ["chr1:0-4", "chr1:8-12"]
    >>> mdata = gb.io.assemble(
    ...     sequences=pd.Series(["ACGT", "GGCC"], index=names),
    ...     accessibility=pd.DataFrame({"B": [1, 0], "T": [1, -9]}, index=names),
    ...     labels=pd.DataFrame({"SPI1|B": [1, 0]}, index=names),
    ...     missing_values=(-9,),
    ... )
    >>> mdata["labels"].var
               task    tf cell_type
    SPI1|B  tf_binding  SPI1         B
    """
    frames = {"tf": tf, "accessibility": accessibility, "labels": labels}
    _check_frames({"regions": regions, **frames})
    tables = {"sequences": _as_series(sequences, regions), **frames}
    tables = {name: table for name, table in tables.items() if table is not None}
    if regions is None and not tables:
        msg = "Expected at least one table; found none. Give `regions` or `sequences`."
        raise ValueError(msg)
    index, obs = _frame_of_regions(regions, tables)
    return align(index, obs, tables, task=task, missing_values=missing_values)


def align(
    index: pd.Index, obs: pd.DataFrame, tables: Tables, *, task: str | None, missing_values: Sequence[float]
) -> MuData:
    """Build the MuData from tables that are indexed by `index` or by the names of `obs`."""
    aligned = {name: _aligned(table, index, obs.index, name=name) for name, table in tables.items()}
    seq = seq_modality(obs)
    modalities = {START.modality: seq}
    if "sequences" in aligned:
        has_coordinates = START.key in obs
        if has_coordinates:
            seq.obs[WIDTH.key] = (obs[END.key] - obs[START.key]).astype(np.int32)
        add_codes(seq, aligned["sequences"].to_list(), centred=has_coordinates)
    if "tf" in aligned:
        modalities[TF_SCORE.modality] = _tf_modality(aligned["tf"], obs.index)
    if "accessibility" in aligned:
        table = _numbers(_without(aligned["accessibility"], missing_values), name="accessibility")
        atac = accessibility_modality(table.to_numpy(), names=obs.index, cell_types=table.columns)
        modalities[ACCESSIBILITY.modality] = atac
    if "labels" in aligned:
        table = _without(aligned["labels"], missing_values)
        modalities[LABELS.modality] = labels_modality(table, names=obs.index, task=task)
    return _mudata.build(modalities)


def bare_names(index: pd.Index) -> pd.DataFrame:
    """`seq.obs` of sequences without coordinates."""
    if len(index) == 0:
        msg = "Expected at least one region or sequence; found none. Check the filter that left no rows."
        raise ValueError(msg)
    check_unique(index)
    return pd.DataFrame(index=index.astype(str).astype(object))


def _check_frames(frames: dict[str, pd.DataFrame | None]) -> None:
    """Raise unless each that was given is a DataFrame; all but `regions`, whose index may say it all, with columns."""
    for name, frame in frames.items():
        if frame is None:
            continue
        if not isinstance(frame, pd.DataFrame):
            advice = "Give it as .to_frame(name)." if isinstance(frame, pd.Series) else "Give one row per region."
            msg = f"Expected `{name}` to be a DataFrame; found a {type(frame).__name__}. {advice}"
            raise TypeError(msg)
        if name != "regions" and frame.shape[1] == 0:
            msg = f"Expected at least one column in `{name}`; found none. Leave `{name}` out, or check the filter before this."
            raise ValueError(msg)


def _as_series(sequences: pd.Series | Sequence[str] | None, regions: pd.DataFrame | None) -> pd.Series | None:
    if sequences is None or isinstance(sequences, pd.Series):
        return sequences
    sequences = list(sequences)
    if regions is None:
        return pd.Series(sequences, index=[f"seq{place}" for place in range(len(sequences))], dtype=object)
    if len(sequences) != len(regions):
        msg = f"Expected a sequence for each of {len(regions)} regions; found {len(sequences)}. Give a Series indexed like `regions`."
        raise ValueError(msg)
    return pd.Series(sequences, index=regions.index, dtype=object)


def _frame_of_regions(regions: pd.DataFrame | None, tables: Tables) -> tuple[pd.Index, pd.DataFrame]:
    """Return the index that the tables are aligned by, and `seq.obs` in the same order."""
    if regions is not None:
        return regions.index, regions_of(regions)
    index = next(iter(tables.values())).index
    frame = pd.DataFrame(index=index)
    return index, regions_of(frame) if looks_like_regions(frame) else bare_names(index)


def _aligned(
    table: pd.DataFrame | pd.Series, index: pd.Index, names: pd.Index, *, name: str
) -> pd.DataFrame | pd.Series:
    """Rows of a table in the order of the regions, under their old or their new names."""
    check_unique(table.index)
    for key in (index, names):
        if len(table) == len(key) and key.isin(table.index).all():
            return table.reindex(key)
    absent, extra = index[~index.isin(table.index)], table.index[~table.index.isin(index)]
    msg = (
        f"Expected `{name}` to have the {len(index)} regions as its index; {len(absent)} are missing ({listed(absent)}), "
        f"{len(extra)} are not among them ({listed(extra)}). Give all tables the same index."
    )
    raise ValueError(msg)


def _without(table: pd.DataFrame, missing_values: Sequence[float]) -> pd.DataFrame:
    if not len(missing_values):
        return table
    is_missing = table.isin(list(missing_values))
    if n_missing := int(is_missing.to_numpy().sum()):
        info(f"{n_missing} values {listed(missing_values)} become NaN (missing)")
    return table.mask(is_missing)


def _numbers(table: pd.DataFrame, *, name: str) -> pd.DataFrame:
    try:
        return table.astype(np.float32)
    except (TypeError, ValueError) as error:
        msg = f"Expected numbers in `{name}`; found text: {error}. Drop columns that hold no values."
        raise ValueError(msg) from error


def _tf_modality(table: pd.DataFrame, names: pd.Index) -> AnnData:
    scores = _numbers(table, name="tf").to_numpy()
    if not np.isfinite(scores).all():
        n_bad = int((~np.isfinite(scores)).sum())
        msg = f"Expected finite motif scores in `tf`; {n_bad} are NaN or infinite. Fill them, or run gb.pp.scan_motifs."
        raise ValueError(msg)
    index = unique_index(table.columns, what="TF")
    var = pd.DataFrame({MOTIF_ID.key: index.to_numpy(), FAMILY.key: pd.Categorical([""] * len(index))}, index=index)
    return AnnData(X=scores, obs=pd.DataFrame(index=names), var=var)
