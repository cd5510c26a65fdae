"""Means of what was measured around a region, beside sums written out."""

import numpy as np
import pytest

from genebert.model._surroundings import N_BINS, REACHES, Surroundings

N, N_TYPES = 300, 3


def make(seed=0):
    rng = np.random.default_rng(seed)
    chrom = rng.choice(["chr1", "chr10", "chr2"], N)
    centre = rng.integers(0, 400_000, N)
    values = (rng.random((N, N_TYPES)) < 0.3).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    return chrom, centre, values


def read(chrom, centre, values, rows=slice(None)):
    rows = np.arange(len(chrom))[rows]
    found = Surroundings(chrom, centre, n_cell_types=values.shape[1])
    found.add(rows, values[rows])
    return found.smooth().read(rows, values[rows])


def test_means_are_those_of_a_sum_over_all_pairs():
    chrom, centre, values = make()
    found, known = read(chrom, centre, values), ~np.isnan(values)
    filled = np.where(known, values, 0)
    for number, reach in enumerate(REACHES):
        bins = centre // (reach // N_BINS)
        weight = np.exp(-np.abs(bins[:, None] - bins) / N_BINS) * (chrom[:, None] == chrom)
        np.fill_diagonal(weight, 0)
        mean = filled.sum(axis=0) / known.sum(axis=0)
        wanted = (weight @ filled + mean) / (weight @ known + 1)
        np.testing.assert_allclose(found[:, :, number], wanted, rtol=1e-4, atol=1e-5)


def test_a_region_has_no_share_in_what_is_around_it():
    chrom, centre, values = make()
    changed = values.copy()
    changed[7] = 1 - np.nan_to_num(values[7])
    first, second = read(chrom, centre, values), read(chrom, centre, changed)
    np.testing.assert_allclose(first[7], second[7], atol=2e-3)  # the mean of all moves by a 300th, at most
    near = np.flatnonzero((chrom == chrom[7]) & (np.abs(centre - centre[7]) < 5_000) & (np.arange(N) != 7))
    assert np.abs(first[near] - second[near]).max() > 0.05


def test_order_and_parts_change_nothing():
    chrom, centre, values = make()
    expected, order = read(chrom, centre, values), np.random.default_rng(1).permutation(N)
    np.testing.assert_allclose(read(chrom[order], centre[order], values[order]), expected[order], rtol=1e-5)
    found = Surroundings(chrom, centre, n_cell_types=N_TYPES)
    for rows in np.array_split(order, 7):
        found.add(rows, values[rows])
    np.testing.assert_allclose(found.smooth().read(order, values[order]), expected[order], rtol=1e-5)


@pytest.mark.parametrize("centre", [[5_000, 4_000_000], [5_000, 5_100]])
def test_alone_on_a_chromosome_or_far_away_the_mean_of_the_cell_type_is_given(centre):
    values = np.array([[1.0], [0.0]], dtype=np.float32)
    chrom = np.array(["chr1", "chr1" if centre[1] > 1_000_000 else "chr2"])
    np.testing.assert_allclose(read(chrom, np.array(centre), values), 0.5, atol=1e-6)


def test_nothing_measured_and_no_regions():
    chrom, centre, values = make()
    assert (read(chrom, centre, np.full_like(values, np.nan)) == 0).all()
    assert read(chrom[:0], centre[:0], values[:0]).shape == (0, N_TYPES, len(REACHES))
