"""Cell types that were not trained on."""

import numpy as np
import pytest

from genebert.model._cell_types import CellTypeModel, Features, _rehearsals, fit_cell_types


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    motifs = rng.normal(2, 2, size=(200, 5)).astype(np.float32)
    target = (motifs[:, :4] + rng.normal(size=(200, 4)) > 3).astype(np.float32)
    return Features(motifs, None, None), target, rng.normal(size=(4, 5)).astype(np.float32)


def fitted(made, **options) -> CellTypeModel:
    features, target, activity = made
    return fit_cell_types(features, target, activity, known="train_cell_types", kind="binary", seed=0, **options)


def test_a_gap_is_not_filled_with_what_is_to_be_said(made):
    _, target, _ = made
    target[::2, 1:] = np.nan  # every other region was measured in the first type alone
    model = fitted(made)
    cases = list(_rehearsals(model, target, seed=0))[
        :: target.shape[1]
    ]  # in each fold the first type plays the new one
    for fold, (case, wanted) in enumerate(cases):
        unknown = np.flatnonzero(model.heads.folds == fold) % 2 == 0
        assert len(np.unique(wanted[unknown])) == 2
        assert not case.neighbours[unknown].any()
        assert case.neighbours[~unknown].any(axis=1).all()


def test_expression_holds_no_label_that_could_be_taken_out(made):
    assert np.any(fitted(made).heads.change)
    assert not np.any(fitted(made, is_measured=False).heads.change)
