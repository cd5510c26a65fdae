"""The model of cell types that were not trained on, on made-up motifs whose effect in each type is known."""

import gc
import weakref
from typing import NamedTuple

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from genebert._dna import reverse_complement
from genebert.model import _cell_types, _cell_types_heads
from genebert.model._cell_types import Features, _rehearsals, fit_cell_types, fit_heads
from genebert.model._cell_types_heads import _activity
from genebert.model._cell_types_mix import Likeness, correlations, fit_combiner, relatives
from genebert.model._ridge import Design, Ridge, fit_ridge, kernel, standardised

N_TRAIN, N_TEST, N_TFS, N_TYPES = 900, 400, 24, 7
NEW, OLD = [0, 1], [2, 3, 4, 5, 6]


class Made(NamedTuple):
    train: Features
    test: Features
    target: np.ndarray
    truth: np.ndarray
    activity: np.ndarray
    groups: np.ndarray


def make(kind="binary", *, effect=1.2, seed=0):
    rng = np.random.default_rng(seed)
    motifs = rng.gamma(1.0, size=(N_TRAIN + N_TEST, N_TFS)).astype(np.float32)
    codes = rng.integers(0, 4, size=(len(motifs), 40)).astype(np.uint8)
    active = np.zeros((N_TYPES, N_TFS))
    for number in range(N_TYPES):  # each TF acts in two types that follow each other, and one in all
        active[
            number, [2 * number, 2 * number + 1, (2 * number + 2) % (2 * N_TYPES), (2 * number + 3) % (2 * N_TYPES)]
        ] = 1
    active[:, -1] = 1
    value = effect * ((motifs - 1) @ active.T) - 2
    noise = rng.logistic(size=value.shape)
    target = (value + noise > 0 if kind == "binary" else value + noise + 10).astype(np.float32)
    train, test = slice(N_TRAIN), slice(N_TRAIN, None)
    parts = [Features(motifs[rows], None, codes[rows], is_centred=True) for rows in (train, test)]
    activity = _activity(parts[0].motifs, target[train], parts[0].gc())
    return Made(*parts, target[train], target[test], activity, np.arange(N_TRAIN) % 6)


@pytest.fixture(scope="module")
def made():
    return make()


def fit(made, known="nothing", *, kind="binary", types=OLD, **kwargs):
    settings = {"known": known, "kind": kind, "seed": 0, "groups": made.groups} | kwargs
    return fit_cell_types(made.train, made.target[:, types], made.activity[types], **settings)


@pytest.fixture(scope="module")
def nothing(made):
    return fit(made)


@pytest.fixture(scope="module")
def atlas(made):
    return fit(made, "train_cell_types")


def auroc(truth, score):
    return np.mean([roc_auc_score(truth[:, column], score[:, column]) for column in range(truth.shape[1])])


def test_activity_tells_a_new_type_from_the_others(made, nothing):
    found = nothing.predict(made.test, made.activity[NEW], parts=True)
    assert set(found) == {"genebert", "sequence_only", "motif_activity"}
    assert all(each.shape == (N_TEST, 2) and each.dtype == np.float64 for each in found.values())
    assert (found["genebert"] > 0).all()
    assert (found["genebert"] < 1).all()
    np.testing.assert_array_equal(found["sequence_only"][:, 0], found["sequence_only"][:, 1])
    truth = made.truth[:, NEW]
    assert auroc(truth, found["genebert"]) > 0.8
    assert auroc(truth, found["genebert"]) > auroc(truth, found["sequence_only"]) + 0.15
    assert found["genebert"].mean() == pytest.approx(truth.mean(), abs=0.05)  # probabilities
    wrong = nothing.predict(made.test, np.random.default_rng(0).permuted(made.activity[NEW], axis=1))
    assert auroc(truth, wrong) < auroc(truth, found["sequence_only"]) + 0.03


@pytest.mark.parametrize("known", ["nothing", "train_cell_types"])
@pytest.mark.parametrize("kind", ["binary", "value"])
def test_sequence_only_ranks_as_the_mean_of_the_heads_also_where_training_types_are_opposites(kind, known):
    made = make(kind)
    opposite = made.target[:, [0]] * -1 + (1 if kind == "binary" else 20)
    target = np.hstack([made.target[:, :1], opposite])  # what one head says is wrong for the other type
    target[::3, 1] = made.target[::3, 2]
    model = fit_cell_types(
        made.train, target, made.activity[[0]] * [[1], [-1]], known=known, kind=kind, seed=0, groups=made.groups
    )
    near = None if known == "nothing" else made.truth[:, [0, 0]]
    found = model.predict(made.test, made.activity[[1]], neighbours=near, parts=True)["sequence_only"][:, 0]
    mean = model.heads.score(made.test).heads.mean(axis=1, dtype=np.float64)
    assert spearmanr(found, mean)[0] == pytest.approx(1)


def test_measured_types_help(made, nothing, atlas):
    near = made.truth[:, OLD]
    found = atlas.predict(made.test, made.activity[NEW], neighbours=near, parts=True)
    assert set(found) == {"genebert", "sequence_only", "motif_activity", "mean_sequence", "weighted_mean"}
    truth = made.truth[:, NEW]
    mean = np.repeat(near.mean(axis=1, keepdims=True), 2, axis=1)
    assert auroc(truth, found["genebert"]) > auroc(truth, mean) + 0.1
    assert auroc(truth, found["genebert"]) > auroc(truth, found["mean_sequence"]) + 0.05
    assert auroc(truth, found["mean_sequence"]) > auroc(truth, mean)
    np.testing.assert_array_equal(found["mean_sequence"][:, 0], found["mean_sequence"][:, 1])
    assert not np.array_equal(found["weighted_mean"][:, 0], found["weighted_mean"][:, 1])


def test_a_hidden_type_has_no_say(made, atlas):
    """A training type plays the new one: its own column is hidden."""
    near = made.truth[:, OLD].copy()
    near[:, 0] = np.nan
    fewer = fit(made, "train_cell_types", types=OLD[1:])
    found = atlas.predict(made.test, made.activity[[OLD[0]]], neighbours=near, parts=True)
    np.testing.assert_array_equal(
        found["weighted_mean"],
        fewer.predict(made.test, made.activity[[OLD[0]]], neighbours=near[:, 1:], parts=True)["weighted_mean"],
    )
    gaps = made.truth[:, OLD].copy()
    gaps[::3, 1] = np.nan
    assert np.isfinite(atlas.predict(made.test, made.activity[NEW], neighbours=gaps)).all()


def test_values(made):
    values = make("value")
    model = fit(values, kind="value")
    found = model.predict(values.test, values.activity[NEW])
    assert np.corrcoef(found[:, 0], values.truth[:, 0])[0, 1] > 0.6
    assert found.mean() == pytest.approx(values.truth[:, NEW].mean(), abs=0.5)
    atlas = fit(values, "train_cell_types", kind="value")
    more = atlas.predict(values.test, values.activity[NEW], neighbours=values.truth[:, OLD], parts=True)
    assert np.corrcoef(more["genebert"][:, 0], values.truth[:, 0])[0, 1] > 0.6
    assert more["mean_sequence"].mean() == pytest.approx(values.truth[:, NEW].mean(), abs=0.5)


def test_no_region_is_told_its_own_label():
    """Without any effect nothing in the rehearsals is related to the labels; a label in an activity would be."""
    made = make(effect=0)
    model = fit(made)
    cases = list(_rehearsals(model, made.target[:, OLD], seed=0))
    columns = np.concatenate([case.columns("genebert") for case, _ in cases])
    wanted = np.concatenate([each for _, each in cases])
    assert np.abs(np.corrcoef(columns.T, wanted)[-1, :-1]).max() < 0.05
    leaky = made.activity[OLD[0]] @ np.linalg.inv(model.heads.motif_gram) @ model.heads.out_of_fold.motifs.T
    assert np.corrcoef(leaky, made.target[:, OLD[0]])[0, 1] > 0.1


def test_the_same_twice_and_the_same_from_heads_of_all_types(made, nothing):
    expected = nothing.predict(made.test, made.activity[NEW])
    np.testing.assert_array_equal(fit(made).predict(made.test, made.activity[NEW]), expected)
    heads = fit_heads(made.train, made.target, seed=0, groups=made.groups).take(OLD)
    np.testing.assert_allclose(heads.out_of_fold.heads, nothing.heads.out_of_fold.heads, atol=1e-5)
    np.testing.assert_allclose(heads.score(made.test).heads, nothing.heads.score(made.test).heads, atol=1e-5)
    assert heads.score(made.test).motifs is heads.take([1]).score(made.test).motifs  # kept
    found = fit(made, heads=heads).predict(made.test, made.activity[NEW])
    assert np.corrcoef(found[:, 0], expected[:, 0])[0, 1] > 0.99


def test_landmarks_are_drawn_as_often_as_is_asked_for(made, monkeypatch):
    assert len(fit(made, n_draws=2).heads.head.radial) == 1  # all regions are landmarks
    monkeypatch.setattr(_cell_types_heads, "N_LANDMARKS", 100)
    several, one = (fit(made, **options).heads for options in ({}, {"n_draws": 1}))
    assert [len(heads.head.radial) for heads in (several, one)] == [_cell_types_heads.N_DRAWS, 1]
    np.testing.assert_array_equal(one.head.radial[0].landmarks, several.head.radial[0].landmarks)


def test_labels_that_are_missing(made):
    gaps = made._replace(target=made.target.copy())
    gaps.target[::2, OLD[0]] = np.nan
    found = fit(gaps, "train_cell_types").predict(made.test, made.activity[NEW], neighbours=made.truth[:, OLD])
    assert auroc(made.truth[:, NEW], found) > 0.75


def test_one_training_type(made):
    found = fit(made, types=[2]).predict(made.test, made.activity[[0]])
    assert np.isfinite(found).all()
    with pytest.raises(ValueError, match="at least two training cell types"):
        fit(made, "train_cell_types", types=[2])


def test_neighbours_only_where_they_are_known(made, nothing, atlas):
    with pytest.raises(ValueError, match="this model knows 'nothing'"):
        nothing.predict(made.test, made.activity[NEW], neighbours=made.truth[:, OLD])
    with pytest.raises(ValueError, match="if and only if"):
        atlas.predict(made.test, made.activity[NEW])


def test_the_fewer_regions_the_less_the_motifs_count(made, nothing):
    sizes = [np.abs(nothing.heads.motif_weights(made.activity[0], n_regions=n)).sum(axis=0) for n in (50, 500, 5_000)]
    assert (np.diff(sizes, axis=0) > 0).all()
    few = nothing.predict(made.test, made.activity[NEW], n_regions=50)
    assert few.std() < nothing.predict(made.test, made.activity[NEW]).std()
    away = []
    for n in (1, 50, 10**9):
        found = nothing.predict(made.test, made.activity[NEW], n_regions=n, parts=True)
        away.append(np.abs(found["genebert"] - found["sequence_only"]).max())
    assert away[0] < 0.02 < away[1] < away[2]


@pytest.mark.parametrize("parts", [False, True])
def test_each_new_type_has_a_number_of_regions_of_its_own(made, nothing, atlas, parts):
    for model, near in ((nothing, None), (atlas, made.truth[:, OLD])):
        options = {"neighbours": near, "parts": parts}
        for numbers in ([None, 50], np.array([200, 50])):
            found = model.predict(made.test, made.activity[NEW], n_regions=numbers, **options)
            for place, n in enumerate(numbers):
                alone = model.predict(made.test, made.activity[[NEW[place]]], n_regions=n, **options)
                pairs = [(found[name], alone[name]) for name in alone] if parts else [(found, alone)]
                for both, single in pairs:
                    np.testing.assert_array_equal(both[:, place], single[:, 0])
    with pytest.raises(ValueError, match="one of each of the 2 new types; found 3"):
        nothing.predict(made.test, made.activity[NEW], n_regions=[1, 2, 3])


def test_with_the_types_used_regions_may_be_given_in_parts(made, atlas):
    near = made.truth[:, OLD].copy()
    near[: N_TEST // 2, 0] = np.nan  # nothing is known of this type in the first half
    halves = [slice(N_TEST // 2), slice(N_TEST // 2, None)]
    options = {"used": np.arange(len(OLD))}
    whole = atlas.predict(made.test, made.activity[NEW], neighbours=near, **options)
    parts = [
        atlas.predict(made.test.take(rows), made.activity[NEW], neighbours=near[rows], **options) for rows in halves
    ]
    np.testing.assert_allclose(np.vstack(parts), whole, atol=1e-6)
    first = atlas.predict(made.test.take(halves[0]), made.activity[NEW], neighbours=near[halves[0]])
    assert not np.allclose(first, parts[0], atol=1e-3)


@pytest.mark.parametrize("kind", ["binary", "value"])
def test_one_region_fewer_than_all_changes_hardly_anything(kind):
    made = make(kind)
    model = fit(made, kind=kind)
    whole = model.predict(made.test, made.activity[NEW])
    spread = whole.std()
    for n in (N_TRAIN - 1, N_TRAIN):
        found = model.predict(made.test, made.activity[NEW], n_regions=n)
        np.testing.assert_allclose(found, whole, atol=0.005 * spread)
    by_hand = model._shrunk(np.array([0.8]), np.array([0.5]), n_regions=100)
    trust = 100 * (N_TRAIN + 200) / (N_TRAIN * 300)
    expected = trust * 0.8 + (1 - trust) * 0.5 if kind == "value" else 1 / (1 + 4**-trust)  # log-odds of 0.8: log 4
    np.testing.assert_allclose(by_hand, expected)


def test_whitened_activities_are_those_of_independent_motifs(nothing):
    heads = nothing.heads
    activity = np.random.default_rng(0).normal(size=(3, N_TFS))
    found = heads.whitened(activity, n_regions=10**9)
    np.testing.assert_allclose(found @ found.T, activity @ np.linalg.solve(heads.motif_gram, activity.T), rtol=1e-3)


def test_weights_of_two_types_by_hand():
    likeness = Likeness(np.array([[1, 0.5], [0.5, 1]]), np.eye(2), np.array([1.0, 1.0]))
    predicted = likeness.predicted
    assert likeness.predicted is predicted  # solved once
    np.testing.assert_allclose(predicted[0], predicted[1])
    np.testing.assert_allclose(likeness.weights(0.1), predicted / 1.6)  # (1 + 0.1 + 0.5)
    np.testing.assert_allclose(likeness.mixture(), [0.5, 0.5])
    closer = Likeness(likeness.target, np.eye(2), np.array([0.9, 0.1])).mixture()
    assert closer[0] > closer[1]
    assert closer.sum() == pytest.approx(1)


def test_likeness_is_learnt_from_pairs_of_training_types():
    rng = np.random.default_rng(0)
    activity = rng.normal(size=(12, 40)) @ np.diag(np.linspace(0.2, 2, 40))
    correlated = correlations(activity, activity)
    target = 0.3 + 0.5 * correlated
    np.fill_diagonal(target, 1)
    found = Likeness.of(target[1:, 1:], activity[1:], activity[0]).predicted
    np.testing.assert_allclose(found, target[0, 1:], atol=0.03)
    assert correlations(np.ones((1, 40)), activity).tolist() == [[0] * 12]


def test_relatives_are_left_out_by_nearness():
    activity = np.array([[1, 0, 0, 0], [0.9, 0.1, 0, 0], [0, 1, 0, 0], [0.5, 0, 1, 0]], dtype=float)
    assert relatives(activity, 0, n_left_out=0).tolist() == [1, 2, 3]
    assert relatives(activity, 0, n_left_out=1).tolist() == [2, 3]
    assert relatives(activity[:1], 0, n_left_out=2).tolist() == [0]


def test_combiner_finds_the_coefficients():
    rng = np.random.default_rng(0)
    matrix = np.column_stack([rng.normal(3, 2, size=(20_000, 2)), np.ones(20_000)])
    chance = 1 / (1 + np.exp(-(0.8 * (matrix[:, 0] - 3) - 0.4 * (matrix[:, 1] - 3) - 2)))
    wanted = (rng.random(len(matrix)) < chance).astype(np.float32)
    found = fit_combiner(matrix, wanted, is_binary=True, with_trees=False, seed=0)
    np.testing.assert_allclose(found.weight * found.scale, [0.8, -0.4, 0], atol=0.05)
    np.testing.assert_allclose(found(matrix).mean(), wanted.mean(), atol=1e-4)
    trees = fit_combiner(matrix, wanted, is_binary=True, with_trees=True, seed=0)
    assert np.corrcoef(trees(matrix), chance)[0, 1] > 0.95
    assert not np.array_equal(trees(matrix), found(matrix))
    line = fit_combiner(matrix, matrix[:, 0] * 2 + 1, is_binary=False, with_trees=False, seed=0)
    np.testing.assert_allclose(line(matrix), matrix[:, 0] * 2 + 1, atol=0.05)


def test_a_single_column_keeps_its_order():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(500, 1))
    options = {"with_trees": False, "seed": 0, "keeps_order": True}
    for wanted, is_binary in ((rng.random(500) > (matrix[:, 0] > 0), True), (-2 * matrix[:, 0] + 1, False)):
        found = fit_combiner(matrix, wanted, is_binary=is_binary, **options)(matrix)
        np.testing.assert_array_equal(np.argsort(found), np.argsort(matrix[:, 0]))
        assert found.mean() == pytest.approx(wanted.mean(), abs=0.01)
    rising = matrix[:, 0] * 2 + 1
    free = fit_combiner(matrix, rising, is_binary=False, with_trees=False, seed=0)
    np.testing.assert_array_equal(fit_combiner(matrix, rising, is_binary=False, **options).weight, free.weight)


def test_ridge_is_the_same_by_both_gram_matrices():
    rng = np.random.default_rng(0)
    matrix, wanted = rng.normal(size=(30, 20)).astype(np.float32), rng.normal(size=(30, 2)).astype(np.float32)
    wide = np.hstack([matrix, np.zeros((30, 40), dtype=np.float32)])
    narrow, by_regions = fit_ridge(matrix, wanted), fit_ridge(wide, wanted)
    np.testing.assert_allclose(by_regions.weight[:20], narrow.weight, atol=1e-5)
    assert isinstance(narrow, Ridge)


def test_neither_strand_nor_order_matters(made):
    design = Design.fit(made.train)
    matrix = design(made.test)
    turned = design(made.test._replace(codes=reverse_complement(made.test.codes)))
    np.testing.assert_array_equal(matrix, turned)
    assert (design(made.train) ** 2).sum(axis=1).mean() == pytest.approx(2, rel=0.05)  # two blocks
    np.testing.assert_allclose(np.diag(kernel(matrix, matrix)), 1, atol=1e-5)


def test_standardised_leaves_gaps_at_the_mean():
    found = standardised(np.array([[1, 5], [3, 5], [np.nan, 5]]))
    np.testing.assert_allclose(found, [[-1, 0], [1, 0], [0, 0]])


def test_gc_without_bases(made):
    assert (made.test._replace(codes=None).gc() == 0.5).all()
    unknown = made.test.codes.copy()
    unknown[0] = 4
    assert np.isfinite(made.test._replace(codes=unknown).gc()).all()


@pytest.fixture
def small():
    rng = np.random.default_rng(0)
    motifs = rng.normal(2, 2, size=(200, 5)).astype(np.float32)
    target = (motifs[:, :4] + rng.normal(size=(200, 4)) > 3).astype(np.float32)
    return Features(motifs, None, None), target, rng.normal(size=(4, 5)).astype(np.float32)


def fit_small(small, **options):
    return fit_cell_types(*small, known="train_cell_types", kind="binary", seed=0, **options)


def test_a_gap_is_not_filled_with_what_is_to_be_said(small):
    _, target, _ = small
    target[::2, 1:] = np.nan  # every other region was measured in the first type alone
    model = fit_small(small)
    cases = list(_rehearsals(model, target, seed=0))[
        :: target.shape[1]
    ]  # in each fold the first type plays the new one
    for fold, (case, wanted) in enumerate(cases):
        unknown = np.flatnonzero(model.heads.folds == fold) % 2 == 0
        assert len(np.unique(wanted[unknown])) == 2
        assert not case.measured.near[unknown].any()
        assert case.measured.near[~unknown].any(axis=1).all()


def test_no_rehearsal_is_kept_but_its_columns(small, monkeypatch):
    seen, alive = [], []
    columns, combine = _cell_types.Case.columns, _cell_types.fit_combiner

    def spied_columns(case, name):
        seen.append(weakref.ref(case))
        return columns(case, name)

    def spied_combine(*args, **kwargs):
        gc.collect()
        alive.append(sum(case() is not None for case in seen))
        return combine(*args, **kwargs)

    monkeypatch.setattr(_cell_types.Case, "columns", spied_columns)
    monkeypatch.setattr(_cell_types, "fit_combiner", spied_combine)
    fit_small(small)
    assert len(seen) == 3 * 5 * 4  # combiners, folds and cell types
    assert alive == [0, 0, 0]


def test_expression_holds_no_label_that_could_be_taken_out(small):
    assert np.any(fit_small(small).heads.change)
    assert not np.any(fit_small(small, is_measured=False).heads.change)


def test_what_is_open_around_a_region_counts_where_it_is_given(made):
    """New and training types are open along stretches of the genome of which the region itself tells nothing."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=N_TRAIN + N_TEST)
    around = (np.tile(shared[:, None, None], (1, N_TYPES, 2)) + rng.normal(size=(len(shared), N_TYPES, 2)) / 3).astype(
        "f4"
    )
    target = np.vstack([made.target, made.truth]).copy()
    is_set = rng.random(target.shape) < 0.25
    target[is_set] = (np.broadcast_to(shared[:, None], target.shape) > 0)[is_set]
    train, test = slice(N_TRAIN), slice(N_TRAIN, None)
    given = made._replace(target=target[train])
    options = {"neighbours": target[test][:, OLD]}
    without = fit(given, "train_cell_types").predict(made.test, made.activity[NEW], **options)
    model = fit(given, "train_cell_types", around=around[train][:, OLD])
    found = model.predict(made.test, made.activity[NEW], around=around[test][:, OLD], parts=True, **options)
    assert auroc(target[test][:, NEW], found["genebert"]) > auroc(target[test][:, NEW], without) + 0.01
    assert found["mean_sequence"].shape == found["genebert"].shape
    cases = list(_rehearsals(model, given.target[:, OLD], seed=0, around=around[train][:, OLD]))
    plain = list(_rehearsals(model, given.target[:, OLD], seed=0))
    widths = [
        [case.columns(name).shape[1] for name in ("genebert", "mean_sequence")] for case in (cases[0][0], plain[0][0])
    ]
    assert widths[0] == [widths[1][0] + 4, widths[1][1] + 2]
