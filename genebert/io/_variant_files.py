"""Lines of VCF files and of tables of variants."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from genebert._files import open_text
from genebert._validate import listed
from genebert._variants import ALT, CHROM, ID, POS, REF, STATUS

__all__ = ["VCF_ORDER", "VariantFile", "read_variant_file"]

Lines = Iterator[tuple[int, str]]

VCF_ORDER = (CHROM, POS, ID, REF, ALT)
_HEAD = ["#CHROM", "POS", "ID", "REF", "ALT"]
_NAMES = {
    CHROM: ("chrom", "chr", "chromosome", "seqname", "contig"),
    POS: ("pos", "position", "bp", "base_pair_location"),
    REF: ("ref", "reference", "ref_allele", "reference_allele"),
    ALT: ("alt", "alternate", "alternative", "alt_allele", "alternate_allele"),
    ID: ("id", "rsid", "rs_id", "rs", "snp", "variant_id", "name"),
}
_CONTIG = re.compile(r"^##contig=<.*?\bID=(?P<name>[^,>]+)", re.IGNORECASE)
_LENGTH = re.compile(r"\blength=(?P<length>\d+)", re.IGNORECASE)
_MANY = 50  # lines that tell the order of columns of a table without a header
_LETTERS = re.compile(r"[ACGTNacgtn,*.<>-]+")


@dataclass
class VariantFile:
    """The rows of a file, which are read as they are asked for, and what its header says, which is known by then."""

    rows: Iterable[tuple[int, list[str]]] = ()
    """Number of each line, and its fields in the order `VCF_ORDER`, then `extra`; what it lacks is empty."""
    extra: list[str] = field(default_factory=list)
    """Other columns, in order."""
    lengths: dict[str, int] = field(default_factory=dict)
    """Length of each chromosome by the header of a VCF."""
    reference: str = ""


def read_variant_file(path: Path) -> VariantFile:
    """Read a VCF or a table, plain, gzipped or bgzipped, with or without a header.

    A VCF is told by its first line (``##fileformat`` or ``#CHROM``) or its name; of its columns the first five are read. A
    table has a header that names its columns, or the order chrom, pos, ref, alt[, id] or that of a VCF.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is damaged, empty or a BCF, or has a header without one of the columns.
    """
    numbered = _lines(path)
    first = next(numbered, None)
    if first is None:
        msg = f"Expected a VCF or a table of variants; {path} is empty. A file without variants holds its header at least."
        raise ValueError(msg)
    lines = chain([first], numbered)
    if _is_vcf(path, first[1]):
        file = VariantFile()
        file.rows = _read_vcf(file, lines)
        return file
    return _read_table(path, (line for line in lines if not line[1].startswith("##")))


def _is_vcf(path: Path, first: str) -> bool:
    is_named = path.name.lower().removesuffix(".gz").removesuffix(".bgz").endswith(".vcf")
    return is_named or first.lower().startswith("##fileformat=vcf") or first.split()[:5] == _HEAD


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, with their numbers."""
    try:
        with open_text(path) as handle:
            for number, line in enumerate(handle, start=1):
                if number == 1 and line.startswith("BCF\x02"):
                    msg = f"Expected a VCF or a table; {path} is a BCF. Convert it: bcftools view {path.name} -O z -o variants.vcf.gz."
                    raise ValueError(msg)
                text = line.rstrip("\r\n").lstrip("\ufeff")
                if text.strip(" "):  # a row of tabs is a row
                    yield number, text
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        msg = f"Expected a file of variants that can be read to its end; {path} cannot ({error}). Download it again."
        raise ValueError(msg) from error


def _read_vcf(file: VariantFile, lines: Lines) -> Iterator[tuple[int, list[str]]]:
    for number, text in lines:
        if text.startswith("#"):
            _read_header(file, text)
            continue
        fields = text.split("\t", len(VCF_ORDER)) if "\t" in text else text.split(maxsplit=len(VCF_ORDER))
        yield number, _placed(fields, range(len(VCF_ORDER)))


def _read_header(file: VariantFile, text: str) -> None:
    if text.lower().startswith("##reference="):
        file.reference = text.partition("=")[2].strip()
    contig, length = _CONTIG.match(text), _LENGTH.search(text)
    if contig and length:
        file.lengths[contig["name"]] = int(length["length"][:18])


def _read_table(path: Path, lines: Lines) -> VariantFile:
    first = next(lines, None)
    if first is None:
        return VariantFile()
    separator = "\t" if "\t" in first[1] else "," if path.name.lower().removesuffix(".gz").endswith(".csv") else None
    rows = ((number, _cells(text, separator)) for number, text in chain([first], lines))
    number, fields = next(rows)
    columns = _header(path, fields)
    if columns is None:
        rows = (row for row in chain([(number, fields)], rows) if not row[1][0].startswith("#"))
        some = list(islice(rows, _MANY))
        columns, rows = _guess_order(fields for _, fields in some), chain(some, rows)
    extra = [name for name in columns if name not in _NAMES]
    places = [columns.index(name) if name in columns else len(columns) for name in (*VCF_ORDER, *extra)]
    return VariantFile(rows=((number, _placed(fields[: len(columns)], places)) for number, fields in rows), extra=extra)


def _cells(text: str, separator: str | None) -> list[str]:
    return [cell.strip().strip('"') for cell in text.split(separator)] or [""]


def _placed(fields: list[str], places: Iterable[int]) -> list[str]:
    """Fields in another order; empty where there are too few."""
    return [fields[place].strip() if place < len(fields) else "" for place in places]


def _header(path: Path, fields: list[str]) -> list[str] | None:
    """Names of the columns, ours where they are known by another; None where the line is no header."""
    plain = [cell.lstrip("#").strip().lower() for cell in fields]
    found = {ours: next((plain.index(name) for name in names if name in plain), None) for ours, names in _NAMES.items()}
    required = [name for name in (CHROM, POS, REF, ALT) if found[name] is None]
    if len(required) == 4 or (len(plain) > 1 and plain[1].isdigit()):
        return None
    if required:
        msg = (
            f"Expected a header with the columns {listed((CHROM, POS, REF, ALT))} in {path}; {listed(required)} missing. "
            f"Found: {listed(fields, most=20)}. Rename the columns."
        )
        raise ValueError(msg)
    names = [cell.lstrip("#").strip() or f"column_{place + 1}" for place, cell in enumerate(fields)]
    for place, name in enumerate(names):  # a column of another meaning must not take one of our names
        if (name in (*_NAMES, STATUS) and found.get(name) != place) or name in names[:place]:
            names[place] = f"{name}_{place + 1}"
    for ours, place in found.items():
        if place is not None:
            names[place] = ours
    return names


def _guess_order(rows: Iterator[list[str]]) -> list[str]:
    """Order of the columns of a table without a header: whether alleles are the third and fourth, or behind an identifier."""
    votes = 0
    for fields in rows:
        if len(fields) < 5:
            votes += 1
            continue
        fits = [bool(_LETTERS.fullmatch(fields[place])) and fields[place] != "." for place in (2, 4)]
        votes += fits[0] - fits[1]
    return [CHROM, POS, REF, ALT, ID] if votes > 0 else list(VCF_ORDER)
