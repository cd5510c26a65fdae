"""Risk of individuals, from the regulatory burden of the variants that they carry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.model_selection import StratifiedKFold

from genebert import _keys
from genebert._chunks import Progress, load_dense, row_chunks
from genebert._logging import info, warn
from genebert._validate import check_columns, check_key, listed
from genebert._variants import ALT, CHROM, ID, POS, REF, variant_keys
from genebert.model._scores import auroc
from genebert.tl._risk_scores import Risk, cross_validate, fit_weights, measure, risk_table
from genebert.tl._risk_variants import binary_labels, effect_columns
from genebert.tl._variant_models import DISTANCE

__all__ = ["individual_risk"]

BURDEN = "burden"
_FEW = 0.1  # share of variants without an effect up to which it is told, not warned of
_ROUNDING = 1e-4  # relative difference of effects of one variant that are taken as the same
FULL, ALONE, COVARIATES = "burden + covariates", "burden", "covariates"


def individual_risk(
    adata: AnnData,
    *,
    effects: pd.DataFrame | None,
    effect: str | None,
    phenotype: str,
    covariates: Sequence[str],
    n_folds: int,
    n_permutations: int,
    n_bootstrap: int,
    key_added: str,
    rng: np.random.Generator,
) -> Risk:
    """See `genebert.tl.disease_risk`."""
    check_columns(adata.obs.columns, [phenotype, *covariates], what="`adata.obs`")
    _check_result_key(adata, key_added, inputs=[phenotype, *covariates])
    labels, case = binary_labels(adata.obs[phenotype], name=phenotype, of="individuals")
    weights = _weights(adata, effects, effect)
    others = _covariates(adata.obs, covariates)
    burden = _burden(adata, weights)
    used = ~np.isnan(labels) & np.isfinite(others.to_numpy(dtype=np.float64)).all(axis=1) & np.isfinite(burden)
    folds = _folds(labels[used], n_folds, rng)
    if skipped := int((~used).sum()):
        info(
            f"disease risk: {skipped:,} of {adata.n_obs:,} individuals are left out, without phenotype, covariates or dosages"
        )
    y, own, rest = labels[used], burden[used, None], others.to_numpy(dtype=np.float64)[used]
    sets = {FULL: np.hstack([own, rest]), ALONE: own, COVARIATES: rest} if len(covariates) else {ALONE: own}
    scores = {method: cross_validate(values, y, folds) for method, values in sets.items()}
    main = next(iter(sets))
    pvalue = _permute(y, own, rest, folds, observed=auroc(y, scores[main]), n_permutations=n_permutations, rng=rng)
    rows = [
        measure(y, score, method=method, n_bootstrap=n_bootstrap, rng=rng, pvalue=pvalue if method == main else np.nan)
        for method, score in scores.items()
    ]
    metrics = risk_table(rows)
    predictions = pd.DataFrame({key_added: np.nan, BURDEN: burden}, index=adata.obs_names)
    predictions.loc[used, key_added] = scores[main]
    adata.obs[key_added] = predictions[key_added].to_numpy()
    adata.obs[f"{key_added}_{BURDEN}"] = burden
    params = {
        "effect": effect, "phenotype": phenotype, "case": case, "covariates": list(covariates), "n_folds": n_folds,
        "n_permutations": n_permutations, "n_bootstrap": n_bootstrap,
    }  # fmt: skip
    _keys.record(adata, "disease_risk", key_added, params=params, table=metrics)
    return Risk(predictions, metrics, fit_weights(sets[main], y, [BURDEN, *others.columns]))


def _check_result_key(adata: AnnData, key_added: str, *, inputs: Sequence[str]) -> None:
    """Raise where results would take the place of an input, or of a column that this verb did not write under that key."""
    check_key(key_added, reserved=[BURDEN])
    columns = [key_added, f"{key_added}_{BURDEN}"]
    if read := [name for name in columns if name in inputs]:
        msg = f"Expected `key_added` of other columns than phenotype and covariates; it would overwrite {listed(read)}. Choose another key."
        raise ValueError(msg)
    is_own = key_added in adata.uns.get(_keys.UNS, {}).get("disease_risk", {})
    if not is_own and (taken := [name for name in columns if name in adata.obs]):
        msg = (
            f"Expected `key_added` of columns that are free in `adata.obs`, or that an earlier call wrote under it; {listed(taken)} "
            "hold something else. Choose another key."
        )
        raise ValueError(msg)


def _weights(adata: AnnData, effects: pd.DataFrame | None, effect: str | None) -> np.ndarray:
    """Size of the effect of each variant of the matrix, float64; 0 where it is not known."""
    table = adata.var if effects is None else effects
    columns = effect_columns(table, None if effect is None else [effect])
    chosen = effect or (DISTANCE if DISTANCE in columns else None)
    values = np.abs(table[columns if chosen is None else [chosen]].to_numpy(dtype=np.float64)).mean(axis=1)
    if effects is not None:
        values = _aligned(adata, effects, values)
    known = np.isfinite(values)
    if not known.any() or not np.nan_to_num(values).any():
        msg = "Expected effects other than 0 for variants of the matrix; found none. Run gb.tl.variant_effect on adata.var."
        raise ValueError(msg)
    if not known.all():
        text = f"disease risk: {int((~known).sum()):,} of {adata.n_vars:,} variants have no effect and no weight"
        example = f", such as {listed(adata.var_names[~known][:3])}"
        info(text) if (~known).mean() <= _FEW else warn(text + example, stacklevel=5)
    return np.nan_to_num(values)


def _aligned(adata: AnnData, effects: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    """Values in the order of the variants of the matrix, by place and alleles or, where it has none, by identifier.

    Raises
    ------
    ValueError
        When none matches, or one place or identifier stands for several values.
    """
    place = [CHROM, POS, REF, ALT]
    by = "identifier"
    if set(place) <= set(adata.var.columns) and set(place) <= set(effects.columns):
        wanted, found = (_place_keys(table) for table in (adata.var, effects))
        by, remedy = "chromosome, position and alleles", "Leave one row for each."
    else:
        check_columns(effects.columns, (ID,), what="`effects`")
        wanted, found = pd.Index(adata.var_names.astype(str)), pd.Index(effects[ID].astype(str))
        remedy = "Identifiers do not tell alleles apart: give chrom, pos, ref and alt in `adata.var` and `effects`."
    if not found.isin(wanted).any():
        msg = (
            f"Expected variants of the matrix among those of `effects`, by {by}; none of {len(wanted)} is. The matrix holds "
            f"{listed(wanted[:2])}, `effects` {listed(found[:2])}. Spell both alike, and take the same assembly."
        )
        raise ValueError(msg)
    is_known = np.isfinite(values) & found.isin(wanted)
    spread = pd.Series(values[is_known]).groupby(found[is_known].to_numpy()).agg(["min", "max"])
    differ = spread.index[spread["max"] - spread["min"] > _ROUNDING * spread["max"]]
    if len(differ):
        msg = (
            f"Expected one effect for each variant of the matrix; {listed(differ)} have several in `effects`. {remedy}"
        )
        raise ValueError(msg)
    if repeated := wanted[wanted.duplicated() & wanted.isin(spread.index)].unique().tolist():
        warn(
            f"Expected each variant once in the matrix; {listed(repeated)} stand there again, and count again.",
            stacklevel=6,
        )
    return spread["max"].reindex(wanted).to_numpy()


def _place_keys(table: pd.DataFrame) -> pd.Index:
    """Chromosome, whatever its style, position and alleles as one text."""
    return pd.Index(
        [":".join(map(str, row)) for row in variant_keys(table).itertuples(index=False, name=None)], dtype=object
    )


def _covariates(obs: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Numbers as they are; of categories, one column of 0 and 1 for each but the first."""
    parts = [pd.DataFrame(index=obs.index)]
    for name in names:
        column = obs[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            parts.append(column.astype(np.float64).to_frame(name))
            continue
        dummies = pd.get_dummies(column.astype("category"), prefix=name, drop_first=True, dtype=np.float64)
        parts.append(dummies.mask(column.isna().to_numpy()[:, None].repeat(dummies.shape[1], axis=1)))
    return pd.concat(parts, axis=1)


def _folds(labels: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold of each individual, both classes shared out evenly."""
    fewest = int(min((labels == value).sum() for value in (0, 1))) if len(labels) else 0
    if fewest < n_folds:
        msg = f"Expected at least {n_folds} individuals of each class, one per fold; found {fewest}. Lower `n_folds`, or add some."
        raise ValueError(msg)
    folds = np.empty(len(labels), dtype=np.int64)
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=int(rng.integers(2**31)))
    for number, (_, rows) in enumerate(splitter.split(np.zeros(len(labels)), labels)):
        folds[rows] = number
    return folds


def _burden(adata: AnnData, weights: np.ndarray) -> np.ndarray:
    """Dosages times weights, float64 ``(individuals,)``; a missing dosage counts as the mean of its variant.

    Individuals without any at the variants that have a weight have NaN.

    Raises
    ------
    ValueError
        When dosages lie outside 0..2.
    """
    total, count, is_bare = np.zeros(adata.n_vars), np.zeros(adata.n_vars), np.zeros(adata.n_obs, dtype=bool)
    wrong, missing = [], 0
    for rows in row_chunks(adata.n_obs):
        dosages = _dosages(adata, rows)
        bad = (dosages < 0) | (dosages > 2)  # NaN is neither
        wrong += dosages[bad][:3].tolist()
        total += np.nansum(dosages, axis=0)
        count += np.isfinite(dosages).sum(axis=0)
        is_missing = np.isnan(dosages[:, weights > 0])  # in the others it changes nothing
        is_bare[rows] = is_missing.all(axis=1)
        missing += int(is_missing[~is_bare[rows]].sum())
    if wrong:
        msg = f"Expected dosages from 0 to 2, NaN where missing; found {listed(wrong, most=3)}. Count ALT alleles per individual."
        raise ValueError(msg)
    means = total / np.maximum(count, 1)
    if is_bare.any():
        warn(
            f"disease risk: {int(is_bare.sum()):,} individuals have no dosage of a variant with an effect, and no burden or risk (NaN): "
            f"{listed(adata.obs_names[is_bare])}",
            stacklevel=5,
        )
    if missing:
        info(f"disease risk: {missing:,} missing dosages count as the mean of their variant")
    parts = []
    for rows in row_chunks(adata.n_obs):
        dosages = _dosages(adata, rows)
        parts.append(np.where(np.isnan(dosages), means, dosages) @ weights)
    return np.where(is_bare, np.nan, np.concatenate(parts))


def _dosages(adata: AnnData, rows: slice) -> np.ndarray:
    part = adata.X[rows]
    return (part.toarray() if sparse.issparse(part) else load_dense(part)).astype(np.float64)


def _permute(
    labels: np.ndarray,
    burden: np.ndarray,
    others: np.ndarray,
    folds: np.ndarray,
    *,
    observed: float,
    n_permutations: int,
    rng: np.random.Generator,
) -> float:
    """Share of permutations that do as well; NaN without permutations.

    What is shuffled is the part of the burden that the covariates do not explain (residuals of least squares), as Potter
    (2005, Statistics in Medicine 24:693) does for logistic regression and Freedman and Lane (1983) for linear models:
    the burden stays as tied to the covariates as it is, and they stay with the phenotype.
    """
    if n_permutations == 0:
        return np.nan
    design = np.hstack([np.ones((len(others), 1)), others])
    explained = design @ np.linalg.lstsq(design, burden, rcond=None)[0]
    residual = burden - explained
    progress = Progress("disease risk", n_permutations, unit="permutations")
    n_as_good = 0
    for _ in range(n_permutations):
        shuffled = np.hstack([explained + rng.permutation(residual), others])
        n_as_good += auroc(labels, cross_validate(shuffled, labels, folds)) >= observed
        progress.update(1)
    return (1 + n_as_good) / (1 + n_permutations)
