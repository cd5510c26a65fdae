"""Variants from files, each row with a status."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from genebert import _keys
from genebert._genome import Genome, check_genome
from genebert._logging import info
from genebert._validate import check_literal, check_path, listed
from genebert._variants import (
    ALT,
    CHROM,
    ID,
    MALFORMED,
    MULTI_ALLELIC,
    OK,
    POS,
    REF,
    SCORABLE,
    STATUS,
    genome_status,
    mark_duplicates,
    parse_position,
    refuse_other_assembly,
    row_status,
)  # fmt: skip
from genebert.io._variant_files import VCF_ORDER, VariantFile, read_variant_file

__all__ = ["Mismatch", "check_readable", "read_variants"]

Mismatch = Literal["error", "mark"]
_EXTRA = "extra:"  # keeps the names of other columns apart from ours
_SEVERAL, _LINE = "_several", "_line"  # whether a row has several ALT alleles; number of its line
_ALT = VCF_ORDER.index(ALT)
_CHUNK = 65_536  # lines that are held as text at a time
_FIRST = 1024  # lines that are looked at to see whether any can be read
_SHORT = 4  # bases of alleles that many variants share


def read_variants(
    path: str | os.PathLike[str],
    *,
    genome: Genome | str | os.PathLike[str] | None = None,
    mismatch: Mismatch = "error",
) -> pd.DataFrame:
    r"""Read variants from a VCF or a table; no row is lost, each has a status.

    A row with several ALT alleles becomes one row for each. Sorted or not, with or without a header; a name of a chromosome
    may be in any style. Alleles are read as they are written: they are not trimmed or moved to the left.

    Parameters
    ----------
    path
        VCF (plain, gzipped or bgzipped), or a table with tabs, commas (``.csv``) or spaces. A table has a header with chrom, pos, ref,
        alt and maybe an identifier (``id``, ``rsid``, ``snp``), whose other columns are kept; or no header and the order chrom,
        pos, ref, alt[, id] or that of a VCF. Positions are 1-based in both.
    genome
        Genome, or path of its FASTA, to compare REF with. Without it the statuses that need one are not given.
    mismatch
        When REF differs from the genome in most rows, which is another assembly: ``"error"``, or ``"mark"`` the rows only.

    Returns
    -------
    One row per ALT allele, in the order of the file:

    - ``chrom`` (str), ``pos`` (int64, 1-based; -1 where it is no number), ``ref``, ``alt``, ``id`` (str; empty where there is none).
    - ``status`` (str): ``ok``; ``multi-allelic``, one of several ALT alleles of a row; ``alleles swapped``, ALT lies in the
      genome and REF does not; these three are scored. ``symbolic allele`` (``<DEL>``, ``*``, a breakend); ``no change``,
      ALT is missing or equals REF; ``not ACGT``; ``unknown chromosome``; ``beyond the end``; ``REF mismatch``; ``duplicate``, from
      the second time on; ``malformed``.
    - Other columns of a table, as numbers where all their values are.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    TypeError
        When `path` is no path.
    ValueError
        When the file is damaged, empty or a BCF, a header lacks a column, or REF differs from the genome in most rows.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "variants.vcf"
    >>> _ = path.write_text("chr1\t10\trs1\tA\tC,G\nchr1\t20\t.\tT\t<DEL>\n")
    >>> gb.io.read_variants(path)["status"].tolist()
    ['multi-allelic', 'multi-allelic', 'symbolic allele']
    """
    check_path(path, name="path", remedy="A table of variants goes to gb.tl.variant_effect as it is.")
    check_literal(mismatch, Mismatch, name="mismatch")
    if genome is not None:
        check_genome(genome, or_path=True)
        genome = genome if isinstance(genome, Genome) else Genome(genome)
    path = Path(path)
    file = read_variant_file(path)
    table = _table(file)
    status = row_status(table)
    status[(status == OK) & table.pop(_SEVERAL).to_numpy(dtype=bool)] = MULTI_ALLELIC
    numbers = table.pop(_LINE).to_numpy()
    if genome is not None:
        status = genome_status(table, status, genome)
        if mismatch == "error":
            refuse_other_assembly(table, status, genome, hint=_hint(file, genome))
    status = mark_duplicates(table, status)
    table.insert(len(_keys.VARIANT_COLUMNS) - 1, STATUS, pd.Series(status, dtype=object))
    _tell(path, status, numbers)
    return table


def check_readable(path: Path) -> None:
    """Raise where a file has rows of which none can be read. It is read as far as the first that can.

    Raises
    ------
    ValueError
        When all rows are malformed, as those of a file of regions are.
    """
    rows, n_rows = iter(read_variant_file(path).rows), 0
    while chunk := list(islice(rows, _FIRST)):
        if (row_status(_columns(chunk, VCF_ORDER, {})) != MALFORMED).any():
            return
        n_rows += len(chunk)
    if n_rows:
        msg = (
            f"Expected a VCF or a table with chrom, pos, ref and alt; found no row that can be read among the {n_rows:,} of "
            f"{path}. Give the file of variants, or correct its columns."
        )
        raise ValueError(msg)


def _table(file: VariantFile) -> pd.DataFrame:
    """One row per ALT allele, column by column; a row whose ALT is empty stays one row."""
    names = (*VCF_ORDER, *(_EXTRA + name for name in file.extra))
    rows, pool, parts = iter(file.rows), {}, []
    while chunk := list(islice(rows, _CHUNK)):
        parts.append(_columns(chunk, names, pool))
    parts = parts or [_columns([], names, pool)]
    table = pd.concat(parts, ignore_index=True)
    del parts
    columns = [CHROM, POS, REF, ALT, ID, _SEVERAL, _LINE, *names[len(VCF_ORDER) :]]
    table = table[columns].rename(columns={_EXTRA + name: name for name in file.extra})
    for name in file.extra:
        table[name] = _numbers(table[name])
    return table


def _columns(rows: list[tuple[int, list[str]]], names: Sequence[str], pool: dict[str, str]) -> pd.DataFrame:
    """Some rows as columns; texts that many rows share are held once, in `pool`."""
    alts = [fields[_ALT].split(",") for _, fields in rows]
    n_alts = np.array([len(row) for row in alts], dtype=np.int64)
    columns = {name: [fields[place] for _, fields in rows] for place, name in enumerate(names)}
    shared = {CHROM: columns[CHROM], REF: map(_upper, columns[REF])}
    columns |= {name: [_once(text, pool) for text in texts] for name, texts in shared.items()}
    columns[ID] = ["" if text == "." else text for text in columns[ID]]
    table = {name: np.array(texts, dtype=object).repeat(n_alts) for name, texts in columns.items()}
    table[ALT] = np.array([_once(_upper(alt), pool) for row in alts for alt in row], dtype=object)
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in table.items()})
    frame[POS] = np.array([parse_position(text) for text in columns[POS]], dtype=np.int64).repeat(n_alts)
    frame[_SEVERAL] = (n_alts > 1).repeat(n_alts)
    frame[_LINE] = np.array([number for number, _ in rows], dtype=np.int64).repeat(n_alts)
    return frame


def _once(text: str, pool: dict[str, str]) -> str:
    """The same object for the same text, if it is short or not many are known."""
    return pool.setdefault(text, text) if len(text) <= _SHORT or len(pool) < _CHUNK else text


def _upper(allele: str) -> str:
    """Soft-masked alleles in capitals; a symbolic one, which may name a chromosome, as it is."""
    return allele.upper() if allele.isalpha() else allele


def _numbers(column: pd.Series) -> pd.Series:
    """Numbers where all values are, missing ones as NaN; else text."""
    is_missing = column.isin(["", ".", "NA", "nan", "NaN"])
    numbers = pd.to_numeric(column.where(~is_missing), errors="coerce")
    return column.astype(object) if (numbers.isna() & ~is_missing).any() or is_missing.all() else numbers


def _hint(file: VariantFile, genome: Genome) -> str:
    """What the header of a VCF says about its assembly."""
    said = [f"its header names {file.reference}"] if file.reference else []
    names = genome.match(file.lengths)
    for chrom, length in file.lengths.items():
        if names[chrom] is not None and genome.chromosomes[names[chrom]][1] != length:
            there = genome.chromosomes[names[chrom]][1]
            said.append(f"its header gives {chrom} {length:,} bp, the genome {there:,}")
            break
    return f" ({'; '.join(said)})" if said else ""


def _tell(path: Path, status: np.ndarray, numbers: np.ndarray) -> None:
    kinds, counts = np.unique(status.astype(str), return_counts=True)
    parts = [f"{count:,} {kind}" for kind, count in sorted(zip(kinds, counts, strict=True), key=lambda item: -item[1])]
    n_scored = int(np.isin(status, SCORABLE).sum())
    info(f"{path.name}: {len(status):,} variants, {n_scored:,} to score ({', '.join(parts) or 'none'})")
    if (status == MALFORMED).any():
        info(f"{path.name}: malformed lines {listed(dict.fromkeys(numbers[status == MALFORMED].tolist()))}")
