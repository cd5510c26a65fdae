"""Build the modalities that readers share: sequences, accessibility and labels of regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from genebert._dna import N, encode, foreign_letter, gc_content
from genebert._keys import (
    COUNTS,
    DNA_CODE,
    GC,
    LABEL_CELL_TYPE,
    LABEL_TASK,
    LABEL_TF,
    OPEN,
    WIDTH,
)
from genebert._logging import info, warn
from genebert._validate import check_amounts, listed

__all__ = [
    "accessibility_modality",
    "add_codes",
    "labels_modality",
    "log_cpm",
    "seq_modality",
    "unique_index",
]

MAX_LENGTH = 1_000_000  # a record longer than this is a chromosome, and a padded matrix of those fills the memory
LABEL_SEPARATOR = "|"


def seq_modality(obs: pd.DataFrame) -> AnnData:
    """Regions without variables: their table is all there is until sequences are added."""
    return AnnData(obs=obs.copy())


def unique_index(names: Sequence[str], *, what: str) -> pd.Index:
    """Make names of columns, each of which may occur only once."""
    index = pd.Index([str(name) for name in names], dtype=object)
    repeated = index[index.duplicated()].unique()
    if len(repeated):
        msg = f"Expected each {what} once; repeated: {listed(repeated)}. Rename them, or join their columns."
        raise ValueError(msg)
    return index


def add_codes(seq: AnnData, sequences: Sequence[str], *, centred: bool = False) -> None:
    """Write bases, widths and GC of sequences; shorter ones are padded with N on the right, or on both sides.

    Raises
    ------
    ValueError
        When a sequence is empty, is no text or as long as a chromosome, or when none holds a base.
    """
    bad = [name for name, text in zip(seq.obs_names, sequences, strict=True) if not isinstance(text, str) or not text]
    if bad:
        msg = f"Expected a sequence for each record; {len(bad)} are empty: {listed(bad)}. Remove these rows."
        raise ValueError(msg)
    _check_letters(seq.obs_names, sequences)
    lengths = np.array([len(text) for text in sequences])
    if lengths.max() > MAX_LENGTH:
        msg = (
            f"Expected sequences of up to {MAX_LENGTH} bp; the longest has {lengths.max()}. For a genome use "
            "gb.Genome(path) with gb.io.read_regions and gb.pp.add_sequence."
        )
        raise ValueError(msg)
    codes = np.full((len(sequences), lengths.max()), N, dtype=np.uint8)
    shifts = (lengths.max() - lengths) // 2 if centred else np.zeros_like(lengths)
    for row, shift, text in zip(codes, shifts, sequences, strict=True):
        row[shift : shift + len(text)] = encode(text)
    _report_unknown(codes)
    seq.obsm[DNA_CODE.key] = codes
    if WIDTH.key not in seq.obs:
        seq.obs[WIDTH.key] = lengths.astype(np.int32)
    seq.obs[GC.key] = gc_content(codes)


def accessibility_modality(values: np.ndarray, *, names: pd.Index, cell_types: Sequence[str]) -> AnnData:
    """Take calls (0/1), counts (whole numbers) or values (anything else) for what they are.

    Parameters
    ----------
    values
        ``(regions, cell types)``, NaN = not measured.
    names
        Names of the regions.
    cell_types
        Names of the cell types.
    """
    values = np.asarray(values, dtype=np.float32)
    remedy = "Pass raw counts (`layer=`), or name codes in `missing_values`."
    check_amounts(values, what="accessibility", remedy=remedy)
    measured = values[~np.isnan(values)]
    if measured.size < values.size:
        info(f"accessibility: {values.size - measured.size} of {values.size} values are NaN (not measured), left out")
    atac = AnnData(obs=pd.DataFrame(index=names), var=pd.DataFrame(index=unique_index(cell_types, what="cell type")))
    if np.isin(measured, (0, 1)).all():
        atac.X = values
        atac.layers[OPEN.key] = sparse.csr_matrix(np.nan_to_num(values))
    elif (measured % 1 == 0).all():
        atac.X = log_cpm(values)
        atac.layers[COUNTS.key] = sparse.csr_matrix(values)
    else:
        info("accessibility: not whole numbers, so taken as normalised already; pass raw counts to get log1p CPM")
        atac.X = values
    return atac


def log_cpm(counts: np.ndarray) -> np.ndarray:
    """Log1p of counts per million of each column, NaN left out. float32 ``(regions, cell types)``."""
    totals = np.nansum(counts, axis=0, dtype=np.float64)
    scale = np.divide(1e6, totals, out=np.zeros_like(totals), where=totals > 0)
    return np.log1p(counts * scale).astype(np.float32)


def labels_modality(frame: pd.DataFrame, *, names: pd.Index, task: str | None = None) -> AnnData:
    """One column per experiment; ``TF|cell type`` in a column's name says what it measured.

    Raises
    ------
    ValueError
        When a column holds anything but finite numbers and NaN.
    """
    index = unique_index(frame.columns, what="label column")
    values = {}
    for column in frame:
        numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float32)
        bad = frame[column].notna().to_numpy() & ~np.isfinite(numbers)
        if bad.any():
            examples = listed(map(repr, frame[column][bad].unique()))
            msg = f"Expected numbers or missing values in label column {column!r}; found {examples}. Number the classes 0, 1, 2, ..."
            raise ValueError(msg)
        values[str(column)] = numbers
    parts = [str(column).split(LABEL_SEPARATOR, maxsplit=1) for column in frame]
    is_pair = [len(part) == 2 for part in parts]
    tasks = [task or ("tf_binding" if pair else part[0]) for part, pair in zip(parts, is_pair, strict=True)]
    var = pd.DataFrame(
        {
            LABEL_TASK.key: pd.Categorical(tasks),
            LABEL_TF.key: [part[0] if pair else "" for part, pair in zip(parts, is_pair, strict=True)],
            LABEL_CELL_TYPE.key: [part[1] if pair else "" for part, pair in zip(parts, is_pair, strict=True)],
        },
        index=index,
    )
    matrix = np.column_stack(list(values.values()))
    return AnnData(X=matrix, obs=pd.DataFrame(index=names), var=var)


def _check_letters(names: pd.Index, sequences: Sequence[str]) -> None:
    """Raise where a letter stands for no base."""
    for name, text in zip(names, sequences, strict=True):
        place = foreign_letter(text)
        if place is not None:
            msg = (
                f"Expected sequences of A, C, G, T, U, N and the other IUPAC codes of bases, which are read as N; found {text[place]!r} "
                f"at position {place + 1} of {name}. Check the column, or write N for what is not known."
            )
            raise ValueError(msg)


def _report_unknown(codes: np.ndarray) -> None:
    empty = int((codes == N).all(axis=1).sum())
    if empty == len(codes):
        msg = "Expected DNA sequences; no A, C, G or T was found in any of them. Check the file or the column."
        raise ValueError(msg)
    if empty:
        warn(f"{empty} of {len(codes)} sequences hold no A, C, G or T; their GC is NaN. Remove them before training.")
