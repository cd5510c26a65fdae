"""Bare sequences, with or without labels, from FASTA and tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mudata import MuData

from genebert._coordinates import regions_of
from genebert._files import open_text
from genebert._logging import info
from genebert._validate import check_columns, listed
from genebert.io._assemble import align, bare_names

__all__ = ["read_sequences"]

LABEL_COLUMN = "label"
NAME_COLUMN = "name"


def read_sequences(
    path: str | os.PathLike[str],
    *,
    labels: str | os.PathLike[str] | pd.DataFrame | None = None,
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
    labels
        Labels of the records of a FASTA: a DataFrame indexed by their names, or a TSV or CSV with a header and a column of
        names. The name of a record is the first word behind its ``>``. A record without a row is not labelled (NaN).
    sequence_column
        Column with the sequences of a table.
    label_columns
        Columns with labels; None = ``label``, where there is one, or all columns of `labels`. Several classes stay one column of
        numbers.
    name_column
        Column with names; None = ``name`` where there is one, else rows are named seq0, seq1, ... In a file of `labels` it is
        ``name``, else the first one.
    coordinates
        Read coordinates from the names (``chr1:100-300``) or, in a table, from its columns chrom, start and end.
    task
        Task of the labels; None = the name of each column.
    missing_values
        Labels that stand for a missing one, such as ``(-1, -9)``; they become NaN.

    Returns
    -------
    MuData with the modalities

    - ``seq``: `.obsm` bases (uint8; U is read as T, IUPAC codes of several bases as N; shorter sequences are padded with N on the
      right), `.obs` width and GC.
    - ``labels``, where there are any: `.X` float32 ``(sequences, label columns)``, NaN = not labelled.

    Raises
    ------
    ValueError
        When there is no sequence, one is empty or holds a letter that is no IUPAC code of a base, a name is repeated, a column is missing, or a label belongs to no record.

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
        table = _read_fasta(path, sequence_column)
        found = None if labels is None else _labels_of(table.index, labels, label_columns, name_column)
    else:
        if labels is not None:
            msg = f"Expected no `labels` beside a table; found some for {path.name}. Name its columns: label_columns=[...]."
            raise ValueError(msg)
        table = _read_table(path, name_column)
        label_columns = _label_columns(table, label_columns)
        check_columns(table.columns, [sequence_column, *label_columns], what=f"a table ({path.name})")
        found = table[label_columns] if label_columns else None
    tables = {"sequences": table[sequence_column]}
    if found is not None:
        tables["labels"] = found
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


def _labels_of(names: pd.Index, labels: Any, columns: Sequence[str] | None, name_column: str | None) -> pd.DataFrame:
    """Labels in the order of the records, NaN where a record has none."""
    if isinstance(labels, pd.DataFrame):
        table, what = labels.set_axis(labels.index.astype(str)), "`labels`"
    elif isinstance(labels, (str, os.PathLike)):
        what = f"a table of labels ({Path(labels).name})"
        table, name_column = _read_text(Path(labels), name_column)
        name_column = table.columns[0] if name_column is None else name_column
        check_columns(table.columns, [name_column], what=what)
        table = table.set_index(table[name_column].astype(str)).drop(columns=name_column)
    else:
        msg = f"Expected `labels` to be a DataFrame, indexed by the names of records, or the path of a table; found {type(labels).__name__}."
        raise TypeError(msg)
    columns = list(table.columns) if columns is None else _label_columns(table, columns)
    check_columns(table.columns, columns, what=what)
    if not columns:
        msg = f"Expected a column of labels beside the names in {what}; found none. Give one with a header."
        raise ValueError(msg)
    repeated = table.index[table.index.duplicated()].unique()
    if len(repeated):
        msg = f"Expected each record once in {what}; repeated: {listed(repeated)}. Keep one row of each."
        raise ValueError(msg)
    unknown = table.index[~table.index.isin(names)]
    if len(unknown):
        msg = (
            f"Expected names of records in {what}; found {len(unknown)} of {len(table)} that are none: {listed(unknown)}. The "
            f"records are called {listed(names)}: the first word behind each '>'."
        )
        raise ValueError(msg)
    if n_missing := len(names) - len(table):
        info(f"{n_missing} of {len(names)} records have no row in {what}: not labelled (NaN)")
    return table[columns].reindex(names)


def _read_text(path: Path, name_column: str | None) -> tuple[pd.DataFrame, str | None]:
    """A TSV or CSV with a header, and which of its columns holds names, as text; None where no one said."""
    with open_text(path) as handle:
        header = handle.readline()
        separator = "\t" if "\t" in header else ","
        columns = _split(header, separator)
        if name_column is None and NAME_COLUMN in columns:
            name_column = NAME_COLUMN
        text = {columns[0] if name_column is None else name_column: str}  # 007 is a name, too
        return pd.read_csv(handle, sep=separator, names=columns, index_col=False, dtype=text), name_column


def _read_table(path: Path, name_column: str | None) -> pd.DataFrame:
    table, name_column = _read_text(path, name_column)
    if name_column is not None:
        check_columns(table.columns, [name_column], what=f"a table ({path.name})")
    names = [f"seq{row}" for row in range(len(table))] if name_column is None else table[name_column].astype(str)
    return table.set_index(pd.Index(names, dtype=object))


def _split(header: str, separator: str) -> list[str]:
    return [column.strip().strip('"') for column in header.rstrip("\r\n").split(separator)]


def _label_columns(table: pd.DataFrame, columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return [LABEL_COLUMN] if LABEL_COLUMN in table else []
    return [columns] if isinstance(columns, str) else list(columns)
