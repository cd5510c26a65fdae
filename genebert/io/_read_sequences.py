"""Bare sequences, with or without labels, from FASTA and tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from mudata import MuData

from genebert._coordinates import regions_of
from genebert._files import open_text
from genebert._validate import check_columns
from genebert.io._assemble import align, bare_names

__all__ = ["read_sequences"]

LABEL_COLUMN = "label"
NAME_COLUMN = "name"


def read_sequences(
    path: str | os.PathLike[str],
    *,
    sequence_column: str = "sequence",
    label_columns: Sequence[str] | None = None,
    name_column: str | None = None,
    coordinates: bool = False,
    task: str | None = None,
    missing_values: Sequence[float] = (),
) -> MuData:
    r"""Read sequences from a FASTA, or sequences and labels from a TSV or CSV; plain or gzipped.

    Parameters
    ----------
    path
        The file. One whose first line that is not blank begins with ``>`` is a FASTA, any other a table with a header.
    sequence_column
        Column with the sequences of a table.
    label_columns
        Columns with labels; None = ``label``, where there is one. Several classes stay one column of numbers.
    name_column
        Column with names; None = ``name`` where there is one, else rows are named seq0, seq1, ...
    coordinates
        Read coordinates from the names (``chr1:100-300``) or, in a table, from its columns chrom, start and end.
    task
        Task of the labels; None = the name of each column.
    missing_values
        Labels that stand for a missing one, such as ``(-1, -9)``; they become NaN.

    Returns
    -------
    MuData with the modalities

    - ``seq``: `.obsm` bases (uint8, shorter sequences padded with N on the right), `.obs` width and GC.
    - ``labels``, where there are any: `.X` float32 ``(sequences, label columns)``, NaN = not labelled.

    Raises
    ------
    ValueError
        When there is no sequence, one is empty, a name is repeated, or a column is missing.

    Examples
    --------
    >>> import tempfile, genebert as gb
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "promoters.tsv"
    >>> _ = path.write_text("sequence\tlabel\nACGT\t1\nGGCCA\t0\n")
    >>> gb.io.read_sequences(path)["seq"].obs
          width   gc
    seq0      4  0.5
    seq1      5  0.8
    """
    path = Path(path)
    if _is_fasta(path):
        table, label_columns = _read_fasta(path, sequence_column), []
    else:
        table = _read_table(path, name_column)
        label_columns = _label_columns(table, label_columns)
        check_columns(table.columns, [sequence_column, *label_columns], what=f"a table ({path.name})")
    tables = {"sequences": table[sequence_column]}
    if label_columns:
        tables["labels"] = table[label_columns]
    obs = regions_of(table) if coordinates else bare_names(table.index)
    return align(table.index, obs, tables, task=task, missing_values=missing_values)


def _is_fasta(path: Path) -> bool:
    with open_text(path) as handle:
        return next((line for line in handle if line.strip()), "").startswith(">")


def _read_fasta(path: Path, column: str) -> pd.DataFrame:
    names, parts = [], []
    with open_text(path) as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            if not line.startswith(">"):
                parts[-1].append(line.strip())
                continue
            if not line[1:].strip():
                msg = f"Expected a name behind '>'; found none in line {number} of {path}. Name each record."
                raise ValueError(msg)
            names.append(line[1:].split()[0])
            parts.append([])
    return pd.DataFrame({column: ["".join(lines) for lines in parts]}, index=pd.Index(names, dtype=object))


def _read_table(path: Path, name_column: str | None) -> pd.DataFrame:
    with open_text(path) as handle:
        header = handle.readline()
        separator = "\t" if "\t" in header else ","
        table = pd.read_csv(handle, sep=separator, names=_split(header, separator), index_col=False)
    if name_column is None:
        name_column = NAME_COLUMN if NAME_COLUMN in table else None
    else:
        check_columns(table.columns, [name_column], what=f"a table ({path.name})")
    names = [f"seq{row}" for row in range(len(table))] if name_column is None else table[name_column].astype(str)
    return table.set_index(pd.Index(names, dtype=object))


def _split(header: str, separator: str) -> list[str]:
    return [column.strip().strip('"') for column in header.rstrip("\r\n").split(separator)]


def _label_columns(table: pd.DataFrame, columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return [LABEL_COLUMN] if LABEL_COLUMN in table else []
    return [columns] if isinstance(columns, str) else list(columns)
