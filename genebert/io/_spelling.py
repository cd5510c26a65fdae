"""One spelling of chromosomes for intervals from several sources."""

from __future__ import annotations

import re
from collections import Counter

import pandas as pd

from genebert._chromosomes import canonical, style_of
from genebert._keys import CHROM
from genebert._logging import info, warn
from genebert._validate import listed

__all__ = ["one_spelling"]

_REFSEQ = "NCBI RefSeq"
_PLAIN = re.compile(r"^(\d{1,2}[LRAB]?|X|Y|Z|W|MT)$")  # chromosomes whose name in UCSC style is certain


def one_spelling(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Spell chromosomes in all tables as most intervals have them, and tell which tables were changed.

    A table in the style of most keeps all its names. A name of another style that has no counterpart stays, with a warning.

    Raises
    ------
    ValueError
        When two tables name different versions of a RefSeq sequence, which belong to different assemblies.
    """
    counts = {name: Counter(table[CHROM.key].value_counts().to_dict()) for name, table in tables.items()}
    _check_versions(counts)
    styles = {name: _style(count) for name, count in counts.items()}
    total = sum(counts.values(), Counter())
    common = _style(total)
    spellings: dict[str, str] = {}
    for chrom in sorted(total, key=lambda chrom: (-total[chrom], chrom)):
        if style_of(chrom) == common:
            spellings.setdefault(canonical(chrom), chrom)
    spelt = dict(tables)
    for name, style in styles.items():
        if style != common:
            spelt[name] = _respelt(tables[name], spellings, name=name, style=style, common=common)
    return spelt


def _style(counts: Counter) -> str:
    styles: Counter = Counter()
    for chrom, n_intervals in counts.items():
        styles[style_of(chrom)] += n_intervals
    return min(styles, key=lambda style: (-styles[style], style), default="")


def _respelt(table: pd.DataFrame, spellings: dict[str, str], *, name: str, style: str, common: str) -> pd.DataFrame:
    chroms = table[CHROM.key].unique()
    names = {chrom: spellings.get(canonical(chrom)) or _spell(canonical(chrom), common) or chrom for chrom in chroms}
    changed = [chrom for chrom in chroms if names[chrom] != chrom]
    if changed:
        examples = listed([f"{chrom} -> {names[chrom]}" for chrom in changed], most=3)
        info(f"{name}: chromosome style {style}, most peaks have {common}; {len(changed)} renamed ({examples})")
    if alone := [chrom for chrom in chroms if names[chrom] == chrom and style_of(chrom) != common]:
        warn(
            f"{name}: {len(alone)} chromosomes have no counterpart in the style of most peaks ({common}) and keep their "
            f"names: {listed(alone)}. Rename them if they are the same sequences.",
            stacklevel=5,
        )
    return table.assign(**{CHROM.key: table[CHROM.key].map(names).astype(object)})


def _spell(name: str, style: str) -> str | None:
    """A name in another style where no table shows it; None where it is not certain."""
    if style == _REFSEQ or not _PLAIN.match(name):
        return None
    if style == "UCSC":
        return "chrM" if name == "MT" else f"chr{name}"
    return name


def _check_versions(counts: dict[str, Counter]) -> None:
    versions: dict[str, set[str]] = {}
    for chrom in sorted({chrom for count in counts.values() for chrom in count if style_of(chrom) == _REFSEQ}):
        versions.setdefault(chrom.partition(".")[0], set()).add(chrom)
    clashes = [" and ".join(sorted(names)) for names in versions.values() if len(names) > 1]
    if clashes:
        msg = (
            f"Expected peaks on one assembly; found two versions of a sequence: {listed(clashes)}. Lift one set over first: "
            "genebert never moves coordinates between assemblies."
        )
        raise ValueError(msg)
