"""Risk of variants, learnt from labelled ones on other chromosomes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from genebert._chromosomes import canonical
from genebert._logging import info, warn
from genebert._validate import check_columns, listed
from genebert._variants import CHROM
from genebert.tl._risk_scores import Risk, cross_validate, fit_weights, measure, risk_table
from genebert.tl._variant_models import DISTANCE, EFFECT

__all__ = ["binary_labels", "effect_columns", "variant_risk"]

SCORE = "risk_score"
MOST_FOLDS = 24
_POSITIVE = {"case", "cases", "affected", "patient", "yes", "true", "risk", "pathogenic"}
_NEGATIVE = {"control", "controls", "healthy", "normal", "unaffected", "well", "td", "wt"}


def effect_columns(table: pd.DataFrame, chosen: list[str] | None) -> list[str]:
    """Columns of effects: those that are given, or all numbers of `variant_effect`.

    Raises
    ------
    ValueError
        When one is missing, or there is none.
    """
    if chosen is not None:
        check_columns(table.columns, chosen, what="effects")
        found = list(chosen)
    else:
        found = [name for name in table.columns if str(name).startswith(EFFECT) or name == DISTANCE]
    if not found:
        msg = (
            f"Expected columns of gb.tl.variant_effect ({EFFECT}... or {DISTANCE}); found {listed(table.columns, most=20)}. "
            "Run gb.tl.variant_effect first, or name columns in `features`."
        )
        raise ValueError(msg)
    if wrong := [name for name in found if not pd.api.types.is_numeric_dtype(table[name])]:
        raise ValueError(f"Expected numbers in the columns of effects; found text in {listed(wrong)}.")
    return found


def binary_labels(column: pd.Series, *, name: str, of: str) -> tuple[np.ndarray, str | None]:
    """Labels as 0, 1 and NaN, float64, and the word that counts as 1, which is told; None where they are numbers.

    Raises
    ------
    ValueError
        When there are not two classes.
    """
    numbers = pd.to_numeric(column.astype(object), errors="coerce").to_numpy(dtype=np.float64)
    known, case = column.notna().to_numpy(), None
    if np.isfinite(numbers[known]).all():
        classes = np.unique(numbers[known])
        labels = np.where(known, numbers, np.nan)
        if len(classes) == 2:
            labels = np.where(np.isnan(labels), np.nan, (labels == classes[1]).astype(np.float64))
    else:
        text = column.astype(object).where(known, "").astype(str).str.strip().to_numpy()
        known = known & (text != "")
        classes = np.unique(text[known])
        case = str(_case(classes)) if len(classes) == 2 else None
        labels = np.where(known, (text == case).astype(np.float64), np.nan)
    if len(classes) != 2:
        msg = f"Expected two classes of {of} in {name!r}, such as 0 and 1; found {listed(classes) or 'no value'}."
        raise ValueError(msg)
    if case is not None:
        control = next(word for word in classes if word != case)
        info(f"disease risk: of {name!r}, {case!r} counts as case (1) and {control!r} as control (0)")
    return labels, case


def _case(words: np.ndarray) -> str:
    """Of two words the one that is no word for controls; else "case" or the like; else the later in order."""
    if len(others := [word for word in words if word.lower() not in _NEGATIVE]) == 1:
        return others[0]
    return next((word for word in words if word.lower() in _POSITIVE), words[-1])


def variant_risk(
    table: pd.DataFrame,
    *,
    label: str,
    features: list[str] | None,
    conservation: str | None,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> Risk:
    """See `genebert.tl.disease_risk`."""
    extra = [] if conservation is None else [conservation]
    check_columns(table.columns, [CHROM, label, *extra], what="variants")
    effects = [name for name in effect_columns(table, features) if name not in {label, *extra}]
    if SCORE in {label, *effects, *extra}:
        raise ValueError(f"Expected other columns than {SCORE!r}, which is written, as label and features. Rename it.")
    labels, _ = binary_labels(table[label], name=label, of="variants")
    values = _features(table, effects)
    names = list(values.columns)
    if conservation is not None:
        values[conservation] = _conservation(table, conservation, is_labelled=~np.isnan(labels))
    usable = np.isfinite(values.to_numpy()).all(axis=1)
    used = usable & ~np.isnan(labels)
    folds = _folds(table[CHROM].astype(str).to_numpy()[used], labels[used])
    sets = {"effects": names}
    if conservation is not None:
        sets = {"effects + conservation": [*names, conservation], "effects": names, "conservation": [conservation]}
    if skipped := int((~used).sum()):
        info(f"disease risk: {skipped:,} of {len(table):,} variants are left out, without a label or without an effect")
    rows, predictions = [], table.reset_index(drop=True).copy()
    for place, (method, columns) in enumerate(sets.items()):
        scores = cross_validate(values[columns].to_numpy()[used], labels[used], folds)
        rows.append(measure(labels[used], scores, method=method, n_bootstrap=n_bootstrap, rng=rng))
        if place == 0:
            predictions[SCORE] = np.nan
            predictions.loc[used, SCORE] = scores
            if np.isnan(scores).any():
                warn(
                    "Expected both classes outside of each chromosome; where they are not, variants have no score.",
                    stacklevel=4,
                )
    main = next(iter(sets.values()))
    weights = fit_weights(values[main].to_numpy()[used], labels[used], main)
    return Risk(predictions, risk_table(rows), weights)


def _conservation(table: pd.DataFrame, name: str, *, is_labelled: np.ndarray) -> np.ndarray:
    """Conservation as numbers, NaN where it is not known."""
    numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
    if is_labelled.any() and not np.isfinite(numbers[is_labelled]).any():
        msg = (
            f"Expected numbers in the column of `conservation`, {name!r}; found none in {int(is_labelled.sum()):,} variants with a "
            "label. Fill it, or leave `conservation` out."
        )
        raise ValueError(msg)
    return numbers


def _features(table: pd.DataFrame, effects: list[str]) -> pd.DataFrame:
    """Effects, and the size of those that have a sign."""
    columns = {}
    for name in effects:
        value = table[name].to_numpy(dtype=np.float64)
        columns[name] = value
        if np.nanmin(value, initial=0.0) < 0:
            columns[f"|{name}|"] = np.abs(value)
    return pd.DataFrame(columns)


def _folds(chroms: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fold of each variant: whole chromosomes."""
    groups = np.array([canonical(chrom) for chrom in chroms], dtype=object).astype(str)
    chromosomes = np.unique(groups)
    with_case = np.unique(groups[labels == 1]) if len(labels) else []
    if len(chromosomes) < 2 or len(with_case) < 2 or len(np.unique(labels)) < 2:
        msg = (
            f"Expected labelled variants with an effect on two chromosomes or more, both classes among them; found "
            f"{len(labels)} on {len(chromosomes)}, positives on {len(with_case)}. Label more variants."
        )
        raise ValueError(msg)
    folds = np.empty(len(labels), dtype=np.int64)
    splitter = GroupKFold(min(len(chromosomes), MOST_FOLDS))
    for number, (_, rows) in enumerate(splitter.split(labels, groups=groups)):
        folds[rows] = number
    return folds
