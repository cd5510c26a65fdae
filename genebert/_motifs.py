"""Motifs: one type, its log-odds, its files, and the set that the shipped weights were trained with."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, count
from pathlib import Path
from typing import NoReturn

import numpy as np

from genebert._files import open_text
from genebert._validate import listed

__all__ = ["Motif", "default_motifs", "log_odds", "read_jaspar", "read_meme", "read_motif_file", "tf_names"]

WEIGHTS = Path(__file__).parent / "weights"
PSEUDOCOUNT = 0.8
DEFAULT_SITES = 20.0  # what MEME assumes where a file does not say how many sites a motif has
MAX_ROUNDING = 0.05  # by which four probabilities in a file may miss 1

_HOCOMOCO = re.compile(r"^(?P<tf>.+?)\.H\d+[A-Z]+\.")
_MEME_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*(\S+)")
_JASPAR_ROW = re.compile(r"^(?P<base>[ACGTacgt])?\s*\[?(?P<counts>[^\[\]]*)\]?$")

_Line = tuple[int, str]


@dataclass(frozen=True, eq=False)
class Motif:
    """A position count matrix with the TF that it belongs to."""

    tf: str
    motif_id: str
    counts: np.ndarray
    """float64 ``(length, 4)``, columns A C G T: sites seen with each base. Where a file gives probabilities, these times its number of sites."""
    family: str = ""

    def __len__(self) -> int:
        return len(self.counts)


def log_odds(motif: Motif, *, background: np.ndarray, pseudocount: float = PSEUDOCOUNT) -> np.ndarray:
    """Log2 of the base probability at each position over its background probability.

    Parameters
    ----------
    motif
        The motif.
    background
        Probabilities of A, C, G and T.
    pseudocount
        Sites added to each position, shared out by `background`, so that no score is infinite.

    Returns
    -------
    float32 ``(length, 4)``.
    """
    counts = motif.counts + pseudocount * background
    probabilities = counts / counts.sum(axis=1, keepdims=True)
    return np.log2(probabilities / background).astype(np.float32)


def tf_names(motifs: Sequence[Motif]) -> list[str]:
    """Name a column for each motif: its TF; where several motifs share a TF, the later ones get ``<TF>_<motif_id>``.

    Where that is the name of another column, a number follows.
    """
    names: dict[str, None] = {}
    for motif in motifs:
        longer = f"{motif.tf}_{motif.motif_id}"
        choices = chain((motif.tf, longer), (f"{longer}_{number}" for number in count(2)))
        names[next(name for name in choices if name not in names)] = None
    return list(names)


@cache
def default_motifs() -> tuple[Motif, ...]:
    """Return the motifs that ship with genebert, which are those that its weights were trained with."""
    folder = WEIGHTS / "mini"
    rows = (folder / "families.tsv").read_text(encoding="utf-8").splitlines()[1:]
    families = dict(row.split("\t") for row in rows)
    motifs = read_meme(folder / "motifs.meme")
    return tuple(replace(motif, family=families.get(motif.motif_id, "")) for motif in motifs)


def read_motif_file(path: str | os.PathLike[str]) -> list[Motif]:
    """Read a file in MEME or JASPAR format, whichever it is; plain or gzipped.

    Raises
    ------
    ValueError
        When it is neither, holds no motif, or a matrix is malformed; the message names the line.
    """
    path = Path(path)
    first = next((line for _, line in _lines(path)), "")
    is_meme, is_jaspar = first.startswith("MEME version"), first.startswith(">")
    if not (is_meme or is_jaspar):
        found = f"a first line {first[:40]!r}" if first else "an empty file"
        _refuse(path, f"a motif file that starts with 'MEME version' (MEME) or '>' (JASPAR); found {found}")
    return read_meme(path) if is_meme else read_jaspar(path)


def read_meme(path: str | os.PathLike[str]) -> list[Motif]:
    """Read motifs in (minimal) MEME format, plain or gzipped. Probabilities times the number of sites become counts.

    Raises
    ------
    ValueError
        When the alphabet is not DNA, no motif is found or a matrix is malformed; the message names the line.
    """
    path = Path(path)
    motifs, name = [], ("", "")
    lines = _lines(path)
    for number, line in lines:
        fields = line.split()
        if fields[0].upper().startswith("ALPHABET") and "ACGT" not in line.upper():
            _refuse(path, f"a DNA alphabet 'ALPHABET= ACGT' in line {number}; found {line!r}")
        elif fields[0] == "MOTIF":
            if len(fields) < 2:
                _refuse(path, f"an identifier behind MOTIF in line {number}; found none")
            name = (fields[1], fields[2] if len(fields) > 2 else fields[1])
        elif line.startswith("letter-probability matrix"):
            attributes = dict(_MEME_ATTRIBUTE.findall(line))
            probabilities = _meme_rows(path, lines, number, attributes.get("w"))
            sites = _meme_sites(path, number, attributes.get("nsites", "0"))
            motifs.append(Motif(_tf_of(name[1]), name[0], probabilities * sites))
    return _checked(path, motifs)


def read_jaspar(path: str | os.PathLike[str]) -> list[Motif]:
    """Read motifs in JASPAR format (``>id name``, then one row of counts for each of A C G T), plain or gzipped.

    Raises
    ------
    ValueError
        When no motif is found or a matrix is malformed; the message names the line.
    """
    path = Path(path)
    motifs = []
    lines = _lines(path)
    for number, line in lines:
        if not line.startswith(">") or not line[1:].strip():
            _refuse(path, f"a line '>identifier name' before each matrix; line {number} is {line[:40]!r}")
        motif_id, *name = line[1:].split()
        rows = [_jaspar_row(path, next(lines, (number, "")), base) for base in "ACGT"]
        if len({len(row) for row in rows}) > 1:
            lengths = "/".join(str(len(row)) for row in rows)
            _refuse(path, f"rows of equal length below line {number} ({motif_id}); found {lengths} counts for A/C/G/T")
        motifs.append(Motif(_tf_of(name[0] if name else motif_id), motif_id, np.array(rows).T))
    return _checked(path, motifs)


def _lines(path: Path) -> Iterator[_Line]:
    """Yield the lines that are neither empty nor comments with their numbers."""
    with open_text(path) as handle:
        for number, line in enumerate(handle, start=1):
            if line.strip() and not line.startswith("#"):
                yield number, line.strip()


def _meme_rows(path: Path, lines: Iterator[_Line], header: int, width: str | None) -> np.ndarray:
    """Read as many rows of probabilities as the header promises."""
    if width is None or not width.isdecimal() or int(width) == 0:
        found = "none" if width is None else repr(width)
        _refuse(path, f"the width 'w=' in line {header}, a whole number above 0; found {found}")
    rows = []
    for _ in range(int(width)):
        number, line = next(lines, (header, ""))
        row = _numbers(line)
        if row is None or len(row) != 4:
            found = "the end of the file" if not line else f"{line[:40]!r}"
            _refuse(
                path, f"4 columns (A C G T) in each of the {width} rows below line {header}; line {number} is {found}"
            )
        if not ((row >= 0).all() and abs(row.sum() - 1) <= MAX_ROUNDING):
            _refuse(path, f"probabilities of A, C, G and T that sum to 1; line {number} is {line[:40]!r}")
        rows.append(row)
    return np.array(rows)


def _meme_sites(path: Path, header: int, text: str) -> float:
    """Number of sites behind a matrix; 0 where the file does not know, and then what MEME assumes."""
    sites = _numbers(text)
    if sites is None or not 0 <= sites[0] < np.inf:
        _refuse(path, f"a number of sites 'nsites=' of 0 or more in line {header}; found {text!r}")
    return float(sites[0]) or DEFAULT_SITES


def _jaspar_row(path: Path, line: _Line, base: str) -> np.ndarray:
    number, text = line
    match = _JASPAR_ROW.match(text)
    is_base = match is not None and (match["base"] or base).upper() == base
    row = _numbers(match["counts"]) if is_base else None
    if row is None or not len(row):
        found = f"{text[:40]!r}" if text else "the end of the file"
        _refuse(path, f"a row of counts for base {base} such as '{base} [ 4 0 12 ]'; line {number} is {found}")
    return row


def _numbers(text: str) -> np.ndarray | None:
    try:
        return np.array([float(field) for field in text.split()], dtype=np.float64)
    except ValueError:
        return None


def _tf_of(name: str) -> str:
    """HOCOMOCO puts the collection and the quality into the name: ``AHR.H12CORE.0.P.B`` is AHR."""
    match = _HOCOMOCO.match(name)
    return match["tf"] if match else name


def _checked(path: Path, motifs: list[Motif]) -> list[Motif]:
    if not motifs:
        _refuse(path, "at least one motif; found none")
    for motif in motifs:
        if not np.isfinite(motif.counts).all() or (motif.counts < 0).any() or (motif.counts.sum(axis=1) <= 0).any():
            _refuse(
                path,
                f"finite, non-negative counts with a positive sum at each position; motif {motif.motif_id} has others",
            )
    ids = [motif.motif_id for motif in motifs]
    if repeated := [motif_id for motif_id in dict.fromkeys(ids) if ids.count(motif_id) > 1]:
        _refuse(path, f"motifs with different identifiers; repeated: {listed(repeated)}")
    return motifs


def _refuse(path: Path, expected: str) -> NoReturn:
    msg = f"Expected {expected} ({path}). Give a MEME or JASPAR file, or use gb.io.jaspar()."
    raise ValueError(msg)
