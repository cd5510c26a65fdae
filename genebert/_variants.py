"""Variants as a table: what each row is worth, and the sequences of its two alleles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from genebert._chromosomes import canonical
from genebert._dna import decode, encode
from genebert._genome import Genome
from genebert._validate import check_columns

__all__ = [
    "ALT", "ALT_SEQUENCE", "BEYOND", "CHROM", "DUPLICATE", "ID", "MALFORMED", "MISMATCH", "MULTI_ALLELIC", "NOT_ACGT", "NO_CHANGE",
    "OK", "POS", "REF", "REF_SEQUENCE", "SCORABLE", "STATUS", "STATUSES", "SWAPPED", "SYMBOLIC", "TOO_LONG",
    "UNKNOWN_CHROM", "AlleleCodes", "allele_status", "alleles_as_sequences", "alleles_in_genome", "genome_status",
    "mark_duplicates", "parse_position", "refuse_other_assembly", "row_status",
]  # fmt: skip

CHROM, POS, REF, ALT, ID, STATUS = "chrom", "pos", "ref", "alt", "id", "status"
REF_SEQUENCE, ALT_SEQUENCE = "ref_sequence", "alt_sequence"
NO_POSITION = -1

OK = "ok"
MULTI_ALLELIC = "multi-allelic"
SWAPPED = "alleles swapped"
SYMBOLIC = "symbolic allele"
NO_CHANGE = "no change"
NOT_ACGT = "not ACGT"
UNKNOWN_CHROM = "unknown chromosome"
BEYOND = "beyond the end"
MISMATCH = "REF mismatch"
DUPLICATE = "duplicate"
MALFORMED = "malformed"
TOO_LONG = "allele too long"
SCORABLE = (OK, MULTI_ALLELIC, SWAPPED)
STATUSES = (
    *SCORABLE, SYMBOLIC, NO_CHANGE, NOT_ACGT, UNKNOWN_CHROM, BEYOND, MISMATCH, DUPLICATE, MALFORMED, TOO_LONG,
)  # fmt: skip

_POSITION = re.compile(r"\d{1,18}(\.0*)?", re.ASCII)  # pandas writes whole numbers beside missing ones as 5.0
_BASES = re.compile(r"[ACGTacgt]+", re.ASCII)
_BREAKEND = re.compile(r"[\[\]]|^\.[ACGTN]+$|^[ACGTN]+\.$", re.IGNORECASE | re.ASCII)
_FEWEST = 10
"""Rows below which nothing is said about the assembly: a few may disagree by chance."""


class AlleleCodes(NamedTuple):
    """Bases of both alleles in their windows, uint8 ``(variants, seq_length)`` each."""

    ref: np.ndarray
    alt: np.ndarray


def parse_position(text: object) -> int:
    """A position as a number; `NO_POSITION` where it is none."""
    text = str(text).strip()
    return int(text.partition(".")[0]) if _POSITION.fullmatch(text) else NO_POSITION


def allele_status(ref: object, alt: object) -> str:
    """What can be told from the letters of two alleles."""
    if not isinstance(ref, str) or not isinstance(alt, str) or not ref.strip() or not alt.strip():
        return MALFORMED
    if alt == "." or ref == ".":
        return NO_CHANGE if alt == "." and _BASES.fullmatch(ref) else MALFORMED
    if any(_is_symbolic(allele) for allele in (ref, alt)):
        return SYMBOLIC
    if not (_BASES.fullmatch(ref) and _BASES.fullmatch(alt)):
        return NOT_ACGT
    return NO_CHANGE if ref.upper() == alt.upper() else OK


def _is_symbolic(allele: str) -> bool:
    return allele == "*" or allele.startswith("<") or bool(_BREAKEND.search(allele))


def row_status(table: pd.DataFrame) -> np.ndarray:
    """Status of each row by itself, without a genome: object ``(variants,)``.

    Raises
    ------
    ValueError
        When a column is missing.
    """
    check_columns(table.columns, (CHROM, POS, REF, ALT), what="a table of variants")
    found = np.empty(len(table), dtype=object)
    for row, (chrom, pos, ref, alt) in enumerate(
        zip(*(table[column].tolist() for column in (CHROM, POS, REF, ALT)), strict=True)
    ):
        is_placed = isinstance(chrom, str) and chrom.strip() not in {"", "."} and parse_position(pos) >= 0
        found[row] = allele_status(ref, alt) if is_placed else MALFORMED
        if found[row] in SCORABLE and parse_position(pos) == 0:
            found[row] = BEYOND
    return found


def mark_duplicates(table: pd.DataFrame, status: np.ndarray) -> np.ndarray:
    """Status in which the second and later rows of the same variant, among those to score, are duplicates."""
    status, seen = status.copy(), set()
    columns = (table[column].tolist() for column in (CHROM, POS, REF, ALT))
    for row, (chrom, pos, ref, alt) in enumerate(zip(*columns, strict=True)):
        if status[row] not in SCORABLE:
            continue
        key = (canonical(chrom), parse_position(pos), ref.upper(), alt.upper())
        if key in seen:
            status[row] = DUPLICATE
        seen.add(key)
    return status


def genome_status(table: pd.DataFrame, status: np.ndarray, genome: Genome) -> np.ndarray:
    """Compare the rows to score with a genome: unknown chromosome, beyond the end, REF mismatch, alleles swapped."""
    status = status.copy()
    rows = np.flatnonzero(np.isin(status, SCORABLE))
    chrom, pos, ref, alt = (table[column].to_numpy()[rows] for column in (CHROM, POS, REF, ALT))
    names = genome.match(chrom)
    for row, name, start, first, second in zip(
        rows, map(names.get, chrom), [parse_position(value) - 1 for value in pos], ref, alt, strict=True
    ):
        if name is None:
            status[row] = UNKNOWN_CHROM
            continue
        interval = genome.interval(name, start, start + 1)
        if interval is None:
            status[row] = BEYOND
        elif _lies_there(genome, name, start, interval[1], first):
            status[row] = status[row] if status[row] != SWAPPED else OK
        elif _lies_there(genome, name, start, interval[1], second):
            status[row] = SWAPPED
        else:
            status[row] = BEYOND if start + len(first) > interval[1] else MISMATCH
    return status


def _lies_there(genome: Genome, chrom: str, start: int, last: int, allele: str) -> bool:
    end = start + len(allele)
    return end <= last and decode(genome.fetch(chrom, start, end)) == allele.upper()


def refuse_other_assembly(table: pd.DataFrame, status: np.ndarray, genome: Genome, *, hint: str = "") -> None:
    """Raise when most REF alleles are not those of the genome.

    On another assembly about a quarter of single bases agree by chance and another quarter looks swapped, so both
    are asked for: REF disagrees in most rows, and in more than a quarter neither allele is there. A table whose
    alleles are merely swapped passes.

    Raises
    ------
    ValueError
        With what it may be.
    """
    mismatch, swapped = (int((status == kind).sum()) for kind in (MISMATCH, SWAPPED))
    if len(table) < _FEWEST or mismatch + swapped <= len(table) / 2 or mismatch <= len(table) / 4:
        return
    guess = "the variants are probably of another assembly, such as GRCh37 (hg19) against GRCh38 (hg38)"
    if _is_shifted(table, status, genome):
        guess = "the positions are probably 0-based: add 1 to each"
    msg = (
        f"Expected REF alleles that lie in {genome.path.name}; in {mismatch + swapped} of {len(table)} rows they do not: "
        f"{guess}{hint}. Give the genome that the variants were called on, or lift them over first; "
        'mismatch="mark" reads them all the same.'
    )
    raise ValueError(msg)


def _is_shifted(table: pd.DataFrame, status: np.ndarray, genome: Genome) -> bool:
    """Whether the REF alleles lie one base further."""
    rows = np.flatnonzero(np.isin(status, (MISMATCH, SWAPPED)))[:500]
    chrom, pos, ref = (table[column].to_numpy()[rows] for column in (CHROM, POS, REF))
    there = [
        decode(genome.fetch(name, parse_position(value), parse_position(value) + len(allele))) == allele.upper()
        for name, value, allele in zip(chrom, pos, ref, strict=True)
    ]
    return len(there) > 0 and np.mean(there) > 0.8


def alleles_in_genome(table: pd.DataFrame, status: Sequence[str], genome: Genome, *, seq_length: int) -> AlleleCodes:
    """Place each allele in the middle of a window of its own, between the bases that flank it in the genome.

    Both alleles follow the one rule: the first base of an allele of ``n`` bases stands at ``(seq_length - n) // 2``, the
    bases before it are those before the variant, and the bases behind it those behind the allele that the genome holds,
    as many as fit. So neither allele depends on the other one, and exchanging the two exchanges the sequences.

    Parameters
    ----------
    table
        Rows to score only.
    status
        Of these rows; where the alleles are swapped, the genome holds ALT.
    seq_length
        Length of the windows.
    """
    pair = AlleleCodes(*np.empty((2, len(table), seq_length), dtype=np.uint8))
    columns = (table[column].tolist() for column in (CHROM, POS, REF, ALT))
    for row, (chrom, pos, *alleles) in enumerate(zip(*columns, strict=True)):
        start = parse_position(pos) - 1
        end = start + len(alleles[1 if status[row] == SWAPPED else 0])
        first = [(seq_length - len(allele)) // 2 for allele in alleles]
        left = genome.fetch(chrom, start - max(first), start)
        right = genome.fetch(chrom, end, end + seq_length)
        for codes, allele, n_before in zip(pair, alleles, first, strict=True):
            codes[row] = np.concatenate([left[len(left) - n_before :], encode(allele), right])[:seq_length]
    return pair


def alleles_as_sequences(table: pd.DataFrame, *, seq_length: int) -> AlleleCodes:
    """Sequences that were given, centred in windows of one length: padded with N, or cut, alike on both sides."""
    pair = AlleleCodes(*np.full((2, len(table), seq_length), encode("N")[0], dtype=np.uint8))
    for codes, column in zip(pair, (REF_SEQUENCE, ALT_SEQUENCE), strict=True):
        for row, text in enumerate(table[column]):
            bases = encode(text)
            cut = max(len(bases) - seq_length, 0) // 2
            bases = bases[cut : cut + seq_length]
            first = (seq_length - len(bases)) // 2
            codes[row, first : first + len(bases)] = bases
    return pair
