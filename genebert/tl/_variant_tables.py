"""Tables of variants as `variant_effect` takes them; each row gets the status that it has here and now."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd

from genebert import _keys
from genebert._genome import Genome
from genebert._validate import check_columns
from genebert._variants import (
    ALT,
    ALT_SEQUENCE,
    CHROM,
    CUT_OFF,
    DUPLICATE,
    ID,
    MALFORMED,
    MISMATCH,
    MULTI_ALLELIC,
    OK,
    POS,
    REF,
    REF_SEQUENCE,
    SCORABLE,
    STATUS,
    STATUSES,
    SWAPPED,
    TOO_LONG,
    genome_status,
    is_cut_off,
    mark_duplicates,
    positions,
    refuse_other_assembly,
    row_status,
)
from genebert.io import read_variants
from genebert.io._read_variants import Mismatch

__all__ = ["SEQUENCES", "genome_table", "has_sequences", "longest_alleles", "mark_window", "sequence_table"]

SEQUENCES = (REF_SEQUENCE, ALT_SEQUENCE)


def has_sequences(variants: Any) -> bool:
    """Whether both alleles are given as sequences."""
    return isinstance(variants, pd.DataFrame) and set(SEQUENCES) <= set(variants.columns)


def sequence_table(variants: pd.DataFrame) -> pd.DataFrame:
    """A copy with the six columns. A row with two sequences is to be scored, whatever a genome or a window said before.

    That it is one of several alleles, or a duplicate, stays; so does what was said of a row without sequences.
    """
    table = variants.reset_index(drop=True).copy()
    for name in (CHROM, REF, ALT, ID):
        table[name] = table[name].astype(object) if name in table else ""
    table[POS] = table.get(POS, -1)
    is_text = np.array(
        [
            all(isinstance(text, str) and text.isascii() and text.isalpha() for text in pair)
            for pair in zip(*(table[name] for name in SEQUENCES), strict=True)
        ],
        dtype=bool,
    )
    said = _said(table)
    unscored = np.isin(said, STATUSES) & ~np.isin(said, SCORABLE)
    stays = np.where(is_text, np.isin(said, (MULTI_ALLELIC, DUPLICATE)), unscored)
    table[STATUS] = pd.Series(np.where(stays, said, np.where(is_text, OK, MALFORMED)), dtype=object)
    return _ordered(table)


def genome_table(
    variants: pd.DataFrame | str | os.PathLike[str], genome: Genome, *, mismatch: Mismatch
) -> pd.DataFrame:
    """A copy whose status is about this genome; of what was said before, several alleles and duplicates stay."""
    if not isinstance(variants, pd.DataFrame):
        return read_variants(variants, genome=genome, mismatch=mismatch)
    check_columns(variants.columns, (CHROM, POS, REF, ALT), what="`variants`")
    table = variants.reset_index(drop=True).copy()
    for name in (CHROM, REF, ALT):  # categories, missing values and numbers come as text or as what is refused by row
        table[name] = pd.Series(
            ["" if pd.isna(value) else str(value) for value in table[name]], dtype=object, index=table.index
        )
    table[ID] = table.get(ID, "")
    found, said = row_status(table), _said(table)
    table[POS] = positions(table[POS])
    found[(found == OK) & (said == MULTI_ALLELIC)] = MULTI_ALLELIC
    found = genome_status(table, found, genome)
    if mismatch == "error":  # what was marked before was accepted
        known = np.isin(said, (MISMATCH, SWAPPED)) & np.isin(found, (MISMATCH, SWAPPED))
        refuse_other_assembly(table, np.where(known, DUPLICATE, found), genome)
    table[STATUS] = pd.Series(np.where(said == DUPLICATE, mark_duplicates(table, found), found), dtype=object)
    return _ordered(table)


def mark_window(table: pd.DataFrame, *, seq_length: int) -> None:
    """Mark what does not fit into the window: long alleles, or a change that lies in what is cut from given sequences."""
    scored = np.flatnonzero(table[STATUS].isin(SCORABLE).to_numpy())
    if REF_SEQUENCE in table:
        pairs = zip(*(table[name].to_numpy()[scored] for name in SEQUENCES), strict=True)
        lost = [is_cut_off(ref, alt, seq_length=seq_length) for ref, alt in pairs]
        kind = CUT_OFF
    else:
        lost, kind = longest_alleles(table)[scored] > seq_length, TOO_LONG
    status = table[STATUS].to_numpy(dtype=object).copy()
    status[scored[np.asarray(lost, dtype=bool)]] = kind
    table[STATUS] = pd.Series(status, dtype=object)


def longest_alleles(table: pd.DataFrame) -> np.ndarray:
    """Length of the longer allele, or sequence, of each row, int64 ``(variants,)``."""
    names = SEQUENCES if REF_SEQUENCE in table else (REF, ALT)
    lengths = (
        max(len(text) if isinstance(text, str) else 0 for text in pair)
        for pair in zip(*(table[name] for name in names), strict=True)
    )
    return np.fromiter(lengths, dtype=np.int64, count=len(table))


def _said(table: pd.DataFrame) -> np.ndarray:
    """What an earlier call said of each row; empty where none did."""
    if STATUS not in table:
        return np.full(len(table), "", dtype=object)
    return table[STATUS].astype(object).fillna("").to_numpy(dtype=object)


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    first = list(_keys.VARIANT_COLUMNS)
    return table[[*first, *(name for name in table.columns if name not in first)]]
