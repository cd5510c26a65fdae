"""The cohort is what it says it is."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import genebert as gb


@pytest.fixture(scope="module")
def cohort():
    return gb.datasets.toy_cohort()


def test_layout(cohort):
    assert cohort.shape == (300, 240)
    assert cohort.X.dtype == np.float32
    assert set(np.unique(cohort.X)) <= {0, 1, 2}
    assert cohort.var["risk"].sum() == 48
    assert cohort.var.groupby("chrom")["risk"].sum().tolist() == [8] * 6
    assert cohort.obs["phenotype"].mean() == 0.5
    assert cohort.var_names.is_unique


def test_alleles_differ_in_the_middle_only(cohort):
    for row in cohort.var.itertuples():
        assert len(row.ref_sequence) == len(row.alt_sequence) == 200
        differ = [i for i in range(200) if row.ref_sequence[i] != row.alt_sequence[i]]
        assert differ == [99]
        assert (row.ref_sequence[99], row.alt_sequence[99]) == (row.ref, row.alt)


def test_haplotype_is_inherited_together(cohort):
    shared = cohort[:, cohort.var["haplotype"].to_numpy()]
    assert set(shared.var["chrom"]) == {"chr3"}
    assert shared.var["risk"].sum() == 8
    assert (shared.X[:, :1] == shared.X).all()


def test_carriers_are_cases(cohort):
    n_alleles = cohort[:, cohort.var["risk"].to_numpy() == 1].X.sum(axis=1)
    is_case = cohort.obs["phenotype"].to_numpy() == 1
    assert n_alleles[is_case].mean() > n_alleles[~is_case].mean() + 2


def test_seed_and_files(tmp_path):
    first, again, other = (
        gb.datasets.toy_cohort(n_individuals=10, n_variants=24, rng=rng, folder=tmp_path) for rng in (1, 1, 2)
    )
    assert np.array_equal(first.X, again.X)
    assert first.var.equals(again.var)
    assert not np.array_equal(first.X, other.X)
    table = gb.io.read_variants(tmp_path / "variants.vcf", genome=tmp_path / "genome.fa")
    assert table["status"].unique().tolist() == ["ok"]
    for name in ("chrom", "pos", "ref", "alt", "id"):
        assert table[name].tolist() == other.var[name].tolist()


def test_survives_a_file(cohort, tmp_path):
    cohort.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad")
    assert np.array_equal(back.X, cohort.X)
    assert back.var["alt_sequence"].tolist() == cohort.var["alt_sequence"].tolist()


def test_too_small():
    with pytest.raises(ValueError, match="`n_variants`"):
        gb.datasets.toy_cohort(n_variants=5)
