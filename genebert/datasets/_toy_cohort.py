"""A made-up genome, its variants, and people who carry them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from genebert import _keys
from genebert._dna import BASES, N_BASES, decode, reverse_complement
from genebert._motifs import Motif, default_motifs
from genebert._validate import check_range
from genebert._variants import ALT, ALT_SEQUENCE, CHROM, ID, POS, REF, REF_SEQUENCE
from genebert.datasets._toy import TFS

__all__ = ["toy_cohort"]

N_CHROMOSOMES = 6
SPACING = 1_000  # bp between variants
SEQ_LENGTH = 200  # bp of the sequences of both alleles
RISK_SHARE = 0.2
HAPLOTYPE_CHROM, HAPLOTYPE_FREQUENCY = "chr3", 0.3
FLANK = 30  # bp from a control variant to the site beside it
RISK, PLANTED, HAPLOTYPE, CONSERVATION = "risk", "planted", "haplotype", "conservation"
GENETIC, OF_AGE, OF_SEX, NOISE = 1.0, 0.4, 0.3, 0.8  # weights of the liability, in standard deviations
LINE = 60


def toy_cohort(
    *,
    n_individuals: int = 300,
    n_variants: int = 240,
    folder: str | os.PathLike[str] | None = None,
    rng: int | np.random.Generator | None = 0,
) -> AnnData:
    """Make a cohort in which it is known which variants raise the risk of a disease.

    Each variant is an SNV at a locus of its own, on a genome of six random chromosomes; each locus carries the best site of a real
    motif.

    - **Risk variants** (a fifth) break it: they change its most informative base into the one that the motif tolerates least.
      **Controls** lie 30 bp beside it.
    - **A risk haplotype** on chr3: all its risk variants, and a quarter of its controls, are inherited together, at a frequency of
      0.3. Other variants are independent, at frequencies of 0.05 to 0.5.
    - **Phenotype**: half of the individuals, those with the greatest liability, are cases. Liability is the number of risk alleles, age, sex
      and noise.

    Parameters
    ----------
    n_individuals
        Individuals.
    n_variants
        Variants, a multiple of six or rounded down to one.
    folder
        Where to write ``genome.fa`` and ``variants.vcf`` as well; it is made if needed.
    rng
        Seed or generator.

    Returns
    -------
    AnnData ``(individuals, variants)`` of dosages of ALT, 0, 1 or 2, float32, with

    - ``.obs``: ``phenotype`` (int64, 1 = case), ``age`` (float64), ``sex`` (category).
    - ``.var``: ``chrom``, ``pos`` (1-based), ``ref``, ``alt``, ``id``, ``ref_sequence`` and ``alt_sequence`` (200 bp), ``risk`` (int64, 1 =
      risk variant), ``planted`` (TF of the locus), ``haplotype`` (bool), ``conservation`` (float64, higher on average where a site breaks).

    Examples
    --------
    >>> cohort = gb.datasets.toy_cohort()
    >>> cohort.shape, int(cohort.var["risk"].sum())
    ((300, 240), 48)
    """
    check_range(n_individuals, name="n_individuals", low=4, integer=True)
    check_range(n_variants, name="n_variants", low=2 * N_CHROMOSOMES, integer=True)
    rng = np.random.default_rng(rng)
    per_chrom = n_variants // N_CHROMOSOMES
    genome, tables = {}, []
    for number in range(N_CHROMOSOMES):
        chrom = f"chr{number + 1}"
        genome[chrom] = rng.integers(N_BASES, size=(per_chrom + 1) * SPACING).astype(np.uint8)
        tables.append(_plant(chrom, genome[chrom], per_chrom, rng))
    variants = pd.concat(tables, ignore_index=True)
    variants[ID] = [f"rs{1_000_001 + row}" for row in range(len(variants))]
    dosages = _draw_dosages(variants, n_individuals, rng)
    individuals = _draw_individuals(dosages @ variants[RISK].to_numpy(), rng)
    first = [CHROM, POS, REF, ALT, ID]
    variants = variants[[*first, *(name for name in variants.columns if name not in first)]]
    cohort = AnnData(
        dosages, obs=individuals, var=variants.set_index(pd.Index(variants[ID].to_numpy(), name="variant"))
    )
    params = {"n_individuals": n_individuals, "n_variants": len(variants)}
    _keys.record(cohort, "toy_cohort", "toy_cohort", params=params)
    if folder is not None:
        _write(Path(folder), genome, variants)
    return cohort


def _plant(chrom: str, bases: np.ndarray, n_variants: int, rng: np.random.Generator) -> pd.DataFrame:
    """Put a site into each locus of a chromosome, and a variant into or beside it."""
    motifs = {motif.tf: motif for motif in reversed(default_motifs()) if motif.tf in TFS}
    n_risk = max(1, round(RISK_SHARE * n_variants))
    is_risk = np.zeros(n_variants, dtype=bool)
    is_risk[rng.choice(n_variants, n_risk, replace=False)] = True
    rows = []
    for number, breaks in enumerate(is_risk):
        motif = motifs[TFS[rng.integers(len(TFS))]]
        site, place, worst = _site(motif)
        if rng.random() < 0.5:
            site, place, worst = reverse_complement(site), len(site) - 1 - place, N_BASES - 1 - worst
        position = (number + 1) * SPACING  # of the variant, 0-based
        start = position - place if breaks else position + FLANK
        bases[start : start + len(site)] = site
        ref = int(bases[position])
        alt = worst if breaks else int(rng.choice(np.setdiff1d(np.arange(N_BASES), ref)))
        rows.append(
            {CHROM: chrom, POS: position + 1, REF: BASES[ref], ALT: BASES[alt], RISK: int(breaks), PLANTED: motif.tf}
        )
    table = pd.DataFrame(rows)
    windows = [_window(bases, row[POS] - 1, alt=BASES.index(row[ALT])) for row in rows]
    table[REF_SEQUENCE], table[ALT_SEQUENCE] = zip(*windows, strict=True)
    controls = np.flatnonzero(~is_risk)
    linked = is_risk.copy()
    linked[controls[: len(controls) // 4]] = True
    table[HAPLOTYPE] = linked & (chrom == HAPLOTYPE_CHROM)
    table[CONSERVATION] = rng.normal(np.where(is_risk, 1.5, 0.0), 1.0)
    return table


def _site(motif: Motif) -> tuple[np.ndarray, int, int]:
    """The best site of a motif, its most informative place, and the base that is tolerated least there."""
    shares = (motif.counts + 0.1) / (motif.counts + 0.1).sum(axis=1, keepdims=True)
    place = int((shares * np.log2(shares)).sum(axis=1).argmax())
    return shares.argmax(axis=1).astype(np.uint8), place, int(shares[place].argmin())


def _window(bases: np.ndarray, position: int, *, alt: int) -> tuple[str, str]:
    """Sequences of both alleles, the variant in the middle."""
    first = (SEQ_LENGTH - 1) // 2
    ref = bases[position - first : position - first + SEQ_LENGTH]
    changed = ref.copy()
    changed[first] = alt
    return decode(ref), decode(changed)


def _draw_dosages(variants: pd.DataFrame, n_individuals: int, rng: np.random.Generator) -> np.ndarray:
    frequency = rng.uniform(0.05, 0.5, len(variants))
    dosages = rng.binomial(2, frequency, size=(n_individuals, len(variants))).astype(np.float32)
    shared = rng.binomial(2, HAPLOTYPE_FREQUENCY, size=n_individuals).astype(np.float32)
    dosages[:, variants[HAPLOTYPE].to_numpy()] = shared[:, None]
    return dosages


def _draw_individuals(n_alleles: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    age = rng.uniform(30, 80, len(n_alleles))
    is_male = rng.random(len(n_alleles)) < 0.5
    noise = rng.normal(size=len(n_alleles))
    liability = GENETIC * _standard(n_alleles) + OF_AGE * _standard(age) + OF_SEX * is_male + NOISE * noise
    return pd.DataFrame(
        {
            "phenotype": (liability > np.median(liability)).astype(np.int64),
            "age": age,
            "sex": pd.Categorical(np.where(is_male, "male", "female")),
        },
        index=[f"individual_{row + 1}" for row in range(len(n_alleles))],
    )


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / max(values.std(), 1e-9)


def _write(folder: Path, genome: dict[str, np.ndarray], variants: pd.DataFrame) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "genome.fa").open("w") as handle:
        for chrom, bases in genome.items():
            text = decode(bases)
            handle.write(f">{chrom}\n")
            handle.writelines(f"{text[start : start + LINE]}\n" for start in range(0, len(text), LINE))
    header = [
        "##fileformat=VCFv4.3",
        *(f"##contig=<ID={chrom},length={len(bases)}>" for chrom, bases in genome.items()),
    ]
    header.append("\t".join(("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")))
    rows = zip(*(variants[name] for name in (CHROM, POS, ID, REF, ALT)), strict=True)
    lines = ["\t".join([*map(str, row), ".", "PASS", "."]) for row in rows]
    (folder / "variants.vcf").write_text("\n".join([*header, *lines]) + "\n")
