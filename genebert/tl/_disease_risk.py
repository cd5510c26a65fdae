"""Risk of a disease: of variants and of those who carry them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from genebert._logging import info
from genebert._validate import check_range, check_rng
from genebert.tl._risk_individuals import individual_risk
from genebert.tl._risk_scores import Risk
from genebert.tl._risk_variants import variant_risk

__all__ = ["disease_risk"]


def disease_risk(
    data: pd.DataFrame | AnnData,
    *,
    label: str = "risk",
    features: str | Sequence[str] | None = None,
    conservation: str | None = None,
    effects: pd.DataFrame | None = None,
    effect: str | None = None,
    phenotype: str = "phenotype",
    covariates: Sequence[str] = (),
    n_folds: int = 5,
    n_permutations: int = 200,
    n_bootstrap: int = 500,
    key_added: str = "disease_risk",
    rng: int | np.random.Generator | None = 0,
) -> Risk:
    """Estimate the risk of variants, from labelled ones, or of individuals, from the variants that they carry.

    **Variants** (a table): logistic regression on their effects, fitted on all chromosomes but the one that is scored.

    **Individuals** (an AnnData of dosages): the burden of each is the sum over variants of dosage times size of the effect. Logistic
    regression on burden and covariates, cross-validated with both classes in each fold. The p-value is the share of permutations
    with which the cross-validated AUROC is as high. Permuted is the part of the burden that the covariates do not explain, as
    Potter (2005, Statistics in Medicine 24:693) does for logistic regression, after Freedman and Lane (1983): shuffling the
    burden itself would take away its tie to the covariates and find effects that are theirs.

    Both are regularised (L2), on standardised features, with classes weighted alike: a risk of 0.5 is that of neither class.

    Parameters
    ----------
    data
        Variants with their effects, as :func:`variant_effect` returns them, and a column of labels; or individuals x variants, dosages of
        ALT from 0 to 2, NaN where missing.
    label
        Variants: column with 1 for risk variants, 0 for controls, NaN for neither; or two words, as in `phenotype`.
    features
        Variants: columns of effects, or one; default ``effect_...`` and ``distance``. Of one with a sign its size is a feature, too.
    conservation
        Variants: one more column of numbers, scored alone and together with the effects.
    effects
        Individuals: table of :func:`variant_effect`, matched by chromosome (in any style), position and alleles, or by identifier
        where one of the tables lacks them. Default: ``adata.var``.
    effect
        Individuals: its column; default ``distance``, else the mean size of all ``effect_...``.
    phenotype
        Individuals: column of ``adata.obs`` with two classes, 0 and 1 or words. Of two words, in capitals or not, that beside ``control``,
        ``controls``, ``healthy``, ``normal``, ``unaffected``, ``well``, ``td`` or ``wt`` is 1; where neither or both are among these,
        ``case`` or the like, else the later in the alphabet. Which one is told. Individuals without one are left out.
    covariates
        Individuals: columns of ``adata.obs``, numbers or categories.
    n_folds
        Individuals: folds of the cross-validation.
    n_permutations
        Individuals: permutations for the p-value; 0 for none.
    n_bootstrap
        Draws for the 95 % intervals, over variants or individuals.
    key_added
        Individuals: name in ``adata.obs`` and ``adata.uns["genebert"]["disease_risk"]``. Columns that an earlier call wrote under
        it are replaced, others are not.
    rng
        Seed or generator of folds, shuffles and draws.

    Returns
    -------
    A tuple with three tables:

    - ``predictions``: variants with ``risk_score``; individuals with ``disease_risk`` (`key_added`) and ``burden``. Float64, each computed when
      it was held out, NaN where it was not used. The burden of individuals without a dosage of any variant with an effect is NaN, too.
    - ``metrics``: method, metric (``auroc``), value, low, high, pvalue, n, n_positive; one row for each set of features.
    - ``weights``: feature and coefficient of a fit on all rows.

    For individuals it writes ``adata.obs[key_added]``, ``adata.obs[key_added + "_burden"]`` (float64) and
    ``adata.uns["genebert"]["disease_risk"][key_added]`` (``params``, with the word that counts as ``case``, None of numbers; ``table``).

    Raises
    ------
    TypeError
        When `data` is neither, or a table with `effects`.
    ValueError
        When a column is missing, `conservation` holds no number, no effect matches the variants of the matrix, there are not two classes, too few of one, all on one chromosome, dosages lie outside 0..2, one variant
        has several effects, or `key_added` names a column that holds something else.

    Examples
    --------
    >>> cohort = gb.datasets.toy_cohort(n_individuals=60, n_variants=60)
    >>> cohort.var["distance"] = cohort.var["risk"] + 0.1
    >>> found = gb.tl.disease_risk(cohort, covariates=["age", "sex"], n_permutations=19)
    >>> found.metrics["method"].tolist()
    ['burden + covariates', 'burden', 'covariates']
    """
    check_range(n_bootstrap, name="n_bootstrap", low=1, integer=True)
    check_range(n_folds, name="n_folds", low=2, integer=True)
    check_range(n_permutations, name="n_permutations", low=0, integer=True)
    check_rng(rng, name="rng")
    rng = np.random.default_rng(rng)
    if isinstance(data, pd.DataFrame) and effects is not None:
        msg = (
            "Expected an AnnData of individuals x variants with `effects`; found a table. Give the AnnData itself, not its "
            "to_df(): it holds the phenotype, too. Of variants, give the table of effects alone."
        )
        raise TypeError(msg)
    if isinstance(data, pd.DataFrame):
        features = [features] if isinstance(features, str) else None if features is None else list(features)
        found = variant_risk(
            data, label=label, features=features, conservation=conservation, n_bootstrap=n_bootstrap, rng=rng
        )
    elif isinstance(data, AnnData):
        covariates = [covariates] if isinstance(covariates, str) else list(covariates)
        found = individual_risk(
            data, effects=effects, effect=effect, phenotype=phenotype, covariates=covariates, n_folds=n_folds,
            n_permutations=n_permutations, n_bootstrap=n_bootstrap, key_added=key_added, rng=rng,
        )  # fmt: skip
    else:
        msg = f"Expected a table of variants or an AnnData of individuals x variants; found {type(data).__name__}."
        raise TypeError(msg)
    best = found.metrics.iloc[0]
    info(
        f"disease risk ({best['method']}): AUROC {best['value']:.3f} [{best['low']:.3f}, {best['high']:.3f}], n = {best['n']}"
    )
    return found
