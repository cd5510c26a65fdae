"""TF binding in a cell type that was not learnt from."""

import numpy as np
import pytest

from genebert.model._binding import Sites, fit_binding, own_motifs

NAMES = ["JUND", "JUND_MA0492.2", "FOS::JUND", "JUNDX", "GATA1"]


@pytest.mark.parametrize(("tf", "expected"), [("JUND", [0, 1, 2]), ("jund", [0, 1, 2]), ("FOS", [2]), ("EP300", [])])
def test_own_motifs(tf, expected):
    assert own_motifs(tf, NAMES) == expected


def made(seed=0, n=600, n_types=3):
    """One TF binds where motif 0 is strong and the region open; the motif of its partner differs from type to type."""
    rng = np.random.default_rng(seed)
    motifs = rng.normal(3, 2, size=(n, 6)).astype(np.float32)
    is_open = rng.random((n, n_types)) < 0.4
    partner = np.stack([motifs[:, 1 + c] for c in range(n_types)], axis=1)
    bound = is_open & (motifs[:, :1] + 0.7 * partner + rng.normal(size=(n, n_types)) > 7)
    activity = np.zeros((n_types, 6), dtype=np.float32)
    activity[np.arange(n_types), 1 + np.arange(n_types)] = 1
    return Sites(motifs, is_open.astype(np.float32), is_open), bound[:, :, None].astype(np.float32), activity


def auroc(truth, score):
    order = np.argsort(np.argsort(score))
    positive = truth > 0
    return (order[positive].mean() - (positive.sum() - 1) / 2) / (~positive).sum()


@pytest.fixture
def fitted():
    sites, labels, activity = made()
    learnt = [0, 1]
    part = sites._replace(openness=sites.openness[:, learnt], is_open=sites.is_open[:, learnt])
    model = fit_binding(part, labels[:, learnt], activity[learnt], own=[[0]], with_neighbours=False)
    return model, sites, labels, activity


def test_accessibility_gates_and_partners_are_those_of_the_new_type(fitted):
    model, *_ = fitted
    sites, labels, activity = made(seed=1)
    found = model.logits(sites, 2, activity[2], reference=sites)[:, 0]
    plain = model.logits(sites, 2, None, reference=sites)[:, 0]
    truth, is_open = labels[:, 2, 0], sites.is_open[:, 2]
    assert auroc(truth, found) > 0.9
    assert auroc(truth[is_open], found[is_open]) > auroc(truth[is_open], plain[is_open]) + 0.02
    assert np.median(found[is_open]) > np.median(found[~is_open])
    half = sites._replace(openness=sites.openness * 0.5)
    np.testing.assert_allclose(  # linear in accessibility
        model.logits(half, 2, activity[2], reference=sites)[is_open, 0] * 2,
        found[is_open]
        + model.logits(sites._replace(openness=sites.openness * 0), 2, activity[2], reference=sites)[is_open, 0],
    )


def test_labels_of_other_types_count_where_they_are_known():
    rng = np.random.default_rng(0)
    sites, labels, _ = made(n_types=4)
    labels[:] = (rng.random((600, 1, 1)) < 0.4) ^ (rng.random(labels.shape) < 0.05)  # bound in all types alike
    part = sites._replace(openness=sites.openness[:, :3], is_open=sites.is_open[:, :3])
    model = fit_binding(part, labels[:, :3], None, own=[[]], with_neighbours=True)
    neighbours = labels[:, :3].mean(axis=1)
    found = model.logits(sites, 3, None, reference=sites, neighbours=neighbours)[:, 0]
    alone = model.logits(sites, 3, None, reference=sites)[:, 0]
    assert auroc(labels[:, 3, 0], found) > 0.9 > auroc(labels[:, 3, 0], alone)
    neighbours[:10] = np.nan
    some = model.logits(sites, 3, None, reference=sites, neighbours=neighbours)[:, 0]
    np.testing.assert_array_equal(some[:10], alone[:10])


def test_a_tf_without_labels_in_closed_regions_is_not_bound_there():
    sites, labels, _ = made()
    labels = np.repeat(labels, 2, axis=2)
    labels[..., 1][~sites.is_open] = np.nan
    model = fit_binding(sites, labels, None, own=[[0], [0]], with_neighbours=False)
    found = model.logits(sites, 0, None, reference=sites)
    is_open = sites.is_open[:, 0]
    assert found[~is_open, 1].std() > 0.1  # the own motif orders them; a coin would put all of them at 0
    none = fit_binding(
        sites._replace(is_open=sites.is_open | True), labels, None, own=[[0], [0]], with_neighbours=False
    )
    np.testing.assert_array_equal(none.closed_fit, none.open_fit)


def test_one_training_type_has_no_others():
    sites, labels, activity = made(n_types=1)
    model = fit_binding(sites, labels, activity, own=[[0]], with_neighbours=True)
    assert model.neighbour_fit is None


def test_too_little_is_refused():
    sites, labels, activity = made(n=30)
    with pytest.raises(ValueError, match="at least 20 accessible train regions with labels"):
        fit_binding(sites._replace(is_open=sites.is_open & False), labels, activity, own=[[0]], with_neighbours=False)
