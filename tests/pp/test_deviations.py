"""The maths of TF activity, against sums over all permutations and against plain NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from genebert.pp._deviations import Background, Sums, cell_moments, deviations, match_background, moments, strata


def plain(groups):
    """Strata in which GC and accessibility do not differ."""
    n_strata = groups.max() + 1
    return Background(groups, np.zeros((len(groups), 2)), np.zeros((n_strata, 2)), np.full((n_strata, 2), np.inf))


def made(n_regions=300, n_tfs=5, n_cell_types=3, seed=0):
    """Motif strengths and shares that depend on each other, on GC and on accessibility; and the background."""
    rng = np.random.default_rng(seed)
    gc, accessibility = rng.random(n_regions), rng.exponential(size=n_regions)
    strength = np.maximum(rng.normal(size=(n_regions, n_tfs)) + 3 * gc[:, None] + accessibility[:, None], 0)
    shares = rng.normal(size=(n_regions, n_cell_types)) + 0.5 * strength[:, [0]] + 2 * gc[:, None]
    return strength, shares, match_background(gc, accessibility, n_bins=3)


def compared(strength, shares, background, score):
    sums = Sums(background, n_tfs=strength.shape[1], n_cell_types=shares.shape[1])
    sums.add(strength, shares, np.arange(len(strength)))
    return sums.deviations(score)


def unexplained(values, background):
    """What a regression in each stratum leaves."""
    found = np.empty_like(values)
    for group in range(background.n_strata):
        rows = np.flatnonzero(background.groups == group)
        terms = np.column_stack([np.ones(len(rows)), background.covariates[rows]])
        found[rows] = values[rows] - terms @ np.linalg.lstsq(terms, values[rows])[0]
    return found


def test_z_is_that_of_all_permutations():
    background = plain(np.array([0, 0, 0, 1, 1, 1, 1]))
    rng = np.random.default_rng(1)
    strength, shares = rng.random((7, 2)), rng.normal(size=(7, 3))
    permuted = [
        shares[[*first, *second]].T @ strength
        for first in itertools.permutations(range(3))
        for second in itertools.permutations(range(3, 7))
    ]
    expected = (shares.T @ strength - np.mean(permuted, axis=0)) / np.std(permuted, axis=0)
    np.testing.assert_allclose(compared(strength, shares, background, "z"), expected, rtol=1e-10)


def test_correlation_is_that_of_what_the_regression_leaves():
    strength, shares, background = made()
    mine, theirs = (unexplained(values, background) for values in (shares, strength))
    expected = mine.T @ theirs / np.sqrt(np.outer((mine**2).sum(axis=0), (theirs**2).sum(axis=0)))
    np.testing.assert_allclose(compared(strength, shares, background, "correlation"), expected, rtol=1e-8)


def test_z_is_standard_normal_where_there_is_nothing():
    strength, _, background = made(n_tfs=40)
    shares = np.random.default_rng(1).normal(size=(300, 50)) + 4 * background.covariates[:, :1]
    found = compared(strength, shares, background, "z")
    assert abs(found.mean()) < 0.05
    assert found.std() == pytest.approx(1, abs=0.05)


def test_one_number_by_hand():
    # One stratum; centred: (-1, 0, 1) and (-1, 1, 0). Sum of products 1, squares 2 and 2, variance 2 * 2 / (3 - 1).
    strength, shares = np.array([[0.0], [1], [2]]), np.array([[0.0], [2], [1]])
    background = plain(np.zeros(3, dtype=int))
    assert compared(strength, shares, background, "correlation").item() == pytest.approx(0.5)
    assert compared(strength, shares, background, "z").item() == pytest.approx(2**-0.5)


@pytest.mark.parametrize("score", ["correlation", "z"])
def test_chunks_change_nothing_and_what_is_missing_is_left_out(score):
    strength, shares, background = made()
    shares[100:150] = np.nan
    sums = Sums(background, n_tfs=5, n_cell_types=3)
    for rows in np.split(np.arange(300), [12, 13, 120]):
        sums.add(strength[rows], shares[rows], rows)
    known = np.flatnonzero(~np.isnan(shares[:, 0]))
    part = background._replace(groups=background.groups[known], covariates=background.covariates[known])
    expected = compared(strength[known], shares[known], part, score)
    np.testing.assert_allclose(sums.deviations(score), expected, rtol=1e-8)
    mine, theirs = (unexplained(values[known], part) for values in (shares, strength))
    expected = mine.T @ theirs / np.sqrt(np.outer((mine**2).sum(axis=0), (theirs**2).sum(axis=0)))
    np.testing.assert_allclose(sums.deviations("correlation"), expected, rtol=1e-8)


@pytest.mark.parametrize("score", ["correlation", "z"])
def test_what_is_explained_is_0(score):
    strength, shares, background = made()
    strength[:, 2] = 0.1
    strength[:, 3] = background.covariates @ [2, 3] + background.groups
    shares[:, 1] = 1e-7 * (1 + background.groups) / 3
    found = compared(strength, shares, background, score)
    assert (found[:, [2, 3]] == 0).all()
    assert (found[1] == 0).all()
    assert (found[0, [0, 1, 4]] != 0).all()


def test_strata_with_few_regions_count_for_nothing():
    strength, shares, background = made()
    n_strata = background.n_strata
    more = Background(
        np.r_[background.groups, [n_strata + 1] * 3],  # before it is one without any region
        np.r_[background.covariates, np.random.default_rng(0).random((3, 2))],
        np.r_[background.centre, np.zeros((2, 2))],
        np.r_[background.scale, np.ones((2, 2))],
    )
    found = compared(np.r_[strength, strength[:3]], np.r_[shares, shares[:3]], more, "z")
    np.testing.assert_allclose(found, compared(strength, shares, background, "z"), rtol=1e-8)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), score=st.sampled_from(["correlation", "z"]))
def test_cells_are_summed_as_if_they_were_dense(seed, score):
    strength, _, background = made(120, seed=seed)
    cells = sparse.random(7, 120, density=0.3, format="csr", rng=np.random.default_rng(seed))
    shares, design = cells.toarray().T, background.design()
    found = cell_moments(cells, design)
    for mine, theirs in zip(found, moments(shares, design), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-10)
    scores = deviations(moments(strength, design), found, shares.T @ strength, score=score)
    np.testing.assert_allclose(scores, compared(strength, shares, background, score), rtol=1e-6, atol=1e-8)


def covariates(n=4000, seed=0):
    rng = np.random.default_rng(seed)
    return np.round(rng.random(n) * 200) / 200, rng.exponential(size=n)


def within(values, groups):
    return np.sqrt(np.mean([np.var(values[groups == group]) for group in set(groups)]))


def test_strata_are_about_equal_and_homogeneous():
    gc, accessibility = covariates()
    groups = strata(gc, accessibility, n_bins=5)
    sizes = np.bincount(groups)
    assert len(sizes) == 25
    assert sizes.min() > 0.7 * sizes.max()
    assert within(gc, groups) < 0.3 * gc.std()
    assert within(np.log(accessibility), groups) < 0.6 * np.log(accessibility).std()


@pytest.mark.parametrize(
    ("n_regions", "n_bins", "min_size", "n_strata"),
    [(4000, 1, 50, 1), (60, 10, 50, 1), (99, 10, 50, 2), (4000, 10, 1000, 4), (1, 10, 50, 1)],
)
def test_number_of_strata(n_regions, n_bins, min_size, n_strata):
    gc, accessibility = covariates(n_regions)
    groups = strata(gc, accessibility, n_bins=n_bins, min_size=min_size)
    assert sorted(set(groups)) == list(range(n_strata))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_order_of_regions_changes_no_stratum(seed):
    gc, accessibility = covariates(500)
    accessibility = np.round(accessibility)  # many ties
    order = np.random.default_rng(seed).permutation(500)
    expected = strata(gc, accessibility, n_bins=4)[order]
    assert (strata(gc[order], accessibility[order], n_bins=4) == expected).all()
    assert (strata(gc[order], accessibility[order] * (1 + 1e-15), n_bins=4) == expected).all()


def test_equal_regions_are_in_the_same_stratum():
    gc, accessibility = np.repeat([0.3, 0.6], 200), np.tile([0.0, 0, 0, 1], 100)
    background = match_background(gc, accessibility, n_bins=10)
    assert background.n_strata == 4
    assert len(set(zip(gc, accessibility, background.groups, strict=True))) == 4
    assert np.isinf(background.scale).all()
