"""Names of chromosomes in the styles of UCSC (chr1), Ensembl (1) and NCBI RefSeq (NC_000001.11)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

__all__ = ["canonical", "match_names", "style_of"]

_ACCESSION = re.compile(r"^NC_\d{6}\.\d+$")
_UCSC_CONTIG = re.compile(r"^chr[^_]+_(?P<accession>[A-Z]+\d+)v(?P<version>\d+)(_(random|alt|fix))?$")
_MITOCHONDRION = "MT"


def _accessions(first: int, n_autosomes: int, mitochondrion: str) -> dict[str, str]:
    names = [*map(str, range(1, n_autosomes + 1)), "X", "Y"]
    return {f"NC_{first + place:06d}": name for place, name in enumerate(names)} | {mitochondrion: _MITOCHONDRION}


# RefSeq accessions say nothing about which chromosome they are, so those of human and mouse are spelt out; the versions
# behind the dot tell assemblies apart (NC_000001.10 is GRCh37, NC_000001.11 is GRCh38).
_REFSEQ = _accessions(1, 22, "NC_012920") | _accessions(67, 19, "NC_005089")


def style_of(name: str) -> str:
    """Name the style of one chromosome's name."""
    if _ACCESSION.match(name):
        return "NCBI RefSeq"
    return "UCSC" if name.startswith("chr") else "Ensembl"


def canonical(name: str) -> str:
    """Turn a name of any style into the one that all styles share: ``1``, ``X``, ``MT``, ``GL000220.1``."""
    if _ACCESSION.match(name):
        return _REFSEQ.get(name.partition(".")[0], name)
    if contig := _UCSC_CONTIG.match(name):
        return f"{contig['accession']}.{contig['version']}"
    bare = name.removeprefix("chr")
    return _MITOCHONDRION if bare.upper() in {"M", "MT"} else bare


def match_names(queries: Iterable[str], names: Iterable[str]) -> dict[str, str | None]:
    """Find each query among `names`: spelt alike, else in another style; None where it is absent.

    Two RefSeq accessions of different versions are different assemblies and do not match.
    """
    names = list(names)
    known = set(names)
    by_canonical: dict[str, str] = {}
    for name in names:
        by_canonical.setdefault(canonical(name), name)
    matches: dict[str, str | None] = {}
    for query in dict.fromkeys(queries):
        other = by_canonical.get(canonical(query))
        is_other_assembly = other is not None and _ACCESSION.match(query) and _ACCESSION.match(other)
        matches[query] = query if query in known else None if is_other_assembly else other
    return matches


def describe_styles(matches: dict[str, str | None]) -> str | None:
    """Say which styles met, when names had to be mapped; None when they agree."""
    mapped = {query: name for query, name in matches.items() if name is not None and query != name}
    if not mapped:
        return None
    of_regions = Counter(map(style_of, mapped)).most_common(1)[0][0]
    of_genome = Counter(map(style_of, mapped.values())).most_common(1)[0][0]
    plural = "" if len(mapped) == 1 else "s"
    return f"chromosome style: regions {of_regions}, genome {of_genome}; {len(mapped)} chromosome{plural} mapped"
