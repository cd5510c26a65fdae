"""Planted risk is found; shuffled risk is not."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import genebert as gb
from genebert import _keys


@pytest.fixture(scope="module")
def _cohort():
    return gb.datasets.toy_cohort()


@pytest.fixture(scope="module")
def effects(_cohort):
    return gb.tl.variant_effect(_cohort.var)


@pytest.fixture
def cohort(_cohort):
    return _cohort.copy()


@pytest.fixture
def made_up(cohort):
    """Effects that need no model."""
    rng = np.random.default_rng(0)
    table = cohort.var[["chrom", "pos", "ref", "alt", "id", "risk", "conservation"]].reset_index(drop=True)
    table["effect_y"] = -2 * table["risk"] + rng.normal(size=len(table))
    return table


@pytest.mark.slow
def test_planted_variants_rank_on_top(effects):
    found = gb.tl.disease_risk(effects, conservation="conservation")
    assert tuple(found.metrics.columns) == _keys.RISK_COLUMNS
    assert found.metrics["method"].tolist() == ["effects + conservation", "effects", "conservation"]
    by_effects = found.metrics.set_index("method").loc["effects"]
    assert by_effects["low"] > 0.7
    top = found.predictions.nlargest(20, "risk_score")
    assert top["risk"].mean() > 0.6  # a fifth by chance


@pytest.mark.slow
def test_carriers_are_told_from_controls(cohort, effects):
    found = gb.tl.disease_risk(cohort, effects=effects, covariates=["age", "sex"], n_permutations=99)
    metrics = found.metrics.set_index("method")
    assert metrics.loc["burden + covariates", "low"] > 0.6
    assert metrics.loc["burden + covariates", "value"] > metrics.loc["covariates", "value"] + 0.05
    assert metrics.loc["burden + covariates", "pvalue"] <= 0.05


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shuffled_phenotypes_are_chance(cohort, seed):
    """And those that are not shuffled are told by the same two measures."""
    rng = np.random.default_rng(seed)
    cohort.var["distance"] = 0.2 + cohort.var["risk"]
    real = gb.tl.disease_risk(cohort, n_permutations=19, rng=seed).metrics.iloc[0]
    assert real["low"] > 0.5
    assert real["pvalue"] == 0.05
    cohort.obs["phenotype"] = rng.permutation(cohort.obs["phenotype"].to_numpy())
    best = gb.tl.disease_risk(cohort, n_permutations=19, rng=seed).metrics.iloc[0]
    assert best["low"] <= 0.5 <= best["high"]
    assert best["pvalue"] > 0.05  # which is the least that 19 permutations can give


def test_variants(made_up):
    found = gb.tl.disease_risk(made_up, rng=0)
    assert found.metrics["value"].iloc[0] > 0.8
    assert found.weights["feature"].tolist() == ["effect_y", "|effect_y|"]
    assert found.metrics["n"].iloc[0] == 240
    again = gb.tl.disease_risk(made_up, rng=0)
    pd.testing.assert_frame_equal(found.metrics, again.metrics)


def test_one_feature_by_name(made_up):
    one, listed = (gb.tl.disease_risk(made_up, features=name) for name in ("effect_y", ["effect_y"]))
    assert one.weights.equals(listed.weights)


@pytest.mark.parametrize("rng", [-1, 1.5, "x"])
def test_seeds_that_are_none(made_up, rng):
    with pytest.raises(ValueError, match="Expected `rng` to be an integer, 0 or more"):
        gb.tl.disease_risk(made_up, rng=rng)


def test_a_variant_is_scored_by_other_chromosomes(made_up):
    """What the labels of its own chromosome are changes nothing."""
    before = gb.tl.disease_risk(made_up).predictions["risk_score"]
    own = made_up["chrom"] == "chr2"
    changed = made_up.assign(risk=made_up["risk"].where(~own, 1 - made_up["risk"]))
    after = gb.tl.disease_risk(changed).predictions["risk_score"]
    assert np.allclose(before[own], after[own])
    assert not np.allclose(before[~own], after[~own])


def test_variants_without_label_or_effect_are_left_out(made_up):
    made_up["risk"] = made_up["risk"].astype(float)
    made_up.loc[:9, "risk"] = np.nan
    made_up.loc[10:14, "effect_y"] = np.nan
    found = gb.tl.disease_risk(made_up)
    assert found.metrics["n"].iloc[0] == 225
    assert found.predictions["risk_score"].isna().tolist() == [True] * 15 + [False] * 225


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="risk"), "risk missing"),
        (lambda table: table.drop(columns="effect_y"), "Expected columns of gb.tl.variant_effect"),
        (lambda table: table.assign(risk=1), "Expected two classes of variants in 'risk'"),
        (lambda table: table.assign(risk=np.nan), "found no value"),
        (lambda table: table.assign(risk=" "), "found no value"),
        (lambda table: table.assign(risk=np.arange(len(table))), "Expected two classes"),
        (lambda table: table.assign(chrom="chr1"), "on two chromosomes or more"),
        (lambda table: table.assign(effect_y="high"), "found text in effect_y"),
    ],
)
def test_variants_that_cannot_be_learnt_from(made_up, change, message):
    with pytest.raises(ValueError, match=message):
        gb.tl.disease_risk(change(made_up))


def test_what_is_written(cohort, made_up, tmp_path):
    found = gb.tl.disease_risk(cohort, effects=made_up, covariates=["age", "sex"], n_permutations=9, key_added="mine")
    assert np.array_equal(cohort.obs["mine"], found.predictions["mine"])
    assert np.allclose(cohort.obs["mine_burden"], cohort.X @ made_up["effect_y"].abs().to_numpy(), rtol=1e-5)
    assert found.weights["feature"].tolist() == ["burden", "age", "sex_male"]
    entry = _keys.load_record(cohort, "disease_risk", "mine", filled_by="gb.tl.disease_risk")
    assert list(entry["params"]["covariates"]) == ["age", "sex"]
    cohort.write_h5ad(tmp_path / "x.h5ad")
    table = _keys.load_record(ad.read_h5ad(tmp_path / "x.h5ad"), "disease_risk", "mine", filled_by="")["table"]
    assert table["method"].tolist() == ["burden + covariates", "burden", "covariates"]


def test_effects_are_matched_by_place_and_by_identifier(cohort, made_up):
    first = gb.tl.disease_risk(cohort, effects=made_up, n_permutations=0).predictions
    shuffled = made_up.sample(frac=1, random_state=0)
    again = gb.tl.disease_risk(cohort, effects=shuffled, n_permutations=0).predictions
    by_name = gb.tl.disease_risk(cohort, effects=shuffled[["id", "effect_y"]], n_permutations=0).predictions
    assert np.allclose(first["burden"], again["burden"])
    assert np.allclose(first["burden"], by_name["burden"])
    fewer = gb.tl.disease_risk(cohort, effects=shuffled.head(220), n_permutations=0).predictions
    assert not np.allclose(first["burden"], fewer["burden"])
    with pytest.raises(ValueError, match="Expected effects other than 0"):
        gb.tl.disease_risk(cohort, effects=made_up.assign(effect_y=0.0), n_permutations=0)
    with pytest.raises(
        ValueError, match=r"by chromosome, position and alleles; none of 240 is. .* holds 1:1001:.*`effects` 1:1:"
    ):
        gb.tl.disease_risk(cohort, effects=made_up.assign(pos=1), n_permutations=0)
    with pytest.raises(ValueError, match=r"by identifier; none of 240 is. The matrix holds rs.*, `effects` x, x"):
        gb.tl.disease_risk(cohort, effects=made_up[["effect_y"]].assign(id="x"), n_permutations=0)


def test_effects_that_match_in_part_only(cohort, made_up, log):
    gb.tl.disease_risk(cohort, effects=made_up.iloc[10:], n_permutations=0)
    assert "disease risk: 10 of 240 variants have no effect and no weight" in log.messages
    with pytest.warns(UserWarning, match=r"30 of 240 variants have no effect and no weight, such as rs") as found:
        gb.tl.disease_risk(cohort, effects=made_up.iloc[30:], n_permutations=0)
    assert found[0].filename == __file__


@pytest.mark.parametrize("n_without_effect", [0, 20])
def test_individuals_without_any_dosage_that_counts_have_no_risk(cohort, made_up, log, n_without_effect):
    cohort.X[:3, n_without_effect:] = np.nan
    cohort.X[5, :2] = np.nan  # variants without an effect, or with one
    cohort.X[6, 50:53] = np.nan
    with pytest.warns(UserWarning, match="3 individuals have no dosage of a variant with an effect, and no burden"):
        found = gb.tl.disease_risk(cohort, effects=made_up.iloc[n_without_effect:], n_permutations=0)
    counted = [text for text in log.messages if text.endswith("missing dosages count as the mean of their variant")]
    n = 3 if n_without_effect else 5
    assert counted == [f"disease risk: {n} missing dosages count as the mean of their variant"]
    assert found.predictions.isna().all(axis=1).tolist() == [True] * 3 + [False] * 297
    assert (found.metrics["n"] == 297).all()


def test_effects_are_matched_in_any_style_of_names(cohort, made_up):
    wanted = gb.tl.disease_risk(cohort, effects=made_up, n_permutations=0).predictions["burden"]
    bare = made_up.assign(chrom=made_up["chrom"].str.removeprefix("chr"), ref=made_up["ref"].str.lower())
    found = gb.tl.disease_risk(cohort, effects=bare, n_permutations=0).predictions["burden"]
    assert np.allclose(found, wanted)
    cohort.var["chrom"] = cohort.var["chrom"].str.removeprefix("chr")
    assert np.allclose(gb.tl.disease_risk(cohort, effects=made_up, n_permutations=0).predictions["burden"], wanted)


def test_effects_that_stand_twice(cohort, made_up):
    """The same, or not scored, they are one; different, they are refused."""
    wanted = gb.tl.disease_risk(cohort, effects=made_up, n_permutations=0).predictions["burden"]
    same = pd.concat([made_up.head(5).assign(effect_y=np.nan), made_up, made_up.head(5)])
    assert np.allclose(gb.tl.disease_risk(cohort, effects=same, n_permutations=0).predictions["burden"], wanted)
    other = pd.concat([made_up, made_up.head(1).assign(chrom="1", effect_y=5.0)])
    with pytest.raises(
        ValueError, match=r"one effect for each variant of the matrix; 1:1001:.* have several.*Leave one row"
    ):
        gb.tl.disease_risk(cohort, effects=other, n_permutations=0)
    names = other[["id", "effect_y"]]  # as two alleles of one rsID
    with pytest.raises(ValueError, match=r"rs1000001 have several in `effects`. Identifiers do not tell alleles apart"):
        gb.tl.disease_risk(cohort, effects=names, n_permutations=0)
    rows = [*range(cohort.n_vars), 0]
    var = cohort.var.iloc[rows].set_axis([f"column_{row}" for row in range(len(rows))], axis=0)
    twice = ad.AnnData(cohort.X[:, rows], obs=cohort.obs[["phenotype"]], var=var)
    with pytest.warns(UserWarning, match="1:1001:.* stand there again, and count again"):
        gb.tl.disease_risk(twice, effects=made_up, n_permutations=0)


def _tied(seed, *, own):
    """A burden that is the sum of twenty covariates and a part of its own, and cases that the one or the other makes."""
    rng = np.random.default_rng(seed)
    pcs, rest = rng.normal(size=(80, 20)), rng.normal(size=80)
    shared = pcs.sum(axis=1) / np.sqrt(20)
    burden = shared + (0.7 if own else 0.05) * rest
    liability = (2 * rest if own else shared) + 0.5 * rng.logistic(size=80)
    obs = pd.DataFrame(pcs, columns=[f"pc{number}" for number in range(20)]).assign(
        phenotype=(liability > 0).astype(int)
    )
    adata = ad.AnnData(np.clip(1 + burden[:, None] / 5, 0, 2), obs=obs.set_index(obs.index.astype(str)))
    adata.var["distance"] = 1.0
    names = list(obs.columns[:20])
    return gb.tl.disease_risk(adata, covariates=names, n_folds=3, n_permutations=19, n_bootstrap=1, rng=seed).metrics


def test_a_burden_that_follows_the_covariates_is_no_effect():
    """Shuffling the burden itself would give p-values of 0.1 on average: alone, it costs the fit one more weight."""
    pvalues = [_tied(seed, own=False)["pvalue"].iloc[0] for seed in range(8)]
    assert np.mean(pvalues) > 0.3
    assert np.max(pvalues) > 0.6


def test_what_a_burden_has_beside_the_covariates_is_an_effect():
    assert [_tied(seed, own=True)["pvalue"].iloc[0] for seed in range(3)] == [0.05] * 3  # the least of 19 permutations


def test_columns_of_the_user_are_not_overwritten(cohort, made_up):
    options = {"effects": made_up, "n_permutations": 0, "n_bootstrap": 1}
    cohort.obs["mine"] = 1.0
    cohort.obs["own_burden"] = 2.0
    for key in ("mine", "own"):
        with pytest.raises(ValueError, match=f"{key}.* hold something else. Choose another key"):
            gb.tl.disease_risk(cohort, **options, key_added=key)
    for key, covariates in (("phenotype", []), ("age", ["age"])):
        with pytest.raises(ValueError, match=f"it would overwrite {key}"):
            gb.tl.disease_risk(cohort, **options, covariates=covariates, key_added=key)
    with pytest.raises(ValueError, match="burden"):
        gb.tl.disease_risk(cohort, **options, key_added="burden")
    assert (cohort.obs["mine"] == 1).all()
    assert (cohort.obs["own_burden"] == 2).all()
    for _ in range(2):  # its own columns it may replace
        gb.tl.disease_risk(cohort, **options, key_added="first")
    with pytest.raises(ValueError, match="it would overwrite first"):
        gb.tl.disease_risk(cohort, **options, key_added="first", covariates=["first"])
    with pytest.raises(ValueError, match="risk_score"):
        gb.tl.disease_risk(made_up.rename(columns={"risk": "risk_score"}), label="risk_score")


def test_sparse_and_missing_dosages(cohort, made_up):
    dense = gb.tl.disease_risk(cohort, effects=made_up, n_permutations=0).predictions["burden"]
    packed = cohort.copy()
    packed.X = sparse.csr_matrix(cohort.X)
    assert np.allclose(gb.tl.disease_risk(packed, effects=made_up, n_permutations=0).predictions["burden"], dense)
    holes = cohort.copy()
    holes.X[0, 0] = np.nan
    found = gb.tl.disease_risk(holes, effects=made_up, n_permutations=0).predictions["burden"]
    expected = dense.iloc[0] + (np.nanmean(holes.X[:, 0]) - cohort.X[0, 0]) * abs(made_up["effect_y"][0])
    assert np.isclose(found.iloc[0], expected, rtol=1e-5)


def test_individuals_without_phenotype_or_covariate_are_left_out(cohort, made_up):
    cohort.obs["phenotype"] = cohort.obs["phenotype"].map({1: "case", 0: "control"})
    cohort.obs.iloc[:5, cohort.obs.columns.get_loc("phenotype")] = None
    cohort.obs.iloc[5:7, cohort.obs.columns.get_loc("age")] = np.nan
    cohort.obs.iloc[7:8, cohort.obs.columns.get_loc("sex")] = np.nan
    found = gb.tl.disease_risk(cohort, effects=made_up, covariates=["age", "sex"], n_permutations=0)
    assert found.metrics["n"].unique().tolist() == [292]
    assert found.predictions["disease_risk"].isna().sum() == 8
    assert found.predictions["burden"].notna().all()


@pytest.mark.parametrize(
    ("case", "control"),
    [
        ("AD", "control"),
        ("ASD", "TD"),
        ("KO", "WT"),
        ("ill", "Well"),
        ("case", "other"),
        ("sick", "fit"),
        ("a", "Normal"),
    ],
)
def test_words_for_controls_are_no_cases(cohort, made_up, log, case, control):
    options = {"effects": made_up, "n_permutations": 0, "n_bootstrap": 1}
    wanted = gb.tl.disease_risk(cohort, **options)
    assert _keys.load_record(cohort, "disease_risk", "disease_risk", filled_by="")["params"]["case"] is None
    assert not [text for text in log.messages if "counts as case" in text]
    cohort.obs["phenotype"] = cohort.obs["phenotype"].map({1: case, 0: control})
    found = gb.tl.disease_risk(cohort, **options)
    pd.testing.assert_frame_equal(found.metrics, wanted.metrics)
    assert f"disease risk: of 'phenotype', '{case}' counts as case (1) and '{control}' as control (0)" in log.messages
    assert _keys.load_record(cohort, "disease_risk", "disease_risk", filled_by="")["params"]["case"] == case


def test_words_as_labels_of_variants(made_up, log):
    wanted = gb.tl.disease_risk(made_up, n_bootstrap=1).metrics
    words = made_up.assign(risk=made_up["risk"].map({1: "GWAS", 0: "control"}))
    pd.testing.assert_frame_equal(gb.tl.disease_risk(words, n_bootstrap=1).metrics, wanted)
    assert "disease risk: of 'risk', 'GWAS' counts as case (1) and 'control' as control (0)" in log.messages


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda adata: adata.X.__setitem__((0, 0), 3), {}, "Expected dosages from 0 to 2.*3.0"),
        (lambda adata: adata.X.__setitem__((0, 0), -1), {}, "Expected dosages from 0 to 2"),
        (lambda adata: adata.obs.__setitem__("phenotype", 1), {}, "Expected two classes of individuals"),
        (lambda adata: adata.obs.drop(columns="phenotype", inplace=True), {}, "phenotype missing"),
        (lambda adata: None, {"covariates": ["weight"]}, "weight missing"),
        (lambda adata: None, {"n_folds": 1}, "Expected `n_folds`"),
        (lambda adata: None, {"n_folds": 200}, "Expected at least 200 individuals of each class"),
        (lambda adata: None, {"effect": "effect_z"}, "effect_z missing"),
        (lambda adata: None, {"key_added": "a/b"}, "without '/'"),
    ],
)
def test_individuals_that_cannot_be_learnt_from(cohort, made_up, change, options, message):
    change(cohort)
    columns = list(cohort.obs.columns)
    with pytest.raises(ValueError, match=message):
        gb.tl.disease_risk(cohort, **{"effects": made_up, "n_permutations": 0, **options})
    assert list(cohort.obs.columns) == columns


def test_something_else():
    with pytest.raises(TypeError, match="Expected a table of variants or an AnnData"):
        gb.tl.disease_risk([1, 2])


def test_individuals_as_a_table(cohort, made_up):
    with pytest.raises(TypeError, match="Expected an AnnData of individuals x variants with `effects`; found a table"):
        gb.tl.disease_risk(cohort.to_df(), effects=made_up)


@pytest.mark.parametrize("value", [np.nan, "high"])
def test_conservation_without_numbers_is_named(made_up, value):
    made_up["phylop"] = value
    message = "Expected numbers in the column of `conservation`, 'phylop'; found none in 240 variants with a label"
    with pytest.raises(ValueError, match=message):
        gb.tl.disease_risk(made_up, conservation="phylop")
