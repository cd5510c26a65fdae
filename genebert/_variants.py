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
    "ALT", "ALT_SEQUENCE", "BEYOND", "CHROM", "CUT_OFF", "DUPLICATE", "ID", "MALFORMED", "MISMATCH", "MULTI_ALLELIC", "NOT_ACGT", "NO_CHANGE",
    "OK", "POS", "REF", "REF_SEQUENCE", "SCORABLE", "STATUS", "STATUSES", "SWAPPED", "SYMBOLIC", "TOO_LONG",
    "UNKNOWN_CHROM", "AlleleCodes", "allele_status", "alleles_as_sequences", "alleles_in_genome", "genome_status",
    "is_cut_off", "mark_duplicates", "parse_position", "positions", "refuse_other_assembly", "row_status", "variant_keys",
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
CUT_OFF = "change cut off"
SCORABLE = (OK, MULTI_ALLELIC, SWAPPED)
STATUSES = (
    *SCORABLE, SYMBOLIC, NO_CHANGE, NOT_ACGT, UNKNOWN_CHROM, BEYOND, MISMATCH, DUPLICATE, MALFORMED, TOO_LONG, CUT_OFF,
)  # fmt: skip

_POSITION = re.compile(r"\d{1,18}(\.0*)?", re.ASCII)  # pandas writes whole numbers beside missing ones as 5.0
_BASES = re.compile(r"[ACGTacgt]+", re.ASCII)
_BREAKEND = re.compile(r"[\[\]]|^\.[ACGTN]+$|^[ACGTN]+\.$", re.IGNORECASE | re.ASCII)
_FEWEST = 10
"""Rows that can be compared, below which nothing is said about the assembly: a few may disagree by chance."""


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
    pos, (ref, refs), (alt, alts) = positions(table[POS]), *(_factorized(table[name]) for name in (REF, ALT))
    pairs, place = np.unique(ref * len(alts) + alt, return_inverse=True)
    letters = [allele_status(refs[pair // len(alts)], alts[pair % len(alts)]) for pair in pairs.tolist()]
    chrom, chroms = _factorized(table[CHROM])
    is_named = np.array([isinstance(name, str) and name.strip() not in {"", "."} for name in chroms], dtype=bool)
    found = np.array(letters, dtype=object)[place]
    found[~is_named[chrom] | (pos < 0)] = MALFORMED
    found[np.isin(found, SCORABLE) & (pos == 0)] = BEYOND
    return found


def positions(column: pd.Series) -> np.ndarray:
    """Positions as int64 ``(variants,)``; `NO_POSITION` where one is no number."""
    if pd.api.types.is_integer_dtype(column.dtype) and not column.isna().any():
        values = column.to_numpy(dtype=np.int64)
        return np.where((values >= 0) & (values < 10**18), values, NO_POSITION)
    return np.fromiter((parse_position(value) for value in column), dtype=np.int64, count=len(column))


def _factorized(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Number of each value, and the values: few, where millions of variants share alleles."""
    return pd.factorize(column.to_numpy(dtype=object), use_na_sentinel=False)


def variant_keys(table: pd.DataFrame) -> pd.DataFrame:
    """Chromosome without its style, position and alleles in capitals, which tell variants apart."""
    plain = {CHROM: canonical, REF: str.upper, ALT: str.upper}
    keys = {}
    for name, rule in plain.items():
        numbers, values = _factorized(table[name].astype(str))
        keys[name] = np.array([rule(value) for value in values], dtype=object)[numbers]
    return pd.DataFrame({CHROM: keys[CHROM], POS: positions(table[POS]), REF: keys[REF], ALT: keys[ALT]})


def mark_duplicates(table: pd.DataFrame, status: np.ndarray) -> np.ndarray:
    """Status in which the second and later rows of the same variant, among those to score, are duplicates."""
    status, rows = status.copy(), np.flatnonzero(np.isin(status, SCORABLE))
    status[rows[variant_keys(table.iloc[rows]).duplicated().to_numpy()]] = DUPLICATE
    return status


def genome_status(table: pd.DataFrame, status: np.ndarray, genome: Genome) -> np.ndarray:
    """Compare the rows to score with a genome: unknown chromosome, beyond the end, REF mismatch, alleles swapped."""
    status = status.copy()
    rows = np.flatnonzero(np.isin(status, SCORABLE))
    chrom, ref, alt = (table[column].to_numpy(dtype=object)[rows] for column in (CHROM, REF, ALT))
    names = genome.match(chrom)
    starts = positions(table[POS])[rows] - 1
    for row, name, start, first, second in zip(rows, map(names.get, chrom), starts, ref, alt, strict=True):
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
    are asked for: REF disagrees in most of the rows that can be compared, and in more than a quarter of them neither
    allele is there. A table whose alleles are merely swapped passes.

    Raises
    ------
    ValueError
        With what it may be.
    """
    mismatch, swapped, alike = (
        int(np.isin(status, kinds).sum()) for kinds in ((MISMATCH,), (SWAPPED,), (OK, MULTI_ALLELIC))
    )
    compared = mismatch + swapped + alike
    if compared < _FEWEST or mismatch + swapped <= compared / 2 or mismatch <= compared / 4:
        return
    guess = "the variants are probably of another assembly, such as GRCh37 (hg19) against GRCh38 (hg38)"
    if _is_shifted(table, status, genome):
        guess = "the positions are probably 0-based: add 1 to each"
    msg = (
        f"Expected REF alleles that lie in {genome.path.name}; in {mismatch + swapped} of {compared} rows that can be compared they do not: "
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
    """Sequences that were given, in windows of one length: as in fitting, shorter ones are padded with N on the right.

    Longer ones, which fitting never meets, are cut alike on both sides; `is_cut_off` tells whose change is lost by that.
    """
    pair = AlleleCodes(*np.full((2, len(table), seq_length), encode("N")[0], dtype=np.uint8))
    for codes, column in zip(pair, (REF_SEQUENCE, ALT_SEQUENCE), strict=True):
        for row, text in enumerate(table[column]):
            cut = _n_cut(text, seq_length)
            bases = encode(text[cut : cut + seq_length])
            codes[row, : len(bases)] = bases
    return pair


def is_cut_off(ref: str, alt: str, *, seq_length: int) -> bool:
    """Whether a base in which two sequences differ lies outside the window that is cut from the middle of each."""
    ref, alt = ref.upper(), alt.upper()
    if max(len(ref), len(alt)) <= seq_length or ref == alt:
        return False
    before = _n_alike(ref, alt)
    behind = _n_alike(ref[before:][::-1], alt[before:][::-1])
    cuts = [(_n_cut(text, seq_length), len(text) - behind) for text in (ref, alt)]
    return any(before < cut or end > cut + seq_length for cut, end in cuts)


def _n_alike(first: str, second: str) -> int:
    """Letters at the start that two texts share."""
    shorter = min(len(first), len(second))
    return next((place for place in range(shorter) if first[place] != second[place]), shorter)


def _n_cut(text: str, seq_length: int) -> int:
    return max(len(text) - seq_length, 0) // 2
